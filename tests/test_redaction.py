"""Secrets leave every text, by form and by value, and nothing else does."""

from __future__ import annotations

import base64

import pytest

from terrastore.redaction import Redactor, logins, path_tokens, without_path_tokens, without_secrets

TOKEN = "Zq7Wm2Lx9Rt4Kp8V"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("no URL at all", "no URL at all", id="none"),
        pytest.param("me@example", "me@example", id="an address is no URL"),
        pytest.param("https://host.example/a@b", "https://host.example/a@b", id="@ in the path"),
        pytest.param("https://user:secret@host.example/", "https://host.example/", id="user and password"),
        pytest.param("https://secret@host.example/", "https://host.example/", id="user alone"),
        pytest.param("https://:secret@host.example/", "https://host.example/", id="password alone"),
        pytest.param("git+ssh://secret@host.example:22/", "git+ssh://host.example:22/", id="any scheme"),
        pytest.param(
            "at https://a:secret@a.example and https://b:secret@b.example",
            "at https://a.example and https://b.example",
            id="two of them",
        ),
        pytest.param("https://user:pass@word@host.example/", "https://host.example/", id="@ in the password"),
        pytest.param("//user:secret@host.example/", "//host.example/", id="a scheme that a parser cut off"),
        pytest.param("https://a.example/x?token=secret&x=1", "https://a.example/x?token=****&x=1", id="query"),
        pytest.param("https://a.example/?X-Amz-Signature=abc", "https://a.example/?X-Amz-Signature=****", id="signed"),
        pytest.param("Authorization: Basic c2VjcmV0", "Authorization: Basic ****", id="header"),
        pytest.param("'authorization': 'Bearer secret'", "'authorization': 'Bearer ****'", id="header in a dict"),
        pytest.param(f"ghp_{TOKEN * 2} is wrong", "**** is wrong", id="token of a known shape"),
        pytest.param(f"https://h.example/glpat-{TOKEN * 2}/x", "https://h.example/****/x", id="the same in a path"),
        pytest.param("glob-pattern-of-many-words-and-more", "glob-pattern-of-many-words-and-more", id="words"),
    ],
)
def test_by_form(text: str, expected: str) -> None:
    """A login in a URL, a signature in its query, a header, and tokens that tell what they are."""
    assert expected == without_secrets(text)
    assert expected == without_secrets(without_secrets(text))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(TOKEN, True, id="drawn from letters and digits"),
        pytest.param("0123456789abcdef" * 3, True, id="hexadecimal"),
        pytest.param(f"v2_{TOKEN}-x", True, id="with a prefix"),
        pytest.param("simple", False, id="a word"),
        pytest.param("My-Company-Python-Packages-2", False, id="words"),
        pytest.param("PyTorch-Lightning-1.0", False, id="a name"),
        pytest.param("3fa85f64-5717-4562-b3fc-2c963f66afa6", False, id="a UUID names a project"),
        pytest.param("cp311-manylinux2014", False, id="a platform"),
    ],
)
def test_tokens_in_the_path(part: str, expected: bool) -> None:
    """What looks drawn is taken out of an index's URL, and another one leaves another trace."""
    url = f"https://host.example/{part}/simple?x#y"
    assert ((part,) if expected else ()) == path_tokens(url)
    assert expected == (part not in without_path_tokens(url))
    assert without_path_tokens(url).startswith("https://host.example/")
    assert without_path_tokens(url).endswith("/simple?x#y")
    assert without_path_tokens(url) != without_path_tokens(url.replace(part, part[::-1] + "x0"))
    assert without_path_tokens(url) == without_path_tokens(without_path_tokens(url))


def test_logins() -> None:
    """Every URL's, as it stands there."""
    text = "-i https://a:p%40ss@one.example/ x @ git+https://t0ken@two.example/a@v1 https://three.example/b@c"
    assert [("a", "p%40ss"), ("t0ken", "")] == list(logins(text))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("told", ["p@ss/w%rd9", "p%40ss%2Fw%25rd9"], ids=["as it is", "percent-encoded"])
@pytest.mark.parametrize(
    "shown",
    [
        "p@ss/w%rd9",
        "p%40ss%2Fw%25rd9",
        "p%40ss%2fw%25rd9",
        "p%40ss/w%25rd9",
        encoded("p@ss/w%rd9"),
        encoded("me:p@ss/w%rd9"),
    ],
)
def test_by_value(told: str, shown: str) -> None:
    """However a secret was told and however it is spelled, it is hidden, and found in files."""
    redactor = Redactor(logins=[("me", told)])
    assert f"it is ****{'=' * shown.count('=')}, isn't it" == redactor.redacted(f"it is {shown}, isn't it")
    assert redactor.is_in(f"key = {shown}\n".encode())
    assert "p@ss" == redactor.redacted("p@ss")


@pytest.mark.parametrize(
    ("login", "secret"),
    [
        (("user-name", TOKEN), TOKEN),
        ((TOKEN, ""), TOKEN),
        ((TOKEN, "x-oauth-basic"), TOKEN),
        (("oauth2", TOKEN), TOKEN),
        (("", TOKEN), TOKEN),
    ],
)
def test_which_of_a_login_is_the_secret(login: tuple[str, str], secret: str) -> None:
    """The password, or else the user; a name that everybody uses is none."""
    redactor = Redactor(logins=[login])
    assert "user-name x-oauth-basic oauth2 ****" == redactor.redacted(f"user-name x-oauth-basic oauth2 {secret}")


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        pytest.param("abc", "abc abcdef", "abc abcdef", id="three characters: by form alone"),
        pytest.param("test", "test pytest test-x", "**** pytest ****-x", id="four: a word of its own"),
        pytest.param("hunter2x", "ahunter2xb", "a****b", id="eight: anywhere"),
        pytest.param("", "nothing", "nothing", id="none"),
    ],
)
def test_short_secrets(secret: str, text: str, expected: str) -> None:
    """They are hidden as far as what is left can be read; where they stand in a URL, always."""
    redactor = Redactor([secret])
    assert expected == redactor.redacted(text)
    assert "https://a.example" == redactor.redacted(f"https://u:{secret}@a.example")


@pytest.mark.parametrize("secret", ["hunter2", "password", "x-oauth-basic"])
def test_what_could_be_a_word_is_not_looked_for(secret: str) -> None:
    """Files of packages have such words, and are no leak."""
    assert not Redactor([secret]).is_in(secret.encode())


def test_what_may_be_no_secret() -> None:
    """The value of any variable in a URL is hidden; that a file names it is no leak, for it may be a host's name."""
    redactor = Redactor(doubtful=["packages.example"])
    assert "from ****" == redactor.redacted("from packages.example")
    assert not redactor.is_in(b"packages.example")


def test_nothing_to_hide() -> None:
    """Without secrets only form counts."""
    assert "one https://a.example" == Redactor().redacted("one https://u@a.example")
    assert not Redactor().is_in(b"anything")

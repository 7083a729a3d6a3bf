"""Taking secrets out of texts: by the form that they have there, and by their value, however it is spelled.

By form a secret is known in a URL, where user and password stand (RFC 3986, section 3.2.1), in its query, behind
``Authorization:``, and where it begins as the tokens of a known service do. By value it is known when whoever runs us
told it: in a URL, in a variable that a URL names, in netrc.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from terrastore.sha256 import sha256

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable, Iterator

HIDDEN: Final = "****"
"""What stands where a secret was."""

# One of these is in every secret that is known by form; most texts have none.
_MARKS: Final = ("@", "=", ":", "gh", "github_pat_", "gl", "pypi-", "AKCp", "eyJ")
# Compiled when they are used, which re remembers: most runs see nothing that needs them.
# A configuration parser that splits at the first colon leaves a URL without its scheme.
_USERINFO: Final = r"(?:(?<=://)|(?<=^//))[^/?#\s]*@"
_QUERY: Final = (
    r"(?i)([?&](?:x-amz-|x-goog-)?[a-z0-9_-]*(?:token|signature|sig|key|secret|passw|auth|credential)[a-z0-9_-]*=)"
    r"[^&#\s\"']+"
)
_HEADER: Final = r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer)\s+)[\w.~+/=-]+"
_SHAPES: Final = (
    r"(?<![A-Za-z0-9_-])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt|cbt|ptt|ft|soat|oas)-[\w-]{20,}|pypi-AgE[\w-]{16,}"
    r"|AKCp[A-Za-z0-9]{20,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)"
)
_LOGIN: Final = r"[A-Za-z][A-Za-z0-9+.-]*://(?P<user>[^/?#\s:]*)(?P<colon>:?)(?P<password>[^/?#\s]*)@"
_PATH: Final = r"(?s)([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)([^?#]*)(.*)"
_UUID: Final = r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HEXADECIMAL: Final = r"(?i)[0-9a-f]{32,}"
# What stands in place of a user or a password when the other is the secret.
_NO_SECRETS: Final = frozenset(
    {
        "__token__", "_json_key", "_json_key_base64", "anonymous", "aws", "basic", "build", "git", "gitlab-ci-token",
        "oauth2", "oauth2accesstoken", "token", "user", "vsssessiontoken", "x-access-token", "x-oauth-basic",
        "x-token-auth",
    }
)  # fmt: skip
_SHORTEST: Final = 4
_EVERYWHERE: Final = 8
_TELLING: Final = 16
_DRAWN: Final = 14
_CLASSES: Final = ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]")


def without_secrets(text: str) -> str:
    """Return ``text`` without what has the form of a secret: a secret never leaves the process.

    User and password leave a URL altogether, so that it is the same with them and without.
    """
    if not any(mark in text for mark in _MARKS):
        return text
    for pattern in (_QUERY, _HEADER):
        text = re.sub(pattern, rf"\1{HIDDEN}", text)
    return re.sub(_SHAPES, HIDDEN, re.sub(_USERINFO, "", text))


def path_tokens(url: str) -> tuple[str, ...]:
    """Return the parts of the path of an index's URL that look drawn at random, as tokens do there.

    A UUID names a project. Elsewhere than in an index's URL, digests of files look alike.
    """
    match = re.match(_PATH, url)
    return tuple(each for each in match[2].split("/") if _is_random(each)) if match else ()


def without_path_tokens(url: str) -> str:
    """Return an index's URL with a fingerprint in place of every such part: other tokens can lead to other packages."""
    match = re.match(_PATH, url)
    if not match:
        return url
    parts = (
        f"{HIDDEN}{sha256(each.encode()).hexdigest()[:12]}" if _is_random(each) else each
        for each in match[2].split("/")
    )
    return match[1] + "/".join(parts) + match[3]


def logins(text: str) -> Iterator[tuple[str, str]]:
    """Yield user and password of every URL in ``text``, as they stand there."""
    for match in re.finditer(_LOGIN, text):
        yield match["user"], match["password"]


class Redactor:
    """Hides secrets by value and by form.

    ``secrets`` are texts as they were told; ``logins`` pairs of user and password, of which the user is the secret
    when there is no password, or none that is one; ``doubtful`` texts may be secrets or a name that everybody knows,
    and are hidden, but not looked for. All may be percent-encoded. A secret of up to three characters is hidden by form
    alone, one of up to seven where it is a word of its own: what is that short is in many words.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        logins: Iterable[tuple[str, str]] = (),
        doubtful: Iterable[str] = (),
    ) -> None:
        from urllib.parse import unquote  # noqa: PLC0415 -- only builds tell of secrets by value

        found = set(secrets)
        encoded = set()
        for user, password in logins:
            found.add(user if password.lower() in {"", *_NO_SECRETS} else password)
            if user or password:
                encoded |= _encoded(f"{unquote(user)}:{unquote(password)}")
        told = {each for each in {*found, *doubtful} if len(each) >= _SHORTEST and each.lower() not in _NO_SECRETS}
        anywhere = {each for secret in told if len(secret) >= _EVERYWHERE for each in _spellings(secret)}
        words = {each for secret in told if len(secret) < _EVERYWHERE for each in _spellings(secret)}
        anywhere |= {each for each in encoded if len(each) >= _EVERYWHERE}
        telling = {each for secret in found & told if _is_telling(secret) for each in _spellings(secret)}
        telling |= {each for each in encoded if len(each) >= _TELLING}
        self._telling = sorted(each.encode(errors="surrogateescape") for each in telling)
        parts = [*(map(re.escape, _longest_first(anywhere)))]
        parts += [rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])" for each in _longest_first(words)]
        self._pattern = re.compile("|".join(parts)) if parts else None

    def redacted(self, text: str) -> str:
        """Return ``text`` without any secret."""
        # By form first: what is left of a URL after a part of its password is hidden is no URL any more.
        text = without_secrets(text)
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def is_in(self, content: bytes | mmap.mmap) -> bool:
        """Whether a secret is in ``content``; one that could be a word there by chance is not looked for."""
        return any(content.find(each) >= 0 for each in self._telling)


def _is_random(part: str) -> bool:
    if re.fullmatch(_UUID, part):
        return False
    if re.fullmatch(_HEXADECIMAL, part) or re.fullmatch(_SHAPES, part):
        return True
    return any(_is_drawn(word) for word in re.split("[-_]", part))


def _is_drawn(word: str) -> bool:
    """Whether upper and lower case and digits take turns in a word as they do not in names."""
    kinds = re.sub("[a-z]+", "a", re.sub("[A-Z]+", "A", re.sub("[0-9]+", "0", word)))
    return len(word) >= _DRAWN and set(kinds) == {"a", "A", "0"} and len(kinds) * 5 >= len(word) * 2


def _is_telling(secret: str) -> bool:
    from urllib.parse import unquote  # noqa: PLC0415 -- see Redactor

    classes = sum(bool(re.search(each, unquote(secret))) for each in _CLASSES)
    return len(secret) >= _EVERYWHERE and (classes > 1 or len(secret) >= _TELLING)


def _spellings(secret: str) -> set[str]:
    """Return a secret as it was told, decoded, percent-encoded, in JSON, and in Base64."""
    from urllib.parse import quote, quote_plus, unquote  # noqa: PLC0415 -- see Redactor

    found = set()
    for plain in {secret, unquote(secret)}:
        lower = re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quote(plain, safe=""))
        found |= {plain, quote(plain), quote(plain, safe=""), lower, quote_plus(plain), json.dumps(plain)[1:-1]}
        found |= _encoded(plain)
    return found


def _encoded(text: str) -> set[str]:
    """Return a text in Base64 (RFC 4648), of both alphabets and without what pads it."""
    import base64  # noqa: PLC0415 -- see Redactor

    data = text.encode(errors="surrogateescape")
    return {encode(data).decode().rstrip("=") for encode in (base64.b64encode, base64.urlsafe_b64encode)}


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda each: (-len(each), each))

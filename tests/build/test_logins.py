"""What is known of logins: from netrc, from what installers say, and for git."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from terrastore.build.logins import demanded, of_netrc, redactor_for, without_git_logins

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("machine a.example login me password s3cret\n", (("me", "s3cret"),), id="one line"),
        pytest.param("machine a.example\n  login me\n  password p@ss\n", (("me", "p%40ss"),), id="lines"),
        pytest.param("machine a login b\ndefault login e password f\n", (("e", "f"),), id="not all have passwords"),
        pytest.param("nonsense\n", (), id="what no tool reads"),
    ],
)
def test_netrc(text: str, expected: tuple[tuple[str, str], ...], tmp_path: Path) -> None:
    """Every login with a password, as it would stand in a URL."""
    (tmp_path / "logins").write_text(text)
    assert expected == of_netrc({"NETRC": str(tmp_path / "logins")})


def test_netrc_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for where installers look."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert () == of_netrc({})
    (tmp_path / "_netrc").write_text("machine a login b password c\n")
    assert (("b", "c"),) == of_netrc({})
    (tmp_path / ".netrc").write_text("machine a login d password e\n")
    assert (("d", "e"),) == of_netrc({})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ERROR: 401 Client Error: Unauthorized for url: https://u:p@a.example/simple/x/", "https://a.example/simple/x/"),
        ("WARNING: 401 Error, Credentials not correct for https://a.example/simple/x/", "https://a.example/simple/x/"),
        ("HTTP status client error (401 Unauthorized) for url (https://a.example/x)", "https://a.example/x"),
        ("hint: An index URL (https://a.example/x) could not be queried (401 Unauthorized).", "https://a.example/x"),
        ("fatal: could not read Username for 'https://a.example/x.git': terminal prompts disabled", "https://a.example/x.git"),
        ("fatal: Authentication failed for 'https://a.example/x.git/'", "https://a.example/x.git/"),
        ("Downloading https://a.example/x-4010.whl", None),
        ("404 Client Error: Not Found for url: https://a.example/simple/x/", None),
    ],
)  # fmt: skip
def test_what_demands_a_login(line: str, expected: str | None) -> None:
    """It is told by the words of pip, uv and git, without what was in the URL."""
    assert expected == demanded(["Collecting x", line, "and more"])


def test_what_must_not_be_shown(tmp_path: Path) -> None:
    """Logins of every URL, tokens in the path of an index alone, and netrc's passwords."""
    (tmp_path / "netrc").write_text("machine a.example login me password fr0m-netrc\n")
    redactor = redactor_for(
        ["x @ https://u:fr0m-line@a.example/Zq7Wm2Lx9Rt4Kp8V/x.whl"],
        places=["--extra-index-url https://a.example/Ab1Cd2Ef3Gh4Ij5K/x https://v:fr0m-index@a.example"],
        secrets=["fr0m-variable"],
        doubtful=["a-name-9"],
        variables={"NETRC": str(tmp_path / "netrc")},
    )
    shown = "fr0m-netrc fr0m-line fr0m-index fr0m-variable a-name-9 Ab1Cd2Ef3Gh4Ij5K"
    assert "**** " * 6 + "Zq7Wm2Lx9Rt4Kp8V" == redactor.redacted(f"{shown} Zq7Wm2Lx9Rt4Kp8V")
    assert [True] * 4 == [redactor.is_in(word.encode()) for word in shown.split()[:4]]
    assert (False, True) == (redactor.is_in(b"a-name-9"), redactor.is_in(b"Ab1Cd2Ef3Gh4Ij5K"))


def filled(variables: dict[str, str], url: str, home: Path) -> str:
    """Return what git knows of a login for a URL."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"HOME": str(home), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", **variables}
    asked = subprocess.run(
        ["git", "credential", "fill"], input=f"url={url}\n\n", env=env, capture_output=True, text=True, check=False
    )
    said = dict(line.split("=", 1) for line in asked.stdout.splitlines())
    return f"{said.get('username')}:{said.get('password')}"


def test_git_gets_its_logins_by_a_file(tmp_path: Path) -> None:
    """Lines lose them, and git finds each for its host, or for its path where a host has several."""
    lines = [
        "one @ git+https://me:p%40ss@one.example/a/b.git@v1#subdirectory=x ; python_version > '3'",
        "-e git+https://x:1@two.example:8443/a.git@main#egg=a",
        "b @ git+https://y:2@two.example:8443/b.git",
        "c @ git+https://t0ken:x-oauth-basic@three.example/c",
        "d @ git+https://open.example/d",
        "e @ git+ssh://git@four.example/e",
        "f @ https://u:p@five.example/f.whl",
    ]
    before = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "me"}
    (cleaned, constraints), variables = without_git_logins((lines, lines[:1]), tmp_path, before)
    assert [
        "one @ git+https://one.example/a/b.git@v1#subdirectory=x ; python_version > '3'",
        "-e git+https://two.example:8443/a.git@main#egg=a",
        "b @ git+https://two.example:8443/b.git",
        "c @ git+https://three.example/c",
        *lines[4:],
    ] == cleaned
    assert cleaned[:1] == constraints
    assert 0o600 == stat.S_IMODE((tmp_path / "git-credentials").stat().st_mode)
    assert not any("p%40ss" in value or "t0ken" in value for value in variables.values())
    known = before | variables
    assert "me:p@ss" == filled(known, "https://one.example/a/b.git", tmp_path)
    assert "x:1" == filled(known, "https://two.example:8443/a.git", tmp_path)
    assert "y:2" == filled(known, "https://two.example:8443/b.git", tmp_path)
    assert "t0ken:x-oauth-basic" == filled(known, "https://three.example/c", tmp_path)
    assert "None:None" == filled(known, "https://open.example/d", tmp_path)


def test_a_user_without_a_password(tmp_path: Path) -> None:
    """A helper of the user's own is asked for it first; without one the user is a token."""
    _, variables = without_git_logins([["a @ git+https://me@one.example/a.git"]], tmp_path, {})
    assert "me:" == filled(variables, "https://one.example/a.git", tmp_path)
    helper = '[credential]\n\thelper = "!f() { echo password=known; }; f"\n'
    (tmp_path / ".gitconfig").write_text(helper)
    assert "me:known" == filled(variables, "https://one.example/a.git", tmp_path)


def test_git_helpers_that_know_another_login(tmp_path: Path) -> None:
    """A login in a URL counts, whatever the user's helpers know of that host."""
    (tmp_path / ".gitconfig").write_text('[credential]\n\thelper = "!f() { echo username=a; echo password=b; }; f"\n')
    _, variables = without_git_logins([["a @ git+https://me:mine@one.example/a.git"]], tmp_path, {})
    assert "me:mine" == filled(variables, "https://one.example/a.git", tmp_path)
    assert "a:b" == filled(variables, "https://two.example/a.git", tmp_path)


def test_an_old_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no settings from the environment: then lines stay as they are."""
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho git version 2.30.2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lines = ["a @ git+https://me:mine@one.example/a.git"]
    assert ([lines], {}) == without_git_logins([lines], tmp_path, {})

"""Packages of a git server that demands a login."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.planted import ProcessList, found_below, found_in
from tests.private_index import ODD_PASSWORD, ODD_READER, READER, TOKEN, TOKEN_AS_USER

if TYPE_CHECKING:
    from tests.conftest import CommandLine

LOGINS = {
    "user and password": (f"{READER}:{TOKEN}", {}),
    "variables": ("${LOGIN}:${TOKEN}", {"LOGIN": READER, "TOKEN": TOKEN}),
    "token as the user": ("${TOKEN}", {"TOKEN": TOKEN_AS_USER}),
    "x-oauth-basic": ("${TOKEN}:x-oauth-basic", {"TOKEN": TOKEN_AS_USER}),
    "percent-encoded": (f"{ODD_READER}:{quote(ODD_PASSWORD, safe='')}", {}),
}


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("login", LOGINS)
def test_a_login_is_used_and_found_nowhere(login: str, installer: str, online: CommandLine, private_git: str) -> None:
    """git gets it, and no list of processes, file, checkout, cache, key or message."""
    userinfo, variables = LOGINS[login]
    (online.home / "tmp").mkdir()
    online.env |= {"TERRASTORE_INSTALLER": installer, "TMPDIR": str(online.home / "tmp"), **variables}
    line = f"homemade @ git+http://{userinfo}@{private_git}/team/homemade.git@v1\n"
    requirements = online.write("requirements.txt", line)
    with ProcessList() as processes:
        process = online.start("ensure", "-vv", "--no-index")
        out, errors = process.communicate(timeout=300)
    assert 0 == process.returncode, errors
    assert processes.saw("git", "homemade.git")
    assert [] == processes.showing()
    target = online.cwd / ".venv"
    (url,) = target.glob("lib/*/site-packages/homemade-1.0.dist-info/direct_url.json")
    assert f"http://{private_git}/team/homemade.git" == json.loads(url.read_text())["url"]
    assert {} == found_below(online.home, online.cache, besides={requirements})
    key = online.ok("key", "--explain")
    assert [] == found_in((out + errors + key.out + key.err).encode())
    named = online.ok("key").out
    online.write("requirements.txt", line.replace(f"{userinfo}@", ""))
    assert named == online.ok("key").out


def test_an_editable_checkout(online: CommandLine, private_git: str) -> None:
    """A checkout that goes along notes where it comes from, without the login."""
    online.write(
        "requirements.txt", f"-e git+http://{READER}:{TOKEN}@{private_git}/team/homemade.git@v1#egg=homemade\n"
    )
    online("ensure", "--no-index")
    (online.cwd / "requirements.txt").unlink()
    assert {} == found_below(online.home, online.cache)

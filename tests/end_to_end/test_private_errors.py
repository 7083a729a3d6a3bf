"""An index that refuses, and packages that would give a login away: told by name, and nothing is published."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_project
from tests.planted import found_below, found_in
from tests.private_index import READER, TOKEN

if TYPE_CHECKING:
    from io import FileIO

    from tests.conftest import CommandLine
    from tests.private_index import PrivateIndex


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("login", ["", "reader:Wr0ng-Passw0rd@"], ids=["none", "a wrong one"])
def test_a_login_is_demanded(
    installer: str, login: str, online: CommandLine, wheels: os.PathLike[str], private_index: PrivateIndex
) -> None:
    """Which index, and how to name a login, is said; nobody is asked, and what was there stays."""
    online.env["TERRASTORE_INSTALLER"] = installer
    online.write("requirements.txt", "beta\n")
    online.ok("ensure", "--no-index", "-f", str(wheels))
    kept = (online.cwd / ".venv/.terrastore/state.json").read_bytes()
    published = sorted(online.store.glob("v1/pointers/*"))
    online.write("requirements.txt", f"-i http://{login}{private_index.host}{private_index.path}\nprivately\n")
    master, slave = pty.openpty()
    with os.fdopen(master), os.fdopen(slave) as terminal:
        process = online.start("ensure", "--json", stdin=terminal)
        out, errors = process.communicate(timeout=120)
    assert 5 == process.returncode, errors
    error = json.loads(out)["error"]
    assert error["message"].startswith(f"http://{private_index.host}{private_index.path}")
    assert "demands a login" in error["message"].splitlines()[0]
    assert all(word in error["hint"] for word in ("netrc", "keyring", "${PASSWORD}"))
    assert "Passw0rd" not in out + errors
    assert "Traceback" not in errors
    assert kept == (online.cwd / ".venv/.terrastore/state.json").read_bytes()
    assert published == sorted(online.store.glob("v1/pointers/*"))


LEAKING = """
import os, zipfile
name = 'leaking-1.0-py3-none-any.whl'
with zipfile.ZipFile(folder + '/' + name, 'w', zipfile.ZIP_DEFLATED) as wheel:
    said = {spelling}
    wheel.writestr('leaking.py', 'MADE = True\\n# ' + said + '\\n')
    wheel.writestr('leaking-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: leaking\\nVersion: 1.0\\n')
    wheel.writestr('leaking-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('leaking-1.0.dist-info/RECORD', '')
return name
"""
SPELLINGS = {
    "as it is": "os.environ['DEPLOY_TOKEN']",
    "in Base64": "__import__('base64').b64encode(('reader:' + os.environ['DEPLOY_TOKEN']).encode()).decode()",
}


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_what_would_give_a_login_away_is_refused(
    installer: str, spelling: str, online: CommandLine, private_index: PrivateIndex
) -> None:
    """A package whose build writes the token into a file is not published; the file is named, and no copy stays."""
    online.env |= {"TERRASTORE_INSTALLER": installer, "DEPLOY_TOKEN": TOKEN}
    make_project(online.cwd / "leaking-1.0", LEAKING.format(spelling=spelling))
    (online.cwd / "leaking-1.0/PKG-INFO").write_text("Metadata-Version: 2.1\nName: leaking\nVersion: 1.0\n")
    login = private_index.url(f"{READER}:${{DEPLOY_TOKEN}}")
    online.write("requirements.txt", f"-i {login}\n./leaking-1.0\nprivately\n")
    result = online("ensure")
    assert 5 == result.code, result.err
    assert "leaking.py: it holds a password or a token that the build was given" in result.err
    assert [] == found_in((result.out + result.err).encode())
    assert not (online.cwd / ".venv").exists()
    assert {"leases"} >= {path.name for path in online.store.glob("v1/*")}
    assert {} == found_below(online.home, online.cache)


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_what_a_failing_build_says_is_hidden(installer: str, online: CommandLine, private_index: PrivateIndex) -> None:
    """A build that prints its surroundings while it fails gives no login away, and -v shows its lines as they come."""
    online.env |= {"TERRASTORE_INSTALLER": installer, "DEPLOY_TOKEN": TOKEN}
    body = "import os, sys\nprint('SURROUNDINGS', dict(os.environ), flush=True)\nsys.exit('this cannot be built')\n"
    make_project(online.cwd / "failing", body)
    online.write("requirements.txt", f"-i {private_index.url(READER + ':${DEPLOY_TOKEN}')}\n./failing\n")
    quiet, loud = online("ensure"), online("ensure", "-vv")
    for result in (quiet, loud):
        assert 5 == result.code
        assert [] == found_in((result.out + result.err).encode())
        assert "this cannot be built" in result.err
    assert "Traceback" not in quiet.err
    before, _, _ = loud.err.partition("Traceback")
    assert "SURROUNDINGS" in before
    logs = "".join(path.read_text() for path in (online.cache / "logs").iterdir())
    assert "'DEPLOY_TOKEN': '****'" in logs
    assert {} == found_below(online.home, online.cache)


def test_nobody_is_asked_by_git(online: CommandLine, private_git: str) -> None:
    """A repository that demands a login ends the build, with the same message."""
    online.write("requirements.txt", f"homemade @ git+http://{private_git}/team/homemade.git\n")
    result = online("ensure", "--no-index")
    assert 5 == result.code
    (line,) = (line for line in result.err.splitlines() if line.startswith("terrastore: error: "))
    assert f"http://{private_git}" in line
    assert "demands a login" in line


def test_the_installers_lines_are_shown(online: CommandLine, wheels: os.PathLike[str]) -> None:
    """With -v, on a terminal and elsewhere; without, and with -q, they are not."""
    online.write("requirements.txt", "beta\n")
    said = {}
    for arguments in ((), ("-v",), ("-v", "-q")):
        result = online.ok("ensure", "--no-index", "-f", str(wheels), "--rebuild", *arguments)
        said[arguments] = "Installing collected packages: beta" in result.err
    assert {(): False, ("-v",): True, ("-v", "-q"): False} == said
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as ours:
        command = [*online.command, "ensure", "--no-index", "-f", str(wheels), "--rebuild", "-v"]
        with subprocess.Popen(command, cwd=online.cwd, env=online.env, stderr=slave, stdout=subprocess.PIPE) as process:
            os.close(slave)
            shown = b""
            while piece := _read(ours):
                shown += piece
        assert 0 == process.returncode
    assert b"Installing collected packages: beta" in shown


def _read(file: FileIO) -> bytes:
    try:
        return file.read(4096) or b""
    except OSError:  # as a terminal ends on Linux
        return b""

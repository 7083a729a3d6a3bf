"""scripts/nox/noxfile.py, run by the real nox with a real pytest."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import COMMAND
from tests.program_environments import program_environment
from tests.recipes.commands import SCRIPTS, require_understood

if TYPE_CHECKING:
    from tests.conftest import CommandLine

pytestmark = pytest.mark.network  # nox and pytest are installed from an index
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_the_command_is_understood() -> None:
    """A session runs terrastore with options that there are."""
    source = (SCRIPTS / "nox/noxfile.py").read_text()
    words = source.split('session.run("terrastore", ')[1].split(", external=True")[0]
    require_understood([word.strip('"') for word in words.split(", ")])


def test_sessions(cli: CommandLine) -> None:
    """A session runs in the environment; a second one, in another checkout, fetches it."""
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        del cli.env[name]
    programs = cli.home / "programs"
    programs.mkdir()
    (programs / "terrastore").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (programs / "terrastore").chmod(0o755)
    nox = program_environment("nox") / "bin/nox"
    told = []
    for name in ("first", "second"):
        folder = cli.cwd / name
        folder.mkdir()
        shutil.copy(SCRIPTS / "nox/noxfile.py", folder)
        (folder / "requirements.txt").write_text("iniconfig==2.1.0\npytest==8.4.2\n")
        (folder / "test_it.py").write_text(
            "import sys\n\ndef test_it():\n    assert '.nox/terrastore-' in sys.prefix\n"
        )
        done = subprocess.run(
            [nox, "-s", f"tests(python_version='{VERSION}')", "--", "-q"],
            cwd=folder,
            env=cli.env | {"PATH": f"{programs}:{cli.env['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        assert "1 passed" in done.stdout
        told.append(next(line.split()[0] for line in done.stdout.splitlines() if line.startswith(("built", "fetched"))))
    assert ["built", "fetched"] == told

"""scripts/nox/noxfile.py and scripts/tox/tox.ini, run by the real nox and tox with a real pytest."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line, put_program
from tests.program_environments import program_environment
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, require_understood

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.network  # nox, tox and pytest are installed from an index
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
NOXFILE, TOX_INI = SCRIPTS / "nox/noxfile.py", SCRIPTS / "tox/tox.ini"


@pytest.fixture(scope="module")
def colleagues(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line that is on the path of who runs tests; the store is that of all of them."""
    with command_line(tmp_path_factory.mktemp("colleagues") / "home", wheels) as command:
        command.forget_wheels()
        programs = command.home / "programs"
        programs.mkdir()
        put_program(programs / "terrastore")
        command.env["PATH"] = f"{programs}:{command.env['PATH']}"
        yield command


def checkout(cli: CommandLine, name: str, file: Path, environment: str) -> Path:
    """Return a new checkout whose one test passes in an environment of that name alone."""
    folder = cli.cwd / name
    folder.mkdir()
    shutil.copy(file, folder)
    (folder / "requirements.txt").write_text("iniconfig==2.1.0\npytest==8.4.2\n")
    (folder / "test_it.py").write_text(f"import sys\n\ndef test_it():\n    assert {environment!r} in sys.prefix\n")
    return folder


def passed(cli: CommandLine, folder: Path, *command: str) -> str:
    """Run tests in a checkout, which must pass; return terrastore's lines."""
    done = subprocess.run(command, cwd=folder, env=cli.env, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    return pages.result(done.stdout)


def test_the_command_of_nox_is_understood() -> None:
    """A session runs terrastore with options that there are."""
    source = NOXFILE.read_text()
    words = source.split('session.run("terrastore", ')[1].split(", external=True")[0]
    require_understood([word.strip('"') for word in words.split(", ")])


def test_the_command_of_tox_is_understood() -> None:
    """So does tox."""
    file = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    file.read(TOX_INI)
    program, *words = shlex.split(file["testenv"]["commands_pre"])
    assert "terrastore" == program
    require_understood(words)


def test_nox(colleagues: CommandLine) -> None:
    """A session runs in the environment; a second one, in another checkout, fetches it."""
    nox = str(program_environment("nox") / "bin/nox")
    session = (nox, "-s", f"tests(python_version='{VERSION}')", "--", "-q")
    places = {colleagues.store: pages.STORE, f"requirements-{VERSION}": "requirements-3.12"}
    # The store of one who came before may have it.
    shutil.rmtree(colleagues.store, ignore_errors=True)
    said = passed(colleagues, checkout(colleagues, "first", NOXFILE, ".nox/terrastore-"), *session)
    pages.told("nox", "miss", said, places)
    said = passed(colleagues, checkout(colleagues, "second", NOXFILE, ".nox/terrastore-"), *session)
    pages.told("nox", "hit", said, places)


def test_tox(colleagues: CommandLine) -> None:
    """What tests run in comes from the store, from that of who uses nox too; what is there is kept; a miss builds."""
    environment = f"py{VERSION.replace('.', '')}"
    tests = (str(program_environment("tox") / "bin/tox"), "-e", environment, "--", "-q")
    first = checkout(colleagues, "third", TOX_INI, ".tox/terrastore-")
    places = {colleagues.store: pages.STORE, first: "/home/you/web", f"terrastore-{environment}": "terrastore-py312"}
    colleagues.cwd, cwd = first, colleagues.cwd
    colleagues.ok("build")
    colleagues.cwd = cwd
    pages.told("tox", "hit", passed(colleagues, first, *tests), places)
    assert passed(colleagues, first, *tests).startswith("kept ")
    (first / "requirements.txt").write_text("pytest==8.4.2\n")
    pages.told("tox", "miss", passed(colleagues, first, *tests), places)


def test_tox_stops_before_the_tests(colleagues: CommandLine) -> None:
    """Without an environment there is no run of the tests."""
    environment = f"py{VERSION.replace('.', '')}"
    folder = checkout(colleagues, "last", TOX_INI, ".tox/terrastore-")
    (folder / "requirements.txt").write_text("pytest==8.4.1\n")
    done = subprocess.run(
        [program_environment("tox") / "bin/tox", "-e", environment],
        cwd=folder,
        env=colleagues.env | {"TERRASTORE_NO_BUILD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "exit 4" in done.stdout
    assert "passed" not in done.stdout

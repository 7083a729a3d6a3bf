"""scripts/virtualenvwrapper/postmkvirtualenv, sourced by the real virtualenvwrapper."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import put_program
from tests.program_environments import program_environment
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, calls, require_understood

if TYPE_CHECKING:
    from tests.conftest import CommandLine

pytestmark = pytest.mark.network  # virtualenvwrapper is installed from an index
HOOK = SCRIPTS / "virtualenvwrapper/postmkvirtualenv"
SEEN = 'echo "ENV $VIRTUAL_ENV"; command -v alpha; alpha'


def run(cli: CommandLine, shell: str, lines: str) -> subprocess.CompletedProcess[str]:
    """Run lines in a shell that has virtualenvwrapper and the hook."""
    place = program_environment("virtualenvwrapper") / "bin"
    hooks, programs = cli.home / "envs", cli.home / "programs"
    for folder in (hooks, programs):
        folder.mkdir(exist_ok=True)
    shutil.copy(HOOK, hooks)
    put_program(programs / "terrastore")
    given = {
        "WORKON_HOME": str(hooks),
        "VIRTUALENVWRAPPER_PYTHON": str(place / "python"),
        "VIRTUALENVWRAPPER_VIRTUALENV": str(place / "virtualenv"),
        "PATH": f"{programs}:{cli.env['PATH']}",
    }
    return subprocess.run(
        [shell, "-c", f". {place}/virtualenvwrapper.sh\n{lines}"],
        cwd=cli.cwd,
        env=cli.env | given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_command_is_understood() -> None:
    """The hook runs terrastore with options that there are."""
    (words,) = calls(HOOK.read_text())
    require_understood([word.rstrip(";") for word in words])


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_made_of_the_store(stored: CommandLine, shell: str) -> None:
    """mkvirtualenv in a project that has requirements gives what the store has, activated, and its own hooks stay."""
    lines = f"mkvirtualenv -a {stored.cwd} web && {SEEN}\ndeactivate\nworkon web && alpha && pwd && lsvirtualenv -b"
    done = run(stored, shell, lines)
    place = stored.home / "envs/web"
    assert [f"ENV {place}", f"{place}/bin/alpha", "alpha 1.0", "alpha 1.0", str(stored.cwd), "web"] == [
        line for line in done.stdout.splitlines() if line.startswith(("ENV ", "/", "alpha", "web"))
    ], done.stdout + done.stderr
    places = {stored.store: pages.STORE, stored.home: "/home/you"}
    pages.told("virtualenvwrapper", "hit", pages.result(done.stdout), places)
    for name in ("preactivate", "postactivate", "predeactivate", "postdeactivate", "get_env_details"):
        assert (place / "bin" / name).exists()
    assert str(stored.cwd) == (place / ".project").read_text().strip()


def test_a_failure_leaves_what_was_made(stored: CommandLine) -> None:
    """When there is nothing to fetch and nothing to build with, that is told, and the empty environment is there."""
    stored.write("requirements.txt", "nothing-has-that-name==1.0\n")
    done = run(stored, "bash", 'mkvirtualenv web\necho "ENV $VIRTUAL_ENV"; python -c "import pip"')
    places = {stored.cache: "/home/you/.cache/terrastore"}
    said = re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}", "20261126-193709-026b3e", pages.result(done.stderr))
    pages.told("virtualenvwrapper", "failure", said, places)
    assert f"ENV {stored.home}/envs/web" in done.stdout
    assert 0 == done.returncode, done.stderr


def test_elsewhere_it_does_nothing(cli: CommandLine) -> None:
    """Where nothing is asked for, terrastore is not run."""
    done = run(cli, "bash", 'mkvirtualenv web && echo "ENV $VIRTUAL_ENV"')
    assert f"ENV {cli.home}/envs/web" in done.stdout
    assert not (cli.home / "envs/web/.terrastore").exists()
    assert not cli.store.exists()

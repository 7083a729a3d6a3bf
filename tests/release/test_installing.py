"""docs/install.md is followed with real pip, pipx and uv, each in a home of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from terrastore import __version__, interpreter
from tests.program_environments import program_environment
from tests.release.conftest import ROOT

if TYPE_CHECKING:
    from tests.conftest import CommandLine
    from tests.release.conftest import Distributions

pytestmark = pytest.mark.network  # what terrastore depends on comes from an index
PAGE: Final = (ROOT / "docs/install.md").read_text()
STEPS: Final = dict(re.findall(r"<!-- run: (\w+) -->\n((?: {4}.*\n)+)", PAGE))
ROWS: Final = {
    way: re.findall(r"`([^`]+)`", cells)
    for way, cells in re.findall(r"^\| (pip|pipx|uv) \| (.*) \|$", PAGE, re.MULTILINE)
}


@pytest.fixture(scope="module")
def wheelhouse(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that has the wheel, all that it depends on, and the pip that pipx wants."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(folder)]
    subprocess.run([*command, f"{distributions.wheel}[uv]", "pip"], check=True, stdin=subprocess.DEVNULL)
    return folder


class Newcomer:
    """Somebody with Python, pip, pipx and uv, whose package index is a folder."""

    def __init__(self, cli: CommandLine, index: Path, programs: Path) -> None:
        programs.mkdir()
        for program in (f"{program_environment('release')}/bin/pipx", f"{sys.prefix}/bin/uv"):
            (programs / Path(program).name).symlink_to(program)
        base = os.path.dirname(interpreter.find(None).executable)
        settings = cli.home / ".config/uv/uv.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'no-index = true\nfind-links = ["{index}"]\npython-downloads = "never"\n')
        self.home = cli.home
        self.env = {
            "HOME": str(cli.home),
            "PATH": f"{cli.home}/.local/bin:{programs}:{base}:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(index),
            "PIP_NO_COMPILE": "1",
        }

    def run(self, script: str) -> str:
        """Run lines of shell, which must succeed, and return what they say."""
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.mark.parametrize("way", ["pip", "pipx", "uv"])
def test_installed(way: str, stored: CommandLine, wheelhouse: Path, tmp_path: Path) -> None:
    """It runs, with the extra too; its environments are for the Python below its own, and outlive it."""
    newcomer = Newcomer(stored, wheelhouse, tmp_path / "programs")
    where = newcomer.run(f"{textwrap.dedent(STEPS[way])}command -v terrastore").splitlines()[-1]
    assert Path(where).is_relative_to(newcomer.home)
    stored.command = [where]
    assert f"terrastore {__version__}\n" == stored.ok("--version").out
    extra, upgrade, removal = ROWS[way]
    newcomer.run(f"{extra}\n{upgrade}")
    findings = stored.ok("doctor", "--installer", "uv", "--json").json["findings"]
    assert {"ok"} == {each["level"] for each in findings}
    said = {each["subject"]: each["message"] for each in reversed(findings)}
    base = interpreter.find(None).executable
    assert said["python"].startswith(f"{base}: ")
    beside = f"{Path(where).resolve().parent}/uv"
    assert [each for each in findings if each["message"].startswith(f"{beside} is uv ")]
    # It was published by the terrastore under test: with another Python it would be a miss.
    assert "fetched" == stored.ok("ensure", "--no-build", "--json").json["outcome"]
    newcomer.run(removal)
    assert not os.path.lexists(where)
    done = subprocess.run([stored.cwd / ".venv/bin/alpha"], capture_output=True, text=True, check=True)
    assert "alpha 1.0\n" == done.stdout

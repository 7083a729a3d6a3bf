"""A builder that is killed takes its tools with it, and whoever comes next neither waits for ever nor finds a mess."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_project
from tests.processes import PATIENCE, is_alive, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine


# As a compiler that heeds no SIGTERM: says who it is, and writes until it is told to end.
BUSY = """
import os, signal, sys, tempfile
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid, done = sys.argv[1:]
with open(pid + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(pid + ".new", pid)
while not os.path.exists(done):
    os.close(tempfile.mkstemp()[0])
"""


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_killed_build_takes_its_tools_along(cli: CommandLine, wheels: Path, installer: str) -> None:
    """No compiler goes on, the next run succeeds, and nothing is left of the one before."""
    pid, done = cli.home / "pid", cli.home / "done"
    busy = cli.home / "busy.py"
    busy.write_text(BUSY)
    make_project(
        cli.cwd / "gadget",
        "import os, shutil, subprocess, sys\n"
        f"subprocess.run([sys.executable, {str(busy)!r}, {str(pid)!r}, {str(done)!r}], check=True)\n"
        f"shutil.copy({str(wheels / 'beta-1.0-py3-none-any.whl')!r}, folder)\n"
        "return 'beta-1.0-py3-none-any.whl'",
    )
    cli.write("requirements.txt", "./gadget\n")
    ensure = ("ensure", "--no-seed", "--installer", installer, "--json")
    process = cli.start(*ensure)
    try:
        until(lambda: pid.exists() or process.poll() is not None)
        process.kill()
        process.communicate(timeout=PATIENCE)
        until(lambda: not is_alive(int(pid.read_text())))
    finally:
        done.touch()
    assert os.listdir(cli.cache / "build")
    assert "built" == cli.ok(*ensure).json["outcome"]
    assert [] == os.listdir(cli.cache / "build")
    assert [] == os.listdir(cli.cache / "locks")
    assert {"gadget", "requirements.txt", ".venv"} == set(os.listdir(cli.cwd))

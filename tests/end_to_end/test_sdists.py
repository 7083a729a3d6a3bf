"""Real packages compiled from their sdists, beside wheels: what is compiled here moves, what wheels bring stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import command_line
from tests.end_to_end.examine import examine, files_that_name

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.network

SDISTS = ("uwsgi==2.0.31", "greenlet==3.1.1", "markupsafe==3.0.2", "pyyaml==6.0.2")
NAMES = ",".join(each.partition("=")[0] for each in SDISTS)


def said_by(*command: str | Path) -> str:
    """Return what a command prints; it must end with 0."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def digests(environment: Path, pattern: str) -> dict[str, str]:
    """Return the SHA-256 of files by their path in site-packages."""
    (packages,) = environment.glob("lib/python*/site-packages")
    return {
        str(path.relative_to(packages)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in packages.glob(pattern)
        if path.is_file()
    }


def test_packages_from_sdists(tmp_path: Path, wheels: Path) -> None:
    """uwsgi, which embeds the interpreter, and extensions run where they are fetched to; wheels' files stay."""
    with command_line(tmp_path / "home", wheels) as cli:
        del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
        cli.write("requirements.txt", f"--no-binary {NAMES}\nnumpy\n" + "".join(f"{each}\n" for each in SDISTS))
        cli.ok("ensure", "--target", "first", CFLAGS="-O0", CXXFLAGS="-O0")  # what is compiled faster moves as well
        place = cli.cwd / ("somewhere else/" + "x" * 120)
        place.parent.mkdir()
        # The first still stands; and no search path limits a target's length.
        cli.ok("ensure", "--no-build", "--target", str(place))
        assert "2.0.31\n" == said_by(place / "bin/uwsgi", "--version")
        python = place / "bin/python"
        code = "import greenlet._greenlet, markupsafe._speedups, yaml, numpy; print(numpy.arange(3).sum())"
        assert "3\n" == said_by(python, "-c", code)
        script = cli.write("app.py", "import os, sys\nprint('in', sys.prefix, flush=True)\nos._exit(0)\n")
        ran = said_by(place / "bin/uwsgi", "-H", place, "--http-socket", "127.0.0.1:0", "--wsgi-file", script)
        assert f"in {place}\n" in ran
        found = examine(place)
        assert ([], "ok") == (found["untrue"], found["modules"]["greenlet"])
        assert set() == files_that_name(place, os.fsencode(cli.cwd / "first") + b"/", b"terrastore-staging-") - {
            ".terrastore/manifest.json",
            ".terrastore/originals.tar",
        }
        if sys.base_prefix != "/usr":
            base = os.fsencode(sys.base_prefix)
            compiled = (path for path in place.glob("lib/*/site-packages/**/*.so") if "numpy" not in str(path))
            assert [] == [path.name for path in compiled if base + b"/lib" in path.read_bytes()]
        wheel = tmp_path / "wheel"
        said_by(sys.executable, "-m", "venv", wheel)
        version = said_by(python, "-c", "import numpy; print(numpy.__version__)").strip()
        said_by(wheel / "bin/pip", "install", "--quiet", "--no-compile", f"numpy=={version}")
        for pattern in ("numpy/**/*.so", "numpy.libs/*"):
            assert digests(wheel, pattern) == digests(place, pattern) != {}

"""Programs that tests run and nothing imports, each in an environment of its own."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def program_environment(group: str) -> Path:
    """Return the environment of a dependency group, made beside what this Python has when it is not there yet."""
    place = Path(sys.prefix, group)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "ready").exists():
            venv.create(place, clear=True)
            pip = [sys.executable, "-m", "pip", "--python", f"{place}/bin/python"]
            command = [*pip, "install", "--quiet", "--group", f"{ROOT / 'pyproject.toml'}:{group}"]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            (place / "ready").touch()
    return place

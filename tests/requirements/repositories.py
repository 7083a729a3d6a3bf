"""Real git repositories."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_AS_SOMEBODY = (
    *("git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false"),
    *("-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"),
)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a directory, and return what it prints."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        [*_AS_SOMEBODY, *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def write(folder: Path, name: str, text: str = "") -> Path:
    """Write a file, with the directories that it is in."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def repository(folder: Path, **files: str) -> Path:
    """Make a repository with a project in it that is committed; a file's name has ``__`` for ``/``."""
    write(folder, "pyproject.toml", "[project]\nname = 'one'\n")
    write(folder, "src/one/__init__.py")
    for name, text in files.items():
        write(folder, name.replace("__", "/"), text)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Commit everything that is not ignored."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "as it is")

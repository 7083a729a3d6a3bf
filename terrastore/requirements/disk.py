"""Requirements files, and what they name by path, from the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# What version control, a build, an interpreter or an installer writes into a project directory.
_NOT_CONTENT: Final = frozenset(
    {".git", ".hg", ".svn", ".bzr", "build", "__pycache__", ".mypy_cache", ".pytest_cache", ".tox", ".nox"}
)


class Disk:
    """A :class:`~terrastore.requirements.files.Reader` of the working directory."""

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return Path(path).read_bytes()

    def exists(self, path: str) -> bool:
        """Whether there is a file or a directory."""
        return os.path.exists(path)

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file, or of the names and digests of the files a project directory consists of."""
        if os.path.isfile(path):
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()
        total = hashlib.sha256()
        for name, place in _content(path, ""):
            total.update(
                f"{name}\0{hashlib.sha256(Path(place).read_bytes()).hexdigest()}\n".encode(errors="surrogateescape")
            )
        return total.hexdigest()


def _content(root: str, folder: str) -> Iterator[tuple[str, str]]:
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name in _NOT_CONTENT or entry.name.endswith(".egg-info"):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                    yield from _content(root, f"{folder}{entry.name}/")
            elif entry.is_file():
                yield folder + entry.name, entry.path

"""Requirements files, and what they name by path, from the disk."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# What version control, an interpreter, a test or a lint writes anywhere in a project.
_NOT_CONTENT: Final = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".bzr",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        ".tox",
        ".nox",
    }
)


# Locks and stages beside a target that stands in the project.
_OURS: Final = re.compile(r"\..*\.terrastore-.*")


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
            return _digest(path)
        total = hashlib.sha256()
        for name, digest in _content(path, ""):
            total.update(f"{name}\0{digest}\n".encode(errors="surrogateescape"))
        return total.hexdigest()

    def links(self, path: str) -> str:
        """Return the SHA-256 of what is in a folder of distributions, or of a page of links."""
        return self.digest(path)


def _content(root: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield (path, SHA-256) of a project's files; of a link that leads to none, the digest of where it leads."""
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            written_by_a_build = entry.name.endswith(".egg-info") or (entry.name == "build" and not folder)
            if entry.name in _NOT_CONTENT or written_by_a_build or _OURS.fullmatch(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                    yield from _content(root, f"{folder}{entry.name}/")
            elif os.path.isfile(entry.path):
                yield folder + entry.name, _digest(entry.path)
            elif entry.is_symlink():
                yield folder + entry.name, hashlib.sha256(os.fsencode(os.readlink(entry.path))).hexdigest()


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

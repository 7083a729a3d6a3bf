"""A reader that needs no disk."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Shelf:
    """A reader of the files in a dictionary; a directory is a file there."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self._files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}

    def read(self, path: str) -> bytes:
        if path not in self._files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return self._files[path]

    def exists(self, path: str) -> bool:
        return path in self._files

    def digest(self, path: str) -> str:
        return digest(self.read(path))

    def links(self, path: str) -> str:
        return digest(self.read(path))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

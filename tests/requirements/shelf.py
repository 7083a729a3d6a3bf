"""A reader that needs no disk, and a target that is the same on every machine."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

from terrastore.requirements.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.7",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6.1.0",
    "platform_system": "Linux",
    "platform_version": "#1 SMP",
    "python_full_version": "3.11.7",
    "python_version": "3.11",
    "sys_platform": "linux",
}


def target(**markers: str) -> Target:
    """Return a Python 3.11.7 on Linux, but for ``markers``; no wheel fits it."""
    return Target(markers=MARKERS | markers, tags=list)


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
        return digest(b"links" + self.read(path))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

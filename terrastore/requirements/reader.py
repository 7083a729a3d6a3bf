"""Where the files of a request come from, whatever that is."""

from __future__ import annotations

from typing import Protocol


class Reader(Protocol):
    """Where files come from; paths are as written, relative ones to the working directory."""

    def read(self, path: str) -> bytes:
        """Return the content of a file, or of what an http URL leads to, or raise OSError."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or a directory."""

    def digest(self, path: str) -> str:
        """Return what identifies the content of a local file or directory that is to be installed, or raise OSError."""

    def links(self, path: str) -> str:
        """Return what identifies the distributions that ``--find-links`` offers at ``path``, or raise OSError."""

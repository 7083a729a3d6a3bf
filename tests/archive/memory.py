"""An archive in memory, as unpacking reads it."""

from __future__ import annotations


class InMemory:
    """Random access to ``data``."""

    readers = 2
    is_near = True
    file = None

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.asked: list[tuple[int, int]] = []

    def read(self, offset: int, size: int, /) -> bytes:
        """Return what is there, and take note that somebody asked."""
        self.asked.append((offset, size))
        return self._data[offset : offset + size]

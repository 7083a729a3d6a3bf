"""A store in this process's memory: the shortest statement of what a store promises."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from terrastore.store.protocol import WHOLE_LIMIT, Listed, Object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from terrastore.store.protocol import Store, Unfinished, Upload


class MemoryStore:
    """Objects in a dictionary; any number of threads may use it."""

    conditional = True
    swaps = True
    readers = 2
    is_near = True

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._written: dict[str, float] = {}
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return "memory:"

    def read(self, name: str) -> Object | None:
        data = self._objects.get(name)
        return None if data is None else Object(data[: WHOLE_LIMIT + 1], _version(data))

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        data = self._objects.get(name)
        return None if data is None else data[offset : offset + size]

    def create(self, name: str, data: bytes) -> bool:
        with self._lock:
            if name in self._objects:
                return False
            self._put(name, data)
            return True

    def replace(self, name: str, data: bytes, version: str) -> bool:
        with self._lock:
            current = self._objects.get(name)
            if current is None or _version(current) != version:
                return False
            self._put(name, data)
            return True

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        upload = _Upload()
        yield upload
        with self._lock:
            self._put(name, b"".join(upload.pieces))

    def copy_from(self, other: Store, name: str, size: int) -> bool:
        data = other._objects.get(name) if isinstance(other, MemoryStore) else None  # noqa: SLF001 -- one of ours
        if data is None or len(data) != size:
            return False
        with self._lock:
            if len(self._objects.get(name, b"")) != size or name not in self._objects:
                self._put(name, data)
        return True

    def list(self, prefix: str) -> Iterator[Listed]:
        with self._lock:
            found = sorted(item for item in self._objects.items() if item[0].startswith(prefix))
        return (Listed(name, len(data), self._written.get(name, 0.0), _version(data)) for name, data in found)

    def remove(self, name: str) -> bool:
        with self._lock:
            return self._objects.pop(name, None) is not None

    def remove_listed(self, listed: Listed) -> bool:
        with self._lock:
            current = self._objects.get(listed.name)
            if current is None or _version(current) != listed.version:
                return False
            del self._objects[listed.name]
            return True

    def abandoned(self, before: float) -> Collection[Unfinished]:  # noqa: ARG002 -- what is unfinished is nowhere
        return ()

    def discard(self, upload: Unfinished) -> None:
        pass

    def _put(self, name: str, data: bytes) -> None:
        self._objects[name], self._written[name] = data, time.time()


class _Upload:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self.pieces.append(bytes(data))


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

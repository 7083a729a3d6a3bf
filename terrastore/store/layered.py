"""Several stores as one, nearest first: a cache on a share in front of a bucket."""

from __future__ import annotations

import heapq
from itertools import groupby
from typing import TYPE_CHECKING

from terrastore.errors import StoreRefusedError, UsageError
from terrastore.store.protocol import ListableStore, WritableStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from terrastore.store.protocol import Listed, Object, Store, Upload


class LayeredStore:
    """Reads from the nearest store that has an object, writes to the last one that can be written.

    Filling the nearer ones is left to who knows which objects belong together.
    """

    def __init__(self, layers: Sequence[Store]) -> None:
        self.layers = tuple(layers)

    def __str__(self) -> str:
        return ", ".join(map(str, self.layers))

    @property
    def readers(self) -> int:
        """As many as the layer wants that wants the most, for any of them may be the one that has an object."""
        return max(layer.readers for layer in self.layers)

    @property
    def is_near(self) -> bool:
        return all(layer.is_near for layer in self.layers)

    def read(self, name: str) -> Object | None:
        return next((found for layer in self.layers if (found := layer.read(name)) is not None), None)

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        found = (layer.read_range(name, offset, size) for layer in self.layers)
        return next((data for data in found if data is not None), None)

    @property
    def swaps(self) -> bool:
        return bool(self._writable) and self._writable[-1].swaps

    @property
    def conditional(self) -> bool | None:
        # isinstance() of Python 3.11 asks for it, also where nothing can be written.
        return self._writable[-1].conditional if self._writable else None

    def create(self, name: str, data: bytes) -> bool:
        return self._written().create(name, data)

    def replace(self, name: str, data: bytes, version: str) -> bool:
        return self._written().replace(name, data, version)

    def upload(self, name: str) -> AbstractContextManager[Upload]:
        return self._written().upload(name)

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield what the layers that can be listed have, each name once, as the nearest one has it.

        :raises UsageError: when none can be listed
        """
        merged = heapq.merge(*(layer.list(prefix) for layer in self._listable()), key=lambda listed: listed.name)
        return (next(same) for _, same in groupby(merged, key=lambda listed: listed.name))

    def remove(self, name: str) -> bool:
        """Remove an object wherever it is, for a nearer store would go on to serve it.

        :raises UsageError: when no layer's objects can be removed
        """
        removed = [layer.remove(name) for layer in self._listable()]
        return any(removed)

    @property
    def _writable(self) -> Sequence[WritableStore]:
        return [layer for layer in self.layers if isinstance(layer, WritableStore)]

    def _written(self) -> WritableStore:
        if not self._writable:
            raise StoreRefusedError(f"none of {self} can be written", hint="name a store that can with --store")
        return self._writable[-1]

    def _listable(self) -> Sequence[ListableStore]:
        found = [layer for layer in self.layers if isinstance(layer, ListableStore)]
        if not found:
            raise UsageError(f"none of {self} can be listed", hint="name a directory or an s3:// store with --store")
        return found

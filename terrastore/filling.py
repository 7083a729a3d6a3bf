"""Filling nearer stores with what is fetched from a farther one, while it is read."""

from __future__ import annotations

import hashlib
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from terrastore.errors import StoreUnreachableError, TerrastoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from terrastore.catalogue import Published
    from terrastore.publish import Publication
    from terrastore.store.protocol import Object

_COPY_SIZE: Final = 8 * 1024 * 1024


@contextmanager
def filling(found: Published, nearer: Sequence[Publication]) -> Iterator[Published]:
    """Yield ``found`` so that whatever the body reads of it goes to ``nearer`` too, which then have it as well.

    What the body did not read is read afterwards.
    """
    if not nearer:
        yield found
        return
    with ExitStack() as stack:
        for publication in nearer:
            stack.enter_context(publication)
        relay = _Relay(found, nearer)
        yield replace(found, store=relay)
        try:
            relay.finish()
        except TerrastoreError as error:
            for publication in nearer:
                publication.abandon(error)
        else:
            for publication in nearer:
                publication.end(found.envelope)


class _Relay:
    """A store that is read through: ranges come in any order and again, and each byte goes on once, in order."""

    def __init__(self, found: Published, sinks: Sequence[Publication]) -> None:
        self._found = found
        self._sinks = sinks
        self._lock = threading.Lock()
        self._waiting: dict[int, bytes] = {}
        self._position = 0
        self._digest = hashlib.sha256()

    def __str__(self) -> str:
        return str(self._found.store)

    @property
    def readers(self) -> int:
        return self._found.store.readers

    @property
    def is_near(self) -> bool:
        return self._found.store.is_near

    def read(self, name: str) -> Object | None:
        return self._found.store.read(name)

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        data = self._found.store.read_range(name, offset, size)
        if data:
            with self._lock:
                self._waiting[offset] = data
                self._hand_on()
        return data

    def finish(self) -> None:
        """Read what nobody read yet.

        :raises TerrastoreError: when it cannot be read, or the whole is not what the pointer says
        """
        archive = self._found.pointer.archive
        while self._position < archive.size:
            gap_end = min(self._waiting, default=archive.size)
            self._waiting[self._position] = self._found.read(self._position, min(gap_end - self._position, _COPY_SIZE))
            self._hand_on()
        if self._digest.hexdigest() != archive.sha256:
            raise StoreUnreachableError(
                f"the archive of {self._found.key.short} in {self} is not what its pointer says", hint=""
            )

    def _hand_on(self) -> None:
        while self._waiting and (start := min(self._waiting)) <= self._position:
            data = self._waiting.pop(start)[self._position - start :]
            for sink in self._sinks:
                sink.write(data)
            self._digest.update(data)
            self._position += len(data)

"""Putting an environment into a store: its archive while that is packed or fetched, then the pointer to it.

The archive goes under a name of its own first and the pointer after it, so whoever follows a pointer finds its archive.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from terrastore import __version__, catalogue
from terrastore.catalogue import Published
from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError
from terrastore.pointer import Pointer, PointerError, UnknownSchemaError
from terrastore.store import layout
from terrastore.store.protocol import ListableStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from terrastore.archive.pack import Packed
    from terrastore.key import EnvKey
    from terrastore.report import Report
    from terrastore.store.protocol import Object, Store, Upload

_TRIES: Final = 5
_COPY_SIZE: Final = 8 * 1024 * 1024


class Publication:
    """One archive on its way to one store: enter it, write the archive, end it with the pointer.

    A pointer that is malformed, has expired or names the archive ``refused`` is replaced; with ``replace`` any other
    is too. Otherwise what the store has already stays, and nothing is uploaded. ``own``: nobody else publishes an
    archive of this name, so that it goes again when the store refuses its pointer. Unless ``required``, trouble of
    the store is a warning, which says that the environment is not ``deed``, and what is written from then on goes
    nowhere.
    """

    def __init__(
        self,
        store: Store,
        key: EnvKey,
        name: str,
        *,
        replace: bool = False,
        refused: str | None = None,
        own: bool = False,
        required: bool = False,
        deed: str = "published",
        report: Report,
    ) -> None:
        self._store = store
        self._key = key
        self._name = name
        self._replace = replace
        self._refused = refused
        self._own = own
        self._required = required
        self._deed = deed
        self._report = report
        self._stack = ExitStack()
        self._begun = False
        self._upload: Upload | None = None
        self._there: Published | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def write(self, data: bytes, /) -> None:
        """Take the next bytes of the archive."""
        with self._trouble():
            if not self._begun:
                self._begin()
            if self._upload is not None:
                self._upload.write(data)

    def end(self, envelope: bytes) -> Published | None:
        """Point the key to the archive; return what the store then has, None when nothing could be published."""
        if self._upload is not None:
            with self._trouble(), self._report.phase("publish", unit="steps"):
                self._stack.close()
                try:
                    self._there = self._point(envelope)
                except StoreRefusedError:
                    self._take_back(envelope)
                    raise
        return self._there

    def abandon(self, error: TerrastoreError) -> None:
        """Discard what was written, unless the store has the environment, or had trouble of its own before."""
        if self._upload is not None or not self._begun:
            self._give_up(error)

    def _give_up(self, error: TerrastoreError) -> None:
        self._upload = None
        self._stack.__exit__(type(error), error, error.__traceback__)
        self._report.warn(f"not {self._deed}: {error.message}")

    def _take_back(self, envelope: bytes) -> None:
        """Remove the archive whose pointer was refused, where that is certain to be there for nobody."""
        if self._own and isinstance(self._store, ListableStore):
            with suppress(TerrastoreError):
                current = self._store.read(layout.pointer(self._key.text))
                if current is None or current.data != envelope:
                    self._store.remove(self._place)

    @property
    def _place(self) -> str:
        return layout.archive(self._key.text, self._name)

    def _begin(self) -> None:
        """Start the upload, unless it is not needed any more: not before there is something to upload."""
        self._begun = True
        store = catalogue.writable(self._store)
        _, self._there = self._look()
        if self._there is None:
            if self._name == self._refused and isinstance(store, ListableStore):
                # Where removing is not allowed, as to who only builds in S3, uploading may well be.
                with suppress(StoreRefusedError):
                    store.remove(self._place)
            self._upload = self._stack.enter_context(store.upload(self._place))

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except TerrastoreError as error:
            if self._required:
                raise
            self._give_up(error)

    def _look(self) -> tuple[Object | None, Published | None]:
        """Return the pointer that is there, and what it stands for unless that is to be replaced.

        :raises StoreRefusedError: for one of a later version; it is sound for those who can read it
        """
        current = self._store.read(layout.pointer(self._key.text))
        if current is None or self._replace:
            return current, None
        try:
            pointer = Pointer.from_envelope(current.data, key=self._key.text)
        except UnknownSchemaError as error:
            raise StoreRefusedError(
                f"{self._store} has {self._key.short}, but {error}", hint="upgrade terrastore here"
            ) from None
        except PointerError:
            return current, None
        if pointer.archive.name == self._refused or pointer.expired(datetime.now(UTC)):
            return current, None
        return current, Published(store=self._store, key=self._key, pointer=pointer, envelope=current.data)

    def _point(self, envelope: bytes) -> Published:
        store, place = catalogue.writable(self._store), layout.pointer(self._key.text)
        ours = Published(
            store=store, key=self._key, pointer=Pointer.from_envelope(envelope, key=self._key.text), envelope=envelope
        )
        for _ in range(_TRIES):
            if store.create(place, envelope):
                return ours
            current, winner = self._look()
            if winner is not None:
                return winner
            if current is not None and store.replace(place, envelope, current.version):
                return ours
        raise StoreUnreachableError(
            f"the pointer of {self._key.short} in {store} changes all the time", hint="run again"
        )


def archive_name() -> str:
    """Return a name for a new archive that no other has."""
    return layout.archive_name(secrets.token_hex(16))


def envelope(packed: Packed, key: EnvKey, name: str) -> bytes:
    """Return the pointer from ``key`` to the archive ``name``, as it is stored."""
    return Pointer(
        key=key.text,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        archive=packed.summary(name),
        manifest=packed.location,
        python=str(packed.manifest.interpreter["version"]),
        packages=len(packed.manifest.packages),
        builder=f"terrastore {__version__} on {socket.gethostname()}",
        needs={"libc": packed.manifest.needs.get("libc")},  # what else is needed has no room here
    ).to_envelope()


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

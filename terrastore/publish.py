"""Putting an environment into a store: its archive while that is packed, fetched or copied, then the pointer to it.

The archive goes under a name of its own first and the pointer after it, so whoever follows a pointer finds its archive.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from terrastore import __version__, catalogue, times
from terrastore.catalogue import Published
from terrastore.errors import ArchiveRefusedError, StoreRefusedError, StoreUnreachableError, TerrastoreError
from terrastore.pointer import Pointer, PointerError, UnknownSchemaError
from terrastore.store import layout
from terrastore.store.protocol import CopyingStore, ListableStore, MultipartStore
from terrastore.trust import ANYTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import TracebackType

    from terrastore.archive.pack import Packed
    from terrastore.key import EnvKey
    from terrastore.report import Report
    from terrastore.store.protocol import Object, Store, Unfinished, Upload
    from terrastore.trust import Trust

_TRIES: Final = 5


class Publication:
    """One archive on its way to one store: enter it, write or take the archive, end it with the pointer.

    A pointer that is malformed or not trusted, has expired or names the archive ``refused`` is replaced; with
    ``replace`` any other is too. Otherwise what the store has already stays, and nothing is uploaded. ``own``: nobody
    else publishes an archive of this name, so that it goes again when the store refuses its pointer. Unless
    ``required``, trouble of the store is a warning, which says that the environment is not ``deed``, and what is
    written from then on goes nowhere.
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
        trust: Trust,
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
        self._trust = trust
        self._report = report
        self._stack = ExitStack()
        self._begun = False
        self._is_on = False
        self._upload: Upload | None = None
        self._there: Published | None = None
        self._version: str | None = None
        self._abandoned: Collection[Unfinished] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def write(self, data: bytes, /) -> None:
        """Take the next bytes of the archive."""
        with self._trouble():
            self._begin()
            if self._is_on and self._upload is None:
                self._upload = self._stack.enter_context(catalogue.writable(self._store).upload(self._place))
            if self._upload is not None:
                self._upload.write(data)

    def take(self, found: Published, check: Callable[[Published], object]) -> bool:
        """Let the store copy the whole archive from the one it was found in; return whether nothing is to be written.

        What came is given to ``check``; when that refuses it, it goes again.
        """
        with self._trouble():
            self._begin()
            if self._is_on:
                store, size = self._store, found.pointer.archive.size
                if not isinstance(store, CopyingStore) or not store.copy_from(found.store, self._place, size):
                    return False
                try:
                    check(replace(found, store=self._store, end=b""))
                except ArchiveRefusedError:
                    self._take_back()
                    raise
        return True

    def keep(self) -> None:
        """Leave the archive as it is there already: only the pointer to it is new."""
        with self._trouble():
            self._begin()

    def end(self, envelope: bytes) -> Published | None:
        """Point the key to the archive; return what the store then has, None when nothing could be published."""
        if self._is_on:
            with self._trouble(), self._report.phase("publish", unit="steps"):
                self._stack.close()
                try:
                    self._there = self._point(envelope)
                except StoreRefusedError:
                    if self._own:
                        self._take_back()
                    raise
                if self._there.envelope == envelope:
                    self._require_archive(envelope)
                    self._discard_abandoned()
        return self._there

    def abandon(self, error: TerrastoreError) -> None:
        """Discard what was written, unless the store has the environment, or had trouble of its own before."""
        if self._is_on or not self._begun:
            self._give_up(error)

    def withdraw(self) -> None:
        """Discard what was written: another archive was first where that is decided."""
        self._stop()
        error = StoreRefusedError(f"another archive of {self._key.short} was first")
        self._stack.__exit__(type(error), error, None)

    def _give_up(self, error: TerrastoreError) -> None:
        self._stop()
        self._stack.__exit__(type(error), error, error.__traceback__)
        self._report.warn(f"not {self._deed}: {error.message}")

    def _stop(self) -> None:
        self._is_on, self._upload = False, None

    def _take_back(self) -> None:
        """Remove the archive, where that is certain to be there for nobody."""
        if isinstance(self._store, ListableStore):
            with suppress(TerrastoreError):
                current = self._store.read(layout.pointer(self._key.text))
                if current is None or not self._is_named(current):
                    self._store.remove(self._place)

    def _require_archive(self, envelope: bytes) -> None:
        """Take a pointer of ours back whose archive is gone, and refuse it.

        A prune looks for the pointer before it removes an archive and after; so when it did not see this one, we see
        what it did. Only an archive that is older than a day can be meant: one that was here before, or took that long.
        """
        try:
            if self._store.read_range(self._place, 0, 0) is not None:
                return
        except TerrastoreError:
            return  # whoever reads it will see
        self._there = None
        with suppress(TerrastoreError):
            current = self._store.read(layout.pointer(self._key.text))
            if current is not None and current.data == envelope and isinstance(self._store, ListableStore):
                self._store.remove(layout.pointer(self._key.text))
        raise StoreRefusedError(
            f"the archive of {self._key.short} was removed from {self._store} before its pointer was there",
            hint="run again",
        )

    def _is_named(self, current: Object) -> bool:
        """Whether the pointer that is there leads to our archive."""
        try:
            return ANYTHING.judge(current.data, key=self._key.text).pointer.archive.name == self._name
        except UnknownSchemaError:
            return True  # as may well be
        except PointerError:
            return False

    @property
    def _place(self) -> str:
        return layout.archive(self._key.text, self._name)

    def _begin(self) -> None:
        """Look what is there, once: not before there is something to upload."""
        if self._begun:
            return
        self._begun = True
        store = catalogue.writable(self._store)
        current, self._there = self._look()
        if self._there is None:
            self._version = current.version if current is not None else None
            # What was begun before ours is known by being there; no clock is needed.
            if isinstance(store, MultipartStore):
                with suppress(TerrastoreError):
                    self._abandoned = store.unfinished(layout.archives(self._key.text))
            if self._name == self._refused and isinstance(store, ListableStore):
                # Where removing is not allowed, as to who only builds in S3, uploading may well be.
                with suppress(StoreRefusedError):
                    store.remove(self._place)
            self._is_on = True

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except TerrastoreError as error:
            if isinstance(error, StoreRefusedError) and (winner := self._overtaken()) is not None:
                self._stop()
                self._there = winner
                self._stack.__exit__(type(error), error, error.__traceback__)
                return
            if self._required:
                raise
            self._give_up(error)

    def _overtaken(self) -> Published | None:
        """Return what somebody published since our upload began, who may have discarded it."""
        if self._is_on:
            with suppress(TerrastoreError):
                current = self._store.read(layout.pointer(self._key.text))
                if current is not None and current.version != self._version:
                    return self._sound(current)
        return None

    def _discard_abandoned(self) -> None:
        """Discard uploads that were begun before ours: once our pointer is up, who makes them is dead or too late.

        Who may not, or whose store does not know of it, leaves them to the store's own rules.
        """
        if isinstance(self._store, MultipartStore):
            with suppress(TerrastoreError):
                for upload in self._abandoned:
                    self._store.discard(upload)

    def _look(self) -> tuple[Object | None, Published | None]:
        """Return the pointer that is there, and what it stands for unless that is to be replaced.

        :raises StoreRefusedError: for one of a later version; it is sound for those who can read it
        """
        current = self._store.read(layout.pointer(self._key.text))
        return current, None if current is None or self._replace else self._sound(current)

    def _sound(self, current: Object) -> Published | None:
        try:
            pointer, signers = self._trust.judge(current.data, key=self._key.text)
        except UnknownSchemaError as error:
            raise StoreRefusedError(
                f"{self._store} has {self._key.short}, but {error}", hint="upgrade terrastore here"
            ) from None
        except PointerError:
            return None
        if pointer.archive.name == self._refused or pointer.expired(datetime.now(UTC)):
            return None
        return Published(store=self._store, key=self._key, pointer=pointer, envelope=current.data, signers=signers)

    def _point(self, envelope: bytes) -> Published:
        store, place = catalogue.writable(self._store), layout.pointer(self._key.text)
        ours = catalogue.judged(store, self._key, envelope, self._trust)
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


def pointer(packed: Packed, key: EnvKey, name: str) -> Pointer:
    """Return the pointer from ``key`` to the archive ``name``."""
    return Pointer(
        key=key.text,
        created=times.now(),
        archive=packed.summary(name),
        manifest=packed.location,
        python=str(packed.manifest.interpreter["version"]),
        packages=len(packed.manifest.packages),
        builder=f"terrastore {__version__} on {socket.gethostname()}",
        needs={"libc": packed.manifest.needs.get("libc")},  # what else is needed has no room here
    )


def end(publications: Iterable[Publication], envelope: bytes) -> Published | None:
    """Point the key to a new archive in one store after another; return what the first of them has then.

    Where another archive was first, the others get none: who takes that one fills them with it. None when nothing
    could be published anywhere.
    """
    there: Published | None = None
    for publication in publications:
        if there is not None and there.envelope != envelope:
            publication.withdraw()
        else:
            ended = publication.end(envelope)
            there = there or ended
    return there

"""Environments in a store, by key: find one, publish one, list and remove them.

Publishing puts the archive under a name of its own first and the pointer after it, so whoever follows a pointer finds
its archive. Finding believes nothing: the pointer must be for the key, the manifest's bytes must be those it names.
"""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from terrastore import __version__
from terrastore.archive.unpack import HEAL, read_manifest
from terrastore.errors import ArchiveRefusedError, StoreRefusedError, StoreUnreachableError, UsageError
from terrastore.key import EnvKey
from terrastore.pointer import Pointer, PointerError, UnknownSchemaError
from terrastore.store import layout
from terrastore.store.protocol import ListableStore, WritableStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from terrastore.archive.manifest import Manifest
    from terrastore.archive.pack import Packed
    from terrastore.report import Report
    from terrastore.store.protocol import Store

_TRIES: Final = 5
_COPY_SIZE: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An environment in a store, its pointer read and verified."""

    store: Store
    key: EnvKey
    pointer: Pointer

    def read(self, offset: int, size: int, /) -> bytes:
        """Return exactly ``size`` bytes of the archive.

        :raises ArchiveRefusedError: when the archive is gone or ends before
        """
        name = layout.archive(self.key.text, self.pointer.archive.name)
        data = self.store.read_range(name, offset, size)
        if data is None:
            raise ArchiveRefusedError(
                f"the archive of {self.key.short} is missing from {self.store}, though its pointer is there",
                hint=HEAL,
            )
        if len(data) != size:
            raise ArchiveRefusedError(
                f"the archive of {self.key.short} in {self.store} is truncated: "
                f"it ends at byte {offset + len(data):,} of {self.pointer.archive.size:,}",
                hint=HEAL,
            )
        return data

    def manifest(self) -> Manifest:
        """Return the archive's manifest.

        :raises ArchiveRefusedError: when it is not the one that the pointer names, or is for another key
        """
        manifest = read_manifest(self.read, self.pointer.manifest)
        if manifest.totals.packed != self.pointer.manifest.offset:
            raise ArchiveRefusedError(f"the archive of {self.key.short} in {self.store} has gaps", hint=HEAL)
        if manifest.key != self.key.text:
            raise ArchiveRefusedError(f"the archive of {self.key.short} in {self.store} is for another key", hint=HEAL)
        return manifest

    def check_end(self) -> None:
        """Read the last byte of the archive, to see that it is not cut off.

        :raises ArchiveRefusedError: when it is
        """
        self.read(self.pointer.archive.size - 1, 1)


def find(store: Store, key: EnvKey, report: Report) -> Published | None:
    """Return the environment that ``key`` names; None when the store has none that this version can read.

    :raises ArchiveRefusedError: when its pointer is malformed
    """
    found = store.read(layout.pointer(key.text))
    if found is None:
        return None
    try:
        pointer = Pointer.from_envelope(found.data, key=key.text)
    except UnknownSchemaError as error:
        report.warn(f"{store} has {key.short}, but {error}")
        return None
    except PointerError as error:
        raise ArchiveRefusedError(f"the pointer of {key.short} in {store} is refused: {error}", hint=HEAL) from error
    if pointer.expired(datetime.now(UTC)):
        report.warn(f"{store} has {key.short}, but it expired at {pointer.expires}")
        return None
    return Published(store=store, key=key, pointer=pointer)


def publish(
    store: WritableStore,
    key: EnvKey,
    packed: Packed,
    archive: BinaryIO,
    *,
    replace: bool,
    refused: str | None,
    report: Report,
) -> Published:
    """Upload ``archive`` and point ``key`` to it, unless somebody else did so first; return what the store then has.

    A pointer that is malformed, or names the archive ``refused``, is replaced; with ``replace`` any other is too.
    """
    if not replace:
        _refuse_later_schema(store, key)
    name = layout.archive_name(secrets.token_hex(16))
    with report.phase("publish", total=packed.size) as phase, store.upload(layout.archive(key.text, name)) as upload:
        while piece := archive.read(_COPY_SIZE):
            upload.write(piece)
            phase.advance(len(piece))
    pointer = Pointer(
        key=key.text,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        archive=packed.summary(name),
        manifest=packed.location,
        python=str(packed.manifest.interpreter["version"]),
        packages=len(packed.manifest.packages),
        builder=f"terrastore {__version__} on {socket.gethostname()}",
        needs=packed.manifest.needs,
    )
    place, envelope = layout.pointer(key.text), pointer.to_envelope()
    for _ in range(_TRIES):
        if store.create(place, envelope):
            break
        current = store.read(place)
        if not replace and (winner := _sound(store, key, refused, report)):
            return winner
        if current is not None and store.replace(place, envelope, current.version):
            break
    else:
        raise StoreUnreachableError(f"the pointer of {key.short} in {store} changes all the time", hint="run again")
    return Published(store=store, key=key, pointer=pointer)


def _refuse_later_schema(store: Store, key: EnvKey) -> None:
    """Leave a pointer alone that a later version wrote; it is sound for those who can read it."""
    current = store.read(layout.pointer(key.text))
    try:
        if current is not None:
            Pointer.from_envelope(current.data, key=key.text)
    except UnknownSchemaError as error:
        raise StoreRefusedError(f"{store} has {key.short}, but {error}", hint="upgrade terrastore here") from None
    except PointerError:
        return  # it is replaced


def _sound(store: Store, key: EnvKey, refused: str | None, report: Report) -> Published | None:
    try:
        found = find(store, key, report)
    except ArchiveRefusedError:
        return None
    return None if found is None or found.pointer.archive.name == refused else found


def keys(store: Store) -> list[EnvKey]:
    """Return the keys that have a pointer, sorted.

    :raises UsageError: when this kind of store cannot be listed
    """
    names = (layout.key_of(listed.name) for listed in listable(store).list(layout.POINTERS))
    found = []
    for name in filter(None, names):
        try:
            found.append(EnvKey.parse(name))
        except UsageError:
            continue  # a stranger's file
    return sorted(found, key=str)


def resolve(store: Store, text: str) -> EnvKey:
    """Return the one key in the store that begins with ``text``, or whose digest does.

    :raises UsageError: when none or several do
    """
    if not text:
        raise UsageError("the key is empty", hint="see terrastore list")
    known = keys(store)
    found = [key for key in known if key.text == text]
    found = found or [
        key for key in known if text == key.short or key.text.startswith(text) or key.digits.startswith(text)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"{store} has no environment {text}", hint="see terrastore list")
    raise UsageError(
        f"{text} could be any of {', '.join(key.short for key in found[:5])}", hint="write more of the key"
    )


def archives(store: Store, key: EnvKey) -> Iterator[tuple[str, int]]:
    """Yield (name, size in bytes) of the archives that ``key`` owns, pointed to or not."""
    for listed in listable(store).list(layout.archives(key.text)):
        yield listed.name, listed.size


def remove(store: Store, key: EnvKey) -> int:
    """Remove the key's pointer, then its archives; return how many bytes of archives were removed."""
    removable = listable(store)
    owned = list(archives(store, key))
    removable.remove(layout.pointer(key.text))
    return sum(size for name, size in owned if removable.remove(name))


def listable(store: Store) -> ListableStore:
    """Return ``store`` as one that can be listed.

    :raises UsageError: when it cannot
    """
    if not isinstance(store, ListableStore):
        raise UsageError(f"{store} cannot be listed", hint="name a directory")
    return store


def writable(store: Store) -> WritableStore:
    """Return ``store`` as one that can be written.

    :raises StoreRefusedError: when it cannot
    """
    if not isinstance(store, WritableStore):
        raise StoreRefusedError(f"{store} is read-only", hint="publish to a store that can be written")
    return store

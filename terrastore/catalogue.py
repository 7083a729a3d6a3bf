"""Environments in a store, by key: find one, list and remove them.

Finding believes nothing: the pointer must be for the key, the manifest's bytes must be those it names.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from terrastore.errors import HEAL, ArchiveRefusedError, StoreRefusedError, UsageError
from terrastore.key import EnvKey
from terrastore.pointer import PointerError, UnknownSchemaError
from terrastore.store import layout
from terrastore.store.protocol import Layered, ListableStore, LocalStore, WritableStore
from terrastore.trust import UntrustedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.archive.manifest import Manifest
    from terrastore.pointer import Pointer
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust

_END_LIMIT: Final = 4096
"""Most bytes that follow the manifest's frame: the end of the tar and the trailer, FORMAT.md section 4."""

_SIGN: Final = "publish it with --signer where that key is, or vouch for it with terrastore sign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An environment in a store, its pointer read and verified; ``envelope`` is the pointer as it is stored.

    ``signers`` are the names of those who are trusted and signed it. ``end`` is what was read of the archive's end,
    and is not read again.
    """

    store: Store
    key: EnvKey
    pointer: Pointer
    envelope: bytes
    signers: tuple[str, ...] = ()
    end: bytes = field(default=b"", repr=False, compare=False)

    @property
    def readers(self) -> int:
        """How many ranges of the archive are best read at once; see :class:`~terrastore.store.protocol.Store`."""
        return self.store.readers

    @property
    def is_near(self) -> bool:
        """Whether the archive is on a disk of this machine."""
        return self.store.is_near

    @property
    def file(self) -> str | None:
        """The file that the archive is, None where it is none of this machine's."""
        if not isinstance(self.store, LocalStore):
            return None
        return self.store.file_of(layout.archive(self.key.text, self.pointer.archive.name))

    def read(self, offset: int, size: int, /) -> bytes:
        """Return exactly ``size`` bytes of the archive.

        :raises ArchiveRefusedError: when the archive is gone or ends before
        """
        position = offset - (self.pointer.archive.size - len(self.end))
        if position >= 0 and position + size <= len(self.end):
            return self.end[position : position + size]
        name = layout.archive(self.key.text, self.pointer.archive.name)
        data = self.store.read_range(name, offset, size)
        if data is None:
            raise ArchiveRefusedError(
                f"the archive of {self.key.short} is missing from {self.store}, though its pointer is there",
                hint=HEAL,
            )
        if len(data) != size:
            end = f"at byte {offset + len(data):,}" if data or not offset else f"before byte {offset:,}"
            raise ArchiveRefusedError(
                f"the archive of {self.key.short} in {self.store} is truncated: "
                f"it ends {end} of {self.pointer.archive.size:,}",
                hint=HEAL,
            )
        return data

    def manifest(self) -> Manifest:
        """Return the archive's manifest; see :meth:`with_manifest`."""
        return self.with_manifest()[1]

    def with_manifest(self) -> tuple[Published, Manifest]:
        """Return this, with the archive's end, and the archive's manifest; one that is cut off is found out.

        :raises ArchiveRefusedError: when it is not the one that the pointer names, or is for another key
        """
        # The pointer is asked for before what reads archives is loaded.
        from terrastore.archive.reading import read_manifest  # noqa: PLC0415

        location = self.pointer.manifest
        size = self.pointer.archive.size - location.offset
        if not location.packed <= size <= location.packed + _END_LIMIT:
            raise ArchiveRefusedError(f"the archive of {self.key.short} in {self.store} has gaps", hint=HEAL)
        end = self.read(location.offset, size)
        manifest = read_manifest(lambda _offset, packed: end[:packed], location)
        if manifest.totals.packed != location.offset:
            raise ArchiveRefusedError(f"the archive of {self.key.short} in {self.store} has gaps", hint=HEAL)
        if manifest.key != self.key.text:
            raise ArchiveRefusedError(f"the archive of {self.key.short} in {self.store} is for another key", hint=HEAL)
        return replace(self, end=end), manifest


@contextmanager
def naming(found: Published) -> Iterator[None]:
    """Name the environment and its store in whatever the body refuses of it."""
    try:
        yield
    except ArchiveRefusedError as error:
        if found.key.short in error.message:
            raise
        raise ArchiveRefusedError(
            f"{found.key.short} in {found.store}: {error.message}", hint=error.hint, later=error.later
        ) from error


def find(store: Store, key: EnvKey, trust: Trust, report: Report) -> Published | None:
    """Return the environment that ``key`` names; None when the store has none that this version can read.

    Of several stores it is the nearest one's.

    :raises ArchiveRefusedError: when its pointer is malformed, or not from whom ``trust`` names
    """
    return next(filter(None, (_find(layer, key, trust, report) for layer in layers(store))), None)


def _find(store: Store, key: EnvKey, trust: Trust, report: Report) -> Published | None:
    found = store.read(layout.pointer(key.text))
    if found is None:
        return None
    try:
        published = judged(store, key, found.data, trust)
    except UnknownSchemaError as error:
        report.warn(f"{store} has {key.short}, but {error}")
        return None
    if published.pointer.expired(datetime.now(UTC)):
        report.warn(f"{store} has {key.short}, but it expired at {published.pointer.expires}")
        return None
    return published


def judged(store: Store, key: EnvKey, envelope: bytes, trust: Trust) -> Published:
    """Return what the pointer that ``store`` has for ``key`` stands for, also when it has expired.

    :raises UnknownSchemaError: when it is of a later version
    :raises ArchiveRefusedError: when it is malformed, or not from whom ``trust`` names
    """
    try:
        pointer, signers = trust.judge(envelope, key=key.text)
    except UnknownSchemaError:
        raise
    except PointerError as error:
        hint = _SIGN if isinstance(error, UntrustedError) else HEAL
        raise ArchiveRefusedError(f"the pointer of {key.short} in {store} is refused: {error}", hint=hint) from error
    return Published(store=store, key=key, pointer=pointer, envelope=envelope, signers=signers)


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
    """Return the one key in the store that begins with ``text``, or whose digest does; a whole key needs no listing.

    :raises UsageError: when none or several do
    """
    if not text:
        raise UsageError("the key is empty", hint="see terrastore list")
    with suppress(UsageError):
        key = EnvKey.parse(text)
        if store.read(layout.pointer(key.text)) is not None:
            return key
    found = [
        key for key in keys(store) if text == key.short or key.text.startswith(text) or key.digits.startswith(text)
    ]
    # What list prints of a key is meant, though that of its distribution begins with it.
    named = [key for key in found if text == key.short] or found
    if len(named) == 1:
        return named[0]
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
    """Remove the key's pointer, then all else that is its own; return how many bytes of archives were removed."""
    removable = listable(store)
    owned = list(archives(store, key))
    removable.remove(layout.pointer(key.text))
    marks = [listed.name for listed in removable.list(layout.USES) if listed.name.endswith(f"/{key.text}")]
    notes = [listed.name for listed in removable.list(layout.leases(key.text))]
    for name in (layout.lease(key.text), *notes, *marks):
        removable.remove(name)
    return sum(size for name, size in owned if removable.remove(name))


def layers(store: Store) -> tuple[Store, ...]:
    """Return the stores that ``store`` consists of, nearest first."""
    return store.layers if isinstance(store, Layered) else (store,)


def origin(store: Store) -> Store:
    """Return the store in which new environments are published: the last that can be written, else the last."""
    own = layers(store)
    return next(filter(is_writable, reversed(own)), own[-1])


def listable(store: Store) -> ListableStore:
    """Return ``store`` as one that can be listed.

    :raises UsageError: when it cannot
    """
    if not isinstance(store, ListableStore):
        raise UsageError(f"{store} cannot be listed", hint="name a directory or an s3:// store")
    return store


def is_writable(store: Store) -> bool:
    """Whether ``store`` is of a kind that can be written."""
    return isinstance(store, WritableStore)


def writable(store: Store) -> WritableStore:
    """Return ``store`` as one that can be written.

    :raises StoreRefusedError: when it cannot
    """
    if not isinstance(store, WritableStore):
        raise StoreRefusedError(f"{store} is read-only", hint="publish to a store that can be written")
    return store

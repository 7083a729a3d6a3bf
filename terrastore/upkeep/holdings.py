"""What a store has, as its listings tell it: a thousand objects each request, and none of them read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from terrastore import catalogue
from terrastore.errors import UsageError
from terrastore.key import EnvKey
from terrastore.store import layout
from terrastore.upkeep import abreast, pins

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from terrastore.store.protocol import Listed, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A key that has a pointer, its archives, pointed to or not, the newest mark of its use, and the pins that hold it.

    Times are in seconds since the epoch, by the store's clock.
    """

    key: EnvKey
    pointer: Listed
    archives: tuple[Listed, ...]
    marked: float | None
    pins: tuple[str, ...]

    @property
    def made(self) -> float:
        """When its pointer was written."""
        return self.pointer.modified

    @property
    def used(self) -> float:
        """Since when it is known to have been needed last: the first use of the last week in which there was one."""
        return max(self.made, self.marked or self.made)

    @property
    def size(self) -> int:
        """Bytes of its archives."""
        return sum(archive.size for archive in self.archives)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """The environments of a store, newest first; archives by key; marks of use; what each pin holds."""

    environments: tuple[Environment, ...]
    archives: Mapping[EnvKey, tuple[Listed, ...]]
    marks: tuple[Listed, ...]
    pins: Mapping[str, EnvKey | None]


def read(store: Store) -> Holdings:
    """Return what ``store`` has; its listings are read side by side.

    An archive that comes between the listings may seem to be nobody's.

    :raises UsageError: when this kind of store cannot be listed
    """
    listing = catalogue.listable(store)
    prefixes = (layout.POINTERS, layout.ARCHIVES, layout.USES)
    pointers, archives, marks = abreast.mapped(lambda prefix: list(listing.list(prefix)), prefixes, len(prefixes))
    owned, held = _by_key(archives), pins.read(store)
    holding: defaultdict[EnvKey | None, list[str]] = defaultdict(list)
    for name, key in sorted(held.items()):
        holding[key].append(name)
    used: dict[str, float] = {}
    for mark in marks:
        if (use := layout.use_of(mark.name)) is not None:
            used[use[1]] = max(mark.modified, used.get(use[1], 0.0))
    environments = [
        Environment(
            key=key,
            pointer=pointer,
            archives=owned.get(key, ()),
            marked=used.get(key.text),
            pins=tuple(holding.get(key, ())),
        )
        for pointer in pointers
        if (key := parsed(layout.key_of(pointer.name))) is not None
    ]
    environments.sort(key=lambda each: (-each.made, each.key))
    return Holdings(environments=tuple(environments), archives=owned, marks=tuple(marks), pins=held)


def _by_key(archives: Iterable[Listed]) -> dict[EnvKey, tuple[Listed, ...]]:
    """Return archives by the key that owns them, without what strangers left."""
    found: defaultdict[EnvKey, list[Listed]] = defaultdict(list)
    for archive in archives:
        owner = layout.archive_of(archive.name)
        if owner is not None and (key := parsed(owner[0])) is not None:
            found[key].append(archive)
    return {key: tuple(each) for key, each in found.items()}


def parsed(text: str | None) -> EnvKey | None:
    """Return the key that ``text`` spells, None for a stranger's."""
    try:
        return EnvKey.parse(text or "")
    except UsageError:
        return None

"""What lies in a store and is of use to nobody: archives that no pointer names, wheels, notes, marks, half uploads.

Nothing goes before it is a day old by the store's clock: what was written later may be on its way to be used.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from terrastore.errors import StoreRefusedError, StoreUnreachableError
from terrastore.pointer import PointerError
from terrastore.store import layout
from terrastore.trust import ANYTHING
from terrastore.upkeep import abreast
from terrastore.upkeep.holdings import parsed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from terrastore.key import EnvKey
    from terrastore.report import Report
    from terrastore.store.protocol import Listed, PrunableStore
    from terrastore.upkeep.holdings import Environment, Holdings
    from terrastore.upkeep.known import Known

SCHEMA: Final = 1
"""Of the record of the pointers that a prune removes."""
GRACE: Final = 86400.0
"""Seconds for which whatever is new, or has just lost its pointer, stays."""
_MARK_LASTS: Final = 8 * 86400.0
"""Seconds after which a mark is not that of the current week on any clock."""


class Tidying:
    """The tidying of one run: ``tidied`` is how many objects went by kind, or would.

    ``now`` is a time of the store's clock, before ``held`` was listed.
    """

    def __init__(self, store: PrunableStore, held: Holdings, now: float, *, known: Known, report: Report) -> None:
        self.tidied: Counter[str] = Counter()
        self._store = store
        self._held = held
        self._known = known
        self._report = report
        self._since = now - GRACE
        self._marks_since = now - _MARK_LASTS
        self._freed = 0
        self._named_sizes: dict[EnvKey, int] | None = None
        self._wheels_named: dict[frozenset[EnvKey], frozenset[str] | None] = {}
        prefixes = (layout.LEASES, layout.WHEELS, layout.PROBES, layout.PRUNED)
        self._leases, self._wheels, self._probes, self._records = abreast.mapped(
            lambda prefix: list(store.list(prefix)), prefixes, len(prefixes)
        )

    def tidy(self, left: Sequence[Environment], *, dry_run: bool) -> int:
        """Remove what nobody needs beside ``left``, the environments that stay; return how many bytes that were."""
        keys = {each.key for each in left}
        remove = self._count if dry_run else self._remove
        archives = self._unnamed()
        if dry_run:
            self._count("archives", archives)
        else:
            self._remove_archives(archives)
            # They have served their purpose: what they name is gone, or has a later record.
            self._remove("records", [each for each in self._records if each.modified < self._since])
        remove("wheels", self._idle_wheels(left))
        remove("leases", self._old_leases(keys))
        remove("marks", self._old_marks(keys))
        remove("probes", [each for each in self._probes if each.modified < self._since])
        self._discard(dry_run=dry_run)
        return self._freed

    def sizes(self, environment: Environment) -> int:
        """Return the bytes of the archive that is pointed to, of all that the key owns when that cannot be told."""
        if self._named_sizes is None:
            self._named_sizes = self._sizes_of_named()
        return self._named_sizes.get(environment.key, environment.size)

    def wheel_bytes(self, left: Sequence[Environment]) -> int:
        """Return the bytes of the wheels that stay when ``left`` are the environments that do."""
        idle = {wheel.name for wheel in self._idle_wheels(left)}
        return sum(wheel.size for wheel in self._wheels if wheel.name not in idle)

    # Archives.

    def _sizes_of_named(self) -> dict[EnvKey, int]:
        """Return the bytes of archives that are pointed to, for keys that have several."""
        several = [each for each in self._held.environments if len(each.archives) > 1]
        names = abreast.mapped(lambda each: self._named(each.key)[0], several, self._store.readers)
        return {
            each.key: archive.size
            for each, name in zip(several, names, strict=True)
            for archive in each.archives
            if archive.name == name
        }

    def _named(self, key: EnvKey) -> tuple[str | None, bool]:
        """Return which archive the pointer of ``key`` names, None when that cannot be told; and whether it is there."""
        found = self._store.read(layout.pointer(key.text))
        if found is None:
            return None, False
        try:
            pointer = ANYTHING.judge(found.data, key=key.text).pointer
        except PointerError:
            return None, True
        return layout.archive(key.text, pointer.archive.name), True

    def _unnamed(self) -> list[Listed]:
        """Return the archives that no pointer names, and that nobody can be reading or about to point to."""
        pointed = {each.key for each in self._held.environments}
        old = {
            key: [archive for archive in archives if archive.modified < self._since]
            for key, archives in self._held.archives.items()
            if key not in pointed or len(archives) > 1
        }
        keys = [key for key, archives in old.items() if archives]
        named = abreast.mapped(self._named, keys, self._store.readers)
        # Only now: who removed a pointer that was not there any more has recorded that before.
        pruned = self._pruned()
        settled = [
            is_there and name is not None and self._is_settled(key)
            for key, (name, is_there) in zip(keys, named, strict=True)
        ]
        return [
            archive
            for key, (name, is_there), is_settled in zip(keys, named, settled, strict=True)
            for archive in old[key]
            if archive.name != name and (is_settled if is_there else pruned is not None and key.text not in pruned)
        ]

    def _is_settled(self, key: EnvKey) -> bool:
        """Whether the pointer of ``key`` names what it does for so long that nobody reads what it named before."""
        name = layout.pointer(key.text)
        return all(listed.modified < self._since for listed in self._store.list(name) if listed.name == name)

    def _pruned(self) -> set[str] | None:
        """Return the keys whose pointers were removed within the grace, None when that may be any."""
        found: set[str] = set()
        for listed in self._store.list(layout.PRUNED):
            record = self._store.read(listed.name) if listed.modified >= self._since else None
            if record is not None:
                keys = _keys(record.data)
                if keys is None:
                    self._report.warn(f"{listed.name} in {self._store} cannot be read; archives without a pointer stay")
                    return None
                found |= keys
        return found

    def _remove_archives(self, archives: Sequence[Listed]) -> None:
        """Remove archives, and a pointer that was put up to one of them in the same instant."""
        gone = self._remove("archives", archives)
        by_key: defaultdict[EnvKey | None, set[str]] = defaultdict(set)
        for archive in gone:
            by_key[parsed((layout.archive_of(archive.name) or ("",))[0])].add(archive.name)
        keys = [key for key in by_key if key is not None]
        for key, (name, _) in zip(keys, abreast.mapped(self._named, keys, self._store.readers), strict=True):
            if name in by_key[key]:
                self._withdraw(key, name)

    def _withdraw(self, key: EnvKey, archive: str) -> None:
        """Remove a pointer whose archive is gone: a miss is better than a refusal."""
        place = layout.pointer(key.text)
        listed = next((each for each in self._store.list(place) if each.name == place), None)
        if listed is not None and self._store.read_range(archive, 0, 0) is None:
            self._store.remove_listed(listed)

    # Everything else.

    def _idle_wheels(self, left: Sequence[Environment]) -> list[Listed]:
        """Return the wheels that no manifest of ``left`` names."""
        old = [wheel for wheel in self._wheels if wheel.modified < self._since and layout.wheel_of(wheel.name)]
        if not old:
            return []
        keys = frozenset(each.key for each in left)
        if keys not in self._wheels_named:
            self._wheels_named[keys] = self._known.wheels(left)
        named = self._wheels_named[keys]
        return [wheel for wheel in old if named is not None and (layout.wheel_of(wheel.name) or ("",))[0] not in named]

    def _old_leases(self, keys: Collection[EnvKey]) -> list[Listed]:
        """Return notes that count for nothing: of keys that have no environment, and below the highest generation."""
        notes: defaultdict[EnvKey, list[tuple[int, Listed]]] = defaultdict(list)
        for listed in self._leases:
            key, generation = layout.lease_of(listed.name) or ("", "")
            if (owner := parsed(key)) is not None and (not generation or generation.isdecimal()):
                notes[owner].append((int(generation or 0), listed))
        return [
            listed
            for key, each in notes.items()
            for number, listed in each
            if listed.modified < self._since and (key not in keys or 0 < number < max(each)[0])
        ]

    def _old_marks(self, keys: Collection[EnvKey]) -> list[Listed]:
        """Return the marks that say nothing more: but the last one of each environment, and those of this week."""
        last: dict[str, Listed] = {}
        ours = [(use[1], mark) for mark in self._held.marks if (use := layout.use_of(mark.name)) is not None]
        for key, mark in ours:
            last[key] = max(mark, last.get(key, mark), key=lambda each: (each.modified, each.name))
        there = {key.text for key in keys}
        return [
            mark
            for key, mark in ours
            if mark.modified < self._marks_since and (mark is not last[key] or key not in there)
        ]

    def _discard(self, *, dry_run: bool) -> None:
        """Discard uploads that nobody finished; who may not leaves them to the store's own rules."""
        try:
            while found := self._store.abandoned(self._since):
                self.tidied["uploads"] += len(found)
                if dry_run:
                    return
                abreast.mapped(self._store.discard, list(found), self._store.readers)
        except (StoreRefusedError, StoreUnreachableError) as error:
            self._report.warn(f"what was begun and not finished stays: {error.message}")

    def _remove(self, kind: str, objects: Sequence[Listed]) -> list[Listed]:
        """Remove objects, each unless it is another by now; return which went."""
        with self._report.phase(f"remove {kind}", total=len(objects), unit="objects") as phase:

            def remove(listed: Listed) -> bool:
                phase.advance(1)
                return self._store.remove_listed(listed)

            went = abreast.mapped(remove, objects, self._store.readers)
        gone = [listed for listed, is_gone in zip(objects, went, strict=True) if is_gone]
        self._count(kind, gone)
        return gone

    def _count(self, kind: str, objects: Iterable[Listed]) -> list[Listed]:
        counted = list(objects)
        self.tidied[kind] += len(counted)
        self._freed += sum(listed.size for listed in counted)
        return counted


def _keys(data: bytes) -> set[str] | None:
    """Return the keys that a record names, None when this version does not understand it."""
    try:
        record = json.loads(data)
        return set(map(str, record["keys"])) if record["schema"] == SCHEMA else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None

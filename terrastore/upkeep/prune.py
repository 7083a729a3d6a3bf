"""Removing from a store what nobody needs, while others read it and write to it.

First pointers go, each only as it was listed, and a record that names them before; archives that no pointer names go a
day later (:mod:`terrastore.upkeep.tidying`), so whoever reads one has that long. ``FORMAT.md`` section 14 is the
protocol.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from terrastore import times
from terrastore.errors import StoreUnreachableError, UsageError
from terrastore.report import size
from terrastore.store import layout
from terrastore.store.protocol import Layered, PrunableStore
from terrastore.upkeep import abreast, holdings, pins, uses
from terrastore.upkeep.tidying import SCHEMA, Tidying

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from terrastore.key import EnvKey
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.upkeep.holdings import Environment, Holdings
    from terrastore.upkeep.known import Known

WEEK: Final = 7 * 86400.0
"""Seconds that a mark stands for: uses in the same week leave no other."""
_AT_ONCE: Final = 1000
"""Pointers that one record names."""
_LASTS: Final = 3600.0
"""Seconds for which a record allows to remove the pointers that it names; a day's grace is counted from the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which environments go; None where none goes by this.

    Those that were not used for more than ``unused_for`` seconds; all but the ``keep_last`` that were used last; and
    those that were not used for longest, until the store has at most ``max_size`` bytes.
    """

    unused_for: float | None = None
    keep_last: int | None = None
    max_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """An environment that goes, and why."""

    environment: Environment
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, or would be.

    ``total`` is how many environments there were, ``tidied`` how many objects went besides, by kind, ``freed`` their
    bytes; ``later`` the bytes of archives that go once nobody can be reading them; ``left`` those that stay.
    """

    total: int
    removed: Sequence[Removed]
    tidied: Mapping[str, int]
    freed: int
    later: int
    left: int


def prune(store: Store, criteria: Criteria, *, known: Known, report: Report, dry_run: bool = False) -> Pruned:
    """Remove the environments that ``criteria`` name, but no pinned ones, and whatever else nobody needs.

    With ``dry_run`` nothing is written or removed.

    :raises UsageError: when this kind of store cannot be pruned, or a pin cannot be understood
    """
    prunable = _prunable(store)
    # By the store's clock, and before anything is listed: nothing seems older than it is.
    now = time.time() if dry_run else _now(prunable)
    with report.phase("list", unit="steps"):
        held = holdings.read(prunable)
        tidying = Tidying(prunable, held, now, known=known, report=report)
    _refuse_unreadable_pins(prunable, held)
    victims = chosen(
        held.environments, criteria, now, others=tidying.wheel_bytes(held.environments), sizes=tidying.sizes
    )
    removed = victims if dry_run else _remove(prunable, victims, held, now, report)
    gone = {each.environment.key for each in removed}
    left = [each for each in held.environments if each.key not in gone]
    freed = tidying.tidy(left, dry_run=dry_run)
    remaining = sum(map(tidying.sizes, left)) + tidying.wheel_bytes(left)
    if criteria.max_size is not None and remaining > criteria.max_size:
        report.warn(f"{store} keeps {size(remaining)}: what is left is pinned or in use, or wheels that it needs")
    return Pruned(
        total=len(held.environments),
        removed=removed,
        tidied=tidying.tidied,
        freed=freed,
        later=sum(each.environment.size for each in removed),
        left=remaining,
    )


def chosen(
    environments: Collection[Environment],
    criteria: Criteria,
    now: float,
    *,
    others: int = 0,
    sizes: Callable[[Environment], int] = lambda each: each.size,
) -> list[Removed]:
    """Return which of ``environments`` go at ``now``, those that were not used for longest first.

    :param others: bytes that the store has besides them
    """
    by_use = sorted(environments, key=lambda each: (each.used, each.key))
    reasons: dict[EnvKey, str] = {}
    if criteria.unused_for is not None:
        for each in by_use:
            if (unused := now - _last_use(each, now)) > criteria.unused_for:
                reasons[each.key] = f"not used for {times.about(unused)}"
    if criteria.keep_last is not None:
        for each in by_use[: max(0, len(by_use) - criteria.keep_last)]:
            reasons.setdefault(each.key, f"not among the {criteria.keep_last} that were used last")
    if criteria.max_size is not None:
        left = others + sum(sizes(each) for each in by_use if each.pins or each.key not in reasons)
        for each in by_use:
            if left > criteria.max_size and not each.pins and each.key not in reasons:
                reasons[each.key] = f"so that {size(criteria.max_size)} are enough"
                left -= sizes(each)
    return [
        Removed(environment=each, reason=reasons[each.key]) for each in by_use if each.key in reasons and not each.pins
    ]


def _last_use(environment: Environment, now: float) -> float:
    """Return when it may have been used last: a mark is left by the first use of a week, and stands for all others."""
    marked = min(now, environment.marked + WEEK) if environment.marked is not None else environment.made
    return max(environment.made, marked)


def _prunable(store: Store) -> PrunableStore:
    if isinstance(store, Layered):
        raise UsageError(
            f"each store is pruned by what was used of it, and {store} are several", hint="name one with --store"
        )
    if not isinstance(store, PrunableStore):
        raise UsageError(f"{store} cannot be pruned", hint="name a directory or an s3:// store")
    return store


def _now(store: PrunableStore) -> float:
    """Return what time it is by the store's clock."""
    name = layout.probe(secrets.token_hex(16))
    with store.upload(name):
        pass
    modified = next((listed.modified for listed in store.list(name) if listed.name == name), None)
    store.remove(name)
    if modified is None:
        raise StoreUnreachableError(f"{store} does not list what was just written to it", hint="run again")
    return modified


def _refuse_unreadable_pins(store: Store, held: Holdings) -> None:
    """Refuse to remove anything while it cannot be told what somebody wants to keep."""
    for name, key in held.pins.items():
        if key is None:
            raise UsageError(f"the pin {name} in {store} names no key", hint=f"run terrastore unpin {name}")


def _remove(
    store: PrunableStore, victims: Sequence[Removed], held: Holdings, now: float, report: Report
) -> list[Removed]:
    """Remove the pointers of ``victims``, but for those that somebody pinned, used or replaced; return whose went."""
    removed: list[Removed] = []
    with report.phase("prune", total=len(victims), unit="environments") as phase:
        for some in _batches(victims):
            removal = _Removal(store, some, held, now)
            try:
                removal.run(phase.advance)
            finally:
                # Also when it broke off: what is needed by now comes back.
                removed += removal.settled()
    return removed


def _batches(victims: Sequence[Removed]) -> Iterator[list[Removed]]:
    remaining = iter(victims)
    while some := list(islice(remaining, _AT_ONCE)):
        yield some


class _Removal:
    """The removal of a batch of pointers."""

    def __init__(self, store: PrunableStore, victims: Sequence[Removed], held: Holdings, now: float) -> None:
        self._store = store
        self._victims = victims
        self._before = frozenset(mark.name for mark in held.marks)
        self._now = now
        self._taken: dict[EnvKey, bytes] = {}
        self._until = 0.0

    def run(self, advance: Callable[[int], None]) -> None:
        """Record which pointers go, and remove those that are as they were listed and still needed by nobody."""
        keys = sorted(victim.environment.key.text for victim in self._victims)
        record = json.dumps({"schema": SCHEMA, "keys": keys}).encode()
        self._until = _clock() + _LASTS
        self._store.create(layout.pruned(secrets.token_hex(16)), record)
        needed = self._needed()

        def take(victim: Removed) -> None:
            if victim.environment.key not in needed:
                self._take(victim.environment)
            advance(1)

        abreast.mapped(take, self._victims, self._store.readers)

    def settled(self) -> list[Removed]:
        """Give the pointers back that somebody pinned or used while they were removed; return what stays removed."""
        if self._taken:
            for key in self._needed() & self._taken.keys():
                # Where another one is by now that one is better.
                self._store.create(layout.pointer(key.text), self._taken.pop(key))
        return [victim for victim in self._victims if victim.environment.key in self._taken]

    def _take(self, environment: Environment) -> None:
        name = layout.pointer(environment.key.text)
        found = self._store.read(name)
        # Whoever was suspended must not remove on the word of a record that is old by now.
        if found is not None and _clock() < self._until and self._store.remove_listed(environment.pointer):
            self._taken[environment.key] = found.data

    def _needed(self) -> set[EnvKey]:
        """Return the keys that are pinned, or were used since all was listed."""
        moment = datetime.fromtimestamp(self._now, UTC)
        # A machine's clock may be in another week than the store's.
        weeks = {uses.week(moment + timedelta(days=days)) for days in (-7, 0, 7)}
        marks = [mark.name for week in sorted(weeks) for mark in self._store.list(layout.use(week, ""))]
        used = (layout.use_of(name) for name in marks if name not in self._before)
        found = {holdings.parsed(use[1]) for use in used if use is not None}
        return {key for key in found | set(pins.read(self._store).values()) if key is not None}


def _clock() -> float:
    """Return seconds on a clock that goes on while the machine is suspended, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

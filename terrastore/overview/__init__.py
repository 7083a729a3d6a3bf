"""What a store looks like as a whole: its environments, what packages weigh in it, what is in it twice, what could go.

:func:`look` gathers the figures, :func:`terrastore.overview.page.page` makes one HTML page of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from terrastore.errors import StoreRefusedError, UsageError
from terrastore.overview import weights
from terrastore.upkeep import holdings, prune
from terrastore.upkeep.prune import Criteria

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from terrastore.key import EnvKey
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.upkeep.holdings import Environment
    from terrastore.upkeep.known import Contents, Known
    from terrastore.upkeep.prune import Pruned

_DAY: Final = 86400.0
_UNUSED: Final = (7, 30, 90, 180, 365)
"""Days without use after which it is told what would go."""
_COMPARED: Final = 30
"""Environments, those that were used last, of which each two are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is not used for so many ``days``: environments, and the bytes that would be free without them."""

    days: int
    environments: int
    size: int


@dataclass(frozen=True)
class Overview:
    """The figures of a store at a moment, in seconds since the epoch.

    ``contents`` are None for what cannot be told. ``pruned`` is what pruning by ``criteria`` would come to, None where
    ``unprunable`` says why that cannot be told.
    """

    store: str
    at: float
    environments: tuple[Environment, ...]
    contents: Mapping[EnvKey, Contents | None]
    criteria: Criteria
    pruned: Pruned | None
    unprunable: str
    steps: tuple[Step, ...]

    @property
    def size(self) -> int:
        """Bytes of all archives of the environments."""
        return sum(each.size for each in self.environments)

    @cached_property
    def known(self) -> weights.Layers:
        """The layers of the environments of which they can be told."""
        return {key: each.layers for key, each in self.contents.items() if each is not None and each.layers}

    @cached_property
    def layers(self) -> tuple[weights.Layer, ...]:
        """Each layer once, the heaviest first."""
        return weights.counted(self.known)

    @cached_property
    def packages(self) -> tuple[weights.Package, ...]:
        """Layers by name, the heaviest first."""
        return weights.packages(self.layers)

    @cached_property
    def alone(self) -> Mapping[EnvKey, int]:
        """Bytes of an environment that no other one has."""
        return weights.alone(self.known, self.layers)

    @cached_property
    def repeated(self) -> tuple[weights.Layer, ...]:
        """Layers that are stored more than once, those first that take most for it."""
        several = [layer for layer in self.layers if layer.environments > 1]
        return tuple(sorted(several, key=lambda layer: (-layer.again, layer.name, layer.digest)))

    @property
    def once(self) -> int:
        """Bytes of all layers, each counted once."""
        return sum(layer.packed for layer in self.layers)

    @property
    def again(self) -> int:
        """Bytes that layers take which are there already."""
        return sum(layer.again for layer in self.layers)

    @cached_property
    def sharing(self) -> weights.Sharing:
        """What each two of the environments that were used last have in common."""
        by_use = sorted(self.environments, key=lambda each: (-each.used, each.key))
        compared = [each.key for each in by_use if each.key in self.known][:_COMPARED]
        return weights.sharing({key: self.known[key] for key in compared})


def look(store: Store, criteria: Criteria, *, known: Known, report: Report) -> Overview:
    """Return what ``store`` looks like, and what pruning by ``criteria`` would come to; nothing there is changed.

    :raises UsageError: when this kind of store cannot be listed
    """
    now = time.time()
    with report.phase("list", unit="steps"):
        environments = holdings.read(store).environments
    pruned, why = None, ""
    try:
        pruned = prune.prune(store, criteria, known=known, report=report, dry_run=True)
    except (UsageError, StoreRefusedError) as error:
        why = error.message
    return Overview(
        store=str(store),
        at=now,
        environments=environments,
        contents=known.contents(environments),
        criteria=criteria,
        pruned=pruned,
        unprunable=why,
        steps=steps(environments, now),
    )


def steps(environments: Sequence[Environment], now: float) -> tuple[Step, ...]:
    """Return what would go at ``now`` by how long it was not used."""
    gone = {days: prune.chosen(environments, Criteria(unused_for=days * _DAY), now) for days in _UNUSED}
    return tuple(
        Step(days=days, environments=len(each), size=sum(removed.environment.size for removed in each))
        for days, each in gone.items()
    )

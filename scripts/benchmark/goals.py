"""What is to be reached, and whether it was."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scripts.benchmark.results import Measured, Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

MEGABYTE: Final = 1_000_000
LINEAR: Final = 1.1
"""A larger exponent of time over size is no longer linear."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A bound for a scenario, as a share of the largest of its rivals."""

    ours: str
    rivals: tuple[str, ...]
    bound: float
    quantity: str = "wall"

    @property
    def title(self) -> str:
        """What is compared with what."""
        larger = "the larger of " if len(self.rivals) > 1 else ""
        quantity = {"wall": "", "first_byte": ", exec to first byte"}[self.quantity]
        return f"{self.ours} / {larger}{' and '.join(self.rivals)}{quantity}"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A goal, what was measured, and what that means."""

    title: str
    bound: float
    spread: Spread
    pairs: int
    verdict: str


GOALS: Final = (
    Goal(ours="fetch, directory", rivals=("zstd -dc | tar -x",), bound=0.8),
    Goal(ours="fetch, directory", rivals=("cp -r",), bound=1.2),
    Goal(ours="fetch, directory", rivals=("uv, cold",), bound=1.0),
    Goal(ours="fetch, directory", rivals=("uv, cold, compiled",), bound=0.2),
    Goal(ours="fetch, S3", rivals=("fetch, directory",), bound=1.3),
    Goal(ours="fetch, shaped S3", rivals=("aws | zstd | tar, shaped S3",), bound=0.6),
    Goal(ours="fetch, shaped S3", rivals=("network's ideal, shaped S3", "unpack"), bound=1.25),
    Goal(ours="fetch, shaped S3", rivals=("boto3, shaped S3",), bound=0.7, quantity="first_byte"),
    Goal(ours="recreate, hardlink", rivals=("uv, warm",), bound=1.5),
    Goal(ours="recreate, hardlink", rivals=("uv, warm, compiled",), bound=0.1),
    Goal(ours="recreate, copy", rivals=("fetch, directory",), bound=1.0),
    Goal(ours="recreate, clone", rivals=("fetch, directory",), bound=1.0),
    Goal(ours="one pin changed, directory", rivals=("recreate, hardlink",), bound=1.3),
    Goal(ours="one pin changed, S3", rivals=("recreate, S3",), bound=1.3),
    Goal(ours="kept", rivals=("import click",), bound=1.3),
    Goal(ours="kept", rivals=("uv, nothing to do",), bound=1.0),
    Goal(ours="miss by uv", rivals=("uv, warm, compiled",), bound=1.6),
)
BESIDE: Final = {
    "fetch, directory": (
        *("zstd -dc | tar -x", "gzip -dc | tar -x", "cp -r", "venv-pack", "pex, as a venv"),
        *("uv, cold", "uv, cold, compiled", "uv, warm", "uv, warm, compiled"),
        *("pip, from a folder", "pip, from the index"),
    ),
    **{
        f"fetch, {where}": tuple(f"{program} | zstd | tar, {where}" for program in ("curl", "aws", "s5cmd"))
        for where in ("S3", "shaped S3")
    },
    "recreate, hardlink": ("uv, warm", "uv, warm, compiled", "cp -r"),
    "kept": ("import click", "uv, nothing to do"),
    "miss by uv": ("uv, warm, compiled",),
    "miss by pip": ("pip, from a folder",),
}
"""What else a person would use, by what it does."""
SHARES: Final = (
    ("archive / tar | zstd -6", "archive", "tar | zstd -6", 1.03),
    ("archive / tar | zstd -6 -T1", "archive", "tar | zstd -6 -T1", 1.03),
    ("one pin changed, bytes / changed layers, manifest and pointer", "one pin: bytes", "one pin: changed", 1.1),
)
"""Of facts, which are the same every time: title, ours, theirs, bound."""
MEMORY: Final = (100 * MEGABYTE, 4000 * MEGABYTE)
MEMORY_BOUND: Final = 200.0
CROWD: Final = 50
CROWD_BOUND: Final = 1.1


def verdict(spread: Spread, bound: float) -> str:
    """Say whether a bound is kept, and whether the middle half of the values leaves a doubt."""
    if spread.upper <= bound:
        return "met beyond the spread"
    if spread.median <= bound:
        return "met within the spread"
    doubt = ", within the spread" if spread.lower <= bound else ""
    return f"missed by {spread.median / bound - 1:.0%}{doubt}"


def judge_set(measured: Measured) -> list[Judged]:
    """Judge every goal that what was measured of a set allows to."""
    judged = []
    for goal in GOALS:
        values = measured.ratios(goal.ours, goal.rivals, goal.quantity)
        if values:
            judged.append(_judged(goal.title, goal.bound, values))
    for title, ours, theirs, bound in SHARES:
        if ours in measured.facts and theirs in measured.facts:
            judged.append(_judged(title, bound, [measured.facts[ours] / measured.facts[theirs]]))
    return judged


def beside(measured: Measured) -> list[tuple[str, str, Spread, Spread]]:
    """Return ratios to each rival, of seconds and of the processor's seconds, the worst first."""
    found = [
        (ours, rival, Spread.of(values), Spread.of(measured.ratios(ours, (rival,), "cpu")))
        for ours, rivals in BESIDE.items()
        for rival in rivals
        if (values := measured.ratios(ours, (rival,), "wall"))
    ]
    return sorted(found, key=lambda each: -each[2].median)


def judge_growth(growth: Mapping[str, Mapping[int, Measured]]) -> list[Judged]:
    """Judge how time, memory and the share of a client grow."""
    judged = []
    for axis in ("files", "bytes"):
        values = exponents(growth.get(axis, {}), "fetch, directory")
        if values:
            judged.append(_judged(f"exponent of the time of a fetch over {axis}", LINEAR, values))
    for size in MEMORY:
        if measured := growth.get("bytes", {}).get(size):
            values = [value / MEGABYTE for value in measured.values("fetch, directory", "memory")]
            judged.append(_judged(f"peak memory of a fetch of {size // MEGABYTE} MB, in MB", MEMORY_BOUND, values))
    clients = growth.get("clients", {})
    if {1, CROWD} <= clients.keys():
        alone, many = (clients[number].by_round("fetch, directory", "cpu") for number in (1, CROWD))
        values = [many[number] / CROWD / alone[number] for number in alone if number in many]
        judged.append(_judged(f"CPU seconds of a client of {CROWD} at once / alone", CROWD_BOUND, values))
    return judged


def exponents(points: Mapping[int, Measured], scenario: str) -> list[float]:
    """Return, a round each, *a* of the best fit of time ~ size^a over the largest tenfold.

    Below, what it takes to start rules, and the exponent says little.
    """
    largest = [size for size in sorted(points) if size * 10 >= max(points)]
    series = [points[size].by_round(scenario, "wall") for size in largest]
    if len(largest) < 2:
        return []
    rounds = [number for number in series[0] if all(number in each for each in series)]
    sizes = [math.log(size) for size in largest]
    return [statistics.linear_regression(sizes, [math.log(each[number]) for each in series]).slope for number in rounds]


def _judged(title: str, bound: float, values: list[float]) -> Judged:
    spread = Spread.of(values)
    return Judged(title=title, bound=bound, spread=spread, pairs=len(values), verdict=verdict(spread, bound))

"""What was measured, as values that go to a file of JSON and come back."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCHEMA: Final = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a whole process took, from exec to exit, with all that it started and waited for."""

    round: int
    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""
    memory: int
    """Bytes, of the largest process."""
    first_byte: float | None = None
    """Seconds from exec until the server answered the first request, where that was noted."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What passed between a run and the server, counted on the wire in a run of its own."""

    requests: dict[str, int]
    """How many, by operation of S3."""
    received: int
    """Bytes of bodies that came from the server."""
    sent: int
    """Bytes of bodies that went to it."""


@dataclass(kw_only=True)
class Measured:
    """What was measured of one tree."""

    facts: dict[str, float] = field(default_factory=dict)
    """Sizes in bytes, and counts."""
    bytecode: dict[str, bool | None] = field(default_factory=dict)
    """By scenario: whether what it makes has bytecode; None where it makes no environment."""
    runs: dict[str, list[Run]] = field(default_factory=dict)
    """By scenario, in the order of the table."""
    traffic: dict[str, Traffic] = field(default_factory=dict)
    """By scenario."""

    def by_round(self, scenario: str, quantity: str) -> dict[int, float]:
        """Return a quantity of a scenario, by round; empty when it was not measured."""
        found = {run.round: getattr(run, quantity) for run in self.runs.get(scenario, ())}
        return {number: value for number, value in found.items() if value is not None}

    def values(self, scenario: str, quantity: str) -> list[float]:
        """Return a quantity of a scenario, a value each round."""
        return list(self.by_round(scenario, quantity).values())

    def ratios(self, scenario: str, rivals: Iterable[str], quantity: str) -> list[float]:
        """Return, for each round in which all ran, the scenario's share of the largest of its rivals."""
        ours = self.by_round(scenario, quantity)
        theirs = [self.by_round(rival, quantity) for rival in rivals]
        both = [number for number in ours if all(number in each for each in theirs)]
        return [ours[number] / max(each[number] for each in theirs) for number in both]


@dataclass(kw_only=True)
class Results:
    """All of a run of scripts/bench."""

    machine: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    """Versions."""
    left_out: dict[str, str] = field(default_factory=dict)
    """What was not measured, and why."""
    sets: dict[str, Measured] = field(default_factory=dict)
    growth: dict[str, dict[int, Measured]] = field(default_factory=dict)
    """By what grows, ``files``, ``bytes`` or ``clients``, and by how much of it there is."""
    path: Path | None = None
    """Where they are saved."""

    def save(self) -> None:
        """Write all so far, if it is said where; a reader finds the file whole."""
        if self.path is None:
            return
        document = asdict(self)
        del document["path"]
        unfinished = self.path.with_name(f".{self.path.name}")
        unfinished.write_text(json.dumps({"schema": SCHEMA} | document, indent=1) + "\n")
        unfinished.rename(self.path)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what was saved."""
        document = json.loads(path.read_text())
        if document.pop("schema") != SCHEMA:
            raise ValueError(f"{path} was written by another version of scripts/bench")
        sets = {name: _measured(each) for name, each in document.pop("sets").items()}
        growth = {
            axis: {int(amount): _measured(each) for amount, each in points.items()}
            for axis, points in document.pop("growth").items()
        }
        return cls(**document, sets=sets, growth=growth, path=path)


@dataclass(frozen=True)
class Spread:
    """The median of some values and where they lie."""

    median: float
    lower: float
    """The quarter of the values below."""
    upper: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return that of at least one value."""
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive") if values[1:] else values * 3
        return cls(median, lower, upper, min(values), max(values))


def _measured(document: Mapping[str, Any]) -> Measured:
    return Measured(
        facts=document["facts"],
        bytecode=document["bytecode"],
        runs={name: [Run(**run) for run in runs] for name, runs in document["runs"].items()},
        traffic={name: Traffic(**each) for name, each in document["traffic"].items()},
    )

"""A report keeps the figures of a run, whoever draws them and from whichever thread they come."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from terrastore.report import Phase, Report, number, size

if TYPE_CHECKING:
    from typing import Self


class Slow(int):
    """An amount that lets other threads run while it is added."""

    def __radd__(self, other: int) -> int:
        time.sleep(0.001)
        return int(other) + int(self)

    def __new__(cls, value: int) -> Self:
        return super().__new__(cls, value)


class Drawing(Report):
    """A report that notes what it is told to draw."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[tuple[str, str]] = []

    def begun(self, phase: Phase) -> None:
        self.drawn.append(("begun", phase.name))

    def ended(self, phase: Phase) -> None:
        self.drawn.append(("ended", phase.name))


def test_a_new_report_is_empty() -> None:
    """Nothing has happened yet."""
    report = Report()
    assert ({}, []) == (report.seconds, report.warnings)


def test_a_phase_is_measured() -> None:
    """A phase lasts as long as its body."""
    report = Report()
    started = time.perf_counter()
    with report.phase("build"):
        time.sleep(0.02)
    assert 0.02 <= report.seconds["build"] <= time.perf_counter() - started


def test_phases_that_come_again_add_up() -> None:
    """The seconds of a phase are those of all its stretches, and of no other phase."""
    report = Report()
    for name in ("fetch", "unpack", "fetch", "fetch"):
        with report.phase(name):
            time.sleep(0.01)
    assert ["fetch", "unpack"] == list(report.seconds)
    assert report.seconds["fetch"] >= 0.03
    assert 0.01 <= report.seconds["unpack"] < report.seconds["fetch"]


def test_phases_overlap() -> None:
    """A phase within a phase is part of both."""
    report = Report()
    with report.phase("outer"), report.phase("inner"):
        time.sleep(0.01)
    assert 0.01 <= report.seconds["inner"] <= report.seconds["outer"]


def test_a_phase_that_fails_is_measured() -> None:
    """A failure ends its phase and passes on."""
    report = Drawing()
    with pytest.raises(RuntimeError), report.phase("build"):
        raise RuntimeError
    assert "build" in report.seconds
    assert [("begun", "build"), ("ended", "build")] == report.drawn


def test_a_phase_says_what_it_is() -> None:
    """Name, total and unit are as given; nothing is done yet."""
    with Report().phase("fetch", total=7, unit="layer") as phase:
        assert ("fetch", 7, "layer", 0, "") == (phase.name, phase.total, phase.unit, phase.done, phase.status)
    with Report().phase("fetch") as phase:
        assert (None, "bytes") == (phase.total, phase.unit)


def test_progress() -> None:
    """What is done adds up; what is said last is shown."""
    with Report().phase("fetch", total=5) as phase:
        phase.advance(2)
        phase.say("one")
        phase.advance(3)
        phase.say("two")
    assert (5, "two") == (phase.done, phase.status)


def test_progress_from_many_threads() -> None:
    """No progress is lost when threads advance at the same time."""
    threads, times = 8, 5
    together = threading.Barrier(threads)
    with Report().phase("fetch") as phase, ThreadPoolExecutor(threads) as pool:

        def work() -> None:
            together.wait()
            for _ in range(times):
                phase.advance(Slow(1))

        for running in [pool.submit(work) for _ in range(threads)]:
            running.result()
    assert phase.done == threads * times


def test_subclasses_draw() -> None:
    """A subclass is told when a phase begins and when it ends, in this order."""
    report = Drawing()
    with report.phase("outer"), report.phase("inner"):
        pass
    assert [("begun", "outer"), ("begun", "inner"), ("ended", "inner"), ("ended", "outer")] == report.drawn


def test_a_phase_is_measured_before_it_is_drawn_as_ended() -> None:
    """Whoever draws the end of a phase can show its seconds."""

    class Last(Report):
        shown: float = 0.0

        def ended(self, phase: Phase) -> None:
            self.shown = self.seconds[phase.name]

    report = Last()
    with report.phase("build"):
        time.sleep(0.01)
    assert report.shown == report.seconds["build"] > 0


def test_warnings_are_kept() -> None:
    """Warnings stay in their order, repeated ones too; remarks are no warnings."""
    report = Report()
    for message in ("one", "two", "one"):
        report.warn(message)
    report.remark("three")
    assert ["one", "two", "one"] == report.warnings


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 bytes"),
        (2, "2 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (1_049, "1.0 kB"),
        (1_051, "1.1 kB"),
        (68_600_000, "68.6 MB"),
        (999_900_000, "999.9 MB"),
        (1_000_000_000, "1.0 GB"),
        (7_250_000_000_000, "7250.0 GB"),
        (1, "1 byte"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),
    ],
)
def test_size(count: int, expected: str) -> None:
    """Bytes are told in decimal units with one digit behind the point."""
    assert expected == size(count)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 packages"), (1, "1 package"), (2, "2 packages"), (999, "999 packages"), (12_345, "12,345 packages")],
)
def test_number(count: int, expected: str) -> None:
    """A count and its noun agree."""
    assert expected == number(count, "package")

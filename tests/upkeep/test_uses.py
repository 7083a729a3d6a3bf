"""Marks of use: put beside everything else, once a week, and never a reason to fail."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from terrastore.errors import StoreRefusedError, StoreUnreachableError
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.http import HttpStore
from terrastore.store.memory import MemoryStore
from terrastore.upkeep import uses
from terrastore.upkeep.uses import marked
from tests.published import KEY, objects


class TellingReport(Report):
    """Keeps what is for who wants to see everything."""

    def __init__(self) -> None:
        super().__init__()
        self.details: list[str] = []

    def told(self, line: str) -> None:
        self.details.append(line)


class Refusing(MemoryStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def create(self, name: str, data: bytes) -> bool:
        raise self.error


@pytest.mark.parametrize(
    ("expected", "day"),
    [
        ("2026-W05", (2026, 1, 31)),
        ("2026-W01", (2025, 12, 29)),
        ("2026-W53", (2027, 1, 3)),
        ("0999-W01", (999, 1, 1)),
    ],
)
def test_weeks_are_those_of_iso_8601(expected: str, day: tuple[int, int, int]) -> None:
    """A week belongs to the year that has its Thursday."""
    assert expected == uses.week(datetime(*day, 12, tzinfo=UTC))


def test_there_is_one_mark_a_week() -> None:
    """It is empty, and its name says week and key; who comes later leaves it as it is."""
    store, report = MemoryStore(), TellingReport()
    name = layout.use(uses.week(datetime.now(UTC)), KEY.text)
    for _ in range(2):
        with marked(store, KEY, report):
            pass
        assert [name] == objects(store)
    assert ([], []) == (report.warnings, report.details)


def test_nobody_waits_for_it() -> None:
    """The body runs while the store does not answer."""
    answer, asked = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def create(self, name: str, data: bytes) -> bool:
            asked.set()
            answer.wait()
            return super().create(name, data)

    store = Slow()
    with marked(store, KEY, Report()):
        asked.wait()
        assert [] == objects(store)
        answer.set()
    assert 1 == len(objects(store))


def test_a_store_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a little while the run ends without."""
    monkeypatch.setattr(uses, "_PATIENCE", 0.01)
    never = threading.Event()

    class Silent(MemoryStore):
        def create(self, name: str, data: bytes) -> bool:
            never.wait()
            return super().create(name, data)

    report = TellingReport()
    with marked(Silent(), KEY, report):
        pass
    never.set()
    assert ([], []) == (report.warnings, report.details)


def test_who_may_not_write_is_told_with_everything_else() -> None:
    """It is so by intention where a policy lets machines only read."""
    report = TellingReport()
    with marked(Refusing(StoreRefusedError("no writing")), KEY, report):
        pass
    assert ([], ["that the environment is used is not noted: no writing"]) == (report.warnings, report.details)


@pytest.mark.parametrize(
    ("error", "why"),
    [(StoreUnreachableError("nobody answers"), "nobody answers"), (ValueError("What is that"), "what is that")],
    ids=["unreachable", "a defect"],
)
def test_other_trouble_is_a_warning(error: Exception, why: str) -> None:
    """And no more."""
    report = TellingReport()
    with marked(Refusing(error), KEY, report):
        pass
    assert [f"that the environment is used is not noted: {why}"] == report.warnings


def test_a_store_that_is_only_read_has_none() -> None:
    """Nothing is asked, and nothing said."""
    report = TellingReport()
    with marked(HttpStore("https://127.0.0.1:1/envs"), KEY, report):
        pass
    assert ([], []) == (report.warnings, report.details)


def test_a_body_that_fails_is_not_kept() -> None:
    """Its own trouble is what counts."""
    with pytest.raises(KeyError, match="body"), marked(Refusing(StoreUnreachableError("no")), KEY, Report()):
        raise KeyError("body")

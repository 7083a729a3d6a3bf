"""The figures of real stores: archives that were packed and published, marks, pins, and what cannot be read."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from terrastore import overview
from terrastore.overview.page import page
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.directory import DirectoryStore
from terrastore.store.layered import LayeredStore
from terrastore.upkeep import pins
from terrastore.upkeep.known import Known
from terrastore.upkeep.prune import Criteria
from tests.overview.figures import key
from tests.published import make_tree, pack_tree, publish

if TYPE_CHECKING:
    from pathlib import Path

    from terrastore.overview import Overview

DAY = 86400.0
CONTENTS = ({"alpha": b"a" * 9000, "beta": b"b" * 5000}, {"beta": b"b" * 5000}, {"beta": b"b" * 5001})


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Return a store of three environments, the second and third 40 days old, and the third pinned."""
    found = DirectoryStore(str(tmp_path / "store"))
    for number, distributions in enumerate(CONTENTS):
        sink = io.BytesIO()
        packed = pack_tree(make_tree(tmp_path / str(number), **distributions), [sink], key(number))
        publish(found, (packed, sink.getvalue()), key(number))
        if number:
            place = tmp_path / "store" / layout.pointer(key(number).text)
            moment = place.stat().st_mtime - 40 * DAY
            os.utime(place, (moment, moment))
    pins.put(found, "production", key(2))
    return found


def look(store: DirectoryStore | LayeredStore, folder: Path, report: Report | None = None) -> Overview:
    report = report or Report()
    criteria = Criteria(unused_for=30 * DAY)
    return overview.look(store, criteria, known=Known(store, folder, report), report=report)


def test_layers_of_real_archives(store: DirectoryStore, tmp_path: Path) -> None:
    """The same distribution is one layer, whichever archives have it; one byte more makes another."""
    found = look(store, tmp_path / "known")
    (beta,) = (each for each in found.packages if each.name == "beta")
    assert [2, 1] == sorted((layer.environments for layer in beta.layers), reverse=True)
    assert found.alone[key(1)] == 0 < found.alone[key(2)] < found.alone[key(0)]
    assert found.size == sum(each.size for each in found.environments)
    assert found.once + found.again == sum(layer.packed for layers in found.known.values() for layer in layers)
    assert 0 < found.again < found.once + found.again < found.size


def test_what_is_remembered_is_what_was_read(store: DirectoryStore, tmp_path: Path) -> None:
    """What archives consist of is remembered as it was read."""
    first, second = (look(store, tmp_path / "known") for _ in range(2))
    assert first.contents == second.contents


def test_what_is_remembered_reads_no_archive(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is far away is asked for each archive once."""
    look(store, tmp_path / "known")
    monkeypatch.setattr(DirectoryStore, "read_range", lambda *_: pytest.fail("an archive was read"))
    assert 3 == len(look(store, tmp_path / "known").known)


def test_it_tells_what_prune_does(store: DirectoryStore, tmp_path: Path) -> None:
    """By the same criteria: the one that is idle goes, the pinned one and the new one stay; nothing is removed."""
    found = look(store, tmp_path / "known")
    assert found.pruned is not None
    assert [key(1)] == [each.environment.key for each in found.pruned.removed]
    assert [(7, 1), (30, 1), (90, 0)] == [(each.days, each.environments) for each in found.steps[:3]]
    assert 3 == len(look(store, tmp_path / "known").environments)


def test_an_environment_that_cannot_be_read(store: DirectoryStore, tmp_path: Path) -> None:
    """It is in the page by age and size, without what it holds, and a warning says why."""
    place = tmp_path / "store" / layout.pointer(key(0).text)
    place.write_bytes(b"no pointer")
    report = Report()
    found = look(store, tmp_path / "known", report)
    assert {key(1), key(2)} == found.known.keys()
    assert 1 == len(report.warnings)
    assert b"what it holds cannot be told" in page(found)
    assert b"1 cannot be read" in page(found)


def test_several_stores(store: DirectoryStore, tmp_path: Path) -> None:
    """They are looked at as one; of what prune would do it is told that each is pruned by itself."""
    other = DirectoryStore(str(tmp_path / "other"))
    found = look(LayeredStore([store, other]), tmp_path / "known")
    assert 3 == len(found.environments)
    assert found.pruned is None
    assert b"What prune would do is not told: each store is pruned by what was used of it" in page(found)

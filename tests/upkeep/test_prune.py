"""Pruning in memory and in a directory; what goes by which criterion."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.directory import DirectoryStore
from terrastore.store.memory import MemoryStore
from terrastore.upkeep.known import Known
from terrastore.upkeep.prune import Criteria, prune
from tests.pruning import DAY, PruneContract, archive, key, publish

if TYPE_CHECKING:
    from pathlib import Path


class TestMemory(PruneContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        self.made = MemoryStore()
        return self.made

    def everything(self) -> set[str]:
        return set(self.made._objects)


class TestDirectory(PruneContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        self.root = tmp_path / "store"
        return DirectoryStore(str(self.root))

    def everything(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}

    def age(self, name: str, days: float) -> None:
        """Let something have been written so many days ago."""
        then = time.time() - days * DAY
        os.utime(self.root / name, (then, then))

    def test_a_record_that_cannot_be_read_keeps_archives(self, store: DirectoryStore) -> None:
        """A later version may have written it: whatever has no pointer may have lost it just now."""
        place = archive(publish(store, 1))
        store.remove(layout.pointer(key(1).text))
        self.age(place, 2)
        record = layout.pruned("ab" * 16)
        store.create(record, b'{"schema": 2}')
        report = Report()
        prune(store, Criteria(), known=Known(store, self.folder, report), report=report)
        assert [f"{record} in {store} cannot be read; archives without a pointer stay"] == report.warnings
        self.age(record, 2)
        assert 1 == self.prune(store).tidied["archives"]
        assert set() == self.everything()

    def test_what_killed_writers_left_goes_after_a_day(self, store: DirectoryStore) -> None:
        """Files that were never published, and what was taken aside to be removed; other hidden files stay."""
        publish(store, 1)
        folder = f"v1/archives/{key(1)}"
        left = [f"{folder}/.tmp-{'ab' * 8}-{'cd' * 8}", f"v1/pointers/.removed-{'ab' * 8}"]
        kept = [f"{folder}/.nfs0001", f"{folder}/.tmp-new", f"{folder}/.tmp-{'ab' * 8}-{'ef' * 8}"]
        for name in (*left, *kept):
            (self.root / name).write_bytes(b"left")
        for name in (*left, *kept[:-1]):
            self.age(name, 1.1)
        assert 2 == self.prune(store, dry_run=True).tidied["uploads"]
        assert 2 == self.prune(store).tidied["uploads"]
        assert set(kept) == {name for name in self.everything() if "/." in name}

    def test_a_reader_keeps_an_archive_whose_pointer_was_replaced(self, store: DirectoryStore) -> None:
        """However old the archive is: whoever read the pointer before has a day from then on."""
        first = publish(store, 1)
        self.age(archive(first), 100)
        second = publish(store, 1)
        self.prune(store)
        assert archive(first) in self.everything()
        self.age(layout.pointer(second.key), 1.1)
        self.prune(store)
        assert archive(first) not in self.everything()
        assert archive(second) in self.everything()

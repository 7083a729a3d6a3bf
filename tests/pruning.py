"""What pruning promises of every kind of store it can prune, as tests; a subclass gives a ``store`` fixture."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from terrastore.errors import UsageError
from terrastore.key import EnvKey
from terrastore.publish import archive_name
from terrastore.report import Report
from terrastore.store import layout
from terrastore.upkeep import pins, prune, uses
from terrastore.upkeep.holdings import read
from terrastore.upkeep.known import Known
from terrastore.upkeep.prune import Criteria, Pruned
from tests.published import pointer_for, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.pointer import Pointer
    from tests.store.contract import WholeStore

DAY: Final = 86400.0
WEEK_AGO: Final = "2026-W01"


def key(number: int) -> EnvKey:
    """Return one of many keys."""
    return EnvKey(f"cp311-linux_x86_64-{number:040x}")


def publish(store: WholeStore, number: int, data: bytes = b"archive", *, name: str = "") -> Pointer:
    """Put up an archive that is none, and the pointer to it; return that."""
    pointer = pointer_for(data, name=name or archive_name(), key=key(number))
    with store.upload(layout.archive(pointer.key, pointer.archive.name)) as upload:
        upload.write(data)
    place = layout.pointer(pointer.key)
    current = store.read(place)
    if current is None:
        assert store.create(place, sealed(pointer))
    else:
        assert store.replace(place, sealed(pointer), current.version)
    return pointer


def archive(pointer: Pointer) -> str:
    return layout.archive(pointer.key, pointer.archive.name)


class PruneContract:
    """Pruning on one kind of store. Its clock cannot be set, so it is pruning that seems to come days later."""

    later: float = 0.0

    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        now = prune._now
        monkeypatch.setattr(prune, "_now", lambda store: now(store) + self.later)
        self.folder = tmp_path / "known"

    def prune(self, store: WholeStore, *, days: float = 0.0, dry_run: bool = False, **criteria: Any) -> Pruned:
        """Prune when so many days have passed; nothing may be worth a warning."""
        self.later = days * DAY
        report = Report()
        known = Known(store, self.folder, report)
        pruned = prune.prune(store, Criteria(**criteria), known=known, report=report, dry_run=dry_run)
        assert [] == report.warnings
        return pruned

    def everything(self) -> set[str]:
        """Return the names of everything there, what is unfinished too, without the store under test."""
        raise NotImplementedError

    def keys(self, store: WholeStore) -> list[int]:
        """Return the numbers of the keys that have a pointer."""
        return sorted(int(each.key.digits, 16) for each in read(store).environments)

    def test_an_empty_store(self, store: WholeStore) -> None:
        """There is nothing to remove, and nothing is left behind."""
        pruned = self.prune(store, keep_last=0)
        assert (0, [], 0) == (pruned.total, list(pruned.removed), pruned.freed)
        assert set() == self.everything()

    def test_without_a_criterion_it_only_tidies(self, store: WholeStore) -> None:
        """No environment goes, however old it is."""
        publish(store, 1)
        before = self.everything()
        pruned = self.prune(store, days=1000)
        assert (1, 0, 0) == (pruned.total, len(pruned.removed), pruned.freed)
        assert before == self.everything()

    def test_what_was_not_used_goes_and_its_archive_a_day_later(self, store: WholeStore) -> None:
        """Whoever reads an archive whose pointer went has a day; then nothing of it is left."""
        publish(store, 1, b"x" * 1000)
        (removed,) = (pruned := self.prune(store, days=31, unused_for=30 * DAY)).removed
        assert (key(1), "not used for 31 d", 1000) == (removed.environment.key, removed.reason, pruned.later)
        assert [] == self.keys(store)
        assert 1 == len(list(store.list(layout.ARCHIVES)))
        again = self.prune(store, days=0.9)
        assert (0, 0) == (again.tidied["archives"], again.freed)
        last = self.prune(store, days=1.1)
        assert (1, 1) == (last.tidied["archives"], last.tidied["records"])
        assert set() == self.everything()

    def test_what_was_made_or_used_lately_stays(self, store: WholeStore) -> None:
        """A mark stands for the whole week from its first use on; what has none counts from when it was made."""
        publish(store, 1)
        publish(store, 2)
        store.create(layout.use(WEEK_AGO, key(2).text), b"")
        assert [] == list(self.prune(store, days=29, unused_for=30 * DAY).removed)
        assert [key(1)] == [each.environment.key for each in self.prune(store, days=36, unused_for=30 * DAY).removed]
        assert [key(2)] == [each.environment.key for each in self.prune(store, days=38, unused_for=30 * DAY).removed]

    def test_pinned_ones_stay(self, store: WholeStore) -> None:
        """By every criterion, until they are unpinned."""
        publish(store, 1)
        publish(store, 2)
        pins.put(store, "production", key(1))
        for criterion in ({"unused_for": DAY}, {"keep_last": 0}):
            self.prune(store, days=400, **criterion)
            assert [1] == self.keys(store)
        pins.remove(store, "production")
        self.prune(store, days=400, unused_for=DAY)
        assert [] == self.keys(store)

    def test_the_archive_that_is_pointed_to_stays(self, store: WholeStore) -> None:
        """Of several archives of a key all others go, once the pointer names what it does for a day."""
        publish(store, 1, b"first")
        second = publish(store, 1, b"second")
        assert 0 == self.prune(store, days=0.9).tidied["archives"]
        pruned = self.prune(store, days=1.1)
        assert (1, len(b"first")) == (pruned.tidied["archives"], pruned.freed)
        assert {archive(second), layout.pointer(key(1).text)} == self.everything()

    def test_an_archive_that_never_had_a_pointer_goes_after_a_day(self, store: WholeStore) -> None:
        """Whoever uploaded it was killed, or will point to it within a day."""
        name = layout.archive(key(1).text, archive_name())
        with store.upload(name) as upload:
            upload.write(b"left")
        self.prune(store, days=0.9)
        assert {name} == self.everything()
        self.prune(store, days=1.1)
        assert set() == self.everything()

    def test_a_pointer_that_cannot_be_read_keeps_its_archives(self, store: WholeStore) -> None:
        """It may be of a later version; which archive it names is not known."""
        pointer = publish(store, 1)
        publish(store, 1)
        place = layout.pointer(key(1).text)
        current = store.read(place)
        assert current is not None
        assert store.replace(place, b'{"of a": "later version"}', current.version)
        before = self.everything()
        self.prune(store, days=100)
        assert before == self.everything() >= {archive(pointer)}

    @pytest.mark.parametrize("way", ["pointer", "pin", "use"])
    def test_what_is_wanted_while_it_is_removed_stays(
        self, store: WholeStore, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody renews, pins or fetches it after all was listed: before it is removed, and just afterwards."""
        for number in (1, 2):
            publish(store, number)
        remove = type(store).remove_listed

        def want(number: int) -> None:
            if way == "pointer":
                publish(store, number, b"renewed")
            elif way == "pin":
                pins.put(store, f"wanted-{number}", key(number))
            else:
                store.create(layout.use(this_week(), key(number).text), b"")

        def meddling(self: WholeStore, listed: Any) -> bool:
            number = 1 if key(1).text in listed.name else 2
            is_pointer = listed.name == layout.pointer(key(number).text)
            if is_pointer and (number == 1 or way == "pointer"):
                want(number)
            removed = remove(self, listed)
            if is_pointer and number == 2 and way == "use":
                want(number)
            return removed

        with _patched(type(store), meddling, monkeypatch):
            self.prune(store, keep_last=0, days=0 if way == "use" else 3)
        assert ([1, 2] if way != "pin" else [1]) == self.keys(store)
        assert 1 == len({len(each.archives) for each in read(store).environments})

    def test_an_archive_that_is_pointed_to_again(self, store: WholeStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the instant in which it is removed, as by who fills a nearer store: it is there, or no pointer is."""
        pointer = publish(store, 1)
        store.remove(layout.pointer(pointer.key))
        remove = type(store).remove_listed

        def meddling(self: WholeStore, listed: Any) -> bool:
            if listed.name == archive(pointer):
                publish(self, 1, b"archive", name=pointer.archive.name)
            return remove(self, listed)

        with _patched(type(store), meddling, monkeypatch):
            self.prune(store, days=3)
        is_there = store.read_range(archive(pointer), 0, 0) is not None
        assert (store.read(layout.pointer(pointer.key)) is not None) == is_there

    def test_the_last_used_are_kept(self, store: WholeStore) -> None:
        """In the whole store, by when they were made or used."""
        for number in (1, 2, 3):
            publish(store, number)
            time.sleep(1.1)  # what S3 tells of times is in whole seconds
        store.create(layout.use(this_week(), key(1).text), b"")
        pruned = self.prune(store, keep_last=2)
        assert "not among the 2 that were used last" == pruned.removed[0].reason
        assert [1, 3] == self.keys(store)

    def test_a_store_is_kept_small(self, store: WholeStore) -> None:
        """What was not used for longest goes until the rest is small enough; what goes later counts as gone."""
        for number in (1, 2, 3):
            publish(store, number, bytes(1000))
            time.sleep(1.1)  # see above
        pruned = self.prune(store, max_size=2500)
        assert [(key(1), "so that 2.5 kB are enough")] == [
            (each.environment.key, each.reason) for each in pruned.removed
        ]
        assert 2000 == pruned.left
        assert [] == list(self.prune(store, max_size=2500).removed)
        assert [2, 3] == self.keys(store)

    def test_old_marks_notes_and_probes_go(self, store: WholeStore) -> None:
        """Of marks the last one of each environment stays, of notes those of environments; what is new stays."""
        publish(store, 1)
        marks = [layout.use(week, key(number).text) for number in (1, 2) for week in ("2025-W50", "2026-W02")]
        notes = [layout.lease(key(number).text) for number in (1, 2)]
        notes += [f"{layout.leases(key(number).text)}{generation:08}" for number in (1, 2) for generation in (1, 2)]
        for name in (*marks, *notes, layout.probe("ab" * 16)):
            store.create(name, b"" if name in marks else b"note")
        before = self.everything()
        self.prune(store)
        assert before == self.everything()
        pruned = self.prune(store, days=9)
        assert (3, 4, 1) == tuple(pruned.tidied[kind] for kind in ("marks", "leases", "probes"))
        left = {layout.use("2026-W02", key(1).text), layout.lease(key(1).text), f"{layout.leases(key(1).text)}00000002"}
        assert left == {name for name in self.everything() if name.startswith((layout.USES, layout.LEASES))}

    def test_strangers_stay(self, store: WholeStore) -> None:
        """Whatever is not named as the format says is somebody else's."""
        names = {
            "README",
            "v1/archives/a/b",
            f"v1/archives/{key(1)}/notes.txt",
            f"v1/archives/{key(1)}/{'ab' * 16}.tar.zst.bak",
            "v1/leases/a/b",
            "v1/pointers/stranger",
            "v1/uses/a",
            "v1/uses/2026-01/key",
            "v1/wheels/a",
            "v2/archives/a",
        }
        for name in names:
            store.create(name, b"stranger")
        self.prune(store, days=1000, keep_last=0)
        assert names == self.everything()

    def test_a_dry_run_writes_nothing(self, store: WholeStore) -> None:
        """It says what would be, and all is as it was."""
        for number in (1, 2):
            publish(store, number)
        publish(store, 1)
        before = self.everything()
        pruned = self.prune(store, dry_run=True, keep_last=1)
        assert 1 == len(pruned.removed)
        assert before == self.everything()

    def test_a_pin_that_names_nothing_stops_it(self, store: WholeStore) -> None:
        """What somebody wants to keep cannot be told, so nothing is removed."""
        publish(store, 1)
        store.create(layout.pin("odd"), b"scribble")
        before = self.everything()
        with pytest.raises(UsageError, match=r"the pin odd in .* names no key"):
            self.prune(store, keep_last=0)
        assert before - {name for name in before if "probes" in name} == self.everything()


def this_week() -> str:
    """Return the week in which a mark is put now."""
    return uses.week(datetime.now(UTC))


@contextmanager
def _patched(kind: type[WholeStore], remove: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(kind, "remove_listed", remove)
        yield

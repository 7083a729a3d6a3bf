"""One suite that judges every kind of store.

A subclass gives a ``store`` fixture, which makes an empty store, and three methods that look behind it, so that no
store is judged by its own answers: ``peek`` reads an object, ``plant`` puts one there, ``everything`` names what is
there, finished or not. A store that can only be read keeps the part that is :class:`ReadingContract`.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from terrastore.store.directory import DirectoryStore
from terrastore.store.memory import MemoryStore
from terrastore.store.protocol import (
    WHOLE_LIMIT,
    CopyingStore,
    ListableStore,
    Listed,
    PrunableStore,
    Store,
    WritableStore,
)

NAME = "v1/pointers/cp311-linux_x86_64-0000.json"
THREADS = 20
ROUNDS = 5


class WholeStore(PrunableStore, Protocol):
    """A store that can do everything a store can."""


MISSES_OF_READING: dict[str, tuple[object, Callable[[Store], object]]] = {
    "read": (None, lambda store: store.read(NAME)),
    "read_range": (None, lambda store: store.read_range(NAME, 0, 10)),
    "read_range of nothing": (None, lambda store: store.read_range(NAME, 0, 0)),
}
MISSES: dict[str, tuple[object, Callable[[WholeStore], object]]] = {
    "replace": (False, lambda store: store.replace(NAME, b"new", "any version")),
    "list": ([], lambda store: list(store.list("v1/pointers/"))),
    "remove": (False, lambda store: store.remove(NAME)),
}

BODIES = {
    "empty": b"",
    "one byte": b"\0",
    "every byte": bytes(range(256)),
    "line ends": b"a\r\nb\nc\r\n\x1a",
    "not UTF-8": b"\xff\xfe\x80",
    "a mebibyte": random.Random(1).randbytes(1024 * 1024),
}

ODD_NAMES = (
    "at-the-top",
    "v1/wheels/0f/numpy-1!2.1.0+local.1-cp311-cp311-linux_x86_64.whl",
    "v1/pins/with space",
    "v1/pins/ünïcødé-名前",
    "v1/pins/100%",
    "v1/pins/%2Fencoded%20already",
    "v1/pins/query?a=1&b=2#fragment",
    "v1/pins/semi;colon,comma:colon=equals@at~tilde",
    "v1/pins/quotes'\"`",
    "v1/pins/<angle>[square]{curly}(round)",
    "v1/pins/$HOME*|back\\slash",
    "v1/pins/ends.",
    "v1/pins/dots..inside",
    f"v1/pins/{'long' * 50}",
    "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p",
)


class ReadingContract:
    """What ``terrastore.store.protocol`` promises of a store that can be read, as tests."""

    secrets: ClassVar[tuple[str, ...]] = ()
    """What of the way the store was made must never be shown."""

    def plant(self, name: str, data: bytes) -> None:
        """Put an object there without the store under test."""
        raise NotImplementedError

    def everything(self) -> set[str]:
        """Return the names of everything there, what is unfinished too, without the store under test."""
        raise NotImplementedError

    def test_it_says_where_it_is_and_no_secret(self, store: Store) -> None:
        """Its text is something to read, without credentials; nor does its repr hold any."""
        assert "object at 0x" not in str(store)
        assert [] == [secret for secret in self.secrets if secret in f"{store} {store!r}"]

    @pytest.mark.parametrize(("expected", "ask"), MISSES_OF_READING.values(), ids=MISSES_OF_READING)
    def test_what_is_not_there_is_none(self, store: Store, expected: object, ask: Callable[[Store], object]) -> None:
        """It is not there, which is no error, whatever else is there; asking for it leaves nothing behind."""
        assert expected == ask(store)
        self.plant("v1/other", b"other")
        assert expected == ask(store)
        assert {"v1/other"} == self.everything()

    @pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
    def test_bytes_are_read_as_they_are(self, store: Store, data: bytes) -> None:
        """What is there is read byte for byte."""
        self.plant(NAME, data)
        found = store.read(NAME)
        assert found is not None
        assert data == found.data

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_are_read(self, store: Store, name: str) -> None:
        """A name is taken as it is, whatever stands in it."""
        self.plant(name, b"0123")
        found = store.read(name)
        assert found is not None
        assert b"0123" == found.data
        assert b"12" == store.read_range(name, 1, 2)

    @pytest.mark.parametrize(
        ("offset", "size", "expected"),
        [
            (0, 10, b"0123456789"),
            (0, 0, b""),
            (0, 1, b"0"),
            (3, 4, b"3456"),
            (9, 1, b"9"),
            (4, 0, b""),
            (0, 11, b"0123456789"),
            (9, 5, b"9"),
            (10, 0, b""),
            (10, 1, b""),
            (11, 1, b""),
            (1_000_000, 1_000_000, b""),
            (2, 1_000_000, b"23456789"),
        ],
    )
    def test_a_range_ends_where_the_object_ends(self, store: Store, offset: int, size: int, expected: bytes) -> None:
        """A range that reaches beyond the end is shorter, and one that begins there is empty."""
        self.plant(NAME, b"0123456789")
        assert expected == store.read_range(NAME, offset, size)

    def test_a_range_takes_no_more_memory_than_the_object(self, store: Store) -> None:
        """A size that no machine could hold, such as a damaged pointer may name, is a short range like any other."""
        self.plant(NAME, b"0123456789")
        assert b"23456789" == store.read_range(NAME, 2, 2**50)

    def test_a_range_of_an_empty_object_is_empty(self, store: Store) -> None:
        """An empty object is there: its ranges are empty, not missing."""
        self.plant(NAME, b"")
        assert b"" == store.read_range(NAME, 0, 10)

    def test_ranges_are_read_by_several_threads(self, store: Store) -> None:
        """Threads that read ranges of one object at once each get their own."""
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        data = chance.randbytes(300_000)
        self.plant(NAME, data)
        ranges = [(chance.randrange(310_000), chance.randrange(100_000)) for _ in range(400)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda wanted: store.read_range(NAME, *wanted), ranges))
        assert [data[offset : offset + size] for offset, size in ranges] == found, f"seed {seed}"

    def test_as_many_threads_read_as_it_says(self, store: Store) -> None:
        """It says how many, few enough for any machine; each of so many at once gets its own."""
        assert store.readers in range(1, 17)
        size = 8 * 1024 * 1024 // store.readers
        data = random.Random(3).randbytes(size * store.readers)
        self.plant(NAME, data)
        barrier = threading.Barrier(store.readers)

        def read(offset: int) -> bytes | None:
            barrier.wait()
            return store.read_range(NAME, offset, size)

        with ThreadPoolExecutor(store.readers) as pool:
            found = list(pool.map(read, range(0, len(data), size)))
        assert data == b"".join(filter(None, found))


class StoreContract(ReadingContract):
    """What it promises of a store that can do everything, as tests."""

    def peek(self, name: str) -> bytes | None:
        """Return an object's bytes, None when it is not there, without the store under test."""
        raise NotImplementedError

    def test_it_reads_writes_and_lists(self, store: WholeStore) -> None:
        """Who asks what a store can do is told everything."""
        assert isinstance(store, WritableStore)
        assert isinstance(store, ListableStore)

    def test_making_one_touches_nothing(self, store: WholeStore) -> None:
        """A store that was only made has left nothing anywhere."""
        assert set() == self.everything()

    def test_a_new_store_is_empty(self, store: WholeStore) -> None:
        """Listing everything finds nothing, and leaves nothing."""
        assert [] == list(store.list(""))
        assert set() == self.everything()

    @pytest.mark.parametrize(("expected", "ask"), MISSES.values(), ids=MISSES)
    def test_a_miss_is_a_value(self, store: WholeStore, expected: object, ask: Callable[[WholeStore], object]) -> None:
        """What was never written is not there, which is no error, and asking for it leaves nothing behind."""
        assert expected == ask(store)
        assert set() == self.everything()

    @pytest.mark.parametrize(("expected", "ask"), MISSES.values(), ids=MISSES)
    def test_a_miss_beside_others_is_a_value(
        self, store: WholeStore, expected: object, ask: Callable[[WholeStore], object]
    ) -> None:
        """The same holds when the store has other objects, which stay as they were."""
        self.plant("v1/other", b"other")
        assert expected == ask(store)
        assert {"v1/other"} == self.everything()

    @pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
    def test_bytes_are_created_as_they_are(self, store: WholeStore, data: bytes) -> None:
        """What was created is there byte for byte."""
        assert store.create(NAME, data)
        assert data == self.peek(NAME)

    def test_creating_leaves_the_object_alone(self, store: WholeStore) -> None:
        """After it nothing else is there, such as a temporary file."""
        store.create(NAME, b"data")
        assert {NAME} == self.everything()

    @pytest.mark.parametrize("second", [b"second", b"first"], ids=["other bytes", "equal bytes"])
    def test_the_first_to_create_stays(self, store: WholeStore, second: bytes) -> None:
        """Creating what is there is refused with False, even with the same bytes, and changes nothing."""
        assert store.create(NAME, b"first")
        assert not store.create(NAME, second)
        assert b"first" == self.peek(NAME)
        assert {NAME} == self.everything()

    def test_a_planted_object_is_not_created_over(self, store: WholeStore) -> None:
        """It does not matter who wrote the first one."""
        self.plant(NAME, b"")
        assert not store.create(NAME, b"second")
        assert b"" == self.peek(NAME)

    def test_a_race_to_create_has_one_winner(self, store: WholeStore) -> None:
        """Of twenty that create one object at once, one is told it won, and its bytes are there."""
        barrier = threading.Barrier(THREADS)

        def create(name: str, body: bytes) -> bool:
            barrier.wait()
            return store.create(name, body)

        bodies = [b"%d" % number * 1000 for number in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            for turn in range(ROUNDS):
                name = f"v1/races/{turn}/object"
                won = list(pool.map(create, [name] * THREADS, bodies))
                assert [self.peek(name)] == [body for body, winner in zip(bodies, won, strict=True) if winner]
        assert {f"v1/races/{turn}/object" for turn in range(ROUNDS)} == self.everything()

    def test_replacing_by_the_current_version(self, store: WholeStore) -> None:
        """Who holds the current version puts other bytes there, as often as wanted."""
        store.create(NAME, b"first")
        for data in (b"second", b"third, which is longer", b""):
            found = store.read(NAME)
            assert found is not None
            assert store.replace(NAME, data, found.version)
            assert data == self.peek(NAME)
        assert {NAME} == self.everything()

    def test_replacing_by_a_stale_version(self, store: WholeStore) -> None:
        """Who holds an older version is told so with False, and nothing is changed."""
        store.create(NAME, b"first")
        first = store.read(NAME)
        assert first is not None
        assert store.replace(NAME, b"second", first.version)
        assert not store.replace(NAME, b"third", first.version)
        assert b"second" == self.peek(NAME)
        assert {NAME} == self.everything()

    def test_replacing_what_was_removed(self, store: WholeStore) -> None:
        """A version does not bring back an object that is gone."""
        store.create(NAME, b"first")
        first = store.read(NAME)
        assert first is not None
        store.remove(NAME)
        assert not store.replace(NAME, b"second", first.version)
        assert set() == self.everything()

    def test_versions_differ_whenever_the_bytes_do(self, store: WholeStore) -> None:
        """Every change of the bytes changes the version, also one of equal length within the same instant."""
        bodies = [b"%05d" % number for number in range(50)]
        versions = []
        for body in bodies:
            self.plant(NAME, body)
            found = store.read(NAME)
            assert found is not None
            versions.append(found.version)
        assert len(bodies) == len(set(versions))

    def test_the_version_stays_while_the_bytes_do(self, store: WholeStore) -> None:
        """Reading twice gives the same version."""
        store.create(NAME, b"data")
        assert store.read(NAME) == store.read(NAME)

    def test_a_reader_sees_one_version_whole(self, store: WholeStore) -> None:
        """While an object is replaced over and over, who reads it gets the old bytes or the new ones."""
        store.create(NAME, b"0" * 50_000)
        done = threading.Event()

        def torn() -> list[bytes]:
            found = []
            while not done.is_set():
                current = store.read(NAME)
                data = b"" if current is None else current.data
                if data != data[:1] * 50_000 or not data:
                    found.append(data)
            return found

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(torn) for _ in range(4)]
            try:
                for turn in range(50):
                    current = store.read(NAME)
                    assert current is not None
                    assert store.replace(NAME, b"%d" % (turn % 10) * 50_000, current.version)
            finally:
                done.set()
            assert [[]] * 4 == [reader.result() for reader in readers]

    def test_an_upload_is_invisible_until_it_ends(self, store: WholeStore) -> None:
        """Nobody sees an object on its way, by its name or in a listing; at the end it is there whole."""
        with store.upload(NAME) as upload:
            for _ in range(3):
                upload.write(b"piece " * 20_000)
                assert store.read(NAME) is None
                assert store.read_range(NAME, 0, 1) is None
                assert [] == list(store.list(""))
                assert self.peek(NAME) is None
        assert b"piece " * 60_000 == self.peek(NAME)
        assert {NAME} == self.everything()

    @pytest.mark.parametrize("pieces", [(), (b"",), (b"whole",), (b"", b"a", b"", b"b", b"")])
    def test_an_upload_is_the_sum_of_its_pieces(self, store: WholeStore, pieces: tuple[bytes, ...]) -> None:
        """Pieces come together in order; none at all make an empty object."""
        with store.upload(NAME) as upload:
            for piece in pieces:
                upload.write(piece)
        assert b"".join(pieces) == self.peek(NAME)

    def test_a_large_upload_in_pieces(self, store: WholeStore) -> None:
        """Pieces of any size make one object, which can be read across their seams; whole only to a limit."""
        mebibyte = 1024 * 1024
        whole = random.Random(2).randbytes(21 * mebibyte + 17)
        sizes = cycle((8 * mebibyte, 1, 3 * mebibyte + 5, 64 * 1024))
        ends = [0]
        with store.upload(NAME) as upload:
            while ends[-1] < len(whole):
                ends.append(min(ends[-1] + next(sizes), len(whole)))
                upload.write(whole[ends[-2] : ends[-1]])
        assert whole == self.peek(NAME)
        assert whole == store.read_range(NAME, 0, len(whole))
        found = store.read(NAME)
        assert found is not None
        assert whole[: WHOLE_LIMIT + 1] == found.data
        assert all(whole[end - 10 : end + 10] == store.read_range(NAME, end - 10, 20) for end in ends[1:])

    @pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()], ids=["error", "interrupt"])
    @pytest.mark.parametrize("size", [0, 10, 9 * 1024 * 1024])
    def test_an_upload_that_fails_leaves_nothing(self, store: WholeStore, failure: BaseException, size: int) -> None:
        """When its body raises, nothing was published, nothing is left, and whoever called sees what was raised."""
        with pytest.raises(type(failure)):
            upload_and_raise(store, b"x" * size, failure)
        assert self.peek(NAME) is None
        assert set() == self.everything()

    def test_what_fails_in_an_upload_is_not_blamed_on_the_store(self, store: WholeStore) -> None:
        """A file that the body cannot read is that file's trouble, not the store's."""
        with pytest.raises(FileNotFoundError, match="what-is-uploaded"):
            upload_and_raise(store, b"", FileNotFoundError(2, "No such file", "what-is-uploaded"))

    def test_an_upload_can_be_tried_again(self, store: WholeStore) -> None:
        """One that failed is not in the way of the next of the same name."""
        with pytest.raises(ValueError, match="no"):
            upload_and_raise(store, b"first", ValueError("no"))
        with store.upload(NAME) as upload:
            upload.write(b"second")
        assert b"second" == self.peek(NAME)

    def test_uploads_at_once_do_not_mix(self, store: WholeStore) -> None:
        """Several threads upload several objects, each piece by piece."""

        def upload(number: int) -> None:
            with store.upload(f"v1/archives/{number}") as taken:
                for _ in range(50):
                    taken.write(b"%d," % number * 1000)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(upload, range(8)))
        assert [b"%d," % number * 50_000 for number in range(8)] == [
            self.peek(f"v1/archives/{number}") for number in range(8)
        ]

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("", ["a-b/x", "a/x", "a/y/z", "a0", "b/a/x", "b/ab", "b/b"]),
            ("a", ["a-b/x", "a/x", "a/y/z", "a0"]),
            ("a/", ["a/x", "a/y/z"]),
            ("a/x", ["a/x"]),
            ("a/y/", ["a/y/z"]),
            ("b/a", ["b/a/x", "b/ab"]),
            ("a0", ["a0"]),
            ("c/", []),
            ("a/nothing/here", []),
        ],
    )
    def test_a_listing_is_of_what_begins_with_the_prefix(
        self, store: WholeStore, prefix: str, expected: list[str]
    ) -> None:
        """Names come sorted as text, whatever folders they lie in; the prefix may end within a part of a name."""
        for name in ("b/b", "a/y/z", "a0", "a-b/x", "b/a/x", "a/x", "b/ab"):
            self.plant(name, b"")
        assert expected == [listed.name for listed in store.list(prefix)]

    def test_nothing_lies_below_an_object(self, store: WholeStore) -> None:
        """A name that goes on where an object's name ends is not there, like any other."""
        self.plant(NAME, b"data")
        assert store.read(f"{NAME}/below") is None
        assert [] == list(store.list(f"{NAME}/"))

    def test_a_listing_knows_sizes(self, store: WholeStore) -> None:
        """Every object is listed with its size in bytes."""
        store.create("v1/a", b"")
        with store.upload("v1/b") as upload:
            upload.write(b"x" * 12_345)
        assert [("v1/a", 0), ("v1/b", 12_345)] == [(listed.name, listed.size) for listed in store.list("v1/")]

    def test_a_listing_knows_when_objects_were_written(self, store: WholeStore) -> None:
        """By the store's clock, which in a test is about ours: pruning goes by it."""
        store.create("v1/a", b"data")
        assert [] == [listed for listed in store.list("v1/") if abs(listed.modified - time.time()) > 60]

    def test_a_listing_of_many_is_whole(self, store: WholeStore) -> None:
        """However many pages a store divides a listing into, it comes as one."""
        names = [f"v1/many/{number:05}" for number in range(1234)]
        for name in names:
            self.plant(name, b"")
        assert names == [listed.name for listed in store.list("v1/many/")]

    def test_a_listing_lasts_while_objects_go(self, store: WholeStore) -> None:
        """Whoever lists may remove what is listed at the same time."""
        names = [f"v1/many/{number}" for number in range(10)]
        for name in names:
            self.plant(name, b"")
        for listed in store.list("v1/many/"):
            store.remove(listed.name)
        assert set() == self.everything()

    def test_removing_says_whether_it_was_there(self, store: WholeStore) -> None:
        """The first removal is told True, the next False; others stay."""
        self.plant(NAME, b"data")
        self.plant(f"{NAME}.not", b"other")
        assert store.remove(NAME)
        assert self.peek(NAME) is None
        assert not store.remove(NAME)
        assert {f"{NAME}.not"} == self.everything()

    def test_what_was_removed_can_be_created_anew(self, store: WholeStore) -> None:
        """A removed object's name is free again."""
        store.create(NAME, b"first")
        store.remove(NAME)
        assert store.create(NAME, b"second")
        assert b"second" == self.peek(NAME)


class PrunableContract(StoreContract):
    """What a store promises whose objects go when they are as they were listed."""

    def test_it_can_be_pruned(self, store: WholeStore) -> None:
        """Who asks what it can do is told so."""
        assert isinstance(store, PrunableStore)

    def listed(self, store: WholeStore, name: str) -> Listed:
        """Return an object as a listing has it."""
        (listed,) = store.list(name)
        return listed

    def test_what_was_listed_is_removed(self, store: WholeStore) -> None:
        """It is as it was listed, so it goes; nothing of it is left, and others stay. Twice is no trouble."""
        for name in (NAME, f"{NAME}.not"):
            self.plant(name, b"data")
        listed = next(each for each in store.list(NAME) if each.name == NAME)
        assert store.remove_listed(listed)
        assert {f"{NAME}.not"} == self.everything()
        store.remove_listed(listed)
        assert {f"{NAME}.not"} == self.everything()

    @pytest.mark.parametrize("how", ["replaced", "removed and created", "planted"])
    def test_what_was_written_since_it_was_listed_stays(self, store: WholeStore, how: str) -> None:
        """Whoever wrote it, and however: what is there is not what was listed, and stays as it is."""
        store.create(NAME, b"first")
        listed = self.listed(store, NAME)
        if how == "replaced":
            found = store.read(NAME)
            assert found is not None
            assert store.replace(NAME, b"other", found.version)
        elif how == "planted":
            self.plant(NAME, b"other")
        else:
            store.remove(NAME)
            store.create(NAME, b"other")
        assert not store.remove_listed(listed)
        assert b"other" == self.peek(NAME)
        assert {NAME} == self.everything()

    def test_an_empty_object_is_removed_as_listed(self, store: WholeStore) -> None:
        """So marks go."""
        store.create("v1/uses/2026-W01/key", b"")
        assert store.remove_listed(self.listed(store, "v1/uses/"))
        assert set() == self.everything()

    def test_what_is_finished_is_not_abandoned(self, store: WholeStore) -> None:
        """Nothing that is there, and no upload that ended, is ever told as unfinished."""
        store.create("v1/archives/key/a", b"data")
        with store.upload("v1/archives/key/b") as upload:
            upload.write(b"data")
        assert [] == list(store.abandoned(time.time() + 60))

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, store: WholeStore, name: str) -> None:
        """A name is taken as it is, whatever stands in it, by every operation."""
        assert store.create(name, b"0123")
        assert b"0123" == self.peek(name)
        assert b"12" == store.read_range(name, 1, 2)
        assert [name] == [listed.name for listed in store.list("")]
        assert [name] == [listed.name for listed in store.list(name)]
        found = store.read(name)
        assert found is not None
        assert store.replace(name, b"456", found.version)
        assert b"456" == self.peek(name)
        assert store.remove(name)
        with store.upload(name) as upload:
            upload.write(b"789")
        assert b"789" == self.peek(name)
        assert {name} == self.everything()

    def test_names_are_told_apart(self, store: WholeStore) -> None:
        """Names that some system might take for one another are different objects."""
        names = ("v1/a", "v1/A", "v1/a ", "v1/%61", "v1/a.", "v1/a%20", "v1/a+")
        for name in names:
            assert store.create(name, name.encode())
        assert [name.encode() for name in names] == [self.peek(name) for name in names]


class CopyingContract(PrunableContract):
    """What a store promises that copies from others of its kind: ``other`` gives an empty one of these."""

    def copying(self, store: WholeStore) -> CopyingStore:
        assert isinstance(store, CopyingStore)
        return store

    @pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
    def test_an_object_is_copied(self, store: WholeStore, other: WholeStore, data: bytes) -> None:
        """It is there byte for byte then, alone, and where it was copied from as before."""
        other.create(NAME, data)
        assert self.copying(store).copy_from(other, NAME, len(data))
        assert data == self.peek(NAME)
        assert {NAME} == self.everything()
        found = other.read(NAME)
        assert found is not None
        assert data == found.data

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_are_copied(self, store: WholeStore, other: WholeStore, name: str) -> None:
        """A name is taken as it is, on both sides."""
        other.create(name, b"0123")
        assert self.copying(store).copy_from(other, name, 4)
        assert b"0123" == self.peek(name)

    def test_a_large_upload_is_copied(self, store: WholeStore, other: WholeStore) -> None:
        """However it came to be where it is."""
        whole = random.Random(3).randbytes(21 * 1024 * 1024 + 17)
        with other.upload(NAME) as upload:
            upload.write(whole)
        assert self.copying(store).copy_from(other, NAME, len(whole))
        assert whole == self.peek(NAME)

    @pytest.mark.parametrize("size", [0, 3, 5])
    def test_what_is_not_there_is_not_copied(self, store: WholeStore, other: WholeStore, size: int) -> None:
        """Nor is what has another size; that is no error here, and leaves nothing behind."""
        assert not self.copying(store).copy_from(other, NAME, size)
        other.create(NAME, b"data")
        assert not self.copying(store).copy_from(other, NAME, size)
        assert set() == self.everything()

    def test_another_kind_is_not_copied_from(self, store: WholeStore, tmp_path: Path) -> None:
        """Nothing is done then; whoever wants it reads it."""
        strangers: list[WholeStore] = [MemoryStore(), DirectoryStore(str(tmp_path / "strange"))]
        for stranger in strangers:
            stranger.create(NAME, b"data")
        tried = [self.copying(store).copy_from(each, NAME, 4) for each in strangers if type(each) is not type(store)]
        assert set(tried) == {False}
        assert set() == self.everything()

    def test_what_is_there_already_stays(self, store: WholeStore, other: WholeStore) -> None:
        """Names are unique, so it is the same; of another size it is not, and is replaced."""
        other.create(NAME, b"data")
        self.plant(NAME, b"DATA")
        assert self.copying(store).copy_from(other, NAME, 4)
        assert b"DATA" == self.peek(NAME)
        self.plant(NAME, b"damaged")
        assert self.copying(store).copy_from(other, NAME, 4)
        assert b"data" == self.peek(NAME)
        assert {NAME} == self.everything()

    def test_several_copy_at_once(self, store: WholeStore, other: WholeStore) -> None:
        """All are told that it is there, and it is."""
        data = random.Random(4).randbytes(100_000)
        other.create(NAME, data)
        barrier = threading.Barrier(8)

        def copy(_: int) -> bool:
            barrier.wait()
            return self.copying(store).copy_from(other, NAME, len(data))

        with ThreadPoolExecutor(8) as pool:
            assert [True] * 8 == list(pool.map(copy, range(8)))
        assert data == self.peek(NAME)
        assert {NAME} == self.everything()


def upload_and_raise(store: WholeStore, data: bytes, failure: BaseException) -> None:
    """Upload ``data`` and fail before the end."""
    with store.upload(NAME) as upload:
        upload.write(data)
        raise failure

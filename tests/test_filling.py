"""What is fetched from one store fills the nearer ones, whole or not at all, and never at the run's cost."""

import hashlib
import random
import tracemalloc
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from terrastore.catalogue import Published
from terrastore.errors import ArchiveRefusedError, StoreUnreachableError
from terrastore.filling import filling
from terrastore.publish import Publication
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.memory import MemoryStore
from terrastore.store.protocol import Upload
from terrastore.trust import Trust
from tests.published import (
    KEY,
    STEPS,
    Archive,
    OrderedStore,
    TroubledStore,
    contents,
    found,
    make_archive,
    place,
    pointer_for,
    publish,
    put,
    sealed,
)

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(tmp_path_factory.mktemp("tree") / "env")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class CountingStore(MemoryStore):
    """A store that counts how often each byte of an archive is read."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        self.ranges.append((offset, size))
        return super().read_range(name, offset, size)


def nearer(published: Published, *stores: MemoryStore, report: Report) -> list[Publication]:
    """Return what fills ``stores`` with what was found farther away."""
    return [
        Publication(store, published.key, published.pointer.archive.name, trust=Trust(), report=report)
        for store in stores
    ]


def cut(size: int, chance: random.Random) -> list[tuple[int, int]]:
    """Return ranges that together are all of ``size`` bytes, in order."""
    edges = sorted({0, size, *chance.sample(range(1, size), 40)})
    return [(start, stop - start) for start, stop in pairwise(edges)]


def assert_filled(near: MemoryStore, far: MemoryStore) -> None:
    """Assert that a nearer store has what the farther one has, byte for byte."""
    assert contents(far) == contents(near)


def test_without_nearer_stores_nothing_is_between(store: MemoryStore) -> None:
    """What was found is given as it is."""
    published = put(store, b"data")
    with filling(published, []) as read:
        assert published is read


def test_it_is_read_as_the_farther_store_is() -> None:
    """By as many at once as that one wants, not by as many as the nearer one would."""
    near, far = MemoryStore(), MemoryStore()
    far.readers = 7
    published = put(far, b"data")
    with filling(published, nearer(published, near, report=Report())) as read:
        assert far.readers == read.readers
        read.read(0, 4)
    assert_filled(near, far)


def test_a_nearer_store_has_the_same_afterwards(archive: Archive) -> None:
    """Archive and pointer are the same byte for byte, and under the same names; nothing is told."""
    near, far, report = MemoryStore(), MemoryStore(), Report()
    published = publish(far, archive)
    with filling(published, nearer(published, near, report=report)) as read:
        assert archive[0].manifest == read.manifest()
        assert archive[1] == read.read(0, len(archive[1]))
    assert_filled(near, far)
    assert [] == report.warnings


def test_a_pointer_is_passed_on_as_it_is(store: MemoryStore) -> None:
    """A pointer that another version wrote in its own way keeps its bytes, which may be signed."""
    near = MemoryStore()
    published = put(store, b"data")
    assert sealed(published.pointer) != published.envelope
    with filling(published, nearer(published, near, report=Report())) as read:
        read.read(0, 4)
    assert_filled(near, store)


@pytest.mark.parametrize("threads", [1, 8])
def test_each_byte_is_read_once_and_goes_on_in_order(threads: int) -> None:
    """However the ranges are mixed, and whoever reads them, nothing is read twice and nothing is out of order."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    data = chance.randbytes(100_000)
    near, far = OrderedStore(), CountingStore()
    published = put(far, data)
    ranges = cut(len(data), chance)
    chance.shuffle(ranges)
    with filling(published, nearer(published, near, report=Report())) as read, ThreadPoolExecutor(threads) as pool:
        pieces = list(pool.map(lambda wanted: read.read(*wanted), ranges))
    assert [data[offset : offset + size] for offset, size in ranges] == pieces, f"seed {seed}"
    assert data == b"".join(near.pieces), f"seed {seed}"
    assert sorted(ranges) == sorted(far.ranges), f"seed {seed}"
    assert_filled(near, far)


def test_gaps_are_read_afterwards() -> None:
    """What nobody wanted is read once as well, in pieces that fit into memory; what was read is not read again."""
    data = random.Random(3).randbytes(20 * MEBIBYTE)
    near, far = MemoryStore(), CountingStore()
    published = put(far, data)
    with filling(published, nearer(published, near, report=Report())) as read:
        read.read(len(data) - 100, 100)
        read.read(1000, 50)
    assert_filled(near, far)
    assert len(data) == sum(size for _, size in far.ranges)
    assert 8 * MEBIBYTE == max(size for _, size in far.ranges)


def test_nothing_read_at_all_is_all_read_afterwards() -> None:
    """Also who needed no byte leaves the nearer store whole."""
    near, far = MemoryStore(), MemoryStore()
    published = put(far, b"data")
    with filling(published, nearer(published, near, report=Report())):
        pass
    assert_filled(near, far)


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 10), (0, 10)],
        [(0, 10), (0, 10), (10, 90)],
        [(0, 10), (5, 10)],
        [(5, 10), (0, 10)],
        [(5, 10), (5, 20), (0, 10)],
        [(5, 20), (5, 10), (0, 10)],
        [(0, 100), (90, 10), (0, 1)],
        [(90, 10), (0, 100)],
        [(50, 10), (0, 100), (50, 10)],
        [(20, 5), (10, 30)],
    ],
    ids=str,
)
def test_ranges_that_overlap(ranges: list[tuple[int, int]]) -> None:
    """A range that is read again, or together with its neighbour, as after a retry, changes nothing."""
    near, far, report = MemoryStore(), MemoryStore(), Report()
    published = put(far, random.Random(4).randbytes(100))
    with filling(published, nearer(published, near, report=report)) as read:
        for wanted in ranges:
            read.read(*wanted)
    assert [] == report.warnings
    assert_filled(near, far)


def test_any_ranges_from_any_threads() -> None:
    """Hundreds of ranges at random, repeated and overlapping, by eight threads: the same bytes at the end."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    near, far, report = MemoryStore(), MemoryStore(), Report()
    published = put(far, data := chance.randbytes(10_000))
    ranges = [(start := chance.randrange(10_000), chance.randrange(10_001 - start)) for _ in range(400)]
    with filling(published, nearer(published, near, report=report)) as read, ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda wanted: read.read(*wanted), ranges))
    assert [data[offset : offset + size] for offset, size in ranges] == pieces, f"seed {seed}"
    assert [] == report.warnings, f"seed {seed}"
    assert_filled(near, far)


@pytest.mark.parametrize("failure", [ArchiveRefusedError("no"), OSError(5, "no"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("share", [0, 50, 100])
def test_a_body_that_fails_leaves_nothing_nearer(share: int, failure: BaseException) -> None:
    """However much was read before, the nearer stores are as they were, and whoever called sees what was raised."""
    near, nearest, far, report = MemoryStore(), MemoryStore(), CountingStore(), Report()
    published = put(far, b"x" * 100)

    def read_and_fail() -> None:
        with filling(published, nearer(published, nearest, near, report=report)) as read:
            read.read(0, share)
            raise failure

    with pytest.raises(type(failure)):
        read_and_fail()
    assert [{}, {}, []] == [contents(nearest), contents(near), report.warnings]
    assert [(0, share)] == far.ranges


def test_what_cannot_be_read_is_named_by_its_own_store(store: MemoryStore) -> None:
    """The error of a damaged archive names the store that has it, not what lies between."""
    published = put(store, b"data")
    store.remove(place(published))
    with (
        pytest.raises(ArchiveRefusedError, match=f"the archive of {KEY.short} is missing from memory:,"),
        filling(published, nearer(published, MemoryStore(), report=Report())) as read,
    ):
        read.read(0, 4)


class FailingStore(MemoryStore):
    """A store that fails beyond an offset."""

    def __init__(self, beyond: int) -> None:
        super().__init__()
        self.beyond = beyond

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        if offset + size > self.beyond:
            raise StoreUnreachableError("the store is gone")
        return super().read_range(name, offset, size)


@pytest.mark.parametrize("share", [0, 50])
def test_gaps_that_cannot_be_read_are_a_warning(share: int) -> None:
    """Who has what was wanted is not failed for the nearer stores' sake; they get nothing, and each says so once."""
    near, nearest, far, report = MemoryStore(), MemoryStore(), FailingStore(60), Report()
    published = put(far, b"x" * 100)
    with filling(published, nearer(published, nearest, near, report=report)) as read:
        read.read(0, share)
    assert ["not published: the store is gone"] * 2 == report.warnings
    assert [{}, {}] == [contents(nearest), contents(near)]


def test_who_failed_before_is_silent_about_gaps() -> None:
    """A nearer store that had its trouble, or has it all already, is not told of twice."""
    broken, full, far, report = TroubledStore("upload"), MemoryStore(), FailingStore(60), Report()
    published = put(far, b"x" * 100)
    put(full, b"x" * 100, published.pointer)
    before = contents(full)
    with filling(published, nearer(published, broken, full, report=report)) as read:
        read.read(0, 50)
    assert ["not published: no upload here"] == report.warnings
    assert before == contents(full)


@pytest.mark.parametrize("data", [b"y" * 100, b"x" * 99, b""], ids=["other bytes", "truncated", "empty"])
def test_bytes_that_do_not_fit_the_pointer_go_nowhere(data: bytes) -> None:
    """What is not the archive that the pointer names is not published; whether it serves is for who reads it to say."""
    near, far, report = MemoryStore(), MemoryStore(), Report()
    published = put(far, data, pointer_for(b"x" * 100))
    with filling(published, nearer(published, near, report=report)) as read:
        read.read(0, len(data))
    assert {} == contents(near)
    (warning,) = report.warnings
    assert warning.startswith("not published: the archive of ")
    assert "memory:" in warning


def test_a_nearer_store_that_fails_keeps_no_other_from_it() -> None:
    """Of several nearer stores each is filled or told of by itself."""
    for step in STEPS:
        near, broken, nearest = MemoryStore(), TroubledStore(step), MemoryStore()
        far, report = MemoryStore(), Report()
        published = put(far, b"x" * 100)
        with filling(published, nearer(published, nearest, broken, near, report=report)) as read:
            for offset in range(0, 100, 10):
                read.read(offset, 10)
        assert [f"not published: no {step} here"] == report.warnings
        assert_filled(nearest, far)
        assert_filled(near, far)
        assert layout.pointer(KEY.text) not in broken._objects


def test_what_a_nearer_store_has_meanwhile_is_not_uploaded_again() -> None:
    """Two machines fill one store at once: the later one sends nothing, and is content."""
    near, far, report = TroubledStore("upload"), MemoryStore(), Report()
    published = put(far, b"data")
    put(near, b"data", published.pointer)
    with filling(published, nearer(published, near, report=report)) as read:
        read.read(0, 4)
    assert [] == report.warnings
    assert_filled(near, far)


class EndlessStore(MemoryStore):
    """A store whose archive is made when it is read, so that it takes no memory."""

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        return bytes(size)


class Discarding(MemoryStore):
    """A store that only hashes what is uploaded."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        yield Hashing(self.digest)
        with super().upload(name):
            pass  # it is there, with nothing in it


class Hashing:
    def __init__(self, digest: "hashlib._Hash") -> None:
        self.digest = digest

    def write(self, data: bytes, /) -> None:
        self.digest.update(data)


def test_no_more_is_kept_than_is_on_its_way() -> None:
    """An archive of any size passes through in the memory of the ranges that are read at once."""
    size, piece, readers = 512 * MEBIBYTE, 8 * MEBIBYTE, 4
    digest = hashlib.sha256()
    for _ in range(size // piece):
        digest.update(bytes(piece))
    near, far = Discarding(), EndlessStore()
    pointer = pointer_for(b"")
    pointer = replace(pointer, archive=replace(pointer.archive, size=size, sha256=digest.hexdigest()))
    published = Published(store=far, key=KEY, pointer=pointer, envelope=sealed(pointer))
    tracemalloc.start()
    try:
        with filling(published, nearer(published, near, report=Report())) as read:
            read.read(size - 1000, 1000)
            with ThreadPoolExecutor(readers) as pool:
                waiting: deque[Future[bytes]] = deque()
                for offset in range(0, size - 1000, piece):
                    if len(waiting) == readers:
                        waiting.popleft().result()
                    waiting.append(pool.submit(read.read, offset, min(piece, size - 1000 - offset)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert digest.hexdigest() == near.digest.hexdigest()
    assert found(near).pointer == pointer
    assert peak < (2 * readers + 1) * piece

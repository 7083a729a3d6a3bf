"""Which ranges of an archive are read, and how much of it is in memory."""

from __future__ import annotations

import random
import threading

import pytest

from terrastore.archive.manifest import Frame
from terrastore.archive.stream import RANGE_LIMIT, packed_frames
from terrastore.report import Report
from tests.archive.memory import InMemory

MEBIBYTE = 1024 * 1024


def frames_of(*sizes: int, gap: int = 0) -> list[tuple[int, Frame]]:
    """Return adjacent frames of these packed sizes, or with ``gap`` bytes between them."""
    found, offset = [], 0
    for size in sizes:
        found.append((offset, Frame(packed=size, size=512, sha256="")))
        offset += size + gap
    return found


def taken(archive: InMemory, frames: list[tuple[int, Frame]]) -> list[bytes]:
    with Report().phase("fetch") as phase, packed_frames(archive, frames, phase) as packed:
        found = [bytes(each.data or b"") for each in packed]
    assert phase.done == sum(frame.packed for _, frame in frames)
    return found


def test_frames_come_in_order_as_they_are() -> None:
    """However they are joined and whoever was faster."""
    data = random.Random(1).randbytes(3 * MEBIBYTE)
    frames = frames_of(*[7000 + number for number in range(300)])
    expected = [data[offset : offset + frame.packed] for offset, frame in frames]
    assert expected == taken(InMemory(data), frames)


@pytest.mark.parametrize(
    ("sizes", "gap", "readers", "expected"),
    [
        ([], 0, 2, []),
        ([1000] * 5, 0, 2, [5000]),  # a request costs more than a megabyte
        ([1000] * 3, 1, 2, [1000, 1000, 1000]),  # what is between is not wanted
        ([2 * MEBIBYTE] * 8, 0, 2, [8 * MEBIBYTE] * 2),
        ([2 * MEBIBYTE] * 8, 0, 8, [2 * MEBIBYTE] * 8),  # all readers have work
        ([3 * MEBIBYTE] * 40, 0, 12, [3 * MEBIBYTE] * 40),  # what 12 hold is bounded
        ([9 * MEBIBYTE], 0, 2, [9 * MEBIBYTE]),
    ],
    ids=["nothing", "small", "gaps", "two readers", "eight readers", "window", "one large"],
)
def test_ranges(sizes: list[int], gap: int, readers: int, expected: list[int]) -> None:
    """Adjacent frames are read together, as many as is good for those who read."""
    frames = frames_of(*sizes, gap=gap)
    archive = InMemory(bytes(sum(sizes) + gap * len(sizes)))
    archive.readers = readers
    taken(archive, frames)
    assert expected == [size for _, size in sorted(archive.asked)]


class Counting(InMemory):
    """Tells how many ranges were read, and not yet taken, at most."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.readers = 4
        self.lock = threading.Lock()
        self.read_ahead = self.most = 0

    def read(self, offset: int, size: int, /) -> bytes:
        with self.lock:
            self.read_ahead += 1
            self.most = max(self.most, self.read_ahead)
        return super().read(offset, size)


def test_no_more_is_read_ahead_than_there_are_readers() -> None:
    """A consumer that is slow does not fill the memory."""
    frames = frames_of(*[RANGE_LIMIT // 4] * 64)
    archive = Counting(bytes(RANGE_LIMIT * 16))
    per_range = 0
    with Report().phase("fetch") as phase, packed_frames(archive, frames, phase) as packed:
        for number, _ in enumerate(packed):
            per_range = max(1, archive.asked[0][1] // (RANGE_LIMIT // 4))
            if number % per_range == per_range - 1:
                with archive.lock:
                    archive.read_ahead -= 1
    assert archive.most <= archive.readers + 1


def test_what_cannot_be_read_is_raised_where_it_is_taken() -> None:
    """An error of a thread is one of whoever takes the frames."""

    class Broken(InMemory):
        def read(self, offset: int, size: int, /) -> bytes:
            raise OSError(5, "gone")

    with (
        pytest.raises(OSError, match="gone"),
        Report().phase("fetch") as phase,
        packed_frames(Broken(b""), frames_of(10), phase) as packed,
    ):
        next(packed)

"""The packed frames of an archive, in order, read ahead by threads: several ranges of adjacent frames at a time.

What is in memory is bounded, whatever the archive's size. An archive that is a file of this machine is not read here:
whoever unpacks a frame reads it.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from terrastore.archive.manifest import Frame
    from terrastore.archive.reading import Archive
    from terrastore.report import Phase

RANGE_LIMIT: Final = 8 * 1024 * 1024
"""Adjacent frames are read together until they would be more bytes than this."""
_RANGE_LEAST: Final = 1024 * 1024
_WINDOW: Final = 64 * 1024 * 1024
"""Most bytes that are on their way, or wait to be taken."""


class PackedFrame(NamedTuple):
    """A frame with its packed bytes, or with the file that they are in, from ``offset``."""

    frame: Frame
    data: memoryview | None
    file: str = ""
    offset: int = 0


@contextmanager
def packed_frames(archive: Archive, frames: list[tuple[int, Frame]], phase: Phase) -> Iterator[Iterator[PackedFrame]]:
    """Give the body the packed bytes of ``frames`` (offset, frame), of which several ranges are read at once."""
    if archive.file is not None and _has(archive.file, frames):
        yield _in_file(archive.file, frames, phase)
        return
    # All readers are to have work, and what they hold together is to be bounded.
    total = sum(frame.packed for _, frame in frames)
    limit = max(_RANGE_LEAST, min(RANGE_LIMIT, _WINDOW // archive.readers, total // archive.readers))
    pool = ThreadPoolExecutor(archive.readers)
    try:
        yield _read_ahead(archive, _ranges(frames, limit), pool, phase)
    finally:
        pool.shutdown(cancel_futures=True)


def _has(file: str, frames: list[tuple[int, Frame]]) -> bool:
    """Whether a file is as long as it must be; what is wrong with one that is not, its store knows best."""
    try:
        return os.stat(file).st_size >= max((offset + frame.packed for offset, frame in frames), default=0)
    except OSError:
        return False


def _in_file(file: str, frames: list[tuple[int, Frame]], phase: Phase) -> Iterator[PackedFrame]:
    for offset, frame in frames:
        phase.advance(frame.packed)
        yield PackedFrame(frame, None, file, offset)


def _read_ahead(
    archive: Archive, ranges: Iterator[tuple[int, list[Frame]]], pool: ThreadPoolExecutor, phase: Phase
) -> Iterator[PackedFrame]:
    def fetched(offset: int, frames: list[Frame]) -> bytes:
        data = archive.read(offset, sum(frame.packed for frame in frames))
        phase.advance(len(data))
        return data

    waiting: deque[tuple[Future[bytes], list[Frame]]] = deque()
    while True:
        while len(waiting) < archive.readers and (following := next(ranges, None)):
            waiting.append((pool.submit(fetched, *following), following[1]))
        if not waiting:
            return
        future, frames = waiting.popleft()
        view, position = memoryview(future.result()), 0
        for frame in frames:
            yield PackedFrame(frame, view[position : position + frame.packed])
            position += frame.packed


def _ranges(frames: Iterable[tuple[int, Frame]], limit: int) -> Iterator[tuple[int, list[Frame]]]:
    """Yield (offset, adjacent frames) of at most ``limit`` bytes, or of one frame."""
    start, end = 0, 0
    group: list[Frame] = []
    for offset, frame in frames:
        if group and (offset != end or end - start + frame.packed > limit):
            yield start, group
            group = []
        if not group:
            start = offset
        group.append(frame)
        end = offset + frame.packed
    if group:
        yield start, group

"""Layers to frames, in one stream over all of them: read in order, compressed on all cores, written in order.

No layer waits for the end of the one before it, and what is in memory is bounded in bytes, whatever the layers' sizes.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from terrastore.archive import slots, ustar
from terrastore.archive.frames import compress, describe
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.manifest import Frame, Layer
from terrastore.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from terrastore.archive.layers import LayerPlan
    from terrastore.archive.packed_layers import PackedLayer, PackedLayers
    from terrastore.archive.survey import Survey
    from terrastore.report import Phase

_THREADS: Final = 8
"""Most frames that are compressed at once, whatever the processors."""
_SPARE: Final = 2
"""How many frames of full size may wait besides: the next to be written, and the next to be compressed."""

_Item: TypeAlias = "tuple[bytes, Frame] | str"
"""A frame, or at the end of a layer the digest of its raw bytes."""


class Sink(Protocol):
    """Where an archive goes: anything that takes bytes in order."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a layer is written from: its members in the tree, of which ``compiled`` are bytecode that packing made.

    Or ``there``, which was packed before. ``key`` is what it is kept under, "" when it is not.
    """

    plan: LayerPlan
    key: str = ""
    compiled: int = 0
    there: PackedLayer | None = None


def write_layers(
    sources: Sequence[Source],
    tree: str,
    found: Survey,
    sink: Sink,
    *,
    kept: PackedLayers | None,
    workers: int,
    phase: Phase,
) -> list[Layer]:
    """Write the frames of all layers to ``sink``, and what was not there to what is ``kept``; return the layers.

    ``phase`` advances by the bytes of members that were read.

    :raises BuildError: when a file, or what was packed before, changes meanwhile
    """
    made, threads = [], min(workers, _THREADS)
    with ThreadPoolExecutor(threads) as pool:
        begun = chain.from_iterable(_begun(each, tree, found, pool, phase) for each in sources)
        stream = _ahead(begun, (threads + _SPARE) * FRAME_LIMIT)
        for each in sources:
            frames: list[Frame] = []
            with kept.putting(each.key) if kept and each.key and not each.there else nullcontext() as new:
                while not isinstance(item := next(stream), str):
                    packed, frame = item
                    sink.write(packed)
                    frames.append(frame)
                    if new is not None:
                        new.write(packed)
                if new is not None:
                    new.end(item, frames, each.compiled)
            made.append(Layer(name=each.plan.name, version=each.plan.version, digest=item, frames=tuple(frames)))
    return made


def _begun(
    source: Source, tree: str, found: Survey, pool: ThreadPoolExecutor, phase: Phase
) -> Iterator[tuple[int, Future[tuple[bytes, Frame]] | str]]:
    """Yield a layer's frames as they begin to be made, each with the bytes that it takes meanwhile; then its digest."""
    if (there := source.there) is not None:
        for number, frame in enumerate(there.frames):
            yield frame.packed, pool.submit(_read_frame, there, number)
        phase.advance(sum(found.members[path].size for path in source.plan.paths))
        yield 0, there.digest
        return
    digest = hashlib.sha256()
    for piece in _raw(tree, source.plan.paths, found, phase):
        digest.update(piece)
        yield len(piece), pool.submit(_pack_frame, piece)
    yield 0, digest.hexdigest()


def _ahead(begun: Iterable[tuple[int, Future[tuple[bytes, Frame]] | str]], limit: int) -> Iterator[_Item]:
    """Yield what was begun, in order and finished; beginning goes on while that takes at most ``limit`` bytes."""
    waiting: deque[tuple[int, Future[tuple[bytes, Frame]] | str]] = deque()
    taken = 0
    for size, item in begun:
        waiting.append((size, item))
        taken += size
        while waiting and (taken > limit or _is_done(waiting[0][1])):
            least, first = waiting.popleft()
            taken -= least
            yield _finished(first)
    for _, item in waiting:
        yield _finished(item)


def _is_done(item: Future[tuple[bytes, Frame]] | str) -> bool:
    return isinstance(item, str) or item.done()


def _finished(item: Future[tuple[bytes, Frame]] | str) -> _Item:
    return item if isinstance(item, str) else item.result()


def _pack_frame(raw: bytes) -> tuple[bytes, Frame]:
    packed = compress(raw)
    return packed, describe(raw, packed)


def _read_frame(layer: PackedLayer, number: int) -> tuple[bytes, Frame]:
    return layer.read(number), layer.frames[number]


def _raw(tree: str, paths: Iterable[str], found: Survey, phase: Phase) -> Iterator[bytes]:
    """Yield a layer's tar stream in pieces of 8 MiB."""
    pieces: list[bytes | memoryview] = []
    size = 0
    for path in paths:
        member = found.members[path]
        content = _content(tree, member, found.contents.get(path), found.patches.get(path, ()))
        for piece in chain((ustar.header(member),), content, (bytes(ustar.padding(member.size)),)):
            pieces.append(piece)
            size += len(piece)
            while size >= FRAME_LIMIT:
                left = size - FRAME_LIMIT
                last = memoryview(pieces[-1])
                pieces[-1] = last[: len(last) - left]
                yield b"".join(pieces)
                pieces, size = [bytes(last[len(last) - left :])], left
        phase.advance(member.size)
    if size:
        yield b"".join(pieces)


def _content(
    tree: str, member: ustar.Member, content: bytes | None, patches: Sequence[tuple[int, bytes]]
) -> Iterator[bytes]:
    if member.type != ustar.REGULAR:
        return
    if content is not None:
        yield content
        return
    left = member.size
    with open(os.path.join(tree, member.path), "rb", buffering=0) as file:
        for piece in slots.patched(file.fileno(), member.size, patches):
            left -= len(piece)
            yield piece
    if left:
        raise BuildError(f"{member.path} became shorter while it was packed", hint="run again")

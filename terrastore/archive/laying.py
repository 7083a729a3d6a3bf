"""Laying an archive's layers down, one after the other: who writes what, in which order, and what came of it."""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from terrastore.archive.inventory import LINK
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.pieces import FILES, LostError
from terrastore.archive.ustar import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from terrastore.archive.crew import Crew
    from terrastore.archive.manifest import Layer, Manifest
    from terrastore.archive.pieces import Row
    from terrastore.archive.stream import PackedFrame
    from terrastore.report import Phase

_HELD_LIMIT: Final = 256 * 1024 * 1024
_AHEAD: Final = 2
"""How many pieces wait for every process, besides the one that it writes."""


class NewLayer(Protocol):
    """A layer that is to be kept."""

    @property
    def raw(self) -> str:
        """The file that its raw bytes are written to."""

    @property
    def tree(self) -> str | None:
        """The directory that becomes its tree, to be shared; None when environments get copies."""

    @property
    def is_open(self) -> bool:
        """Whether it can still be kept."""

    def fail(self, error: OSError) -> None:
        """Take note that it could not be written, and leave nothing behind."""

    def end(self, digest: str) -> None:
        """Keep it, once the raw bytes are those that its digest names."""

    def abandon(self) -> None:
        """Leave nothing behind of what was not ended."""


class Layers(Protocol):
    """The layers that this machine keeps, to be copied from, or to be shared."""

    @property
    def sharing(self) -> str | None:
        """How files are shared, None when they are copied."""

    def has(self, layer: Layer) -> bool:
        """Whether a layer is kept."""

    def place(self, layer: Layer) -> str:
        """Return the file of its raw bytes, or the tree of its files."""

    def new(self, layer: Layer) -> NewLayer | None:
        """Begin to keep a layer; None when nothing more can be kept."""

    def drop(self, layer: Layer) -> None:
        """Forget a layer."""


class Laying:
    """Gives the crew its work, and collects what comes of it.

    ``rows`` are the members of each layer; ``held`` mode and content of the files that are not written yet; ``links``
    (path, target) of symbolic links, which are not made yet; ``seen`` every member's path; ``copied`` how many files
    had to be copied that were to be shared.
    """

    def __init__(
        self,
        manifest: Manifest,
        staged: str,
        crew: Crew,
        packed: Iterator[PackedFrame],
        layers: Layers | None,
        progress: Phase,
    ) -> None:
        self._manifest = manifest
        self._staged = staged
        self._crew = crew
        self._packed = packed
        self._layers = layers
        self._progress = progress
        self.rows: list[list[Row]] = [[] for _ in manifest.layers]
        self.held: dict[str, tuple[int, bytearray]] = {}
        self.links: list[tuple[str, str]] = []
        self.seen: set[str] = set()
        self.copied = 0
        self._held_size = 0
        # What is being done, the oldest first, for which layer, and what is to be done with what comes of it; which
        # layer cannot be kept when the disk fails, None where the environment cannot be made then.
        self._pending: deque[tuple[Future[Any], Layer, Callable[[Any], None], NewLayer | None]] = deque()
        self._new: list[NewLayer] = []

    def run(self) -> None:
        """Lay all layers.

        :raises MalformedError: at the first byte that is not as the manifest or the format says
        :raises LostError: when a layer that was kept is no more
        """
        try:
            for layer, rows in zip(self._manifest.layers, self.rows, strict=True):
                if layer.frames:
                    self._lay(layer, rows)
            self._settle(0)
        finally:
            for new in self._new:
                new.abandon()

    def _lay(self, layer: Layer, rows: list[Row]) -> None:
        if self._layers is None:
            self._fetch(layer, rows, None)
        elif not self._layers.has(layer):
            self._fetch(layer, rows, self._layers.new(layer))
        elif self._layers.sharing:
            self._plant(layer, rows)
        else:
            self._copy(layer, rows, self._layers.place(layer))

    def _fetch(self, layer: Layer, rows: list[Row], new: NewLayer | None) -> None:
        """Write what is fetched, and keep it too; or keep it, and share what is kept."""
        root, keep = self._staged, None
        if new is not None:
            self._new.append(new)
            root, keep = f"{new.tree}/{FILES}" if new.tree else root, new.raw
        jobs = (_unpacking(packed) for packed in islice(self._packed, len(layer.frames)))
        self._write(layer, rows, root, jobs, keep, new)

    def _copy(self, layer: Layer, rows: list[Row], place: str) -> None:
        """Write what is kept as a file of raw bytes."""
        sizes = ((offset, min(FRAME_LIMIT, layer.size - offset)) for offset in range(0, layer.size, FRAME_LIMIT))
        jobs = ((size, ("kept", place, offset, size), b"") for offset, size in sizes)
        self._write(layer, rows, self._staged, jobs, None, None)

    def _write(
        self,
        layer: Layer,
        rows: list[Row],
        root: str,
        jobs: Iterable[tuple[int, tuple[Any, ...], bytes | memoryview]],
        keep: str | None,
        new: NewLayer | None,
    ) -> None:
        """Write a layer piece by piece below ``root``."""
        found: list[Row] = rows if root == self._staged else []
        start, offset = None, 0
        kept = new if new is not None and new.tree else None
        for size, arguments, data in jobs:
            is_last = offset + size == layer.size
            job = self._crew.write(*arguments, root, start is None, is_last, keep, offset, data=data, start=start)
            offset, start = offset + size, job.end
            self._do(job.written, layer, partial(self._written, layer, size, rows, found, new, is_last), kept)

    def _written(
        self,
        layer: Layer,
        size: int,
        rows: list[Row],
        found: list[Row],
        new: NewLayer | None,
        is_last: bool,
        result: tuple[list[Row], list[tuple[str, int, bytes]], tuple[int, str] | None],
    ) -> None:
        written, held, trouble = result
        self._progress.advance(size)
        if found is rows:
            self._collect(rows, written, held)
        else:
            found.extend(written)
        if new is None:
            return
        if trouble is not None:
            new.fail(OSError(*trouble))
            if new.tree is not None:
                raise LostError(layer.name)
        elif is_last and new.is_open:
            self._do(self._crew.do("digest", new.raw), layer, partial(self._keep, layer, rows, found, new), new)

    def _keep(self, layer: Layer, rows: list[Row], found: list[Row], new: NewLayer, digest: str) -> None:
        """Keep a layer whose raw bytes are written; a tree is shared from then on."""

        def share(_: None) -> None:
            new.end(digest)
            self._plant(layer, rows)

        if new.tree is None:
            new.end(digest)
        else:
            self._do(self._crew.do("index", new.tree, found), layer, share, new)

    def _plant(self, layer: Layer, rows: list[Row]) -> None:
        """Share the files of a tree that is kept."""

        def planted(result: tuple[list[Row], list[tuple[str, int, bytes]], int]) -> None:
            written, held, copied = result
            self._collect(rows, written, held)
            self.copied += copied
            self._progress.advance(layer.size)

        if self._layers is not None:
            tree, mode = self._layers.place(layer), self._layers.sharing
            self._do(self._crew.do("plant", tree, self._staged, mode), layer, planted)

    def _collect(self, rows: list[Row], written: list[Row], held: list[tuple[str, int, bytes]]) -> None:
        """Take note of members of the environment."""
        for row in written:
            if row[0] in self.seen:
                msg = f"{row[0]} is there twice"
                raise MalformedError(msg)
            self.seen.add(row[0])
            if row[1] == LINK:
                self.links.append((row[0], row[4]))
        rows.extend(written)
        for path, mode, content in held:
            self.held.setdefault(path, (mode, bytearray()))[1].extend(content)
            self._held_size += len(content)
        if self._held_size > _HELD_LIMIT:
            msg = f"the files to relocate have more than {_HELD_LIMIT} bytes"
            raise MalformedError(msg)

    def _do(self, future: Future[Any], layer: Layer, then: Callable[[Any], None], kept: NewLayer | None = None) -> None:
        """Have ``then`` take what comes of something; waits while too much is being done."""
        self._pending.append((future, layer, then, kept))
        self._settle(self._crew.count * _AHEAD)

    def _settle(self, most: int) -> None:
        """Wait until at most so many things are being done."""
        while len(self._pending) > most:
            future, layer, then, kept = self._pending.popleft()
            then(self._result(future, layer, kept))

    def _result(self, future: Future[Any], layer: Layer, kept: NewLayer | None) -> Any:
        try:
            return future.result()
        except OSError as error:
            if kept is None:
                raise
            kept.fail(error)
            raise LostError(layer.name) from error
        except (LostError, MalformedError) as error:
            # What is kept was sound when it was fetched.
            if self._layers is None or not self._layers.has(layer):
                raise
            self._layers.drop(layer)
            raise LostError(layer.name) from error


def _unpacking(packed: PackedFrame) -> tuple[int, tuple[Any, ...], bytes | memoryview]:
    """Return the size of a frame's piece, how the crew is told to write it, and the bytes that go with that."""
    frame, data = packed.frame, packed.data
    if data is None:
        return frame.size, ("frame_of", packed.file, packed.offset, frame.packed, frame.size, frame.sha256), b""
    return frame.size, ("frame", frame.size, frame.sha256), data

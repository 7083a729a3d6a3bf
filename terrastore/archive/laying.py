"""Laying an archive's layers down, one after the other: who writes what, in which order, and what came of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from terrastore.archive.inventory import LINK
from terrastore.archive.limits import FRAME_LIMIT, NAMES_LIMIT
from terrastore.archive.pieces import FILES, MEMBER_OF, LostError
from terrastore.archive.ustar import REGULAR, MalformedError

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
    (path, target) of symbolic links, which are not made yet; ``seen`` every member's path, ``others`` those of members
    that are no files; ``copied`` how many files had to be copied that were to be shared.
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
        self.others: set[str] = set()
        self.copied = 0
        self._names_size = 0
        self._held_size = 0
        # What :meth:`_do` was given, the oldest first.
        self._pending: deque[tuple[Future[Any], _Work, Callable[[Any], None], NewLayer | None]] = deque()
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
        layers = self._layers
        if layers is None or not layers.has(layer):
            work = _Work(layer, rows, layers.new(layer) if layers is not None else None)
            self._fetch(work)
        elif layers.sharing:
            self._plant(_Work(layer, rows), layers)
        else:
            self._copy(_Work(layer, rows), layers.place(layer))

    def _fetch(self, work: _Work) -> None:
        """Write what is fetched, and keep it too; or keep it, and share what is kept."""
        if work.new is not None:
            self._new.append(work.new)
        self._write(work, (_unpacking(packed) for packed in islice(self._packed, len(work.layer.frames))))

    def _copy(self, work: _Work, place: str) -> None:
        """Write what is kept as a file of raw bytes."""
        end = work.layer.size
        sizes = ((offset, min(FRAME_LIMIT, end - offset)) for offset in range(0, end, FRAME_LIMIT))
        self._write(work, (_Piece(size, ("kept", place, offset, size)) for offset, size in sizes))

    def _write(self, work: _Work, pieces: Iterable[_Piece]) -> None:
        """Write a layer piece by piece: into its tree if it is to have one, else into the environment."""
        root = f"{work.new.tree}/{FILES}" if work.new is not None and work.new.tree else self._staged
        keep = work.new.raw if work.new is not None else None
        start, offset = None, 0
        for size, how, data in pieces:
            is_last = offset + size == work.layer.size
            job = self._crew.write(*how, root, start is None, is_last, keep, offset, data=data, start=start)
            offset, start = offset + size, job.end
            disk = work.new if work.is_shared else None
            self._do(job.written, work, partial(self._written, work, size, is_last), disk)

    def _written(
        self,
        work: _Work,
        size: int,
        is_last: bool,
        result: tuple[list[Row], list[tuple[str, int, bytes]], tuple[int, str] | None],
    ) -> None:
        rows, held, trouble = result
        self._progress.advance(size)
        if work.is_shared:
            work.tree.extend(rows)
        else:
            self._collect(work.rows, rows, held)
        if work.new is None:
            return
        if trouble is not None:
            work.new.fail(OSError(*trouble))
            if work.is_shared:
                raise LostError(work.layer.name)
        elif is_last and work.new.is_open:
            self._do(self._crew.do("digest", work.new.raw), work, partial(self._keep, work, work.new), work.new)

    def _keep(self, work: _Work, new: NewLayer, digest: str) -> None:
        """Keep a layer whose raw bytes are written; a tree is shared from then on."""

        def share(_: None) -> None:
            new.end(digest)
            if self._layers is not None:
                self._plant(_Work(work.layer, work.rows), self._layers)

        if new.tree is None:
            new.end(digest)
        else:
            self._do(self._crew.do("index", new.tree, work.tree), work, share, new)

    def _plant(self, work: _Work, layers: Layers) -> None:
        """Share the files of a tree that is kept."""

        def planted(result: tuple[list[Row], list[tuple[str, int, bytes]], int]) -> None:
            rows, held, copied = result
            self._collect(work.rows, rows, held)
            self.copied += copied
            self._progress.advance(work.layer.size)

        self._do(self._crew.do("plant", layers.place(work.layer), self._staged, layers.sharing), work, planted)

    def _collect(self, rows: list[Row], written: list[Row], held: list[tuple[str, int, bytes]]) -> None:
        """Take note of members of the environment."""
        for row in written:
            if row[0] in self.seen:
                msg = f"{row[0]} is there twice"
                raise MalformedError(msg)
            self.seen.add(row[0])
            if MEMBER_OF[row[1]][0] != REGULAR:
                self.others.add(row[0])
            if row[1] == LINK:
                self.links.append((row[0], row[4]))
        rows.extend(written)
        self._names_size += sum(len(row[0]) + len(row[4]) for row in written)
        if len(self.seen) > self._manifest.totals.members or self._names_size > NAMES_LIMIT:
            msg = f"it has more members than the {self._manifest.totals.members} of the manifest, or longer names"
            raise MalformedError(msg)
        for path, mode, content in held:
            self.held.setdefault(path, (mode, bytearray()))[1].extend(content)
            self._held_size += len(content)
        if self._held_size > _HELD_LIMIT:
            msg = f"the files to relocate have more than {_HELD_LIMIT} bytes"
            raise MalformedError(msg)

    def _do(self, future: Future[Any], work: _Work, then: Callable[[Any], None], disk: NewLayer | None = None) -> None:
        """Have ``then`` take what comes of something; waits while too much is being done.

        When the disk fails meanwhile, that is ``disk``'s trouble, which cannot be kept; None where it is the
        environment's.
        """
        self._pending.append((future, work, then, disk))
        self._settle(self._crew.count * _AHEAD)

    def _settle(self, most: int) -> None:
        """Wait until at most so many things are being done."""
        while len(self._pending) > most:
            future, work, then, disk = self._pending.popleft()
            then(self._result(future, work, disk))

    def _result(self, future: Future[Any], work: _Work, disk: NewLayer | None) -> Any:
        try:
            return future.result()
        except OSError as error:
            if disk is None:
                raise
            disk.fail(error)
            raise LostError(work.layer.name) from error
        except (LostError, MalformedError) as error:
            # What is kept was sound when it was fetched.
            if self._layers is None or not self._layers.has(work.layer):
                raise
            self._layers.drop(work.layer)
            raise LostError(work.layer.name) from error


class _Piece(NamedTuple):
    """A piece of a layer: its size, how the crew is told to write it, and the bytes that go with that."""

    size: int
    how: tuple[Any, ...]
    data: bytes | memoryview = b""


@dataclass(slots=True)
class _Work:
    """A layer that is being laid: its members in the environment, and where it is kept on the way, if anywhere.

    Of one that is to be shared ``tree`` are the members that were written so far.
    """

    layer: Layer
    rows: list[Row]
    new: NewLayer | None = None
    tree: list[Row] = field(default_factory=list)

    @property
    def is_shared(self) -> bool:
        """Whether the environment gets its files from the tree that is being made."""
        return self.new is not None and self.new.tree is not None


def _unpacking(packed: PackedFrame) -> _Piece:
    frame, data = packed.frame, packed.data
    if data is None:
        return _Piece(frame.size, ("frame_of", packed.file, packed.offset, frame.packed, frame.size, frame.sha256))
    return _Piece(frame.size, ("frame", frame.size, frame.sha256), data)

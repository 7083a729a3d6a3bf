"""From an archive to the files of an environment, relocated while they are written.

Frames are fetched, verified and decompressed by threads, taken apart in order, and written by threads again;
what is in memory is bounded whatever the archive's size. Nothing is decompressed before its SHA-256 is checked.
"""

from __future__ import annotations

import os
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from terrastore.archive import inventory, originals, relocate, slots, ustar
from terrastore.archive.frames import TRAILER_SIZE, decompress, parse_trailer, verified
from terrastore.archive.manifest import (
    FRAME_LIMIT,
    Frame,
    Manifest,
    ManifestError,
    UnknownFeatureError,
    UnknownSchemaError,
)
from terrastore.archive.originals import MANIFEST_PATH
from terrastore.archive.survey import INTERPRETERS
from terrastore.errors import ArchiveRefusedError, NotInStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from terrastore.pointer import ManifestLocation
    from terrastore.report import Phase, Report

RANGE_SIZE: Final = 8 * 1024 * 1024
"""Adjacent frames are read together until they are this many bytes."""
HEAL: Final = "where building is allowed, run without --no-build, or with --rebuild: it is built anew"
_UPGRADE: Final = "upgrade terrastore on this machine"
_READERS: Final = 4
_AHEAD: Final = 4
"""Most frames that are in memory decompressed, and as many again while they are written, whatever the processors."""
_KEPT_LIMIT: Final = 256 * 1024 * 1024
_DIRECTORY: Final = ".terrastore"
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RESERVED: Final = re.compile(r"pyvenv\.cfg(/.*)?|\.terrastore(/.*)?|" + INTERPRETERS.pattern + r"(/.*)?")


class ReadRange(Protocol):
    """Random access to an archive."""

    def __call__(self, offset: int, size: int, /) -> bytes:
        """Return exactly ``size`` bytes from ``offset``, or raise."""


def read_manifest(read: ReadRange, location: ManifestLocation) -> Manifest:
    """Return the manifest that a verified pointer locates.

    :raises ArchiveRefusedError: when its bytes are not those the pointer names, or need a feature of a later version
    :raises NotInStoreError: when its schema is of a later version
    """
    frame = Frame(packed=location.packed, size=location.size, sha256=location.sha256)
    return _parse_manifest(lambda: verified(read(location.offset, location.packed), frame), HEAL)


def find_manifest(read: ReadRange, size: int) -> Manifest:
    """Return the manifest of an archive of ``size`` bytes that no pointer vouches for, by its trailer.

    :raises ArchiveRefusedError: when there is none
    """

    def raw() -> bytes:
        offset, packed = parse_trailer(read(max(0, size - TRAILER_SIZE), min(size, TRAILER_SIZE)))
        if offset + packed > size or packed > FRAME_LIMIT:
            msg = "its trailer points outside the file"
            raise ustar.MalformedError(msg)
        return decompress(read(offset, packed))

    return _parse_manifest(raw, "name a .tar.zst that terrastore made, whole")


def unpack(read: ReadRange, manifest: Manifest, staged: str, *, prefix: str, workers: int, report: Report) -> None:
    """Write the environment into the empty directory ``staged``, with its paths as they must be at ``prefix``.

    :raises ArchiveRefusedError: at the first byte that is not as the manifest or the format says
    :raises UsageError: when a file's syntax cannot take ``prefix``; the file is named
    """
    originals.check_kinds(manifest)
    slots.refuse_too_long(manifest, prefix)
    try:
        with ExitStack() as stack:
            fetch = stack.enter_context(report.phase("fetch", total=manifest.totals.packed))
            progress = stack.enter_context(report.phase("unpack", total=manifest.totals.size))
            # Left first of all: a failure cancels what has not begun, so that nobody writes into a removed stage.
            readers = stack.enter_context(ThreadPoolExecutor(_READERS))
            pool = stack.enter_context(ThreadPoolExecutor(min(workers, _AHEAD)))
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            stack.callback(readers.shutdown, wait=False, cancel_futures=True)
            writer = _Writer(staged, manifest, pool, progress)
            raws = _raw_frames(read, manifest, readers, pool, fetch)
            for layer in manifest.layers:
                for _ in layer.frames:
                    writer.take(next(raws))
                writer.end_layer()
            writer.finish(prefix, report)
    except ustar.MalformedError as error:
        raise ArchiveRefusedError(f"the archive is corrupt: {error}", hint=HEAL) from error


def _parse_manifest(raw: Callable[[], bytes], hint: str) -> Manifest:
    try:
        reader = ustar.Reader()
        pieces = list(reader.feed(raw()))
        reader.finish()
        if [piece[0].path for piece in pieces] != [MANIFEST_PATH]:
            msg = f"the manifest's frame does not hold {MANIFEST_PATH} alone"
            raise ustar.MalformedError(msg)
        return Manifest.parse(bytes(pieces[0][2]))
    except UnknownSchemaError as error:
        raise NotInStoreError(f"{error}", hint=_UPGRADE) from error
    except UnknownFeatureError as error:
        raise ArchiveRefusedError(f"{error}", hint=_UPGRADE, later=True) from error
    except (ustar.MalformedError, ManifestError) as error:
        raise ArchiveRefusedError(f"the archive's manifest is refused: {error}", hint=hint) from error


def _ranges(manifest: Manifest) -> Iterator[tuple[int, list[Frame]]]:
    """Yield (offset, adjacent frames), each as long as the first sum of at least ``RANGE_SIZE`` bytes."""
    start, size = 0, 0
    group: list[Frame] = []
    for offset, frame in manifest.frames():
        if not group:
            start = offset
        group.append(frame)
        size += frame.packed
        if size >= RANGE_SIZE:
            yield start, group
            group, size = [], 0
    if group:
        yield start, group


def _raw_frames(
    read: ReadRange,
    manifest: Manifest,
    readers: ThreadPoolExecutor,
    pool: ThreadPoolExecutor,
    fetch: Phase,
) -> Iterator[bytes]:
    """Yield every frame's raw bytes in order, reading ``_READERS`` ranges and ``_AHEAD`` frames ahead."""

    def fetched(offset: int, frames: list[Frame]) -> bytes:
        data = read(offset, sum(frame.packed for frame in frames))
        fetch.advance(len(data))
        return data

    def packed() -> Iterator[tuple[memoryview, Frame]]:
        waiting: deque[tuple[Future[bytes], list[Frame]]] = deque()
        ranges = _ranges(manifest)
        while True:
            while len(waiting) < _READERS and (following := next(ranges, None)):
                waiting.append((readers.submit(fetched, *following), following[1]))
            if not waiting:
                return
            future, frames = waiting.popleft()
            view, position = memoryview(future.result()), 0
            for frame in frames:
                yield view[position : position + frame.packed], frame
                position += frame.packed

    pending: deque[Future[bytes]] = deque()
    for data, frame in packed():
        pending.append(pool.submit(verified, data, frame))
        if len(pending) >= _AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class _Writer:
    """Takes raw frames in order and writes their members; files that hold paths are kept until the end."""

    def __init__(self, staged: str, manifest: Manifest, pool: ThreadPoolExecutor, progress: Phase) -> None:
        self._staged = staged
        self._manifest = manifest
        self._pool = pool
        self._progress = progress
        self._reader = ustar.Reader()
        self._kinds = {entry.path: entry.kind for entry in manifest.relocations}
        self._kept: dict[ustar.Member, bytearray] = {}
        self._kept_size = 0
        self._links: list[ustar.Member] = []
        self._entries: list[list[inventory.Entry]] = [[]]
        self._checksums: dict[str, int] = {}
        self._seen: set[str] = set()
        self._folders = {""}
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._writing: deque[Future[None]] = deque()

    def take(self, raw: bytes) -> None:
        """Write what ``raw`` holds; returns once few enough frames are still being written."""
        whole: list[tuple[ustar.Member, memoryview]] = []
        for member, offset, content, last in self._reader.feed(raw):
            if not offset:
                self._enter(member)
                self._entries[-1].append(inventory.Entry.of(member))
            if self._kinds.get(member.path, relocate.BINARY_KIND) != relocate.BINARY_KIND:
                self._keep(member, content)
            elif member.type == ustar.SYMLINK:
                self._links.append(member)
            elif member.type == ustar.DIRECTORY:
                self._make_folder(member.path)
            elif last and not offset:
                self._make_folder(member.path.rpartition("/")[0])
                whole.append((member, content))
            else:
                self._write_part(member, offset, content)
        self._writing.append(self._pool.submit(self._write_files, whole, len(raw)))
        while len(self._writing) >= _AHEAD:
            self._writing.popleft().result()

    def end_layer(self) -> None:
        """Take note that no member goes on in the next frame."""
        self._reader.finish()
        self._entries.append([])

    def finish(self, prefix: str, report: Report) -> None:
        """Write what was kept back, relocated, the symbolic links, and the manifest."""
        while self._writing:
            self._writing.popleft().result()
        if missing := self._kinds.keys() - self._seen:
            msg = f"{min(missing)} is to be relocated and is not there"
            raise ustar.MalformedError(msg)
        if len(self._seen) != self._manifest.totals.members:
            msg = f"it has {len(self._seen)} members; the manifest says {self._manifest.totals.members}"
            raise ustar.MalformedError(msg)
        self._make_folder(_DIRECTORY)
        kept = {}
        for member, data in self._kept.items():
            self._make_folder(member.path.rpartition("/")[0])
            if self._kinds[member.path] == relocate.RECORD_KIND:
                self._write_file(member, data)
            else:
                kept[member] = bytes(data)
        contents = originals.relocated(self._manifest, kept, prefix, report)
        originals.write_originals(self._staged, kept)
        self._verify_slots()
        originals.write_relocated(self._staged, self._manifest, kept, contents, prefix, report)
        # Last, so that nothing was written through a link.
        for link in self._links:
            self._make_folder(link.path.rpartition("/")[0])
            with _refusing_existing(link.path):
                os.symlink(link.target, self._place(link.path))
        self._write_document(inventory.INVENTORY_PATH, inventory.to_json(self._entries[:-1], self._checksums))
        self._write_document(MANIFEST_PATH, self._manifest.to_json())

    def _verify_slots(self) -> None:
        """Refuse a compiled file that does not hold the placeholder where the manifest says."""
        for entry in self._manifest.relocations:
            if entry.kind == relocate.BINARY_KIND and not slots.is_canonical(self._place(entry.path), entry):
                msg = f"{entry.path} does not hold the placeholder where the manifest says"
                raise ustar.MalformedError(msg)

    def _enter(self, member: ustar.Member) -> None:
        # What is made here, not unpacked, is taken, on filesystems that fold case too.
        if _RESERVED.fullmatch(member.path.casefold()) or (member.path == "bin" and member.type != ustar.DIRECTORY):
            msg = f"{member.path} must not be a member"
            raise ustar.MalformedError(msg)
        if member.path in self._seen:
            msg = f"{member.path} is there twice"
            raise ustar.MalformedError(msg)
        if member.path in self._kinds and member.type != ustar.REGULAR:
            msg = f"{member.path} is to be relocated and is no file"
            raise ustar.MalformedError(msg)
        self._seen.add(member.path)

    def _keep(self, member: ustar.Member, content: memoryview) -> None:
        self._kept_size += len(content)
        if self._kept_size > _KEPT_LIMIT:
            msg = f"the files to relocate have more than {_KEPT_LIMIT} bytes"
            raise ustar.MalformedError(msg)
        self._kept.setdefault(member, bytearray()).extend(content)
        self._checksums[member.path] = inventory.checksum(content, self._checksums.get(member.path, 0))

    def _place(self, path: str) -> str:
        return f"{self._staged}/{path}"

    def _make_folder(self, folder: str) -> None:
        if folder in self._folders:
            return
        self._make_folder(folder.rpartition("/")[0])
        with _refusing_existing(folder):
            os.mkdir(self._place(folder), 0o755)
        if self._umask & 0o755:
            os.chmod(self._place(folder), 0o755)  # noqa: S103 -- as the archive has it
        self._folders.add(folder)

    def _write_files(self, files: list[tuple[ustar.Member, memoryview]], advance: int) -> None:
        for member, content in files:
            self._write_file(member, content)
            self._checksums[member.path] = inventory.checksum(content)
        self._progress.advance(advance)

    def _write_file(self, member: ustar.Member, content: bytes | bytearray | memoryview) -> None:
        with _refusing_existing(member.path):
            fd = os.open(self._place(member.path), _CREATE, member.mode)
        try:
            # Modes are part of the archive, not of whoever unpacks it.
            if self._umask & member.mode:
                os.fchmod(fd, member.mode)
            _write_all(fd, content, 0)
        finally:
            os.close(fd)

    def _write_document(self, path: str, document: bytes) -> None:
        self._write_file(ustar.Member(path, ustar.REGULAR, 0o644, len(document)), document)

    def _write_part(self, member: ustar.Member, offset: int, content: memoryview) -> None:
        """Write a piece of a file that does not fit into one frame."""
        if not offset:
            self._make_folder(member.path.rpartition("/")[0])
            self._write_file(member, b"")
        self._checksums[member.path] = inventory.checksum(content, self._checksums.get(member.path, 0))
        self._writing.append(self._pool.submit(_write_at, self._place(member.path), offset, content))


def _write_at(place: str, offset: int, content: memoryview) -> None:
    fd = os.open(place, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _write_all(fd, content, offset)
    finally:
        os.close(fd)


def _write_all(fd: int, content: bytes | bytearray | memoryview, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


@contextmanager
def _refusing_existing(path: str) -> Iterator[None]:
    """Refuse a name that is there already: on this filesystem two members are one, or one is in another's way."""
    try:
        yield
    except FileExistsError:
        msg = f"{path} collides with another member"
        raise ustar.MalformedError(msg) from None

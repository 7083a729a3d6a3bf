"""Layers that this machine packed before, by what they were made of: they are neither compiled nor compressed again.

One file holds one layer: its frames as they stand in archives, then a table of them in JSON, the table's size in
8 bytes (big-endian) and its SHA-256. It comes into being whole, and is never changed. Everything in it is compared with
its digests before any of it is used; a file that differs is removed, and counts as absent. What is here went into an
archive after every check of the environment, so it holds nothing that archives do not.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import struct
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import zstandard

from terrastore import atomic
from terrastore.archive.frames import LEVEL
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.manifest import Frame
from terrastore.errors import BuildError, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from terrastore.archive.record import Content
    from terrastore.archive.survey import Survey
    from terrastore.report import Report

LIMIT: Final = 2 * 1024**3
"""How many bytes are kept unless somebody says otherwise: about ten environments that have nothing in common."""
_SCHEMA: Final = 1
_NAME: Final = re.compile(r"[0-9a-f]{64}")
_END: Final = struct.Struct(">Q32s")
_TABLE_LIMIT: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayer:
    """A layer: SHA-256 of its raw bytes, its frames, and how many members it has that were compiled for it."""

    path: str
    digest: str
    frames: tuple[Frame, ...]
    compiled: int

    def read(self, number: int) -> bytes:
        """Return the packed bytes of a frame; safe from any thread.

        :raises BuildError: when they are not there any more as they were
        """
        offset = sum(frame.packed for frame in self.frames[:number])
        try:
            with open(self.path, "rb", buffering=0) as file:
                packed = os.pread(file.fileno(), self.frames[number].packed, offset)
        except OSError:
            packed = b""
        if hashlib.sha256(packed).hexdigest() != self.frames[number].sha256:
            raise BuildError(f"{self.path} changed while it was read", hint="run again")
        return packed


class PackedLayers:
    """A directory of layers that this machine has packed, at most ``limit`` bytes of them after each use.

    Without ``takes`` nothing in it is used, and everything packed comes in anew. Any number of processes may use it.
    """

    def __init__(self, folder: str, *, limit: int = LIMIT, takes: bool = True) -> None:
        self.folder = folder
        self.limit = limit
        self._takes = takes
        self._is_usable = True

    @contextmanager
    def in_use(self, report: Report) -> Iterator[None]:
        """Keep what is here from being pruned while the body uses it; then remove what was not used for longest.

        Where the directory cannot be made, or is another user's, nothing is taken from it, and nothing kept.
        """
        with ExitStack() as stack:
            try:
                stack.callback(os.close, self._opened(fcntl.LOCK_SH))
            except OSError as error:
                self._is_usable = False
                report.warn(f"what is packed here is not kept in {self.folder}: {reason(error)}")
            yield
        if self._is_usable:
            with suppress(OSError):
                self.prune(self.limit)

    def get(self, key: str) -> PackedLayer | None:
        """Return the layer of ``key``, all of it compared with its digests; None when it is not here, or unsound.

        Safe from any thread.
        """
        if not self._is_usable or not self._takes:
            return None
        path = os.path.join(self.folder, key)
        try:
            with open(path, "rb", buffering=0) as file:
                layer = _parsed(path, key, file.fileno())
                os.utime(file.fileno())
        except OSError:
            return None
        if layer is None:
            with suppress(OSError):
                os.unlink(path)
        return layer

    @contextmanager
    def putting(self, key: str) -> Iterator[NewLayer]:
        """Yield what takes the frames of a layer, in order; without its end, or without room, nothing stays."""
        new, stack = NewLayer(key, os.path.join(self.folder, key), replaces=not self._takes), ExitStack()
        if self._is_usable:
            with suppress(OSError):
                new.file = stack.enter_context(atomic.temporary_beside(new.path, mode=0o600))
        try:
            yield new
        finally:
            with suppress(OSError):
                stack.close()

    def prune(self, limit: int) -> int:
        """Remove what was not used for longest until at most ``limit`` bytes are here; return how many were removed.

        While somebody uses the directory nothing is.

        :raises OSError: when it cannot be read, or a file not be removed
        """
        try:
            lock = self._opened(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        try:
            with os.scandir(self.folder) as entries:
                facts = [(each.stat(), each.path) for each in entries if _NAME.fullmatch(each.name)]
            left = size = sum(each.st_size for each, _ in facts)
            for each, path in sorted(facts, key=lambda one: one[0].st_mtime_ns):
                if left <= limit:
                    break
                os.unlink(path)
                left -= each.st_size
            return size - left
        finally:
            os.close(lock)

    def _opened(self, lock: int) -> int:
        """Return the directory, made where it is not there, open and locked; where locks are unknown, without one."""
        os.makedirs(os.path.dirname(self.folder), exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self.folder, 0o700)
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_uid != os.getuid():
                msg = "it is another user's"
                raise PermissionError(0, msg)
            os.fchmod(fd, 0o700)
            try:
                fcntl.flock(fd, lock)
            except BlockingIOError:
                raise
            except OSError:
                pass
        except BaseException:
            os.close(fd)
            raise
        return fd


class NewLayer:
    """A layer on its way in. The build does not depend on it: trouble with its file is the end of that alone."""

    def __init__(self, key: str, path: str, *, replaces: bool) -> None:
        self.path = path
        self.file: BinaryIO | None = None
        self._key = key
        self._replaces = replaces

    def write(self, packed: bytes) -> None:
        """Take the next frame."""
        self._do(lambda file: file.write(packed))

    def end(self, digest: str, frames: Sequence[Frame], compiled: int) -> None:
        """Keep the layer, whose frames were all written, unless somebody else was first: that one may be in use."""
        table = {"schema": _SCHEMA, "key": self._key, "digest": digest, "compiled": compiled}
        rows = [[frame.packed, frame.size, frame.sha256] for frame in frames]
        document = json.dumps({**table, "frames": rows}, separators=(",", ":")).encode()

        def finish(file: BinaryIO) -> None:
            file.write(document + _END.pack(len(document), hashlib.sha256(document).digest()))
            file.flush()
            # Not to the disk first: what a crash leaves half-way there does not have its digests.
            if self._replaces or not os.path.exists(self.path):
                os.rename(file.name, self.path)

        self._do(finish)

    def _do(self, action: Callable[[BinaryIO], object]) -> None:
        if self.file is not None:
            try:
                action(self.file)
            except OSError:
                self.file = None


def key_of(
    paths: Sequence[str],
    found: Survey,
    patched: Mapping[str, Content],
    compiled: AbstractSet[str],
    compiler: str,
) -> str:
    """Return what a layer of the members at ``paths`` is kept under: a digest of all that its frames are made from.

    That is its members, their content as an archive has it, how they are compressed, and where ``compiled`` has any of
    them, the modules that get bytecode, the ``compiler``. ``patched`` are contents of files that are not text and hold
    the prefix.
    """
    how = (_SCHEMA, zstandard.ZSTD_VERSION, zstandard.__version__, LEVEL, FRAME_LIMIT)
    by = "" if compiled.isdisjoint(paths) else compiler
    digest = hashlib.sha256(repr((how, by)).encode())
    for path in paths:
        member = found.members[path]
        if path in patched:
            content = patched[path].sha256
        elif path in found.contents:
            content = hashlib.sha256(found.contents[path]).digest()
        else:
            content = found.digests[path] if member.size else b""
        facts = (path, member.type, member.mode, member.size, member.target, path in compiled, content)
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def _parsed(path: str, key: str, fd: int) -> PackedLayer | None:
    """Return the layer in an open file; None when any of it is not as its digests say, or it is another key's."""
    size = os.fstat(fd).st_size
    try:
        length, sha256 = _END.unpack(os.pread(fd, _END.size, max(0, size - _END.size)))
        end = size - _END.size - length
        if end < 0 or length > _TABLE_LIMIT:
            return None
        document = os.pread(fd, length, end)
        if hashlib.sha256(document).digest() != sha256:
            return None
        table = json.loads(document)
        frames = tuple(Frame(packed=packed, size=raw, sha256=digest) for packed, raw, digest in table["frames"])
        if (table["schema"], table["key"]) != (_SCHEMA, key) or sum(frame.packed for frame in frames) != end:
            return None
        layer = PackedLayer(path=path, digest=table["digest"], frames=frames, compiled=table["compiled"])
    except (struct.error, ValueError, LookupError, TypeError):
        return None
    offset = 0
    for frame in frames:
        if hashlib.sha256(os.pread(fd, frame.packed, offset)).hexdigest() != frame.sha256:
            return None
        offset += frame.packed
    return layer

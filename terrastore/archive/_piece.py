"""A process that writes pieces of layers: jobs come on standard input, results go to standard output.

Several of these unpack an archive, for threads would wait for each other at every file that they write. A job is what
:mod:`terrastore.archive.crew` packs; it imports little, for each process has to. It ends when its input does.
"""

from __future__ import annotations

import gc
import hashlib
import marshal
import os
import signal
import struct
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final

from terrastore.archive import ustar
from terrastore.archive.frames import Expected, verified
from terrastore.archive.pieces import LostError, PieceWriter, Start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEAD: Final = struct.Struct("<II")
"""How many bytes of a message are marshalled, and how many follow."""


def send(file: IO[bytes], message: Any, data: bytes | memoryview = b"") -> None:
    """Write a message and the bytes that belong to it."""
    packed = marshal.dumps(message)
    for part in (HEAD.pack(len(packed), len(data)) + packed, data):
        view = memoryview(part)
        while view:
            view = view[file.write(view) :]


def receive(file: IO[bytes]) -> tuple[Any, memoryview]:
    """Return a message and the bytes that belong to it.

    :raises EOFError: when the other side is gone
    """
    size, more = HEAD.unpack(_exactly(file, HEAD.size))
    message = marshal.loads(_exactly(file, size))  # noqa: S302 -- nobody else has an end of the pipe
    return message, _exactly(file, more)


def _exactly(file: IO[bytes], size: int) -> memoryview:
    view = memoryview(bytearray(size))
    position = 0
    while position < size:
        read = file.readinto(view[position:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        position += read
    return view


class Hand:
    """Does one job after the other, below the roots that they name; only in the first one files are held back.

    ``tell`` is told where the next piece begins, before this one is written; ``ask`` says where this one does.
    """

    def __init__(
        self, ask: Callable[[], Any], tell: Callable[[Any], None], root: str, held: Sequence[str], umask: int
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._umask = umask
        self._writers = {root: PieceWriter(root, held, umask)}

    def frame(self, data: memoryview, size: int, sha256: str, *rest: Any) -> Any:
        """Write what a packed frame holds, once it is the one that is expected."""
        return self._write(verified(data, Expected(size, sha256)), *rest)

    def frame_of(self, _: memoryview, place: str, offset: int, packed: int, *rest: Any) -> Any:
        """Write what a packed frame holds that is in a file.

        :raises LostError: when the file does not have it
        """
        return self.frame(memoryview(_part(place, offset, packed)), *rest)

    def kept(self, _: memoryview, place: str, offset: int, size: int, *rest: Any) -> Any:
        """Write what a part of a file of raw bytes holds."""
        return self._write(_part(place, offset, size), *rest)

    def digest(self, _: memoryview, place: str) -> str:
        """Return the SHA-256 of a file."""
        with open(place, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def index(self, _: memoryview, tree: str, rows: Any) -> None:
        """Complete the tree of a layer."""
        from terrastore.archive import trees  # noqa: PLC0415 -- only who shares files has any

        trees.write_index(tree, rows)

    def plant(self, _: memoryview, tree: str, root: str, mode: str) -> Any:
        """Put the files of a tree into an environment."""
        from terrastore.archive import trees  # noqa: PLC0415 -- see index

        written, copied = trees.plant(tree, self._writers[root], mode)
        return *written, copied

    def _write(self, raw: bytes, root: str, is_first: bool, is_last: bool, keep: str | None, offset: int) -> Any:
        trouble = None if keep is None else _keep(raw, keep, offset)
        if root not in self._writers:
            self._writers[root] = PieceWriter(root, (), self._umask)
        # Asked as late as can be: whoever writes the piece before has to find out first.
        writer, begin = self._writers[root], Start() if is_first else _start(self._ask())
        pieces, end = writer.parse(raw, begin, is_last=is_last)
        if not is_last:
            # Whoever writes the next piece need not wait until this one is written.
            self._tell(_plain(end))
        return *writer.write(pieces, begin), trouble


def _part(place: str, offset: int, size: int) -> bytes:
    """Return a part of a file.

    :raises LostError: when that does not have it
    """
    try:
        with open(place, "rb", buffering=0) as file:
            data = os.pread(file.fileno(), size, offset)
    except OSError:
        raise LostError(place) from None
    if len(data) < size:
        raise LostError(place)
    return data


def _start(plain: Any) -> Start:
    (member, offset, extended, pax), crc = plain
    return Start(ustar.Position(ustar.Member(*member) if member else None, offset, extended, pax), crc)


def _plain(start: Start) -> Any:
    """Return what marshal takes."""
    member, offset, extended, pax = start.position
    return (tuple(member) if member else None, offset, extended, dict(pax)), start.crc


def _keep(raw: bytes, place: str, offset: int) -> tuple[int | None, str | None] | None:
    """Write raw bytes to where they are kept; return what went wrong, for that is no trouble of the environment."""
    try:
        # The file is there, unless what was begun is given up: then it must not come again.
        fd = os.open(place, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            view = memoryview(raw)
            while view:
                written = os.pwrite(fd, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(fd)
    except OSError as error:
        return error.errno, error.strerror
    return None


def main() -> None:
    """Do what comes, until nothing comes any more."""
    # Who interrupts means the process that gives the work, which ends this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    source, output = open(0, "rb", buffering=0), open(1, "wb", buffering=0)  # noqa: SIM115 -- until the end
    gc.disable()  # nothing here has cycles, and there are many rows
    with suppress(EOFError, BrokenPipeError):
        setup, _ = receive(source)
        hand = Hand(lambda: receive(source)[0], lambda end: send(output, ("end", end)), *setup)
        while True:
            (name, *arguments), data = receive(source)
            try:
                result = "done", getattr(hand, name)(data, *arguments)
            except LostError:
                result = "lost", None
            except ustar.MalformedError as error:
                result = "malformed", str(error)
            except OSError as error:
                result = "os", (error.errno, error.strerror, error.filename)
            except Exception as error:  # noqa: BLE001 -- told by who asked, once
                result = "defect", f"{type(error).__name__}: {error}"
            send(output, result)
    os._exit(0)  # there is nothing to tidy up, and somebody waits

"""A connection that speaks HTTP/1.1: heads are parsed, bodies pass in pieces."""

from __future__ import annotations

import contextlib
import copy
import http.client
import math
import select
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Mapping
    from http.client import HTTPMessage

PIECE = 256 * 1024
LINE = 64 * 1024


class Connection:
    """One end of a connection; what breaks there is raised as ``broken``."""

    def __init__(self, sock: socket.socket, broken: type[Exception] = ConnectionError) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")
        self._memory = memoryview(bytearray(PIECE))
        self._broken = broken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def readable(self, seconds: float) -> bool:
        """Return whether there is something to read, or the end, within so many seconds."""
        return bool(select.select([self.sock], [], [], seconds)[0])

    def head(self) -> tuple[list[str], HTTPMessage] | None:
        """Return the words of the first line and the headers, None at the end of the connection."""
        with self._watched():
            line = self._file.readline(LINE)
            words = line.decode("latin-1").strip().split(" ", 2)
            return (words, http.client.parse_headers(self._file)) if line else None

    def piece(self, size: float = PIECE) -> memoryview:
        """Return at most so many of the next bytes, none at the end; they last until the next call."""
        with self._watched():
            return self._memory[: self._file.readinto1(self._memory[: int(min(size, PIECE))])]

    def body(self, length: float, *, chunked: bool) -> Iterator[memoryview]:
        """Yield a body in pieces that last until the next one; an endless one ends with the connection."""
        if not chunked:
            yield from self._exactly(length)
            return
        while size := int(self._line().split(b";")[0], 16):
            yield from self._exactly(size)
            self._line()
        while self._line():
            pass  # Trailers may be dropped. Those of S3 are within the body.

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes."""
        with self._watched():
            self.sock.sendall(data)

    def send_head(self, line: str, headers: HTTPMessage) -> None:
        """Send a first line and headers."""
        lines = [line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def send_body(self, body: Iterable[bytes | memoryview], *, chunked: bool, whole: bool = True) -> None:
        """Send a body, and if it is the whole one, what tells its end."""
        for piece in body:
            if chunked:
                self.send(b"%x\r\n" % len(piece))
            self.send(piece)
            if chunked:
                self.send(b"\r\n")
        if chunked and whole:
            self.send(b"0\r\n\r\n")

    def _line(self) -> bytes:
        with self._watched():
            line = self._file.readline(LINE)
        if not line:
            raise self._broken("the connection ended within a body")
        return line.strip()

    def _exactly(self, length: float) -> Iterator[memoryview]:
        while length > 0:
            piece = self.piece(length)
            if not piece and length < math.inf:
                raise self._broken("the connection ended within a body")
            if not piece:
                return
            length -= len(piece)
            yield piece

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._broken(str(error)) from error


def is_chunked(headers: HTTPMessage) -> bool:
    """Return whether a body comes in chunks."""
    return "chunked" in headers.get("Transfer-Encoding", "").lower()


def stays_open(version: str, headers: HTTPMessage) -> bool:
    """Return whether the connection is to be used again."""
    return version == "HTTP/1.1" and headers.get("Connection", "").lower() != "close"


def changed(headers: HTTPMessage, changes: Mapping[str, str | None]) -> HTTPMessage:
    """Return headers with some set, or gone where None is given."""
    result = copy.deepcopy(headers)
    for name, value in changes.items():
        del result[name]
        if value is not None:
            result[name] = value
    return result

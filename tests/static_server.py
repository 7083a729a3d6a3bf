"""A folder by HTTP, to read: what stands for a web server or a CDN before a store."""

from __future__ import annotations

import email.utils
import http.server
import os
import re
from typing import TYPE_CHECKING, BinaryIO, ClassVar
from urllib.parse import unquote, urlsplit

from tests.loopback import Certificate, Server

if TYPE_CHECKING:
    import socket
    from pathlib import Path

# As in nginx, several ranges or what is no range at all are not obeyed: the whole file is sent.
RANGE = re.compile(r"bytes=(?:(?P<first>\d+)-(?P<last>\d*)|-(?P<suffix>\d+))")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection to a :class:`StaticServer`."""

    protocol_version = "HTTP/1.1"

    def __init__(self, client: socket.socket, folder: Path) -> None:
        self.folder = folder
        super().__init__(client, ("127.0.0.1", 0), None)  # type: ignore[arg-type] # it asks nothing of its server

    def do_GET(self) -> None:  # the name the class looks for
        path = self.path_on_disk()
        if not path.is_file():
            self.answer(404, {"Content-Length": "0"})
            return
        with path.open("rb") as file:
            self.answer_file(file)

    do_HEAD = do_GET  # noqa: N815 # the name the class looks for

    def path_on_disk(self) -> Path:
        """Return where the path of the request leads, nowhere else than into the folder."""
        path = (self.folder / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        return path if path.is_relative_to(self.folder.resolve()) else self.folder

    def answer_file(self, file: BinaryIO) -> None:
        """Answer with a file, or the range of it that is asked for."""
        stat = os.fstat(file.fileno())
        tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        headers = {"ETag": tag, "Last-Modified": email.utils.formatdate(stat.st_mtime, usegmt=True)}
        start, stop, status = 0, stat.st_size, 200
        if (asked := RANGE.fullmatch(self.headers.get("Range", ""))) and self.headers.get("If-Range", tag) == tag:
            start, stop = span(asked, stat.st_size)
            status = 206 if start < stop else 416
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stat.st_size}"
        if status == 416:
            headers["Content-Range"] = f"bytes */{stat.st_size}"
            start = stop = 0
        if self.headers.get("If-Match", tag) not in ("*", tag):
            self.answer(412, {"Content-Length": "0"})
            return
        if self.headers.get("If-None-Match") == tag:
            self.answer(304, {"ETag": tag})
            return
        self.answer(status, {"Accept-Ranges": "bytes", "Content-Length": str(stop - start), **headers})
        if self.command == "GET" and start < stop:
            self.connection.sendfile(file, start, stop - start)

    def answer(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 # its name in the class
        """Say nothing; :class:`tests.wire.Wire` tells what was asked."""


class StaticServer(Server):
    """Serves the files of a folder at :attr:`url`, whole or a range; connections are kept alive."""

    handler: ClassVar[type[Handler]] = Handler

    def __init__(self, folder: Path, *, certificate: Certificate | None = None) -> None:
        super().__init__(certificate=certificate)
        self.folder = folder

    def serve(self, client: socket.socket, number: int) -> None:
        self.handler(client, self.folder)


def span(asked: re.Match[str], size: int) -> tuple[int, int]:
    """Return where a range of a file begins and where it ends, which is no further on if it is not there."""
    if asked["suffix"]:
        return max(0, size - int(asked["suffix"])), size
    return int(asked["first"]), min(size, int(asked["last"]) + 1) if asked["last"] else size

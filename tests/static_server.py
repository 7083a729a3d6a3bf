"""A folder by HTTP, to read: what stands for a web server or a CDN before a store."""

from __future__ import annotations

import contextlib
import email.utils
import http.server
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar
from urllib.parse import unquote, urlsplit

import pytest

from tests.loopback import Certificate, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 1024 * 1024

# Several ranges, or what is no range at all, are not obeyed: the whole file is sent.
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
        size = stat.st_size
        tag = f'"{stat.st_mtime_ns:x}-{size:x}"'
        headers = {"ETag": tag, "Last-Modified": email.utils.formatdate(stat.st_mtime, usegmt=True)}
        if self.headers.get("If-Match", tag) not in ("*", tag):
            self.answer(412, {"Content-Length": "0"})
            return
        if self.headers.get("If-None-Match") in ("*", tag):
            self.answer(304, headers)
            return
        start, stop, status = 0, size, 200
        if (asked := RANGE.fullmatch(self.headers.get("Range", ""))) and self.headers.get("If-Range", tag) == tag:
            start, stop = span(asked, size)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if start >= stop and status == 206:
            start, stop, status = 0, 0, 416
            headers["Content-Range"] = f"bytes */{size}"
        self.answer(status, {"Accept-Ranges": "bytes", "Content-Length": str(stop - start), **headers})
        if self.command == "GET":
            self.send(file, start, stop)

    def send(self, file: BinaryIO, start: int, stop: int) -> None:
        """Send part of a file."""
        file.seek(start)
        while start < stop and (piece := file.read(min(stop - start, PIECE))):
            self.wfile.write(piece)
            start += len(piece)

    def answer(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
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


@contextlib.contextmanager
def nginx(folder: Path, *, certificate: Certificate | None = None, directives: str = "") -> Iterator[str]:
    """Serve a folder with the real thing and yield its URL; ``directives`` are more of its configuration.

    Where it is not installed the test is skipped, but in continuous integration it fails.
    """
    command = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if command is None:
        if "CI" in os.environ:
            raise FileNotFoundError("nginx; on Debian it is in nginx-light")
        pytest.skip("there is no nginx here; on Debian it is in nginx-light")
    with tempfile.TemporaryDirectory() as prefix, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        tls = 'ssl_certificate "{}"; ssl_certificate_key "{}";'.format(*certificate) if certificate else ""
        user = "user root;" if os.geteuid() == 0 else ""  # or it becomes one that may not read temporary folders
        configuration = f"""
            daemon off; worker_processes 1; {user} pid nginx.pid; error_log stderr;
            events {{}}
            http {{
                access_log off; sendfile on; default_type application/octet-stream;
                client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                server {{ listen 127.0.0.1:{port} {"ssl" if certificate else ""}; {tls} root "{folder}"; {directives} }}
            }}
        """
        Path(prefix, "nginx.conf").write_text(configuration)
        # It takes the socket over as from an nginx before it, so no port is raced for and no start waited for.
        process = subprocess.Popen(
            [command, "-p", prefix, "-c", "nginx.conf", "-e", "stderr"],
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        listener.close()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        finally:
            process.terminate()
            said = process.communicate(timeout=5)[1]
        if process.returncode != 0:
            raise RuntimeError(f"nginx ended with {process.returncode}: {said}")


def span(asked: re.Match[str], size: int) -> tuple[int, int]:
    """Return where a range of a file begins and where it ends, which is no further on if it is not there."""
    if asked["suffix"]:
        return max(0, size - int(asked["suffix"])), size
    return int(asked["first"]), min(size, int(asked["last"]) + 1) if asked["last"] else size

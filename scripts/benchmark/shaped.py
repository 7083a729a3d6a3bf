"""Serves a folder as S3 in the same region would: each answer waits, each connection has its own even rate.

    python -m scripts.benchmark.shaped FOLDER [--latency SECONDS] [--rate BYTES] [--answers FILE]

``FOLDER/<bucket>/<key>`` are the objects. It speaks HTTP/1.1 over TLS, keeps connections, knows ranges and If-Match,
and takes objects; signatures are not checked, and other operations answered with 501. The rate is kept by the kernel
(SO_MAX_PACING_RATE), which sends packet by packet: nothing sleeps here, nothing comes in bursts, and a server in Python
is fast enough. A line of ``--answers`` is the monotonic time of an answer's first byte, its status and its path.

It prints two lines, its URL and the certificate to trust, and serves until its input ends.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tests.loopback import Certificate, Server, certificate
from tests.static_server import Handler

if TYPE_CHECKING:
    from collections.abc import Sequence

SO_MAX_PACING_RATE: Final = 47
"""Of Linux; Python has no name for it."""
LATENCY: Final = 0.025
RATE: Final = 90_000_000
NOT_THERE: Final = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"


class Shaped(Server):
    """Serves the objects below a folder."""

    def __init__(self, folder: Path, *, latency: float, rate: int, answers: Path, shown: Certificate) -> None:
        super().__init__(certificate=shown)
        self.folder = folder
        self.latency = latency
        self.rate = rate
        self._answers = answers.open("a", buffering=1)

    def serve(self, client: socket.socket, number: int) -> None:  # noqa: ARG002 -- as the server calls it
        client.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self.rate)
        Objects(client, self)

    def note(self, status: int, path: str) -> None:
        """Write down that an answer begins."""
        self._answers.write(f"{time.monotonic():.6f} {status} {path}\n")

    def __exit__(self, *why: object) -> None:
        super().__exit__(None, None, None)
        self._answers.close()


class Objects(Handler):
    """A connection."""

    def __init__(self, client: socket.socket, server: Shaped) -> None:
        self.shaped = server
        super().__init__(client, server.folder)

    def do_GET(self) -> None:  # noqa: N802 -- the name the class looks for
        if "list-type" in urlsplit(self.path).query:
            self.refuse()
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815 # the name the class looks for

    def do_PUT(self) -> None:  # noqa: N802 -- the name the class looks for
        data = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path_on_disk()
        if self.headers.get("If-None-Match") == "*" and path.exists():
            self.answer(412, {"Content-Length": "0"})
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.answer(200, {"Content-Length": "0", "ETag": '"written"'})

    def refuse(self) -> None:
        """Answer what nobody needs who reads."""
        self.close_connection = True  # A body may come.
        self.answer(501, {"Content-Length": "0"})

    do_POST = do_DELETE = refuse  # noqa: N815 # the names the class looks for

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.shaped.pause(self.shaped.latency)
        self.shaped.note(status, self.path)
        is_missing = status == 404 and self.command == "GET"
        super().answer(status, headers | ({"Content-Length": str(len(NOT_THERE))} if is_missing else {}))
        if is_missing:
            self.wfile.write(NOT_THERE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmark.shaped", description="Serve a folder as S3.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=LATENCY, metavar="SECONDS", help="to an answer's first byte")
    parser.add_argument("--rate", type=int, default=RATE, metavar="BYTES", help="per second and connection")
    parser.add_argument("--answers", type=Path, default=Path("/dev/null"), metavar="FILE", help="where to note answers")
    options = vars(parser.parse_args(arguments))
    with tempfile.TemporaryDirectory() as folder:
        shown = certificate(Path(folder))
        with Shaped(**options, shown=shown) as server:
            print(server.url, shown.crt, sep="\n", flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()

"""A wire between terrastore and a real server: it tells what passed, and breaks where a test says so.

::

    with Wire("http://127.0.0.1:5000") as wire:
        wire.fault(faults.SLOW_DOWN, operation="GetObject", times=2)
        ...  # with wire.url as the endpoint
        assert ["GetObject"] * 3 == wire.operations

Heads and bodies go on as they came, the Host header too, so signatures stay valid. Bodies pass in pieces, so their
size does not matter. Each connection of a client has one to the server, and both are kept alive. :mod:`tests.faults`
has the faults.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import math
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.connection import PIECE, Connection, changed, is_chunked, stays_open
from tests.loopback import PATIENCE, Certificate, Server
from tests.s3_request import operation, signature

if TYPE_CHECKING:
    from http.client import HTTPMessage

FOREVER = math.inf


class UpstreamError(OSError):
    """The server behind the wire cannot be reached, or broke off."""


@dataclass(eq=False, kw_only=True)
class Request:
    """What a client asked, and what came of it."""

    method: str
    target: str
    """The path and the query as they were sent."""
    headers: HTTPMessage = field(repr=False)
    connection: int
    """Which connection of a client it came by, from 0."""
    at: float = field(default_factory=time.monotonic, repr=False)
    """When it came, by the monotonic clock."""
    status: int | None = None
    """What the client was told, None if nothing."""
    upstream_status: int | None = None
    """What the server said, None if it was not asked."""
    bytes_in: int = 0
    """How much body was taken from the client."""
    bytes_out: int = 0
    """How much body went to the client."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("Range")

    @property
    def operation(self) -> str:
        """What it asks of S3, if it does, with the bucket in the path: ``GetObject``."""
        return operation(self.method, self.path, self.query, copies="x-amz-copy-source" in self.headers)


@dataclass
class Reply:
    """An answer on its way to the client."""

    status: int
    reason: str
    headers: HTTPMessage
    body: Iterable[bytes | memoryview]
    chunked: bool = False

    @property
    def length(self) -> int:
        """The Content-Length, which has to be there."""
        return int(self.headers["Content-Length"])


Fault = Callable[["Exchange"], None]
"""What becomes of a request instead of being passed on; :class:`Exchange` has what it can do."""


@dataclass(eq=False, kw_only=True)
class Rule:
    """Which requests a fault befalls; ``hits`` tells how many it did."""

    fault: Fault
    method: str | None
    path: re.Pattern[str]
    operation: str | None
    where: Callable[[Request], bool]
    times: float
    after: int
    hits: int = 0

    def takes(self, request: Request) -> bool:
        """Return whether a request is its, and count it."""
        if (
            self.hits >= self.times
            or self.method not in (None, request.method)
            or self.operation not in (None, request.operation)
            or not self.path.search(request.path)
            or not self.where(request)
        ):
            return False
        if self.after:
            self.after -= 1
            return False
        self.hits += 1
        return True


class Wire(Server):
    """Stands before the server at ``upstream``, as a server at :attr:`url`.

    ``ca`` is the certificate to trust there, ``certificate`` what to show to clients. With ``secret``, the clients'
    key, requests whose headers a fault changes are signed again. Like a distant server, each connection waits
    ``latency`` seconds before an answer and sends it at ``rate`` bytes per second, if given.
    """

    def __init__(
        self,
        upstream: str,
        *,
        ca: str | None = None,
        certificate: Certificate | None = None,
        secret: str | None = None,
        latency: float = 0,
        rate: float = math.inf,
    ) -> None:
        super().__init__(certificate=certificate)
        self.upstream = upstream
        self.ca = ca
        self.secret = secret
        self.latency = latency
        self.rate = rate
        self.requests: list[Request] = []
        self._rules: list[Rule] = []
        self._choosing = threading.Lock()

    @property
    def operations(self) -> list[str]:
        """What was asked of S3, in order of arrival."""
        return [request.operation for request in self.requests]

    def fault(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str = "",
        operation: str | None = None,
        where: Callable[[Request], bool] = lambda _: True,
        times: float = 1,
        after: int = 0,
    ) -> Rule:
        """Let a fault befall the next ``times`` requests that match, once ``after`` others that match have passed.

        ``path`` is a regular expression to be found in it. A request that several rules match is taken by the first of
        them, and unknown to the others.
        """
        rule = Rule(
            fault=fault,
            method=method,
            path=re.compile(path),
            operation=operation,
            where=where,
            times=times,
            after=after,
        )
        with self._choosing:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all faults, and the requests so far."""
        with self._choosing:
            self._rules.clear()
            self.requests.clear()

    def serve(self, client: socket.socket, number: int) -> None:
        with Connection(client) as connection, Upstream(self) as upstream:
            while head := connection.head():
                (method, target, version), headers = head
                request = Request(method=method, target=target, headers=headers, connection=number)
                exchange = Exchange(self, connection, upstream, request)
                exchange.keep = stays_open(version, headers)
                self._choose(request)(exchange)
                if not exchange.keep or exchange.body_left:
                    return

    def _choose(self, request: Request) -> Fault:
        with self._choosing:
            self.requests.append(request)
            return next((rule.fault for rule in self._rules if rule.takes(request)), Exchange.forward)


class Exchange:
    """A request and the answer to it: what a fault can do with them.

    It begins with the request's head read. The client's connection is kept for the next request, unless
    :attr:`keep` is taken away or some of the request was left unread.
    """

    def __init__(self, wire: Wire, client: Connection, upstream: Upstream, request: Request) -> None:
        self.wire = wire
        self.client = client
        self.request = request
        self.keep = True
        self.latency = wire.latency
        self.rate = wire.rate
        self.body_left = is_chunked(request.headers) or int(request.headers.get("Content-Length", 0)) > 0
        self._expected = request.headers.get("Expect", "").lower() == "100-continue"
        self._body = self._received()
        self._upstream = upstream

    def forward(self, headers: HTTPMessage | None = None) -> None:
        """Do what happens without a fault: ask the server, tell the client."""
        self.tell(self.ask(headers))

    def drain(self, stop: float = math.inf) -> None:
        """Take the request's body, or about ``stop`` bytes, unless the client waits for a word before it sends any."""
        if not self._expected:
            for _ in self._body:
                if self.request.bytes_in >= stop:
                    break

    def ask(self, headers: HTTPMessage | None = None) -> Reply:
        """Pass the request on, with other headers if given, and return what the server says; its body is on its way."""
        if headers and self.wire.secret and "Authorization" in headers:
            signed = signature(self.request.method, self.request.target, headers, self.wire.secret)
            headers = changed(headers, {"Authorization": signed})
        server = self._upstream.connect()
        headers = changed(headers or self.request.headers, {"Connection": None})
        server.send_head(f"{self.request.method} {self.request.target} HTTP/1.1", headers)
        if self._expected and self.body_left:
            # A server that says nothing within a second is sent the body all the same, as clients do.
            if server.readable(1) and (reply := self._reply(server)).status >= http.client.OK:
                return reply
            self._expected = False
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            server.send_body(self._body, chunked=is_chunked(self.request.headers))
        except UpstreamError:
            self.drain()  # It may have said why before it stopped listening.
        while (reply := self._reply(server)).status < http.client.OK:
            pass
        return reply

    def tell(self, reply: Reply, *, stop: int | None = None) -> None:
        """Send the client an answer, of its body only the first ``stop`` bytes if given."""
        self.wire.pause(self.latency)
        self.request.status = reply.status
        headers = changed(reply.headers, {"Connection": None if self.keep and not self.body_left else "close"})
        self.client.send_head(f"HTTP/1.1 {reply.status} {reply.reason}", headers)
        body = reply.body if stop is None else beginning(reply.body, stop)
        self.client.send_body(self._paced(body), chunked=reply.chunked, whole=stop is None)

    def hold(self) -> None:
        """Say nothing more, until the client goes."""
        self.keep = False
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.client.piece():
            pass

    def reset(self) -> None:
        """Break the connection, so that the client is told it was."""
        self.keep = False
        self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _received(self) -> Iterator[memoryview]:
        if not self.body_left:
            return
        length = float(self.request.headers.get("Content-Length", math.inf))
        for piece in self.client.body(length, chunked=is_chunked(self.request.headers)):
            self.request.bytes_in += len(piece)
            yield piece
        self.body_left = False

    def _paced(self, body: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        start = time.monotonic()
        step = int(max(1, min(PIECE, self.rate / 50)))
        sent = 0
        for piece in body:
            for offset in range(0, len(piece), step):
                part = piece[offset : offset + step]
                sent += len(part)
                self.wire.pause(start + sent / self.rate - time.monotonic())
                # Counted before it goes: who has received it finds it counted.
                self.request.bytes_out += len(part)
                yield part

    def _reply(self, server: Connection) -> Reply:
        head = server.head()
        if head is None:
            raise UpstreamError(f"{self.wire.upstream} closed the connection without an answer to {self.request}")
        (version, code, *reason), headers = head
        status = int(code)
        self.request.upstream_status = status
        chunked = is_chunked(headers)
        length = float(headers.get("Content-Length", math.inf))
        if self.request.method == "HEAD" or status < http.client.OK or status in (204, 304):
            length, chunked = 0, False
        if length == math.inf and not chunked:
            self.keep = False  # The end of the body is the end of the connection, on both sides.
        again = self.keep and stays_open(version, headers) and not self.body_left

        def body() -> Iterator[memoryview]:
            yield from server.body(length, chunked=chunked)
            if again:
                self._upstream.keep()

        return Reply(status, " ".join(reason), headers, body(), chunked)


class Upstream:
    """The server's end for one connection of a client; connected when first needed, and kept while it may be."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._server: Connection | None = None
        self._idle = False
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def connect(self) -> Connection:
        """Return a connection for one request."""
        # What can be read while nothing was asked is the end of the connection.
        if self._server is None or not self._idle or self._server.readable(0):
            self._closing.close()
            self._server = self._connected()
        self._idle = False
        return self._server

    def keep(self) -> None:
        """Use the connection again for the next request."""
        self._idle = True

    def _connected(self) -> Connection:
        url = urlsplit(self._wire.upstream)
        if not url.hostname or not url.port or url.path.strip("/"):
            raise ValueError(f"{self._wire.upstream} is no scheme://host:port")
        try:
            sock = socket.create_connection((url.hostname, url.port), timeout=10)
            if url.scheme == "https":
                trust = ssl.create_default_context(cafile=self._wire.ca)
                sock = trust.wrap_socket(sock, server_hostname=url.hostname, do_handshake_on_connect=False)
            self._closing.enter_context(self._wire.watched(sock))
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
        except OSError as error:
            raise UpstreamError(f"{self._wire.upstream}: {error}") from error
        return self._closing.enter_context(Connection(sock, UpstreamError))


def beginning(body: Iterable[bytes | memoryview], stop: int) -> Iterator[bytes | memoryview]:
    """Yield the first ``stop`` bytes of a body that is longer."""
    left = stop
    for piece in body:
        yield piece[:left]
        if len(piece) > left:
            return
        left -= len(piece)
    raise ValueError(f"a body that ends within {stop} bytes cannot be cut there")


def main() -> None:
    """Stand before a server in a process of its own, which takes no time from the client that is measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire", description="Print where, until the input ends.")
    parser.add_argument("upstream")
    parser.add_argument("--ca")
    parser.add_argument("--certificate", nargs=2, metavar=("CRT", "KEY"))
    parser.add_argument("--latency", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=math.inf, metavar="BYTES")
    asked = vars(parser.parse_args())
    asked["certificate"] = asked["certificate"] and Certificate(*asked["certificate"])
    with Wire(**asked) as wire:
        print(wire.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

"""The wire passes on what it is given, tells of it, and breaks as a test says."""

import datetime as dt
import email.utils
import http.client
import io
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore import exceptions
from botocore.config import Config

from tests import faults
from tests.loopback import Server, certificate
from tests.s3_request import signature
from tests.servers import S3Server
from tests.static_server import Handler, StaticServer
from tests.wire import FOREVER, Exchange, Fault, Request, UpstreamError, Wire

DATA = os.urandom(1_000_000)


class Writable(Handler):
    """Takes files too, and refuses those that are there if asked to; a body may come in chunks."""

    def do_PUT(self) -> None:  # noqa: N802 # the name the class looks for
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        body += self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path_on_disk()
        if path.exists() and self.headers.get("If-None-Match") == "*":
            self.answer(412, {"Content-Length": "0"})
            return
        path.write_bytes(body)
        self.answer(200, {"Content-Length": "0"})


class Bucket(StaticServer):
    """A folder to read and to write."""

    handler = Writable


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(
    url: str,
    method: str = "GET",
    path: str = "/bucket/object",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 5,
) -> Answer:
    """Ask on a connection of its own."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)) as connection:
        return ask_on(connection, method, path, body, headers)


def ask_on(
    connection: http.client.HTTPConnection,
    method: str = "GET",
    path: str = "/bucket/object",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    connection.request(method, path, body, headers or {})
    with connection.getresponse() as response:
        return Answer(response.status, response.headers, response.read())


def name_of(value: object) -> str:
    return str(getattr(value, "__name__", value))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with ``bucket/object``."""
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    (bucket / "object").write_bytes(DATA)
    return tmp_path


@pytest.fixture
def bucket(folder: Path) -> Iterator[Bucket]:
    with Bucket(folder) as server:
        yield server


@pytest.fixture
def wire(bucket: Bucket) -> Iterator[Wire]:
    with Wire(bucket.url) as wire:
        yield wire


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/bucket/object", {}),
        ("GET", "/bucket/object", {"Range": "bytes=1000-1999"}),
        ("GET", "/bucket/object", {"Range": "bytes=5000000-"}),
        ("GET", "/bucket/nothing", {}),
        ("HEAD", "/bucket/object", {}),
        ("HEAD", "/bucket/object", {"Range": "bytes=1000-1999"}),
    ],
)
def test_without_a_fault_it_is_not_there(
    bucket: Bucket, wire: Wire, method: str, path: str, headers: Mapping[str, str]
) -> None:
    """Status, headers and body are what the server says without it."""
    expected = ask(bucket.url, method, path, headers=headers)
    found = ask(wire.url, method, path, headers=headers)
    del expected.headers["Date"], found.headers["Date"]
    assert (expected.status, expected.headers.items(), expected.body) == (
        found.status,
        found.headers.items(),
        found.body,
    )


def chunks() -> Iterator[bytes]:
    for start in range(0, len(DATA), 300_000):
        yield DATA[start : start + 300_000]


@pytest.mark.parametrize("body", [lambda: DATA, lambda: b"", chunks], ids=["with a length", "empty", "in chunks"])
def test_a_body_reaches_the_server(folder: Path, wire: Wire, body: Callable[[], Any]) -> None:
    """Whichever way it is framed."""
    assert 200 == ask(wire.url, "PUT", "/bucket/new", body()).status
    assert (b"" if body() == b"" else DATA) == (folder / "bucket" / "new").read_bytes()
    assert (folder / "bucket" / "new").stat().st_size == wire.requests[0].bytes_in


def test_it_tells_what_passed(wire: Wire) -> None:
    """Each request has what was asked, what came of it, and how much body went either way."""
    ask(wire.url, path="/bucket/object?versionId=a%20b&uploads", headers={"Range": "bytes=10-19"})
    ask(wire.url, "PUT", "/bucket/n%C3%A9w", b"12345")
    assert ["GetObject", "PutObject"] == wire.operations
    first, second = wire.requests
    assert ("GET", "/bucket/object", {"versionId": "a b", "uploads": ""}) == (first.method, first.path, first.query)
    assert ("bytes=10-19", 206, 0, 10) == (first.range, first.status, first.bytes_in, first.bytes_out)
    assert ("PUT", "/bucket/néw", None) == (second.method, second.path, second.range)
    assert (200, 5, 0) == (second.status, second.bytes_in, second.bytes_out)
    assert urlsplit(wire.url).netloc == second.headers["Host"]
    assert first.at <= second.at <= time.monotonic()


def test_connections_are_kept_on_both_sides(bucket: Bucket, wire: Wire) -> None:
    """A client that keeps its connection has one at the server, whatever it asks; another client has another."""
    with closing(http.client.HTTPConnection(urlsplit(wire.url).netloc, timeout=5)) as connection:
        for method, path in (("GET", "object"), ("HEAD", "object"), ("GET", "nothing"), ("PUT", "new")):
            ask_on(connection, method, f"/bucket/{path}", b"data" if method == "PUT" else None)
        ask(wire.url)
    assert [0, 0, 0, 0, 1] == [request.connection for request in wire.requests]
    assert 2 == len(bucket._threads)


def test_a_server_that_closed_its_connection_is_connected_anew(bucket: Bucket, wire: Wire) -> None:
    """The client's connection outlasts it."""
    with closing(http.client.HTTPConnection(urlsplit(wire.url).netloc, timeout=5)) as connection:
        assert 200 == ask_on(connection).status
        for sock in list(bucket._sockets):
            sock.shutdown(socket.SHUT_RDWR)
        time.sleep(0.05)
        assert 200 == ask_on(connection).status


@pytest.mark.parametrize(
    ("expected", "method", "target"),
    [
        ("GetObject", "GET", "/bucket/a/b"),
        ("GetObject", "GET", "/bucket/a?response-content-type=x"),
        ("HeadObject", "HEAD", "/bucket/a"),
        ("PutObject", "PUT", "/bucket/a"),
        ("DeleteObject", "DELETE", "/bucket/a"),
        ("CreateMultipartUpload", "POST", "/bucket/a?uploads"),
        ("UploadPart", "PUT", "/bucket/a?partNumber=1&uploadId=x"),
        ("CompleteMultipartUpload", "POST", "/bucket/a?uploadId=x"),
        ("AbortMultipartUpload", "DELETE", "/bucket/a?uploadId=x"),
        ("ListParts", "GET", "/bucket/a?uploadId=x"),
        ("ListObjectsV2", "GET", "/bucket?list-type=2&prefix=a%2Fb"),
        ("ListObjectsV2", "GET", "/bucket/?list-type=2"),
        ("ListObjects", "GET", "/bucket"),
        ("ListMultipartUploads", "GET", "/bucket?uploads"),
        ("HeadBucket", "HEAD", "/bucket"),
        ("DeleteObjects", "POST", "/bucket?delete"),
        ("ListBuckets", "GET", "/"),
        ("PATCH of key", "PATCH", "/bucket/a"),
    ],
)
def test_operations(expected: str, method: str, target: str) -> None:
    """S3's operations are told by method, path and query."""
    request = Request(method=method, target=target, headers=http.client.HTTPMessage(), connection=0)
    assert expected == request.operation


@pytest.mark.parametrize(
    ("expected", "rule"),
    [
        ([503, 200, 200, 200], {}),
        ([503, 503, 200, 200], {"times": 2}),
        ([503, 503, 503, 503], {"times": FOREVER}),
        ([200, 200, 503, 200], {"after": 2}),
        ([200, 503, 503, 503], {"after": 1, "times": FOREVER}),
        ([200, 200, 200, 503], {"method": "PUT"}),
        ([200, 200, 200, 503], {"operation": "PutObject"}),
        ([200, 503, 200, 200], {"operation": "HeadObject"}),
        ([200, 200, 503, 503], {"path": "/oth", "times": FOREVER}),
        ([503, 503, 200, 200], {"path": r"^/bucket/.*ct$", "times": FOREVER}),
        ([200, 200, 503, 200], {"path": "other", "operation": "GetObject"}),
        ([200, 200, 503, 200], {"where": lambda request: request.range == "bytes=0-9"}),
        ([200, 200, 200, 200], {"path": "nothing"}),
    ],
)
def test_rules(folder: Path, wire: Wire, expected: list[int], rule: dict[str, Any]) -> None:
    """A fault befalls the requests that its rule names, so often, after so many, and no others."""
    (folder / "bucket" / "other").write_bytes(b"")
    made = wire.fault(faults.SLOW_DOWN, **rule)
    found = [
        ask(wire.url).status,
        ask(wire.url, "HEAD").status,
        ask(wire.url, "GET", "/bucket/other", headers={"Range": "bytes=0-9"}).status,
        ask(wire.url, "PUT", "/bucket/other", b"data").status,
    ]
    assert [200 if status == 416 else status for status in found] == expected
    assert found.count(503) == made.hits


def test_the_first_rule_that_matches_wins(wire: Wire) -> None:
    """The next one does not see its requests."""
    wire.fault(faults.SLOW_DOWN, times=2)
    wire.fault(faults.ACCESS_DENIED, after=1)
    assert [503, 503, 200, 403, 200] == [ask(wire.url).status for _ in range(5)]


def test_clear(wire: Wire) -> None:
    """Faults and requests are forgotten."""
    wire.fault(faults.SLOW_DOWN, times=FOREVER)
    assert 503 == ask(wire.url).status
    wire.clear()
    assert 200 == ask(wire.url).status
    assert [200] == [request.status for request in wire.requests]


@pytest.mark.parametrize(
    ("status", "part", "fault"),
    [
        (500, b"<Code>InternalError</Code>", faults.INTERNAL_ERROR),
        (503, b"<Code>SlowDown</Code>", faults.SLOW_DOWN),
        (403, b"<Code>AccessDenied</Code>", faults.ACCESS_DENIED),
        (400, b"<Code>ExpiredToken</Code>", faults.EXPIRED_TOKEN),
        (409, b"<Code>ConditionalRequestConflict</Code>", faults.CONFLICT),
        (501, b"<Code>NotImplemented</Code>", faults.NOT_IMPLEMENTED),
        (301, b"<Code>PermanentRedirect</Code>", faults.NO_REGION),
        (400, b"<Region>eu-west-1</Region>", faults.other_region("eu-west-1")),
        (507, b"<Code>A&amp;B</Code>", faults.s3_error(507, "A&B")),
        (200, b"<html>", faults.page(200)),
        (403, b"403 Forbidden", faults.page(403)),
        (502, b"502 Bad Gateway", faults.page(502)),
        (418, b"short", faults.Answer(418, b"short")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_answers_without_the_server(
    folder: Path, wire: Wire, status: int, part: bytes, fault: Fault, method: str
) -> None:
    """The server is not asked, the request's body is taken, and the connection goes on."""
    wire.fault(fault)
    with closing(http.client.HTTPConnection(urlsplit(wire.url).netloc, timeout=5)) as connection:
        found = ask_on(connection, method, body=b"x" * 500_000 if method == "PUT" else None)
        assert status == found.status
        assert (b"" if method == "HEAD" else part) in found.body
        assert 200 == ask_on(connection).status
    assert [(status, None), (200, 200)] == [(each.status, each.upstream_status) for each in wire.requests]
    assert DATA == (folder / "bucket" / "object").read_bytes()


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        (http.client.RemoteDisconnected, faults.close),
        (ConnectionResetError, faults.Reset()),
        (TimeoutError, faults.silence),
        (http.client.IncompleteRead, faults.Cut(500_000)),
        (http.client.IncompleteRead, faults.Cut(0)),
        (TimeoutError, faults.Stall(500_000)),
        (TimeoutError, faults.Stall(0)),
        (http.client.RemoteDisconnected, faults.lose_reply),
    ],
    ids=name_of,
)
def test_connections_that_break(wire: Wire, expected: type[Exception], fault: Fault) -> None:
    """A client sees the failure that it would see in the wild, and can go on with another connection."""
    wire.fault(fault)
    with pytest.raises(expected) as raised:
        ask(wire.url, timeout=0.3 if expected is TimeoutError else 5)
    assert expected is type(raised.value)
    assert DATA == ask(wire.url).body


@pytest.mark.parametrize("after", [0, 1, 500_000, 999_999])
def test_a_body_is_cut_at_the_byte(wire: Wire, after: int) -> None:
    """The client gets the length of the whole, and so many bytes."""
    wire.fault(faults.Cut(after))
    with pytest.raises(http.client.IncompleteRead) as raised:
        ask(wire.url)
    assert (DATA[:after], len(DATA) - after) == (raised.value.partial, raised.value.expected)
    assert after == wire.requests[0].bytes_out


@pytest.mark.parametrize("fault", [faults.Cut(10), faults.Stall(10), faults.Garble(9)], ids=name_of)
def test_a_fault_that_cannot_happen_is_told(bucket: Bucket, fault: Fault) -> None:
    """A body of nine bytes is not cut after ten: such a test would test nothing."""
    with pytest.raises(ExceptionGroup, match="inside Wire") as raised, Wire(bucket.url) as wire:  # noqa: PT012
        wire.fault(fault)
        ask(wire.url, headers={"Range": "bytes=0-8"})
    assert [ValueError] == [type(error) for error in raised.value.exceptions]


def test_half_a_body(wire: Wire) -> None:
    """The length fits what comes, so only who knows the size or the digest sees it; Content-Range is the old one."""
    wire.fault(faults.half, times=2)
    assert DATA[:500_000] == ask(wire.url).body
    found = ask(wire.url, headers={"Range": "bytes=100-199"})
    assert (206, "50", "bytes 100-199/1000000") == (
        found.status,
        found.headers["Content-Length"],
        found.headers["Content-Range"],
    )
    assert DATA[100:150] == found.body


def test_a_range_is_ignored(wire: Wire) -> None:
    """The whole body comes, with 200."""
    wire.fault(faults.IGNORE_RANGE)
    found = ask(wire.url, headers={"Range": "bytes=100-199"})
    assert (200, None, DATA) == (found.status, found.headers["Content-Range"], found.body)
    assert "bytes=100-199" == wire.requests[0].range


def test_a_byte_is_garbled(wire: Wire) -> None:
    """One byte is another, however the body came."""
    wire.fault(faults.Garble(700_000))
    found = ask(wire.url).body
    assert [700_000] == [at for at, (was, now) in enumerate(zip(DATA, found, strict=True)) if was != now]


def test_a_reply_is_lost(folder: Path, wire: Wire) -> None:
    """What was written is there, though the client was told nothing."""
    wire.fault(faults.lose_reply)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(wire.url, "PUT", "/bucket/new", b"data")
    assert b"data" == (folder / "bucket" / "new").read_bytes()
    assert [(None, 200)] == [(request.status, request.upstream_status) for request in wire.requests]


@pytest.mark.parametrize("fault", [faults.close, faults.Reset()], ids=["close", "reset"])
def test_a_request_is_lost(folder: Path, wire: Wire, fault: Fault) -> None:
    """What was to be written is not there; the body had been taken."""
    wire.fault(fault)
    with pytest.raises(ConnectionError):
        ask(wire.url, "PUT", "/bucket/new", DATA)
    assert not (folder / "bucket" / "new").exists()
    assert [len(DATA)] == [request.bytes_in for request in wire.requests]


def test_a_reset_in_the_middle_of_an_upload(wire: Wire) -> None:
    """It comes while the client still sends."""
    wire.fault(faults.Reset(after=1_000_000))
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask(wire.url, "PUT", "/bucket/new", b"x" * 50_000_000)
    assert 1_000_000 <= wire.requests[0].bytes_in < 2_000_000


@pytest.mark.parametrize(
    ("expected", "fault"), [(0.2, faults.Slow(5_000_000)), (0.2, faults.Late(0.2))], ids=["slow", "late"]
)
def test_a_slow_answer(wire: Wire, expected: float, fault: Fault) -> None:
    """It takes as long as it was told to."""
    wire.fault(fault)
    start = time.monotonic()
    assert DATA == ask(wire.url).body
    assert expected <= time.monotonic() - start < expected + 0.5


def test_a_distant_server(bucket: Bucket) -> None:
    """Latency and rate hold for each connection by itself."""
    with Wire(bucket.url, latency=0.1, rate=10_000_000) as wire:
        start = time.monotonic()
        threads = [threading.Thread(target=ask, args=(wire.url,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0.2 <= time.monotonic() - start < 0.7


@pytest.mark.parametrize("seconds", [-86_400, 3600])
def test_a_clock_that_is_wrong(wire: Wire, seconds: int) -> None:
    """The Date header is that of the future, or of the past."""
    wire.fault(faults.ClockSkew(seconds))
    date = email.utils.parsedate_to_datetime(ask(wire.url).headers["Date"])
    assert abs(date - dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)) < dt.timedelta(seconds=5)


def test_a_redirect(wire: Wire) -> None:
    """The client is sent elsewhere."""
    wire.fault(faults.redirect("https://elsewhere.example/x"))
    found = ask(wire.url)
    assert (307, "https://elsewhere.example/x") == (found.status, found.headers["Location"])


def test_headers_are_changed_on_the_way(folder: Path, wire: Wire) -> None:
    """A request loses its condition, an answer its ETag, or has another."""
    wire.fault(faults.IGNORE_CONDITIONS, method="PUT")
    wire.fault(faults.Headers(request={"Range": "bytes=0-1"}, reply={"ETag": '"other"', "X-New": "1"}), method="GET")
    wire.fault(faults.Headers(reply={"etag": None}), method="GET")
    condition = {"If-None-Match": "*"}
    assert 200 == ask(wire.url, "PUT", body=b"new", headers=condition).status
    assert b"new" == (folder / "bucket" / "object").read_bytes()
    assert 412 == ask(wire.url, "PUT", body=b"newer", headers=condition).status
    assert "*" == wire.requests[0].headers["If-None-Match"]
    found = ask(wire.url)
    assert (b"ne", '"other"', "1") == (found.body, found.headers["ETag"], found.headers["X-New"])
    assert "ETag" not in ask(wire.url).headers


def test_a_fault_of_ones_own(wire: Wire) -> None:
    """A fault is a function of the exchange."""

    def twice(exchange: Exchange) -> None:
        for _ in exchange.ask().body:
            pass
        exchange.forward()

    wire.fault(twice)
    assert DATA == ask(wire.url).body


def expecting(wire: Wire, size: int) -> tuple[list[bytes], socket.socket]:
    """Say that a body comes, and return what is said to that, and the connection."""
    sock = socket.create_connection(("127.0.0.1", urlsplit(wire.url).port or 0), timeout=5)
    head = f"PUT /bucket/new HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
    sock.sendall(head.encode())
    return sock.recv(1000).split(b"\r\n"), sock


def test_the_server_says_when_to_continue(folder: Path, wire: Wire) -> None:
    """A client that waits for that word gets it, and then the answer."""
    said, sock = expecting(wire, 4)
    with sock:
        assert b"HTTP/1.1 100 Continue" == said[0]
        sock.sendall(b"data")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert b"data" == (folder / "bucket" / "new").read_bytes()


class Hasty(Server):
    """Answers before it has read the request, and closes."""

    def serve(self, client: socket.socket, number: int) -> None:
        client.recv(1000)
        client.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_an_answer_before_the_end_of_the_body() -> None:
    """The client gets it, though the server listens no longer."""
    with Hasty() as hasty, Wire(hasty.url) as wire:
        assert 413 == ask(wire.url, "PUT", "/bucket/new", b"x" * 20_000_000).status
    assert [20_000_000] == [request.bytes_in for request in wire.requests]


def test_an_answer_instead_of_the_word_to_continue(wire: Wire) -> None:
    """The client never sends its body, and the connection ends."""
    wire.fault(faults.SLOW_DOWN)
    said, sock = expecting(wire, 4)
    with sock:
        assert b"HTTP/1.1 503 Service Unavailable" == said[0]
        assert b"Connection: close" in said
        while sock.recv(1000):
            pass
    assert [0] == [request.bytes_in for request in wire.requests]


@pytest.mark.parametrize("upstream", [False, True], ids=["plain behind", "TLS behind"])
@pytest.mark.parametrize("client", [False, True], ids=["plain before", "TLS before"])
def test_tls(folder: Path, tmp_path: Path, upstream: bool, client: bool) -> None:
    """It is spoken on either side, or both."""
    made = certificate(tmp_path)
    with (
        StaticServer(folder, certificate=made if upstream else None) as server,
        Wire(server.url, ca=made.crt, certificate=made if client else None) as wire,
    ):
        where = urlsplit(wire.url).netloc
        trust = ssl.create_default_context(cafile=made.crt)
        with closing(
            http.client.HTTPSConnection(where, context=trust, timeout=5)
            if client
            else http.client.HTTPConnection(where, timeout=5)
        ) as connection:
            assert [DATA, DATA] == [ask_on(connection).body for _ in range(2)]


@pytest.mark.parametrize(
    "begin",
    [faults.silence, faults.Stall(5), faults.Slow(1), faults.Late(100), None],
    ids=["silence", "stall", "slow", "late", "idle"],
)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_it_ends_at_once(folder: Path, tmp_path: Path, begin: Fault | None, encrypted: bool) -> None:
    """Whatever its connections wait for."""
    made = certificate(tmp_path) if encrypted else None
    trust = ssl.create_default_context(cafile=made.crt) if made else None
    with StaticServer(folder) as server:
        with Wire(server.url, certificate=made) as wire, closing(socket.socket()) as plain:
            if begin:
                wire.fault(begin)
            plain.connect(("127.0.0.1", urlsplit(wire.url).port or 0))
            sock = trust.wrap_socket(plain, server_hostname="localhost") if trust else plain
            with sock:
                sock.sendall(b"GET /bucket/object HTTP/1.1\r\nHost: x\r\n\r\n")
                wait_for(lambda: bool(wire.requests))
                start = time.monotonic()
                wire.__exit__(None, None, None)
                assert time.monotonic() - start < 0.5
        assert not [thread for thread in wire._threads if thread.is_alive()]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds, five seconds at most."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_server_that_is_not_there_is_told() -> None:
    """The client's connection is closed, and the test fails, with the address."""
    with (
        pytest.raises(ExceptionGroup, match="inside Wire") as raised,
        Wire("http://127.0.0.1:1") as wire,
        pytest.raises(http.client.RemoteDisconnected),
    ):
        ask(wire.url)
    assert "http://127.0.0.1:1" in str(raised.value.exceptions[0])
    assert isinstance(raised.value.exceptions[0], UpstreamError)


def test_a_failure_of_the_test_comes_before_those_inside() -> None:
    """It is what is raised, with a note of the others."""
    with pytest.raises(KeyError) as raised, Wire("http://127.0.0.1:1") as wire:  # noqa: PT012
        with pytest.raises(http.client.RemoteDisconnected):
            ask(wire.url)
        raise KeyError
    assert "UpstreamError" in raised.value.__notes__[0]


def test_a_client_that_goes_away_is_no_failure(wire: Wire) -> None:
    """Clients do, in the middle of a body too."""
    wire.fault(faults.Slow(1_000_000))
    with closing(http.client.HTTPConnection(urlsplit(wire.url).netloc, timeout=5)) as connection:
        connection.request("GET", "/bucket/object")
        connection.getresponse().close()
    wait_for(lambda: not wire._sockets)
    assert [] == wire.errors


def test_a_body_is_never_held_whole(folder: Path, wire: Wire) -> None:
    """What is longer than memory passes, in little of it."""
    size = 100_000_000
    (folder / "bucket" / "object").write_bytes(b"")
    os.truncate(folder / "bucket" / "object", size)
    tracemalloc.start()
    with closing(http.client.HTTPConnection(urlsplit(wire.url).netloc, timeout=5)) as connection:
        connection.request("GET", "/bucket/object")
        response = connection.getresponse()
        piece = bytearray(1024 * 1024)
        assert size == sum(iter(lambda: response.readinto(piece), 0))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


Client = Any


@pytest.fixture(scope="module")
def session() -> Any:
    """Return what makes clients of S3, with its data read once."""
    return botocore.session.Session()


def s3(
    session: Any, endpoint: str, server: S3Server | None = None, *, patience: float = 5, verify: str | None = None
) -> Client:
    """Return a client that asks once."""
    return session.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        verify=verify,
        aws_access_key_id=server.access_key if server else "access",
        aws_secret_access_key=server.secret_key if server else "secret",
        config=Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=patience,
        ),
    )


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        (exceptions.ConnectionClosedError, faults.close),
        (exceptions.ConnectionClosedError, faults.Reset()),
        (exceptions.ConnectionClosedError, faults.lose_reply),
        (exceptions.ReadTimeoutError, faults.silence),
        (exceptions.ReadTimeoutError, faults.Late(100)),
        (exceptions.IncompleteReadError, faults.Cut(500_000)),
        (exceptions.ReadTimeoutError, faults.Stall(500_000)),
    ],
    ids=name_of,
)
def test_what_botocore_makes_of_broken_connections(
    session: Any, wire: Wire, expected: type[Exception], fault: Fault
) -> None:
    """Its errors are those that its users know."""
    wire.fault(fault)
    client = s3(session, wire.url, patience=0.3 if expected is exceptions.ReadTimeoutError else 5)
    with pytest.raises(expected):
        list(client.get_object(Bucket="bucket", Key="object")["Body"].iter_chunks(100_000))
    assert DATA == client.get_object(Bucket="bucket", Key="object")["Body"].read()
    client.close()


@pytest.mark.parametrize(
    ("code", "status", "fault"),
    [
        ("InternalError", 500, faults.INTERNAL_ERROR),
        ("SlowDown", 503, faults.SLOW_DOWN),
        ("AccessDenied", 403, faults.ACCESS_DENIED),
        ("ExpiredToken", 400, faults.EXPIRED_TOKEN),
        ("ConditionalRequestConflict", 409, faults.CONFLICT),
        ("NotImplemented", 501, faults.NOT_IMPLEMENTED),
        ("502", 502, faults.page(502)),
    ],
)
def test_what_botocore_makes_of_answers(session: Any, wire: Wire, code: str, status: int, fault: Fault) -> None:
    """It reads the code from the body; a put sends no body when the answer is there first."""
    wire.fault(fault, times=2)
    client = s3(session, wire.url)
    asks: list[Callable[[], object]] = [
        lambda: client.get_object(Bucket="bucket", Key="object"),
        lambda: client.put_object(Bucket="bucket", Key="new", Body=io.BytesIO(DATA * 5)),
    ]
    for asking in asks:
        with pytest.raises(exceptions.ClientError) as raised:
            asking()
        response = raised.value.response
        assert (code, status) == (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])
    assert 0 == wire.requests[1].bytes_in
    client.close()


def test_botocore_finds_the_region_that_the_answer_names(session: Any, wire: Wire) -> None:
    """It signs for that region, and asks again."""
    wire.fault(faults.other_region("eu-west-1"))
    client = s3(session, wire.url)
    client.get_object(Bucket="bucket", Key="object")["Body"].close()
    assert ["us-east-1", "eu-west-1"] == [
        request.headers["Authorization"].split("/")[2] for request in wire.requests if request.method == "GET"
    ]
    client.close()


@pytest.fixture(params=["moto", "radosgw"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Return an S3 that believes everyone, and one that checks signatures."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


def test_s3_through_the_wire(session: Any, server: S3Server) -> None:
    """Everything passes, signed as it was, and is told by its name."""
    with Wire(server.endpoint) as wire, closing(s3(session, wire.url, server)) as client:
        place = {"Bucket": server.bucket, "Key": "wire/with space/ü+"}
        client.put_object(**place, Body=io.BytesIO(DATA * 3), IfNoneMatch="*")
        with pytest.raises(exceptions.ClientError, match="PreconditionFailed"):
            client.put_object(**place, Body=b"new", IfNoneMatch="*")
        assert DATA * 3 == client.get_object(**place)["Body"].read()
        upload = client.create_multipart_upload(**place)["UploadId"]
        client.upload_part(**place, UploadId=upload, PartNumber=1, Body=DATA)
        client.abort_multipart_upload(**place, UploadId=upload)
        listed = client.list_objects_v2(Bucket=server.bucket, Prefix="wire/with space/", MaxKeys=3)["Contents"]
        assert [(place["Key"], 3_000_000)] == [(each["Key"], each["Size"]) for each in listed]
        client.delete_object(**place)
        assert [
            "PutObject",
            "PutObject",
            "GetObject",
            "CreateMultipartUpload",
            "UploadPart",
            "AbortMultipartUpload",
            "ListObjectsV2",
            "DeleteObject",
        ] == wire.operations
        assert [3_000_000, 3] == [request.bytes_in for request in wire.requests[:2]]
        for each in wire.requests:
            signed = signature(each.method, each.target, each.headers, server.secret_key)
            assert each.headers["Authorization"] == signed


def test_a_body_in_aws_chunks(session: Any, server: S3Server, tmp_path: Path) -> None:
    """With TLS before the wire, botocore sends a checksum after the body."""
    made = certificate(tmp_path)
    with (
        Wire(server.endpoint, certificate=made) as wire,
        closing(s3(session, wire.url, server, verify=made.crt)) as client,
    ):
        place = {"Bucket": server.bucket, "Key": "wire/chunks"}
        client.put_object(**place, Body=io.BytesIO(DATA))
        assert DATA == client.get_object(**place)["Body"].read()
        client.delete_object(**place)
        assert "aws-chunked" == wire.requests[0].headers["Content-Encoding"]


def test_a_changed_request_is_signed_again(session: Any, server: S3Server) -> None:
    """With the client's key, so that a server takes it: without conditions the last one wins."""
    with (
        Wire(server.endpoint) as behind,
        Wire(behind.url, secret=server.secret_key) as wire,
        closing(s3(session, wire.url, server)) as client,
    ):
        place = {"Bucket": server.bucket, "Key": "wire/signed"}
        client.put_object(**place, Body=b"first")
        wire.fault(faults.IGNORE_CONDITIONS, operation="PutObject")
        client.put_object(**place, Body=b"second", IfNoneMatch="*")
        wire.fault(faults.IGNORE_RANGE)
        assert b"second" == client.get_object(**place, Range="bytes=1-2")["Body"].read()
        client.delete_object(**place)
        assert "if-none-match" in wire.requests[1].headers["Authorization"]
        assert "if-none-match" not in behind.requests[1].headers["Authorization"]


def test_a_process_of_its_own(bucket: Bucket) -> None:
    """Its URL is what it prints, and it ends with its input."""
    command = [sys.executable, "-m", "tests.wire", bucket.url, "--latency", "0.01", "--rate", "50e6"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert DATA == ask(process.stdout.readline().strip()).body
        process.communicate(timeout=5)
    assert 0 == process.returncode

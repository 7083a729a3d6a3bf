"""The static server answers as the web server does for which it stands."""

import http.client
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.loopback import Certificate, certificate
from tests.static_server import StaticServer, nginx

DATA = bytes(range(256)) * 10_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file in a folder, one with an odd name and an empty one."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "in").mkdir()
    (folder / "in" / "file").write_bytes(DATA)
    (folder / "with space, ü & %").write_bytes(b"odd")
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate."""
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module", params=["own", "own with TLS", "nginx", "nginx with TLS"])
def connection(
    request: pytest.FixtureRequest, folder: Path, trusted: Certificate
) -> Iterator[http.client.HTTPConnection]:
    """Return a connection to a server of the folder, one for all tests: each has to leave it usable."""
    kind, _, tls = request.param.partition(" with ")
    made = trusted if tls else None
    with (
        nginx(folder, certificate=made) if kind == "nginx" else StaticServer(folder, certificate=made) as server,
        closing(connected(server if isinstance(server, str) else server.url, trusted)) as connection,
    ):
        yield connection


def connected(url: str, trusted: Certificate) -> http.client.HTTPConnection:
    """Return a connection that trusts the certificate."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.netloc, timeout=2)
    return http.client.HTTPSConnection(parts.netloc, timeout=2, context=ssl.create_default_context(cafile=trusted.crt))


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection.request(method, path, headers=headers or {})
    with connection.getresponse() as response:
        return response.status, response.headers, response.read()


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        (None, 200, None, DATA),
        ("bytes=0-9", 206, "bytes 0-9/2560000", DATA[:10]),
        ("bytes=0-0", 206, "bytes 0-0/2560000", DATA[:1]),
        ("bytes=1000000-1999999", 206, "bytes 1000000-1999999/2560000", DATA[1_000_000:2_000_000]),
        ("bytes=2559999-9999999", 206, "bytes 2559999-2559999/2560000", DATA[-1:]),
        ("bytes=2559990-", 206, "bytes 2559990-2559999/2560000", DATA[-10:]),
        ("bytes=-10", 206, "bytes 2559990-2559999/2560000", DATA[-10:]),
        ("bytes=-9999999", 206, "bytes 0-2559999/2560000", DATA),
        ("bytes=2560000-", 416, "bytes */2560000", None),
        ("bytes=9999990-9999999", 416, "bytes */2560000", None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ranges(
    connection: http.client.HTTPConnection,
    method: str,
    asked: str | None,
    status: int,
    content_range: str | None,
    body: bytes | None,
) -> None:
    """The range is what is asked for, as far as there is any; HEAD tells of the same body, and sends none."""
    found, headers, data = ask(connection, method, "/in/file", {"Range": asked} if asked else None)
    assert (status, content_range) == (found, headers.get("Content-Range"))
    if body is not None:
        assert str(len(body)) == headers["Content-Length"]
        assert (body if method == "GET" else b"") == data


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/with%20space,%20%C3%BC%20&%20%25", 200, b"odd"),
        ("/in/file?query", 200, DATA),
        ("/empty", 200, b""),
        ("/nothing", 404, None),
        ("/in/file/below", 404, None),
    ],
)
def test_paths(connection: http.client.HTTPConnection, path: str, status: int, body: bytes | None) -> None:
    """A path is decoded, a query does not matter."""
    found, _, data = ask(connection, "GET", path)
    assert status == found
    assert body in (None, data)


@pytest.mark.parametrize("path", ["/../secret", "/in/../../secret", "/%2e%2e/secret"])
def test_nothing_outside_is_served(connection: http.client.HTTPConnection, folder: Path, path: str) -> None:
    """A path does not lead out of the folder."""
    (folder.parent / "secret").write_bytes(b"secret")
    status, _, data = ask(connection, "GET", path)
    assert status >= 400
    assert b"secret" != data


def test_conditions(connection: http.client.HTTPConnection) -> None:
    """An ETag serves to ask for the same file, or for another."""
    tag = ask(connection, "HEAD", "/in/file")[1]["ETag"]
    assert re.fullmatch(r'"[^"]+"', tag)
    part = {"Range": "bytes=0-0"}
    assert 206 == ask(connection, "GET", "/in/file", {"If-Match": tag, **part})[0]
    # After this one nginx closes the connection, though it says that it keeps it.
    assert 412 == ask(connection, "GET", "/in/file", {"If-Match": '"other"', "Connection": "close", **part})[0]
    assert 304 == ask(connection, "GET", "/in/file", {"If-None-Match": tag})[0]
    assert 200 == ask(connection, "GET", "/in/file", {"If-None-Match": '"other"'})[0]
    assert 206 == ask(connection, "GET", "/in/file", {"If-Range": tag, **part})[0]
    assert 200 == ask(connection, "GET", "/in/file", {"If-Range": '"other"', **part})[0]

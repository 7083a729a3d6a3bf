"""A web server as a store to be read: the read half of the contract, and what web servers and proxies do besides."""

from __future__ import annotations

import base64
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError, UsageError
from terrastore.store import http
from terrastore.store.http import HttpStore
from terrastore.store.locations import open_store
from terrastore.store.protocol import ListableStore, WritableStore
from tests import faults
from tests.connection import Connection
from tests.loopback import Certificate, Server, certificate
from tests.static_server import StaticServer, nginx
from tests.store.contract import NAME, ReadingContract
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from terrastore.store.protocol import Object
    from tests.wire import Fault

DATA = b"0123456789" * 1000


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def _surroundings(trusted: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the certificate, and take nothing of the developer's proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", trusted.crt)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the servers of the contract serve."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module", params=["own", "nginx", "nginx that compresses", "nginx with a password"])
def server(request: pytest.FixtureRequest, root: Path, trusted: Certificate) -> Iterator[str]:
    """Return the URL of a server: our own without TLS, or the real thing over TLS."""
    users = root / "users"
    users.write_text("user:{PLAIN}hunter2\n")
    directives = {
        "nginx": "",
        "nginx that compresses": "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;",
        "nginx with a password": f'auth_basic "envs"; auth_basic_user_file "{users}";',
    }
    if request.param == "own":
        with StaticServer(root) as own:
            yield own.url
    else:
        with nginx(root, certificate=trusted, directives=directives[request.param]) as url:
            yield url


class TestContract(ReadingContract):
    """The read half of the contract, in a folder for each test."""

    secrets = ("hunter2",)

    @pytest.fixture
    def store(self, server: str, root: Path) -> HttpStore:
        self.folder = root / uuid4().hex
        self.folder.mkdir()
        return HttpStore(f"{with_login(server)}/{self.folder.name}?token=hunter2")

    def plant(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def everything(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


def with_login(url: str) -> str:
    return url.replace("://", "://user:hunter2@")


@pytest.mark.parametrize("server", ["nginx with a password"], indirect=True)
def test_a_wrong_password(server: str) -> None:
    """That is a refusal, and says what to check."""
    with pytest.raises(StoreRefusedError, match=r"refuses to send v1/.*: 401") as caught:
        HttpStore(with_login(server).replace("hunter2", "hunter3")).read(NAME)
    assert "user and password" in caught.value.hint
    assert "hunter3" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return what is served: one object."""
    path = tmp_path / "served" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return tmp_path / "served"


@pytest.fixture
def wire(folder: Path) -> Iterator[Wire]:
    with StaticServer(folder) as server, Wire(server.url) as wire:
        yield wire


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(http, "_PAUSE_SECONDS", 0)


def read(store: HttpStore) -> Object | bytes | None:
    return store.read(NAME)


def read_range(store: HttpStore) -> Object | bytes | None:
    return store.read_range(NAME, 10, 100)


READERS = (read, read_range)


def test_it_can_only_be_read(wire: Wire) -> None:
    """Who asks what it can do is told so."""
    store = open_store(wire.url)
    assert isinstance(store, HttpStore)
    assert not isinstance(store, WritableStore | ListableStore)
    assert [] == wire.requests


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/envs", "http://example.org/envs is not encrypted"),
        ("http://user:hunter2@example.org/envs?token=hunter2", "http://example.org/envs?token=**** is not encrypted"),
        ("https:///envs", "is no URL of a place"),
        ("https://example.org/envs#part", "is no URL of a place"),
    ],
)
def test_what_is_no_store(url: str, message: str) -> None:
    """What is not encrypted, or no URL of a server, is refused before anything is sent."""
    with pytest.raises(UsageError) as caught:
        HttpStore(url)
    assert message in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org", "https://example.org"),
        ("https://example.org:8443/envs/", "https://example.org:8443/envs"),
        ("https://user:hunter2@example.org/envs?token=hunter2", "https://example.org/envs"),
        ("http://localhost:8000/envs", "http://localhost:8000/envs"),
    ],
)
def test_what_is_shown(url: str, expected: str) -> None:
    """Neither user nor password nor query."""
    assert expected == str(HttpStore(url))


@pytest.mark.parametrize("ask", READERS)
@pytest.mark.parametrize("status", [404, 410])
def test_a_miss(wire: Wire, ask: Callable[[HttpStore], object], status: int) -> None:
    """What is not there, or no longer, is a miss whatever page tells it."""
    wire.fault(faults.page(status))
    assert ask(HttpStore(wire.url)) is None


UNUSABLE: dict[str, tuple[Fault, type[TerrastoreError], str]] = {
    "401": (faults.Answer(401), StoreRefusedError, "refuses to send {name}: 401"),
    "403": (faults.page(403), StoreRefusedError, "refuses to send {name}: 403"),
    "204": (faults.Answer(204), StoreUnreachableError, "sent 204 for {name}: is that a proxy?"),
    "304": (faults.Answer(304), StoreUnreachableError, "sent 304 for {name}: is that a proxy?"),
    "a page": (faults.page(200), StoreUnreachableError, "sent a web page for {name}: is that a proxy?"),
    "500": (faults.page(500), StoreUnreachableError, "failed to send {name}: 500"),
    "503": (faults.Answer(503, headers={"Retry-After": "600"}), StoreUnreachableError, "failed to send {name}: 503"),
    "429": (faults.Answer(429), StoreUnreachableError, "failed to send {name}: 429"),
    "cut": (faults.Cut(50), StoreUnreachableError, "breaks off its answers"),
    "closed": (faults.close, StoreUnreachableError, "breaks off its answers"),
    "reset": (faults.Reset(), StoreUnreachableError, "breaks off its answers"),
    "silent": (faults.silence, StoreUnreachableError, "does not answer"),
    "stalled": (faults.Stall(50), StoreUnreachableError, "does not answer"),
    "redirected to itself": (faults.redirect("?"), StoreUnreachableError, "cannot be reached: too many redirects"),
}


@pytest.mark.parametrize("ask", READERS)
@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.usefixtures("_impatient")
def test_what_is_no_answer(wire: Wire, ask: Callable[[HttpStore], object], case: str) -> None:
    """It is an error, by what can be done about it, and never a miss; it tells neither password nor query."""
    fault, kind, message = UNUSABLE[case]
    wire.fault(fault, times=FOREVER)
    with pytest.raises(kind) as caught:
        ask(HttpStore(with_login(wire.url) + "?token=hunter2"))
    assert f"{wire.url} {message.format(name=NAME)}" == str(caught.value)
    assert caught.value.hint
    assert "hunter2" not in caught.value.hint
    assert len(wire.requests) <= 4


@pytest.mark.parametrize("ask", READERS)
@pytest.mark.parametrize(
    "fault",
    [
        faults.page(502),
        faults.SLOW_DOWN,
        faults.Cut(50),
        faults.close,
        faults.Reset(),
        faults.silence,
        faults.Stall(50),
    ],
    ids=["502", "503", "cut", "closed", "reset", "silent", "stalled"],
)
@pytest.mark.usefixtures("_impatient")
def test_what_passes_is_survived(wire: Wire, ask: Callable[[HttpStore], object], fault: Fault) -> None:
    """What fails twice is asked for a third time."""
    wire.fault(fault, times=2)
    found = ask(HttpStore(wire.url))
    assert (DATA if ask is read else DATA[10:110]) == getattr(found, "data", found)
    assert 3 == len(wire.requests)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            faults.IGNORE_RANGE,
            "for a range: it, or something in between, does not know ranges",
        ),
        (faults.half, "it announced 100 bytes and sent 50"),
        (faults.Headers(request={"Range": "bytes=0-99"}), "it was asked for bytes=10-109 and sent bytes 0-99/10000"),
        (faults.Headers(request={"Range": "bytes=10-19"}), "it was asked for bytes=10-109 and sent bytes 10-19/10000"),
    ],
    ids=["no ranges", "half", "another", "a shorter one"],
)
def test_what_is_not_that_range(wire: Wire, fault: Fault, message: str) -> None:
    """Bytes that were not asked for are never taken for those that were."""
    wire.fault(fault, times=FOREVER)
    with pytest.raises(StoreUnreachableError, match=message):
        HttpStore(wire.url).read_range(NAME, 10, 100)


def test_a_redirect_is_followed(wire: Wire, folder: Path) -> None:
    """A server may send elsewhere, such as to a presigned URL; the password does not go there."""
    with StaticServer(folder) as server, Wire(server.url) as elsewhere:
        wire.fault(faults.redirect(f"{elsewhere.url}/{NAME}?signature=abc"), times=FOREVER)
        store = HttpStore(with_login(wire.url))
        assert DATA[10:110] == store.read_range(NAME, 10, 100)
        (asked,), (followed,) = wire.requests, elsewhere.requests
        assert ("bytes=10-109", f"/{NAME}?signature=abc") == (followed.range, followed.target)
        assert [True, False] == ["Authorization" in request.headers for request in (asked, followed)]


def test_a_redirect_to_no_encryption_is_refused(wire: Wire, folder: Path) -> None:
    """Not even on the way to where there is some."""
    with StaticServer(folder) as server, Wire(server.url) as between:
        between.fault(faults.redirect(f"{server.url}/{NAME}"), times=FOREVER)
        wire.fault(faults.redirect(f"{between.url.replace('127.0.0.1', '0.0.0.0')}/{NAME}"), times=FOREVER)
        with pytest.raises(StoreRefusedError, match="redirects to a server without encryption"):
            HttpStore(wire.url).read(NAME)


def test_what_is_sent(wire: Wire) -> None:
    """User and password by Basic authentication, the query as it is; nothing compressed is asked for."""
    store = HttpStore(wire.url.replace("://", "://us%40er:hunter%3A2@") + "?token=a%20b&x")
    assert store.read(NAME)
    assert DATA[:10] == store.read_range(NAME, 0, 10)
    assert b"" == store.read_range(NAME, 0, 0)
    assert ["GET", "GET", "HEAD"] == [request.method for request in wire.requests]
    assert {f"/{NAME}?token=a%20b&x"} == {request.target for request in wire.requests}
    login = base64.b64encode(b"us@er:hunter:2").decode()
    assert {f"Basic {login}"} == {request.headers["Authorization"] for request in wire.requests}
    assert {"identity"} == {request.headers["Accept-Encoding"] for request in wire.requests}
    assert {0} == {request.connection for request in wire.requests}


def test_readers_keep_their_connections(wire: Wire) -> None:
    """As many connections as it says readers are opened at most, however many ranges are read."""
    store = HttpStore(wire.url)
    assert store.read(NAME)
    offsets = [*range(0, len(DATA), 100)] * 3
    with ThreadPoolExecutor(store.readers) as pool:
        found = list(pool.map(lambda offset: store.read_range(NAME, offset, 100), offsets))
    assert [DATA[:100]] * len(offsets) == found
    assert len({request.connection for request in wire.requests}) <= store.readers


def test_a_certificate_that_nobody_vouches_for(
    folder: Path, trusted: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and what to check."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        StaticServer(folder, certificate=trusted) as server,
        pytest.raises(StoreUnreachableError, match="cannot be trusted: self-signed certificate") as caught,
    ):
        HttpStore(server.url).read(NAME)
    assert "SSL_CERT_FILE" in caught.value.hint


def test_nobody_listens() -> None:
    """That is told in the words of the operating system."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(StoreUnreachableError, match="cannot be reached: connection refused"):
        HttpStore(url).read(NAME)


class Proxy(Server):
    """Connects a client to where it wants, as proxies do for HTTPS, and remembers what it was asked."""

    def __init__(self, *, status: int = 200) -> None:
        super().__init__()
        self.status = status
        self.asked: list[tuple[str, str | None]] = []

    def serve(self, client: socket.socket, number: int) -> None:
        with Connection(client) as connection:
            head = connection.head()
            assert head
            (_, target, _), headers = head
            self.asked.append((target, headers["Proxy-Authorization"]))
            client.sendall(b"HTTP/1.1 %d As told\r\n\r\n" % self.status)
            if self.status != 200:
                return
            host, _, port = target.partition(":")
            with socket.create_connection((host, int(port))) as server, self.watched(server):
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, to the end."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # One of them went away.


class TestProxies:
    """What HTTPS_PROXY and NO_PROXY say."""

    @pytest.fixture
    def secure(self, folder: Path, trusted: Certificate) -> Iterator[StaticServer]:
        with StaticServer(folder, certificate=trusted) as server:
            yield server

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
    def test_one_is_used(self, secure: StaticServer, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is told where to connect to, and who asks."""
        with Proxy() as proxy:
            monkeypatch.setenv(variable, proxy.url.replace("://", "://me:hunter2@"))
            assert HttpStore(secure.url).read(NAME)
            login = base64.b64encode(b"me:hunter2").decode()
            assert [(secure.url.removeprefix("https://"), f"Basic {login}")] == proxy.asked

    def test_one_is_passed_by(self, secure: StaticServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """NO_PROXY names who is reached without."""
        with Proxy() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert HttpStore(secure.url).read(NAME)
            assert [] == proxy.asked

    @pytest.mark.parametrize("status", [403, 407, 502])
    def test_one_that_refuses(self, secure: StaticServer, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is told as what it is, without the password."""
        with Proxy(status=status) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://me:hunter2@"))
            with pytest.raises(StoreUnreachableError) as caught:
                HttpStore(secure.url).read(NAME)
        assert f"cannot be reached through the proxy: tunnel connection failed: {status}" in str(caught.value)
        assert "HTTPS_PROXY" in caught.value.hint
        assert "hunter2" not in str(caught.value)

    def test_one_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the proxy that cannot be reached, not the store."""
        monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@127.0.0.1:9")
        with pytest.raises(StoreUnreachableError, match="through the proxy: connection refused") as caught:
            HttpStore("https://envs.example").read(NAME)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://host:abc/x", "https://a b/", "https://host:99999/x"])
def test_what_no_server_can_be_at_is_refused_at_once(url: str) -> None:
    """A port that is none, and white space: nobody is asked."""
    with pytest.raises(UsageError, match="is no URL of a place"):
        HttpStore(url)

"""Requirements files by http are read as pip reads them, and credentials go to the host that they are for."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements import Disk, read_requirements, remote
from tests.requirements.shelf import target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASIC = "Basic " + base64.b64encode(b"user:p@ss").decode()


class Pages(ThreadingHTTPServer):
    """Has files by path, each maybe behind a login, and notes what came with the Authorization header."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.private: set[str] = set()
        self.authorizations: list[tuple[str, str | None]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    server: Pages

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        self.server.authorizations.append((self.path, given))
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path in self.server.private and given != BASIC:
            self.send_error(401)
        elif self.path in self.server.pages:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.pages[self.path])))
            self.end_headers()
            self.wfile.write(self.server.pages[self.path])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Pages]:
    """Serve a user without a netrc file and without proxies."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Pages() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
        server.server_close()


def requirements(path: str) -> tuple[str, ...]:
    return read_requirements([path], (), reader=Disk(), target=target(), variables={}).requirements


def test_a_file_and_what_it_includes(server: Pages) -> None:
    """An include of a file by http is looked for beside it."""
    server.pages = {"/deploy/all.txt": b"one==1\n-r more/web.txt\n", "/deploy/more/web.txt": b"two==2\n"}
    assert ("one==1", "two==2") == requirements(f"{server.url}/deploy/all.txt")


def test_an_include_by_http(server: Pages, tmp_path: Path) -> None:
    """A file here may include one from there."""
    server.pages = {"/limits.txt": b"one<2\n"}
    (tmp_path / "a.txt").write_text(f"one\n-c {server.url}/limits.txt\n")
    wanted = read_requirements([str(tmp_path / "a.txt")], (), reader=Disk(), target=target(), variables={})
    assert (("one",), ("one<2",)) == (wanted.requirements, wanted.constraints)
    assert f"{server.url}/limits.txt" in {source.path for source in wanted.sources}


def test_credentials_of_the_url(server: Pages) -> None:
    """User and password of the URL are decoded, sent and shown nowhere."""
    server.pages, server.private = {"/a.txt": b"one\n"}, {"/a.txt"}
    url = f"http://user:p%40ss@127.0.0.1:{server.port}/a.txt"
    assert b"one\n" == remote.fetch(url)
    with pytest.raises(RequirementsError) as raised:
        requirements(f"http://user:wrong@127.0.0.1:{server.port}/a.txt")
    assert "401" in raised.value.message
    assert "wrong" not in raised.value.message + raised.value.hint


def test_credentials_of_netrc(server: Pages, tmp_path: Path) -> None:
    """Where the URL has none, netrc is asked."""
    server.pages, server.private = {"/a.txt": b"one\n"}, {"/a.txt"}
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password p@ss\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert b"one\n" == remote.fetch(f"{server.url}/a.txt")


def test_a_redirect_gets_no_credentials(server: Pages) -> None:
    """Who is led elsewhere does not say there who is asking."""
    server.pages = {"/b.txt": b"one\n"}
    server.redirects = {"/a.txt": f"http://localhost:{server.port}/b.txt"}
    assert b"one\n" == remote.fetch(f"http://user:p%40ss@127.0.0.1:{server.port}/a.txt")
    assert [("/a.txt", BASIC), ("/b.txt", None)] == server.authorizations


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("{url}/nowhere.txt", "the server says 404"),
        ("http://127.0.0.1:1/a.txt", "refused"),
        ("ftp://files.example/a.txt", "by http or https, not by ftp"),
        ("http:///a.txt", "by http or https"),
    ],
)
def test_what_cannot_be_fetched(server: Pages, url: str, reason: str) -> None:
    """What cannot be had is an error of the requirements that names the URL and says why."""
    with pytest.raises(RequirementsError) as raised:
        requirements(url.format(url=server.url))
    assert reason in raised.value.message.lower()
    assert "URL" in raised.value.hint


def test_an_endless_file(server: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large to be a requirements file is not read to its end."""
    monkeypatch.setattr(remote, "_LIMIT", 10)
    server.pages = {"/a.txt": b"one==1.0.0\n"}
    with pytest.raises(OSError, match="more than 10 bytes"):
        remote.fetch(f"{server.url}/a.txt")

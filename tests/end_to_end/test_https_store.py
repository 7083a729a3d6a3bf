"""Environments that a directory store has, fetched through a web server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import faults
from tests.end_to_end.test_bad_input import snapshot
from tests.loopback import Certificate, certificate
from tests.static_server import nginx
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.wire import Fault

SECRET = "hunter2"


@pytest.fixture
def trusted(tmp_path: Path) -> Certificate:
    return certificate(tmp_path)


@pytest.fixture
def wire(stored: CommandLine, trusted: Certificate) -> Iterator[Wire]:
    """Return a wire before nginx, which serves what is stored; the command line uses it as its store."""
    with (
        nginx(stored.store, certificate=trusted) as url,
        Wire(url, ca=trusted.crt, certificate=trusted) as wire,
    ):
        store = wire.url.replace("://", f"://user:{SECRET}@")
        stored.env |= {"TERRASTORE_STORE": f"{store}?token={SECRET}", "SSL_CERT_FILE": trusted.crt}
        yield wire


def test_what_was_published_is_fetched(stored: CommandLine, wire: Wire) -> None:
    """Without building, with the password, which nobody sees."""
    result = stored.ok("ensure", "--no-build", "--json")
    assert ("fetched", wire.url) == (result.json["outcome"], result.json["store"])
    assert {"GET"} == {request.method for request in wire.requests}
    assert {True} == {"Authorization" in request.headers for request in wire.requests}
    assert SECRET not in result.out + result.err
    wire.clear()
    assert "kept" == stored.ok("ensure", "--json").json["outcome"]
    assert [] == wire.requests


def test_what_is_not_there(stored: CommandLine, wire: Wire) -> None:
    """A miss is a miss; where building is allowed it is built, and that it cannot be published is told."""
    missed = stored("ensure", "--no-build", "--salt", "other")
    assert (4, True) == (missed.code, f"{wire.url} has no cp3" in missed.err)
    built = stored.ok("ensure", "--salt", "other", "--json")
    assert ("built", None) == (built.json["outcome"], built.json["store"])
    assert [f"not published: {wire.url} is read-only"] == built.json["warnings"]
    assert SECRET not in missed.out + missed.err + built.out + built.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["build", "--salt", "other"], 7, "is read-only"),
        (["list"], 2, "cannot be listed"),
        (["remove", "cp311"], 2, "cannot be listed"),
    ],
)
def test_what_cannot_be_done(stored: CommandLine, wire: Wire, arguments: list[str], code: int, message: str) -> None:
    """A web server is no store to be written or listed, and says so."""
    before = snapshot(stored.store)
    result = stored(*arguments)
    assert (code, True) == (result.code, f"terrastore: error: {wire.url} {message}" in result.err)
    assert SECRET not in result.err
    assert before == snapshot(stored.store)


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (faults.page(403), 7, "refuses to send v1/pointers/"),
        (faults.page(200), 6, "sent a web page for v1/pointers/"),
        (faults.page(502), 6, "failed to send v1/pointers/"),
        (faults.Cut(50), 6, "breaks off its answers"),
    ],
    ids=["403", "a page", "502", "cut"],
)
def test_a_failure_is_told(stored: CommandLine, wire: Wire, fault: Fault, code: int, message: str) -> None:
    """One message, one hint, no secret."""
    wire.fault(fault, times=FOREVER)
    result = stored("ensure", "--no-build")
    error, hint = result.err.splitlines()
    assert (code, "") == (result.code, result.out)
    assert error.startswith(f"terrastore: error: {wire.url} {message}")
    assert hint.startswith("terrastore: hint: ")
    assert SECRET not in result.err
    assert not (stored.cwd / ".venv").exists()


def test_a_certificate_that_nobody_vouches_for(stored: CommandLine, wire: Wire) -> None:
    """Nothing is fetched from who cannot show who they are."""
    result = stored("ensure", "--no-build", SSL_CERT_FILE="/dev/null")
    assert (6, True) == (result.code, "cannot be trusted: self-signed certificate" in result.err)
    assert [] == wire.requests

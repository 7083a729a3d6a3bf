"""Who may not publish writes nothing; a lease held for ever keeps nobody for ever; copies keep their signatures."""

from __future__ import annotations

import json
import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from tests.conftest import command_with
from tests.end_to_end.attacker import (
    Attack,
    Files,
    InBucket,
    Objects,
    Site,
    envelope,
    payload_of,
    pointer,
    refused,
    signatures_of,
    snapshot,
)
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.conftest import CommandLine
    from tests.servers import S3Server

# As leases are where nobody has the time of a person.
HURRIED: Final = "from terrastore import flight\nflight.TTL, flight._POLL_SECONDS = 1.5, (0.1, 0.3)"
FOREVER: Final = Attack(
    "somebody holds the lease and renews it for ever", 10, "which is built by ", "who builds, after `--wait`"
)
AT_ONCE: Final = Attack("the same, with `--wait 0`", 0, result="built at once, without the lease")
FAILED: Final = Attack(
    "somebody holds the lease, and says that the build failed",
    5,
    "the build that this run waited for failed, on mallory",
)
NONSENSE: Final[Mapping[Attack, Callable[[], bytes]]] = {
    Attack("a lease that is nonsense", 0, result="built once it did not change for a minute"): lambda: b"\xff{]",
    Attack("a lease of 10 MB", 0, result="the same"): lambda: b"[" * 10_000_000,
    Attack("a lease that claims to last for a hundred years", 0, result="the same"): lambda: note(
        0, ttl=3_153_600_000, expires="2126-01-01T00:00:00Z"
    ),
}
UNSIGNED_BUILD: Final = Attack(
    "a machine with a trust file and without a key builds what nobody vouches for",
    0,
    result="it keeps what it built to itself: no pointer, archive, wheel or lease is written",
)
UNSIGNED_PUBLISH: Final = Attack(
    "the same with `--require-publish`, or `build`", 2, "demands signatures, and there is no key here to sign with"
)
NEARER: Final = Attack(
    "a nearer store has a pointer that nobody vouches for",
    0,
    result="the next store is asked, and what it has replaces that pointer, with its signatures",
)
ATTACKS: Final[Mapping[str, tuple[Attack, ...]]] = {
    "test_a_lease_that_is_held_for_ever": (FOREVER, AT_ONCE),
    "test_a_lease_that_tells_lies": (FAILED,),
    "test_a_lease_that_is_nonsense": tuple(NONSENSE),
    "test_who_has_no_key_writes_nothing": (UNSIGNED_BUILD,),
    "test_who_has_no_key_cannot_publish": (UNSIGNED_PUBLISH,),
    "test_a_nearer_store_is_healed": (NEARER,),
}


def note(sequence: int, **fields: object) -> bytes:
    """Return a note of somebody who builds."""
    facts = {"holder": "0" * 32, "host": "mallory", "pid": 1, "place": "", "since": "2026-01-01T00:00:00Z"}
    said = {"schema": 1, "sequence": sequence, "state": "building", "phase": "\x1b[2Jinstall", "message": ""}
    return json.dumps(facts | said | fields).encode()


def lease(site: Site, store: Objects) -> str:
    """Return the name of the key's lease."""
    return f"v1/leases/{site.key}" + ("/00000007" if isinstance(store, Files) else ".json")


@pytest.fixture
def machine(site: Site, cli: CommandLine) -> CommandLine:
    """Return a machine with a trust file, and an environment before; its store is empty."""
    site.machine(cli)
    trust = cli.home / "trust"
    trust.write_text(f"{site.ci.line}\n")
    cli.env["TERRASTORE_TRUST"] = str(trust)
    cli.ok("ensure", "--no-build", "-r", "other.txt", TERRASTORE_STORE=str(site.store))
    return cli


@pytest.fixture(params=["directory", "moto"])
def objects(request: pytest.FixtureRequest, machine: CommandLine) -> Objects:
    """Return the machine's store, which nothing is in yet."""
    if request.param == "directory":
        return Files(machine.store)
    server: S3Server = request.getfixturevalue("moto")
    store = InBucket(server.client(), server.bucket, uuid4().hex)
    machine.env |= server.variables() | {"TERRASTORE_STORE": store.url}
    return store


@contextmanager
def squatting(store: Objects, name: str) -> Iterator[None]:
    """Renew a lease all the time, as whoever builds does."""
    done = threading.Event()

    def renew() -> None:
        sequence = 0
        while not done.wait(0.1):
            sequence += 1
            put(store, name, note(sequence))

    put(store, name, note(0))
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def put(store: Objects, name: str, data: bytes) -> None:
    """Write an object so that nobody sees half of it."""
    if not isinstance(store, Files):
        store.write(name, data)
        return
    place = store.root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    new = store.root / f".{secrets.token_hex(8)}"
    new.write_bytes(data)
    new.rename(place)


def test_a_lease_that_is_held_for_ever(machine: CommandLine, site: Site, objects: Objects) -> None:
    """It costs as long as this run waits, and no longer; what was there stays, and building goes on without it."""
    machine.env["TERRASTORE_SIGNER"] = str(site.ci.file)
    machine.command = command_with(HURRIED)
    before = snapshot(machine.cwd)
    with squatting(objects, lease(site, objects)):
        result = machine("ensure", "--wait", "3")
        refused(result, FOREVER)
        assert "\x1b" not in result.err
        assert before == snapshot(machine.cwd)
        assert "published to" in machine.ok("ensure", "--wait", "0").out
    assert [site.ci.keyid] == [each["keyid"] for each in signatures_of(objects.read(pointer(site.key)))]


def test_a_lease_that_tells_lies(machine: CommandLine, site: Site) -> None:
    """Who waited believes it, ends, and loses nothing; the next run builds."""
    machine.env["TERRASTORE_SIGNER"] = str(site.ci.file)
    objects, before = Files(machine.store), snapshot(machine.cwd)
    with squatting(objects, lease(site, objects)):
        run = machine.start("ensure")
        assert run.stderr is not None
        assert any("wait  " in line for line in run.stderr)
    put(objects, lease(site, objects), note(1_000_000, state="failed", message="\x1b]0;no\x07 such luck"))
    _, err = run.communicate(timeout=60)
    assert (FAILED.code, True) == (run.returncode, FAILED.message in err), err
    assert "\x1b" not in err
    assert before == snapshot(machine.cwd)
    assert "published to" in machine.ok("ensure").out


@pytest.mark.parametrize("attack", NONSENSE, ids=str)
def test_a_lease_that_is_nonsense(machine: CommandLine, site: Site, objects: Objects, attack: Attack) -> None:
    """What is not renewed is taken over, whatever it says of itself."""
    machine.env["TERRASTORE_SIGNER"] = str(site.ci.file)
    machine.command = command_with(HURRIED)
    put(objects, lease(site, objects), NONSENSE[attack]())
    result = machine.ok("ensure")
    assert "not heard of for" in result.err
    assert "published to" in result.out


FORGED: Final[Mapping[str, Callable[[Site], Mapping[str, bytes]]]] = {
    "nothing is there": lambda _: {},
    "an unsigned pointer is there": lambda site: {pointer(site.key): envelope(payload_of(site.current))},
}


@pytest.mark.parametrize("there", FORGED)
def test_who_has_no_key_writes_nothing(machine: CommandLine, site: Site, objects: Objects, there: str) -> None:
    """Neither on a miss nor where something is refused; the environment is made for this machine alone."""
    for name, data in FORGED[there](site).items():
        objects.write(name, data)
    before = objects.all()
    result = machine.ok("ensure", "--wheelhouse")
    assert "unsigned  " in result.err
    assert "built    2 packages" in result.out
    assert "not published" in result.out
    assert before == objects.all()


def test_who_has_no_key_asks_to_read(machine: CommandLine, site: Site, radosgw: S3Server) -> None:
    """A hit, a miss and a refusal are requests to read alone, but for the mark that an environment is used."""
    store = InBucket(radosgw.client(), radosgw.bucket, uuid4().hex)
    site.fill(store)
    with Wire(radosgw.endpoint) as wire:
        machine.env |= radosgw.variables() | {"AWS_ENDPOINT_URL": wire.url, "TERRASTORE_STORE": store.url}
        assert "fetched" in machine.ok("ensure").out
        store.write(pointer(site.key), envelope(payload_of(site.current)))
        assert "built" in machine.ok("ensure", "--target", "second").out
        store.remove(pointer(site.key))
        assert "built" in machine.ok("ensure", "--target", "third", "--wheelhouse").out
    written = [each for each in wire.requests if each.method not in {"GET", "HEAD"}]
    assert len(wire.requests) > len(written)
    assert [] == [f"{each.method} {each.path}" for each in written if "/v1/uses/" not in each.path]


def test_who_has_no_key_cannot_publish(machine: CommandLine) -> None:
    """It is said before anything is built."""
    for command in (("ensure", "--require-publish"), ("build",)):
        before = snapshot(machine.home, machine.cache)
        result = machine(*command)
        refused(result, UNSIGNED_PUBLISH)
        assert "hint: name one with --signer" in result.err
        assert before == snapshot(machine.home, machine.cache)


@pytest.mark.parametrize("there", FORGED)
def test_a_nearer_store_is_healed(machine: CommandLine, site: Site, there: str) -> None:
    """By whoever fetches from a farther one, with a key or without: the copy is signed by whom that one was."""
    near = Files(machine.store)
    for name, data in FORGED[there](site).items():
        near.write(name, data)
    result = machine.ok("ensure", "--no-build", "--store", near.url, "--store", str(site.store))
    assert ("nobody has signed it" in result.err) == bool(FORGED[there](site))
    assert site.current == near.read(pointer(site.key))
    assert "fetched" in machine.ok("ensure", "--no-build", "--target", "second").out

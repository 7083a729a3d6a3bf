"""scripts/restore.sh on a bare machine without any network but the store: one environment, without terrastore."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.boot.documents import PAYLOAD_TYPE
from terrastore.trust import PublicKey
from terrastore.trust.envelope import PAYLOAD_TYPE as POINTER_TYPE
from terrastore.trust.envelope import Envelope
from terrastore.trust.signing import generate
from tests import faults
from tests.end_to_end.test_bootstrap import in_s3, on_the_web
from tests.processes import until
from tests.wire import FOREVER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bare_machine import BareMachine, Equipped
    from tests.conftest import Result


def restore(machine: BareMachine, key: str, *more: str, shell: tuple[str, ...] = ("sh",), **variables: str) -> Result:
    """Run the script, by default with the store in /srv/store, for /srv/app/env."""
    given: dict[str, Any] = {"TERRASTORE_STORE": "/srv/store", "BOOT_TRIES": "2"} | variables
    return machine(*shell, "/srv/restore.sh", key, "/srv/app/env", *more, **given)


def refused(machine: BareMachine, result: Result, code: int, *told: str) -> None:
    """Require one line that says why, the exit code, and nothing left."""
    line = result.err.splitlines()[-1]
    assert (code, "") == (result.code, result.out), result.err
    assert line.startswith("restore.sh: error: ")
    assert [] == [each for each in told if each not in line], line
    assert set() == left(machine) - {"env"}


def left(machine: BareMachine) -> set[str]:
    """Return what is where the environment goes."""
    folder = machine.folder / "app"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def without(machine: BareMachine, tool: str) -> dict[str, Any]:
    """Return variables for a machine that lacks one of the tools."""
    folder = machine.folder / "bin"
    folder.mkdir()
    for name in {"cat", "openssl", "python3", "tar", "zstd"} - {tool}:
        (folder / name).symlink_to(f"/usr/bin/{name}")
    return {"PATH": "/srv/bin"}


def works(machine: BareMachine) -> bool:
    return machine("/srv/app/env/bin/alpha").out == "alpha 1.0\n"


@pytest.mark.parametrize("kind", ["https", "moto", "radosgw"])
def test_from_nothing(machine: BareMachine, offered: Equipped, request: pytest.FixtureRequest, kind: str) -> None:
    """An environment that works, from servers; a second time it is kept, and nobody is asked."""
    web, store = kind == "https", offered.store
    with on_the_web(machine, store) if web else in_s3(machine, request.getfixturevalue(kind), store) as (wire, known):
        first = restore(machine, offered.key, **known)
        assert (0, True) == (first.code, first.out.startswith("relocated ")), first.err
        assert works(machine)
        wire.clear()
        second = restore(machine, offered.key, **known)
        assert (0, True, []) == (second.code, second.out.startswith("kept "), wire.requests), second.err
    assert {"env"} == left(machine)


@pytest.mark.parametrize("shell", [("dash",), ("busybox", "sh")], ids=["dash", "busybox"])
def test_terrastore_keeps_it(machine: BareMachine, offered: Equipped, shell: tuple[str, ...]) -> None:
    """By any POSIX shell; to terrastore the environment is what it would have made."""
    offered.put_on(machine)
    assert 0 == restore(machine, offered.key, shell=shell).code
    options = ("--no-build", "--any-patch", "--no-seed", "-r", "/srv/requirements.txt", "--target", "/srv/app/env")
    kept = machine("sh", "/srv/bootstrap.sh", *options, BOOT_DIR="/srv/opt", TERRASTORE_STORE="/srv/store")
    assert kept.out.startswith("kept "), kept.err
    sound = machine("/srv/opt/current/bin/terrastore", "verify", "/srv/app/env")
    assert sound.out.startswith("sound "), sound.err


def test_another_environment_is_replaced(machine: BareMachine, offered: Equipped) -> None:
    """In one step, and it is gone; a directory that is none stays."""
    offered.put_on(machine)
    folder = machine.folder / "app/env"
    folder.mkdir(parents=True)
    (folder / "data").touch()
    foreign = restore(machine, offered.key)
    assert (2, True) == (foreign.code, "is a directory that is no environment" in foreign.err), foreign.err
    assert {"env"} == left(machine)
    assert (folder / "data").exists()
    (folder / "pyvenv.cfg").touch()
    assert 0 == restore(machine, offered.key).code
    assert {"env"} == left(machine)
    assert not (folder / "data").exists()
    assert works(machine)


def archive_in(store: Path) -> Path:
    (archive,) = store.glob("v1/archives/*/*.tar.zst")
    return archive


def corrupt_archive(offered: Equipped, store: Path) -> str:
    path = archive_in(store)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    offered.replace(store, str(path.relative_to(store)), bytes(data))
    return str(path.relative_to(store))


def short_archive(offered: Equipped, store: Path) -> str:
    path = archive_in(store)
    offered.replace(store, str(path.relative_to(store)), path.read_bytes()[:-1])
    return str(path.relative_to(store))


def lost_archive(_: Equipped, store: Path) -> str:
    path = archive_in(store)
    path.unlink()
    return str(path.relative_to(store))


def corrupt_program(offered: Equipped, store: Path) -> str:
    (path,) = store.glob("v1/self/files/*/relocate.pyz")
    offered.replace(store, str(path.relative_to(store)), path.read_bytes().replace(b"PK", b"pk", 1))
    return str(path.relative_to(store))


def another_key(offered: Equipped, store: Path) -> str:
    """Put the pointer of another key in this one's place."""
    name = f"v1/pointers/{offered.key}.json"
    envelope = Envelope.parse((store / name).read_bytes())
    payload = json.dumps(json.loads(envelope.payload) | {"key": offered.key[:-1] + "0"}).encode()
    offered.replace(store, name, Envelope(payload).to_bytes())
    return name


def nonsense(offered: Equipped, store: Path) -> str:
    name = f"v1/pointers/{offered.key}.json"
    offered.replace(store, name, b"[]")
    return name


@pytest.mark.parametrize(
    "spoil", [corrupt_archive, short_archive, lost_archive, corrupt_program, another_key, nonsense]
)
def test_what_is_not_what_it_should_be_is_refused(machine: BareMachine, offered: Equipped, spoil: Any) -> None:
    """Named, and what stood there stays."""
    name = spoil(offered, offered.put_on(machine))
    (machine.folder / "app/env").mkdir(parents=True)
    (machine.folder / "app/env/pyvenv.cfg").write_text("before")
    refused(machine, restore(machine, offered.key), 8, name)
    assert "before" == (machine.folder / "app/env/pyvenv.cfg").read_text()


def test_nothing_there(machine: BareMachine, offered: Equipped) -> None:
    """A store without the environment, or without what moves it; no store; what is no key: each has its code."""
    store = offered.put_on(machine)
    missing = offered.key[:-4] + "0000"
    refused(machine, restore(machine, missing), 4, f"no store has {missing}")
    refused(machine, restore(machine, "alpha"), 2, "'alpha' is no key")
    refused(machine, restore(machine, offered.key, "--force"), 2, "no option --force")
    refused(machine, restore(machine, offered.key, "more"), 2, "restore.sh KEY DIR")
    refused(machine, restore(machine, offered.key, TERRASTORE_STORE=""), 2, "no store is named")
    refused(machine, restore(machine, offered.key, "--store=/srv/nowhere"), 7, "is not there")
    lacking = without(machine, "zstd")
    refused(machine, restore(machine, offered.key, shell=("/bin/sh",), **lacking), 9, "zstd is not there")
    shutil.rmtree(store / "v1/self")
    refused(machine, restore(machine, offered.key), 4, "relocate.pyz", "build --self")


def test_a_pin(machine: BareMachine, offered: Equipped) -> None:
    """The program that moves the environment is the one that the digest fixes, whatever the store leads to."""
    store = offered.put_on(machine)
    offered.replace(store, f"v1/self/{offered.itself['tag']}.json", b"{}")
    refused(machine, restore(machine, offered.key), 8, "is not what it should be")
    assert 0 == restore(machine, offered.key, BOOT_SHA256=offered.itself["sha256"]).code
    assert works(machine)


@pytest.mark.parametrize("fetched", [1, 4])
def test_killed_and_repeated(machine: BareMachine, offered: Equipped, fetched: int) -> None:
    """Killed before the archive or within it, the next run leaves nothing of it."""
    with on_the_web(machine, offered.put_on(machine)) as (wire, known):
        wire.fault(faults.Stall(1000) if fetched > 1 else faults.silence, after=fetched, times=FOREVER)
        process = machine.start("sh", "/srv/restore.sh", offered.key, "/srv/app/env", **known)
        until(lambda: len(wire.requests) > fetched)
        process.kill()
        process.communicate()
        assert [".env.restore-"] == [name[:13] for name in left(machine)]
        wire.clear()
        assert 0 == restore(machine, offered.key, **known).code
    assert {"env"} == left(machine)
    assert works(machine)


class TestTrust:
    """With a trust file both the environment and what moves it must be signed."""

    @pytest.fixture(autouse=True)
    def _keys(self, machine: BareMachine, offered: Equipped, tmp_path: Path) -> None:
        self.machine, self.offered = machine, offered
        self.store = offered.put_on(machine)
        self.key = str(tmp_path / "key")
        self.public = PublicKey("ci", generate(self.key))
        self.pointer = f"v1/pointers/{offered.key}.json"
        self.lead = f"v1/self/{offered.itself['tag']}.json"

    def trust(self, *lines: str) -> None:
        (self.machine.folder / "trust").write_text("\n".join(lines) + "\n")

    def sign(self, name: str, kind: str) -> None:
        self.offered.sign(self.store, name, kind, self.key)

    def restore(self) -> Result:
        return restore(self.machine, self.offered.key, "--trust", "/srv/trust")

    def test_signed(self) -> None:
        """What nobody signed whom it names is refused, one and the other; both signed, it is taken."""
        self.trust(self.public.line)
        refused(self.machine, self.restore(), 8, self.pointer, "nobody whom the trust file names has signed it")
        self.sign(self.pointer, POINTER_TYPE)
        refused(self.machine, self.restore(), 8, self.lead, "nobody whom the trust file names has signed it")
        self.sign(self.lead, PAYLOAD_TYPE)
        result = self.restore()
        assert (0, True) == (result.code, works(self.machine)), result.err

    def test_by_somebody_else(self, tmp_path: Path) -> None:
        """A key that is not named counts for nothing."""
        self.sign(self.pointer, POINTER_TYPE)
        self.trust(PublicKey("other", generate(str(tmp_path / "other"))).line)
        refused(self.machine, self.restore(), 8, self.pointer)

    def test_a_changed_byte(self) -> None:
        """A signature over another payload counts for nothing."""
        self.trust(self.public.line)
        self.sign(self.pointer, POINTER_TYPE)
        envelope = Envelope.parse((self.store / self.pointer).read_bytes())
        changed = envelope._replace(payload=envelope.payload.replace(b'"packages":2', b'"packages":3'))
        assert changed != envelope
        self.offered.replace(self.store, self.pointer, changed.to_bytes())
        refused(self.machine, self.restore(), 8, self.pointer)

    def test_without_openssl(self) -> None:
        """Who cannot look does not take it."""
        self.trust(self.public.line)
        lacking = without(self.machine, "openssl") | {"TERRASTORE_TRUST": "/srv/trust"}
        result = restore(self.machine, self.offered.key, shell=("/bin/sh",), **lacking)
        refused(self.machine, result, 9, "openssl is not there")

    def test_revoked(self) -> None:
        """By archive or by version, before and after it stands."""
        self.trust("anybody", "revoke alpha==1")
        refused(self.machine, self.restore(), 8, "it holds alpha 1.0")
        (archive,) = (self.store / "v1/archives").glob("*/*")
        self.trust("anybody", f"revoke sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}")
        refused(self.machine, self.restore(), 8, "revokes the archive")
        self.trust("anybody", "revoke alpha==2.0")
        assert 0 == self.restore().code
        self.trust("anybody", "revoke alpha==1.0.0")
        refused(self.machine, self.restore(), 8, "it holds alpha 1.0")

"""scripts/bootstrap.sh on a bare machine without any network but the store: from nothing to a working environment."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.boot.documents import PAYLOAD_TYPE
from terrastore.report import Report
from terrastore.trust import PublicKey, Trust
from terrastore.trust.envelope import PAYLOAD_TYPE as POINTER_TYPE
from terrastore.trust.envelope import Envelope
from terrastore.trust.signing import Signing, generate
from tests import faults
from tests.bare_machine import SCRIPTS
from tests.loopback import certificate
from tests.processes import until
from tests.static_server import nginx
from tests.wire import FOREVER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bare_machine import BareMachine, Equipped
    from tests.conftest import Result
    from tests.servers import S3Server
    from tests.wire import Wire

ENSURE = ("--no-build", "--any-patch", "--no-seed", "-r", "requirements.txt", "--target", "env")
SECRET = "hunter2"


def boot(machine: BareMachine, *more: str, shell: tuple[str, ...] = ("sh",), **variables: str) -> Result:
    """Run the script as user data would, by default with the store in /srv/store."""
    given: dict[str, Any] = {"BOOT_DIR": "/srv/opt", "TERRASTORE_STORE": "/srv/store", "BOOT_TRIES": "2"} | variables
    return machine("sh", "-c", 'cd /srv && exec "$@"', "sh", *shell, "bootstrap.sh", *ENSURE, *more, **given)


def refused(result: Result, code: int, *told: str) -> None:
    """Require one line that says why, and the exit code."""
    (line,) = result.err.splitlines()
    assert (code, "") == (result.code, result.out), result.err
    assert line.startswith("bootstrap.sh: error: ")
    assert [] == [each for each in told if each not in line], line


def left(machine: BareMachine) -> set[str]:
    """Return what is where terrastore goes."""
    folder = machine.folder / "opt"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def contents(store: Path) -> dict[str, dict[str, tuple[int, bytes]]]:
    """Return what is in the wheels of a store, by name; how well it is compressed is a matter of the machine's zlib."""
    found = {}
    for path in store.glob("v1/self/files/*/*.whl"):
        with zipfile.ZipFile(path) as wheel:
            found[path.name] = {each.filename: (each.external_attr, wheel.read(each)) for each in wheel.infolist()}
    return found


def lead_of(offered: Equipped) -> str:
    return f"v1/self/{offered.itself['tag']}.json"


def index_of(offered: Equipped) -> str:
    return f"v1/self/{offered.itself['tag']}/{offered.itself['sha256']}.json"


@contextmanager
def in_s3(machine: BareMachine, server: S3Server, store: Path) -> Iterator[tuple[Wire, dict[str, Any]]]:
    """Yield a wire to a store in S3, and what the machine must know of it."""
    prefix, client = f"machines/{machine.folder.parent.name}", server.client()
    for path in (path for path in store.rglob("*") if path.is_file()):
        client.upload_file(str(path), server.bucket, f"{prefix}/{path.relative_to(store)}")
    with machine.wire(server.endpoint, secret=server.secret_key) as wire:
        variables = server.variables() | {"AWS_ENDPOINT_URL": wire.url}
        yield wire, variables | {"TERRASTORE_STORE": f"s3://{server.bucket}/{prefix}"}


@contextmanager
def on_the_web(machine: BareMachine, store: Path) -> Iterator[tuple[Wire, dict[str, Any]]]:
    """Yield a wire to nginx before the store, with a login and a certificate of its own, and what the machine knows."""
    trusted = certificate(machine.folder)
    with (
        nginx(store, certificate=trusted) as url,
        machine.wire(url, ca=trusted.crt, certificate=trusted) as wire,
    ):
        place = wire.url.replace("://", f"://user:{SECRET}@")
        yield wire, {"TERRASTORE_STORE": f"{place}?token={SECRET}", "SSL_CERT_FILE": "/srv/localhost.crt"}


@pytest.mark.parametrize("kind", ["https", "moto", "radosgw"])
def test_from_nothing(machine: BareMachine, offered: Equipped, request: pytest.FixtureRequest, kind: str) -> None:
    """An environment that works, from servers; a second time little is asked, and with the digest pinned nothing."""
    shutil.rmtree(offered.put_on(machine))
    web, store = kind == "https", offered.store
    with on_the_web(machine, store) if web else in_s3(machine, request.getfixturevalue(kind), store) as (wire, known):
        first = boot(machine, **known)
        assert (0, True) == (first.code, first.out.startswith("fetched  2 packages")), first.err
        assert "alpha 1.0\n" == machine("/srv/env/bin/alpha").out
        assert {offered.itself["sha256"], "current"} == left(machine)
        wire.clear()
        second = boot(machine, **known)
        assert (0, True) == (second.code, second.out.startswith("kept ")), second.err
        asked = [each.path.partition("/v1/")[2] for each in wire.requests]
        assert [name.removeprefix("v1/") for name in (lead_of(offered), index_of(offered))] == asked
        wire.clear()
        third = boot(machine, BOOT_SHA256=offered.itself["sha256"], **known)
        assert (0, []) == (third.code, wire.requests), third.err
    assert SECRET not in first.out + first.err + second.out + second.err


@pytest.mark.parametrize("shell", [("dash",), ("busybox", "sh")], ids=["dash", "busybox"])
def test_from_a_directory(machine: BareMachine, offered: Equipped, shell: tuple[str, ...]) -> None:
    """By any POSIX shell; what was made is terrastore, at a place that stays, and would publish the very same."""
    offered.put_on(machine)
    result = boot(machine, shell=shell)
    assert (0, True) == (result.code, result.out.startswith("fetched  2 packages")), result.err
    version = machine("/srv/opt/current/bin/terrastore", "--version")
    assert f"terrastore {offered.itself['version']}\n" == version.out
    assert boot(machine, shell=shell).out.startswith("kept ")
    machine("/srv/opt/current/bin/terrastore", "build", "--self", "--store", "/srv/again")
    assert contents(offered.store) == contents(machine.folder / "again")


def test_flags_count_as_for_terrastore(machine: BareMachine, offered: Equipped) -> None:
    """A store that a flag names is the one that terrastore is taken from, and settings of the machine say the same."""
    offered.put_on(machine)
    result = boot(machine, "--store", "/srv/store", TERRASTORE_STORE="/srv/elsewhere")
    assert 0 == result.code, result.err
    (machine.folder / ".config/terrastore").mkdir(parents=True)
    (machine.folder / ".config/terrastore/terrastore.toml").write_text('store = "/srv/nowhere"\n')
    command = ("sh", "-c", "cd /srv && sh bootstrap.sh")
    refused(machine(*command, BOOT_DIR="/srv/other"), 7, "the store /srv/nowhere is not there")


def corrupt_wheel(offered: Equipped, store: Path) -> str:
    (wheel,) = store.glob("v1/self/files/*/click-*.whl")
    name = str(wheel.relative_to(store))
    data = bytearray(wheel.read_bytes())
    data[len(data) // 2] ^= 1
    offered.replace(store, name, bytes(data))
    return name


def corrupt_index(offered: Equipped, store: Path) -> str:
    offered.replace(store, index_of(offered), (store / index_of(offered)).read_bytes().replace(b"click", b"clack"))
    return index_of(offered)


def remove_wheel(_: Equipped, store: Path) -> str:
    (wheel,) = store.glob("v1/self/files/*/click-*.whl")
    wheel.unlink()
    return str(wheel.relative_to(store))


def nonsense(offered: Equipped, store: Path) -> str:
    offered.replace(store, lead_of(offered), b"<html>")
    return lead_of(offered)


def swollen_wheel(offered: Equipped, store: Path) -> str:
    (wheel,) = store.glob("v1/self/files/*/click-*.whl")
    name = str(wheel.relative_to(store))
    offered.replace(store, name, wheel.read_bytes() + b"\0")
    return name


@pytest.mark.parametrize("spoil", [corrupt_wheel, corrupt_index, remove_wheel, nonsense, swollen_wheel])
def test_what_is_not_what_it_should_be_is_refused(machine: BareMachine, offered: Equipped, spoil: Any) -> None:
    """Named, with nothing left; a store that has it whole, farther away, is taken then."""
    name = spoil(offered, offered.put_on(machine))
    refused(boot(machine), 8, name)
    assert set() == left(machine)
    whole = machine.folder / "whole"
    shutil.copytree(offered.store, whole, copy_function=shutil.copyfile)
    result = boot(machine, TERRASTORE_STORE="/srv/store /srv/whole")
    assert (0, True) == (result.code, name in result.err), result.err


def test_a_pin_that_nothing_fits(machine: BareMachine, offered: Equipped) -> None:
    """A digest that no store has is a miss, one that something else has in its place is refused."""
    store = offered.put_on(machine)
    refused(boot(machine, BOOT_SHA256="0" * 64), 4, "no store has terrastore")
    offered.replace(store, index_of(offered).replace(offered.itself["sha256"], "0" * 64), b"{}")
    refused(boot(machine, BOOT_SHA256="0" * 64), 8, "has SHA-256")
    refused(boot(machine, BOOT_SHA256="abc"), 2, "BOOT_SHA256")
    assert set() == left(machine)


def test_nothing_there(machine: BareMachine, offered: Equipped) -> None:
    """A store without terrastore, no store, none that answers, one that refuses, no Python: each has its code."""
    shutil.rmtree(offered.put_on(machine) / "v1/self")
    refused(boot(machine), 4, f"no store has terrastore for {offered.itself['tag']}", "build --self")
    refused(boot(machine, TERRASTORE_STORE=""), 2, "no store is named")
    refused(boot(machine, TERRASTORE_STORE="/srv/nowhere"), 7, "is not there")
    refused(boot(machine, TERRASTORE_STORE="ftp://host"), 2, "ftp://")
    refused(boot(machine, TERRASTORE_STORE="http://192.0.2.1/store"), 2, "not encrypted")
    refused(boot(machine, TERRASTORE_STORE="https://127.0.0.1:1", BOOT_TRIES="1"), 6, "connection refused")
    refused(boot(machine, TERRASTORE_STORE="s3://bucket", AWS_EC2_METADATA_DISABLED="true"), 7, "no credentials")
    refused(boot(machine, BOOT_PYTHON="python2"), 9, "no Python 3.11")
    assert set() == left(machine)


def test_what_may_pass_is_tried_again(machine: BareMachine, offered: Equipped) -> None:
    """A server that fails, or breaks off, is asked once more; one that refuses is not, nor one nobody vouches for."""
    with on_the_web(machine, offered.put_on(machine)) as (wire, known):
        wire.fault(faults.page(503), times=1)
        wire.fault(faults.Cut(1000), path=r"\.whl$", times=1)
        assert 0 == boot(machine, BOOT_TRIES="3", **known).code
        for fault, code, told in (
            (faults.page(403), 7, "refuses to send v1/self/"),
            (faults.page(500), 6, "failed to send v1/self/"),
            (faults.redirect("http://192.0.2.1/"), 2, "not encrypted"),
        ):
            wire.clear()
            wire.fault(fault, times=FOREVER)
            refused(boot(machine, BOOT_DIR="/srv/other", BOOT_TRIES="1", **known), code, told)
        wire.clear()
        refused(boot(machine, BOOT_DIR="/srv/other", **known | {"SSL_CERT_FILE": "/dev/null"}), 6, "cannot be trusted")
        assert [] == wire.requests


def test_the_store_is_down_at_the_next_boot(machine: BareMachine, offered: Equipped) -> None:
    """What is there goes on working, and says so."""
    with on_the_web(machine, offered.put_on(machine)) as (wire, known):
        assert 0 == boot(machine, **known).code
        wire.fault(faults.close, times=FOREVER)
        result = boot(machine, BOOT_TRIES="1", **known)
        assert (0, True) == (result.code, result.out.startswith("kept ")), result.err
        assert "the terrastore of before is used" in result.err


@pytest.mark.parametrize("fetched", [1, 8, 25])
def test_killed_and_repeated(machine: BareMachine, offered: Equipped, fetched: int) -> None:
    """Killed after any request, nothing half-made is taken for whole, and the next run leaves nothing of it."""
    with on_the_web(machine, offered.put_on(machine)) as (wire, known):
        wire.fault(faults.silence, after=fetched, times=FOREVER)
        script = ("sh", "-c", 'cd /srv && exec sh bootstrap.sh "$@"', "sh", *ENSURE)
        process = machine.start(*script, BOOT_DIR="/srv/opt", **known)
        until(lambda: len(wire.requests) > fetched)
        process.kill()
        process.communicate()
        names = left(machine)
        assert 1 == len(names)
        assert names.pop().startswith(".new-")
        wire.clear()
        assert 0 == boot(machine, **known).code
        assert {offered.itself["sha256"], "current"} == left(machine)


def test_two_at_once(machine: BareMachine, offered: Equipped) -> None:
    """Both end well, with one terrastore."""
    offered.put_on(machine)
    script = 'cd /srv; for n in 1 2; do sh bootstrap.sh "$@" --target "env$n" & done; wait %1 && wait %2'
    result = machine("sh", "-c", script, "sh", *ENSURE[:-2], BOOT_DIR="/srv/opt", TERRASTORE_STORE="/srv/store")
    assert (0, 2) == (result.code, result.out.count("fetched ")), result.err
    assert {offered.itself["sha256"], "current"} == left(machine)


class TestTrust:
    """With a trust file terrastore itself must be signed, by a key that it names, as what it is."""

    @pytest.fixture(autouse=True)
    def _keys(self, machine: BareMachine, offered: Equipped, tmp_path: Path) -> None:
        self.machine, self.offered = machine, offered
        self.store = offered.put_on(machine)
        self.key = str(tmp_path / "key")
        self.public = PublicKey("ci", generate(self.key))

    def trust(self, *lines: str) -> None:
        (self.machine.folder / "trust").write_text("# of the tests\n" + "\n".join(lines) + "\n")

    def sign(self, **changes: Any) -> None:
        """Sign what leads to terrastore, with ``changes`` to the payload; ``kind`` is not part of it."""
        envelope = Envelope.parse((self.store / lead_of(self.offered)).read_bytes(), kind=PAYLOAD_TYPE)
        kind = changes.pop("kind", PAYLOAD_TYPE)
        payload = json.dumps(json.loads(envelope.payload) | changes).encode()
        signed = Signing([self.key], trust=Trust(), report=Report()).signed(Envelope(payload, kind=kind))
        self.offered.replace(self.store, lead_of(self.offered), signed.replace(kind.encode(), PAYLOAD_TYPE.encode()))

    def boot(self) -> Result:
        return boot(self.machine, TERRASTORE_TRUST="/srv/trust")

    def refuses(self, *told: str) -> None:
        refused(self.boot(), 8, *told)
        assert set() == left(self.machine)

    def test_signed(self) -> None:
        """What is signed is taken; the environment, which is not, is refused by terrastore then."""
        self.trust(self.public.line)
        self.sign()
        result = self.boot()
        assert {self.offered.itself["sha256"], "current"} == left(self.machine)
        assert (8, True) == (result.code, "nobody has signed it" in result.err), result.err

    def test_unsigned(self) -> None:
        """It is refused, but where anybody may publish."""
        self.trust(self.public.line)
        self.refuses(lead_of(self.offered), "nobody whom the trust file names has signed it")
        self.trust(self.public.line, "anybody")
        assert 0 == self.boot().code

    def test_of_another_kind(self) -> None:
        """A signature over the same bytes as a pointer says nothing."""
        self.trust(self.public.line)
        self.sign(kind=POINTER_TYPE)
        self.refuses("nobody whom the trust file names has signed it")

    def test_by_a_key_that_does_not_count_now(self) -> None:
        """As terrastore itself has it."""
        self.sign()
        self.trust(f"{self.public.line} not-after=2020-01-01")
        self.refuses("nobody whom the trust file names")
        self.trust(f"{self.public.line} not-before=2999-01-01T00:00:00Z")
        self.refuses("nobody whom the trust file names")

    def test_for_another_realm_or_no_longer(self) -> None:
        """What is for others is refused, and what has expired is not there."""
        self.trust("anybody")
        self.sign(realm="web")
        self.refuses("is for the realm 'web'")
        self.sign(realm="", expires="2020-01-01T00:00:00Z")
        result = self.boot()
        assert (4, True) == (result.code, "expired at 2020" in result.err), result.err
        self.sign(schema=2, expires=None)
        assert "has schema 2" in self.boot().err

    def test_for_another_platform(self) -> None:
        """An index that leads elsewhere is refused, signed or not."""
        self.trust("anybody")
        self.sign(tag="cp399-linux_x86_64")
        self.refuses("is not what it should be")

    def test_revoked(self) -> None:
        """A part that is revoked keeps all from being used, also once it is there."""
        self.trust("anybody")
        assert 0 == self.boot().code
        self.trust("anybody", "revoke 'click>1'")
        refused(self.boot(), 8, "it holds click", "click>1 is revoked")

    def test_a_file_that_is_none(self) -> None:
        """It is not passed over."""
        refused(self.boot(), 2, "the trust file '/srv/trust' cannot be read")
        for line in ("ed25519", "anybody\nrevokes click", f"{self.public.line} not-afer=2030-01-01", "ed25519 ci AAAA"):
            self.trust(line)
            refused(self.boot(), 2, "the trust file has a line")

    def test_a_newer_libc_is_needed(self) -> None:
        """What could not run is not fetched."""
        index = json.loads((self.store / index_of(self.offered)).read_bytes())
        index["needs"] = {"libc": {"family": "glibc", "version": "9.9"}}
        data = json.dumps(index).encode()
        digest = hashlib.sha256(data).hexdigest()
        self.offered.replace(self.store, f"v1/self/{self.offered.itself['tag']}/{digest}.json", data)
        self.trust("anybody")
        self.sign(index={"sha256": digest, "size": len(data)})
        refused(self.boot(), 9, "glibc 9.9 or later is needed, and this machine has glibc 2.")


def test_pip_where_it_is_asked_for(offered: Equipped, tmp_path: Path) -> None:
    """Where no store has terrastore, what BOOT_PIP says is installed; a second time that is there."""
    empty = tmp_path / "empty"
    empty.mkdir()
    links = offered.wheels_in(tmp_path / "wheels")
    variables = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path),
        "BOOT_DIR": str(tmp_path / "opt"),
        "BOOT_PIP": f"--no-compile --no-index --find-links={links} terrastore=={offered.itself['version']}",
        "BOOT_PYTHON": str(shutil.which("python3")),
        "TERRASTORE_STORE": str(empty),
    }
    command = ["sh", str(SCRIPTS / "bootstrap.sh"), "--no-build", "-r", "/dev/null"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        # It ran, and has nothing to fetch.
        assert 4 == done.returncode, done.stderr
        assert "terrastore: error: " in done.stderr
    (place,) = (path for path in (tmp_path / "opt").iterdir() if path.name.startswith("pip-"))
    assert place.name == (tmp_path / "opt/current").readlink().name
    variables |= {"BOOT_PIP": "--no-index no-such-project"}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert (5, True) == (done.returncode, done.stderr.endswith("error: pip could not install what BOOT_PIP says\n"))

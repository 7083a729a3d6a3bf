"""What machines keep, and what builds take from stores: nothing that somebody poisoned enters either."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
import zstandard

from tests.conftest import command_line, make_wheel
from tests.end_to_end.attacker import (
    Attack,
    Files,
    InBucket,
    Key,
    Site,
    changed,
    envelope,
    payload_of,
    pointer,
    refused,
    snapshot,
)
from tests.package_index import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import CommandLine, Result
    from tests.servers import S3Server

TRAILER: Final = struct.Struct("<IIQQ")
EVIL: Final = "V = 'bad'\n"  # as long as the good one
OTHERS_LAYER: Final = Attack(
    "a store serves other bytes under the digest of another store's layer, to get them into the layer cache",
    8,
    "the layer alpha is not the one that its digest names",
)
KEPT_LAYER: Final = Attack(
    "the same, and the machine has that layer already",
    0,
    result="fetched with the layer that the machine has; the other bytes are not read",
)
PACKED_LAYER: Final = Attack(
    "the same, for the layers that builds keep packed",
    0,
    result="nothing that is fetched enters there; only what was built here does",
)
OTHERS_CACHE: Final = Attack(
    "another user puts layers into a cache directory that others may write to",
    0,
    "others may write to it",
    "fetched without that cache; a warning says why",
)
WRONG_WHEEL: Final = Attack("other bytes under the name of a wheel", 5, "is not what it is called, and is not used")
UNTRUSTED_WHEEL: Final = Attack(
    "a wheel that a manifest vouches for which nobody trusted signed", 5, "has no wheel of alpha==2.0"
)
REVOKED_WHEEL: Final = Attack(
    "a wheel that the manifest of a revoked archive vouches for", 5, "has no wheel of alpha==2.0"
)
STRAYING_WHEEL: Final = Attack("a wheel whose name leads out of the cache", 5, "has no wheel of alpha==2.0")
ATTACKS: Final[Mapping[str, tuple[Attack, ...]]] = {
    "test_a_poisoned_layer_does_not_enter": (OTHERS_LAYER,),
    "test_a_kept_layer_is_not_replaced": (KEPT_LAYER,),
    "test_what_is_fetched_is_not_packed": (PACKED_LAYER,),
    "test_a_cache_of_others_is_not_used": (OTHERS_CACHE,),
    "test_a_wheel_of_other_bytes": (WRONG_WHEEL,),
    "test_a_wheel_that_nobody_trusted_vouches_for": (UNTRUSTED_WHEEL,),
    "test_a_wheel_of_a_revoked_archive": (REVOKED_WHEEL,),
    "test_a_wheel_with_a_straying_name": (STRAYING_WHEEL,),
}
MODES: Final = pytest.mark.parametrize("mode", ["copy", "hardlink", "clone"])


def manifest_of(archive: bytes, payload: bytes) -> bytes:
    """Return the tar member, header and all, that holds an archive's manifest."""
    place = json.loads(payload)["manifest"]
    return zstandard.decompress(archive[place["offset"] : place["offset"] + place["packed"]])


def layer_of(member: bytes, name: str) -> Any:
    document = json.loads(member[512:].rstrip(b"\0"))
    (layer,) = [each for each in document["layers"] if each["name"] == name]
    return layer


def with_manifest(archive: bytes, payload: bytes, member: bytes) -> tuple[bytes, bytes]:
    """Return an archive with another manifest of the same size, and the payload of a pointer that fits it."""
    place = json.loads(payload)["manifest"]
    start, end = place["offset"], place["offset"] + place["packed"]
    frame = zstandard.compress(member)
    magic, size, _, _ = TRAILER.unpack(archive[-TRAILER.size :])
    trailer = TRAILER.pack(magic, size, start, len(frame))
    data = archive[:start] + frame + archive[end : -TRAILER.size] + trailer
    named = json.loads(payload)["archive"] | {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    located = place | {"packed": len(frame), "sha256": hashlib.sha256(frame).hexdigest()}
    return data, changed(envelope(payload), archive=named, manifest=located)


class Mallory:
    """Somebody's own store, whose environment says of evil bytes that they are the good alpha."""

    def __init__(self, site: Site, folder: Path, command: CommandLine) -> None:
        self.good = layer_of(manifest_of(*archive_and_payload(Files(site.store), site.key)), "alpha")
        self.store = Files(folder / "mallory")
        index = PackageIndex(folder)
        index.add("alpha", "2.0", requires=("beta",), text=EVIL)
        index.add("beta", "1.0")
        site.machine(command)
        with index.serving():
            self.variables = {"TERRASTORE_STORE": self.store.url, "PIP_INDEX_URL": index.url}
            self.key = command.ok("build", "--json", **self.variables).json["key"]
        archive, payload = archive_and_payload(self.store, self.key)
        member = manifest_of(archive, payload)
        evil = layer_of(member, "alpha")["digest"].encode()
        assert 1 == member.count(evil)
        archive, payload = with_manifest(archive, payload, member.replace(evil, self.good["digest"].encode()))
        self.store.write(archive_name(payload, self.key), archive)
        self.store.write(pointer(self.key), envelope(payload, site.mallory.sign(payload)))
        self.trust = folder / "mallory-trust"
        self.trust.write_text(f"{site.mallory.line}\n")


def archive_name(payload: bytes, key: str) -> str:
    return f"v1/archives/{key}/{json.loads(payload)['archive']['name']}"


def archive_and_payload(objects: Files, key: str) -> tuple[bytes, bytes]:
    payload = payload_of(objects.read(pointer(key)))
    return objects.read(archive_name(payload, key)), payload


@pytest.fixture(scope="module")
def mallory(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mallory]:
    folder = tmp_path_factory.mktemp("mallory")
    with command_line(folder / "home", folder) as command:
        yield Mallory(site, folder, command)


class Machine:
    """A machine that fetches from a good store and from Mallory's, each with its own trust file."""

    def __init__(self, site: Site, mallory: Mallory, command: CommandLine) -> None:
        self.mallory = mallory
        self.command = site.machine(command)
        site.fill(Files(command.store))
        self.trust = command.home / "trust"
        self.trust.write_text(f"{site.ci.line}\n")

    def fetch_good(self, target: str, mode: str) -> Result:
        """Fetch from the good store; what comes of it must be good."""
        options = ("--target", target, "--link-mode", mode, "--trust", str(self.trust))
        result = self.command.ok("ensure", "--no-build", *options)
        assert "fetched" in result.out
        assert "V = '2.0'" in said_by(self.command.cwd / target)
        return result

    def fetch_evil(self, target: str, mode: str) -> Result:
        options = ("--target", target, "--link-mode", mode, "--trust", str(self.mallory.trust))
        return self.command("ensure", "--no-build", *options, **self.mallory.variables)

    def kept(self) -> list[str]:
        """Return the names of the layers that are kept, or were begun."""
        folder = self.command.cache / "layers"
        return os.listdir(folder) if folder.exists() else []


def said_by(environment: Path) -> str:
    """Return the code of alpha, as it is run."""
    code = "import alpha, inspect; print(inspect.getsource(alpha), f'V = {alpha.V!r}')"
    return subprocess.check_output([environment / "bin/python", "-c", code], text=True)


@pytest.fixture
def machine(site: Site, mallory: Mallory, cli: CommandLine) -> Machine:
    return Machine(site, mallory, cli)


@MODES
def test_a_poisoned_layer_does_not_enter(machine: Machine, mode: str) -> None:
    """It is found out before it has its name in the cache; nothing of it is installed, here or elsewhere."""
    result = machine.fetch_evil("evil", mode)
    refused(result, OTHERS_LAYER)
    assert not (machine.command.cwd / "evil").exists()
    assert [] == [name for name in machine.kept() if name.startswith((machine.mallory.good["digest"], "."))]
    machine.fetch_good("good", mode)
    assert [] != [name for name in machine.kept() if name.startswith(machine.mallory.good["digest"])]


@MODES
def test_a_kept_layer_is_not_replaced(machine: Machine, mode: str) -> None:
    """Whoever names the digest of a layer gets that layer; environments that share it see no difference."""
    machine.fetch_good("good", mode)
    layer = machine.command.cache / "layers" / f"{machine.mallory.good['digest']}{'.tar' if mode == 'copy' else '.d'}"
    places = (machine.command.cwd / "good", layer.parent)
    before = snapshot(*places)
    assert layer.exists()
    result = machine.fetch_evil("evil", mode)
    assert (0, True) == (result.code, "fetched" in result.out), result.err
    assert "V = '2.0'" in said_by(machine.command.cwd / "evil")
    assert before.items() <= snapshot(*places).items()


def test_what_is_fetched_is_not_packed(machine: Machine, site: Site) -> None:
    """Builds keep what they packed themselves, by what it was made of."""
    machine.fetch_evil("evil", "copy")
    machine.fetch_good("good", "copy")
    assert not (machine.command.cache / "packed").exists()
    machine.command.ok("ensure", "--ignore-store", "--target", "built")
    assert {} != snapshot(machine.command.cache / "packed")
    before = snapshot(machine.command.cache / "packed")
    machine.fetch_evil("evil", "copy")
    assert before == snapshot(machine.command.cache / "packed")


def test_a_cache_of_others_is_not_used(machine: Machine) -> None:
    """What is kept is not compared with its digest again, so nobody else may have put it there."""
    machine.fetch_good("good", "copy")
    layer = machine.command.cache / f"layers/{machine.mallory.good['digest']}.tar"
    data = layer.read_bytes()
    assert b"V = '2.0'" in data
    layer.write_bytes(data.replace(b"V = '2.0'", b"V = 'bad'"))
    (machine.command.cache / "layers").chmod(0o777)
    result = machine.fetch_good("again", "copy")
    assert OTHERS_CACHE.message in result.err


class House:
    """A store with the wheels of builds, and an index that answers only while they are built."""

    def __init__(self, folder: Path, command: CommandLine) -> None:
        self.command = command
        self.index = PackageIndex(folder)
        self.good = self.index.add("alpha", "2.0")
        self.evil = make_wheel(folder, "alpha", "2.0", {"alpha.py": EVIL})
        self.ci, self.mallory = (Key.make(folder, name) for name in ("ci", "mallory"))
        self.trust = command.home / "trust"
        self.trust.write_text(f"{self.ci.line}\n")
        command.forget_wheels()
        command.env |= {"TERRASTORE_WHEELHOUSE": "1"}
        command.write("requirements.txt", "alpha==2.0\n")

    def build(self, wheel: Path, key: Key) -> str:
        """Let somebody build of a wheel what nobody asks for but themselves; return the digest of the archive."""
        good = self.good.read_bytes()
        with self.index.serving():
            self.command.env["PIP_INDEX_URL"] = self.index.url
            self.good.write_bytes(wheel.read_bytes())
            key_of = self.command.ok("build", "--signer", str(key.file), "--json").json["key"]
        self.good.write_bytes(good)
        shutil.rmtree(self.command.cache)
        self.command.cache.mkdir()
        payload = payload_of(Files(self.command.store).read(pointer(key_of)))
        digest: str = json.loads(payload)["archive"]["sha256"]
        return digest

    def ensure(self, *arguments: str) -> Result:
        """Ask for an environment that nobody built, while no index answers."""
        return self.command("ensure", "--no-seed", "--wait", "0", *arguments)

    def put(self, wheel: Path, name: str) -> None:
        Files(self.command.store).write(f"v1/wheels/{name}/{wheel.name}", wheel.read_bytes())

    def fails(self, attack: Attack, *arguments: str) -> None:
        """Check that nothing comes of a build, and that nothing of it stays."""
        before = snapshot(self.command.home)
        refused(self.ensure(*arguments), attack)
        now = {path: what for path, what in snapshot(self.command.home).items() if "/leases" not in path}
        assert before == now | {path: what for path, what in before.items() if "/leases" in path}


@pytest.fixture
def house(tmp_path: Path, cli: CommandLine) -> House:
    return House(tmp_path, cli)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_wheel_of_other_bytes(house: House) -> None:
    """Whoever writes them under the name of the wheel that a trusted manifest vouches for."""
    house.build(house.good, house.ci)
    house.put(house.evil, digest_of(house.good))
    house.fails(WRONG_WHEEL, "--trust", str(house.trust))


def test_a_wheel_that_nobody_trusted_vouches_for(house: House) -> None:
    """Only who names no trust file believes a manifest that anybody could put there."""
    house.build(house.evil, house.mallory)
    house.fails(UNTRUSTED_WHEEL, "--trust", str(house.trust))
    assert 0 == house.ensure("--no-publish").code
    assert "bad" in said_by(house.command.cwd / ".venv")


def test_a_wheel_of_a_revoked_archive(house: House) -> None:
    """What a stolen builder vouched for goes with its archives."""
    archive = house.build(house.evil, house.ci)
    house.trust.write_text(f"{house.ci.line}\nrevoke sha256:{archive}\n")
    house.fails(REVOKED_WHEEL, "--trust", str(house.trust))
    house.trust.write_text(f"{house.ci.line}\n")
    assert 0 == house.ensure("--no-publish", "--trust", str(house.trust)).code


def test_a_wheel_with_a_straying_name(house: House, moto: S3Server) -> None:
    """A listing names it; requirements name its digest, but nobody but a store says where it goes."""
    house.build(house.good, house.ci)
    digest = digest_of(house.good)
    house.command.write("requirements.txt", f"alpha==2.0 --hash=sha256:{digest}\n")
    objects = InBucket(moto.client(), moto.bucket, uuid4().hex)
    # Beside the folder of wheels in the cache, and no other's place.
    name = f"v1/wheels/{digest}/alpha-2.0-1/../../../x-py3-none-any.whl"
    objects.write(name, house.good.read_bytes())
    assert {name} == set(objects.all())
    house.command.env |= moto.variables() | {"TERRASTORE_STORE": objects.url}
    house.fails(STRAYING_WHEEL, "--no-publish")
    assert [] == list(house.command.cache.rglob("x-*"))

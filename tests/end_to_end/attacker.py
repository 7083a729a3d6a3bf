"""What somebody can do who may write to a store, and what a machine must leave as it was.

Envelopes are made here anew, after the DSSE protocol (secure-systems-lab/dsse, version 1.0), so that what is under test
does not judge itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.conftest import CommandLine, command_line
from tests.package_index import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Result

KIND = "application/vnd.terrastore.pointer+json"
Signature = dict[str, str]


@dataclass(frozen=True)
class Attack:
    """A row of the table of attacks in docs/security.md: what is tried, how a run ends, a part of what it says.

    ``result`` says what happens, where that part of the message does not.
    """

    attack: str
    code: int
    message: str = ""
    result: str = ""

    def __str__(self) -> str:
        return self.attack

    @property
    def told(self) -> str:
        """What happens, as the table says it."""
        result = self.result or f"`{self.message.strip()}`"
        return f"ends with {self.code}: {result}" if self.code else result


@dataclass(frozen=True)
class Key:
    """A key of somebody's, and the file that it is in."""

    name: str
    file: Path
    private: Ed25519PrivateKey

    @classmethod
    def make(cls, folder: Path, name: str) -> Key:
        key = cls(name, folder / f"{name}.key", Ed25519PrivateKey.generate())
        key.file.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.file.chmod(0o600)
        return key

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def line(self) -> str:
        """The line of a trust file that names it."""
        return f"ed25519 {self.name} {b64encode(self.public).decode()}"

    @property
    def keyid(self) -> str:
        return hashlib.sha256(self.public).hexdigest()[:32]

    def sign(self, payload: bytes, *, kind: str = KIND, as_: Key | None = None) -> Signature:
        """Return its signature over a payload of a kind, said to be somebody else's if need be."""
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
        return {"keyid": (as_ or self).keyid, "sig": b64encode(self.private.sign(signed)).decode()}


def envelope(payload: bytes, *signatures: Signature, kind: str = KIND) -> bytes:
    """Return a pointer as a store has it."""
    document = {"payload": b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}
    return json.dumps(document).encode()


def payload_of(pointer: bytes) -> bytes:
    return b64decode(json.loads(pointer)["payload"])


def signatures_of(pointer: bytes) -> list[Signature]:
    found: list[Signature] = json.loads(pointer)["signatures"]
    return found


def changed(pointer: bytes, **fields: Any) -> bytes:
    """Return the payload of a pointer with other values in it."""
    return json.dumps(json.loads(payload_of(pointer)) | fields).encode()


class Objects(Protocol):
    """What is in a store, for whoever may write to it."""

    url: str

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...

    def all(self) -> dict[str, bytes]: ...


class Files:
    """The objects of a store in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def all(self) -> dict[str, bytes]:
        paths = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}


class InBucket:
    """The objects of a store in S3."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.url = f"s3://{bucket}/{prefix}"
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def read(self, name: str) -> bytes:
        data: bytes = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}", Body=data)

    def remove(self, name: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")

    def all(self) -> dict[str, bytes]:
        listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._prefix}/").get("Contents", ())
        names = [each["Key"].removeprefix(f"{self._prefix}/") for each in listed]
        return {name: self.read(name) for name in names}


@dataclass(frozen=True)
class Site:
    """A store that a builder filled and signed with ``ci``, before anybody meddled with it.

    ``key`` names what is asked for, ``other`` another environment. ``older`` is what the store had for ``key`` before
    alpha 2.0 came out, when alpha was 1.0: its archive is there too. ``staging`` is the pointer of another store, for
    the realm of that name. ``index`` has what builds need.
    """

    store: Path
    keys: Path
    index: PackageIndex
    ci: Key
    mallory: Key
    key: str
    other: str
    current: bytes
    older: bytes
    staging: bytes

    @property
    def foreign(self) -> bytes:
        """The pointer of the other environment."""
        return (self.store / pointer(self.other)).read_bytes()

    def fill(self, objects: Objects) -> None:
        """Put everything into a store."""
        for name, data in Files(self.store).all().items():
            if not name.startswith("v1/uses/"):
                objects.write(name, data)

    def machine(self, command: CommandLine) -> CommandLine:
        """Make a machine of a command line that asks for the environment of ``key``."""
        command.forget_wheels()
        command.env |= {"PIP_INDEX_URL": self.index.url, "TERRASTORE_NO_SEED": "1"}
        command.write("requirements.txt", "alpha\n")
        command.write("other.txt", "beta\n")
        return command


def pointer(key: str) -> str:
    return f"v1/pointers/{key}.json"


@contextmanager
def built_site(folder: Path) -> Iterator[Site]:
    """Yield a site, whose index answers while the body runs."""
    ci, mallory = (Key.make(folder, name) for name in ("ci", "mallory"))
    index = PackageIndex(folder)
    index.add("alpha", "1.0", requires=("beta",))
    index.add("beta", "1.0")
    with index.serving(), command_line(folder / "home", folder) as command:
        site = Site(folder / "store", folder, index, ci, mallory, "", "", b"", b"", b"")
        site.machine(command)
        command.env |= {"TERRASTORE_STORE": str(site.store), "TERRASTORE_SIGNER": str(ci.file)}
        other = command.ok("build", "-r", "other.txt", "--json").json["key"]
        key = command.ok("build", "--json").json["key"]
        objects = Files(site.store)
        older = objects.read(pointer(key))
        index.add("alpha", "2.0", requires=("beta",))
        command.ok("build", "--rebuild")
        elsewhere = Files(folder / "staging")
        command.ok("build", "--realm", "staging", TERRASTORE_STORE=elsewhere.url)
        for name, data in elsewhere.all().items():
            if name.startswith("v1/archives/"):
                objects.write(name, data)
        yield Site(
            site.store,
            folder,
            index,
            ci,
            mallory,
            key,
            other,
            objects.read(pointer(key)),
            older,
            elsewhere.read(pointer(key)),
        )


def snapshot(*folders: Path) -> dict[str, str]:
    """Return what is below folders: by path the mode of a file and its digest, or where a link leads."""
    found = {}
    for path in (each for folder in folders for each in sorted(folder.rglob("*"))):
        facts = path.lstat()
        what = os.readlink(path) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = f"{facts.st_mode:o} {facts.st_ino} {what}"
    return found


def refused(result: Result, attack: Attack) -> None:
    """Check that a run ended as it is documented, with an error and without a traceback."""
    assert (attack.code, True) == (result.code, attack.message in result.err), result.err
    assert "Traceback" not in result.err
    assert "defect" not in result.err
    assert "terrastore: error: " in result.err
    assert "terrastore: hint: " in result.err

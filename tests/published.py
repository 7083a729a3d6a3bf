"""What tests of catalogue and publishing share: a tiny real archive, any bytes in its place, stores in trouble."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from terrastore.archive.origin import Origin
from terrastore.archive.pack import Packed, pack
from terrastore.archive.staging import StagingPrefix
from terrastore.catalogue import Published, find
from terrastore.errors import StoreRefusedError
from terrastore.filling import filling
from terrastore.flight import Flight
from terrastore.key import EnvKey
from terrastore.patience import Patience
from terrastore.pointer import ArchiveSummary, ManifestLocation, Pointer
from terrastore.promotion import promote
from terrastore.publish import Publication, archive_name, pointer
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.directory import DirectoryStore
from terrastore.store.memory import MemoryStore
from terrastore.trust import Trust
from terrastore.trust.envelope import PAYLOAD_TYPE, Envelope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from terrastore.archive.framing import Sink
    from terrastore.store.protocol import Object, Upload, WritableStore

Archive = tuple[Packed, bytes]

KEY = EnvKey(f"cp311-linux_x86_64-{'0' * 40}")
SPECIAL_KEY = KEY.for_distribution("debian-12")
OTHER_KEY = EnvKey(f"cp312-linux_x86_64-{'a1' * 20}")


def make_tree(tree: Path, **distributions: bytes) -> Path:
    """Write an environment of distributions, each a module of some bytes."""
    packages = tree / "lib/python3.11/site-packages"
    for name, content in distributions.items():
        info = packages / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (packages / f"{name}.bin").write_bytes(content)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{name}.bin,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    return tree


def pack_tree(
    tree: Path, sinks: Sequence[Sink], key: EnvKey = KEY, *, request: Mapping[str, Any] | None = None
) -> Packed:
    """Pack an environment that ``request`` asks for."""
    origin = Origin(
        key=key.text,
        interpreter={"version": "3.11.7"},
        host={},
        installer={"name": "pip", "version": "25.0"},
        request=request or {},
        libc=None,
        compiled=frozenset(),
        downloads={},
    )
    return pack(
        StagingPrefix(str(tree)), sinks, skeleton=(), python=sys.executable, origin=origin, workers=1, report=Report()
    )


def make_archive(tree: Path) -> Archive:
    """Return a tiny environment for ``KEY``, packed, and its archive."""
    sink = io.BytesIO()
    return pack_tree(make_tree(tree, tiny=b"ANSWER = 42\n"), [sink]), sink.getvalue()


def publish(
    store: WritableStore,
    archive: Archive,
    key: EnvKey = KEY,
    *,
    overwrite: bool = False,
    refused: str | None = None,
    report: Report | None = None,
) -> Published:
    """Publish an archive, which must succeed."""
    packed, data = archive
    name = archive_name()
    publication = Publication(
        store, key, name, replace=overwrite, refused=refused, required=True, trust=Trust(), report=report or Report()
    )
    with publication:
        publication.write(data)
        published = publication.end(pointer_to(packed, key, name))
    assert published is not None
    return published


def publish_once(store: Path, locks: Path, key: EnvKey, *, overwrite: bool = False, refused: str | None = None) -> None:
    """Publish an environment as a build does: it takes the lock and the lease, uploads and points."""
    report = Report()
    with TemporaryDirectory() as folder:
        archive = make_archive(Path(folder))
    flight = Flight(DirectoryStore(str(store)), key, locks=locks, patience=Patience(0), required=True, report=report)
    with flight.turn() as ours:
        assert ours
        publish(DirectoryStore(str(store)), archive, key, overwrite=overwrite, refused=refused, report=report)


def leave_lease(store: Path, locks: Path, key: EnvKey) -> None:
    """Begin a build and end at once, as if killed."""
    patience = Patience(0)
    with Flight(DirectoryStore(str(store)), key, locks=locks, patience=patience, required=True, report=Report()).turn():
        os._exit(9)


def fill_once(near: Path, far: Path, key: EnvKey) -> None:
    """Fill a nearer store with what a farther one has, as a fetch does."""
    report = Report()
    published = find(DirectoryStore(str(far)), key, Trust(), report)
    assert published is not None
    name = published.pointer.archive.name
    publication = Publication(DirectoryStore(str(near)), key, name, required=True, trust=Trust(), report=report)
    with filling(published, [publication]) as read:
        read.manifest()


def copy_once(source: Path, destination: Path, key: EnvKey) -> None:
    """Copy an environment from one store to another."""
    promote(DirectoryStore(str(source)), DirectoryStore(str(destination)), key, trust=Trust(), report=Report())


def pointer_for(data: bytes, *, name: str | None = None, expires: str | None = None, key: EnvKey = KEY) -> Pointer:
    """Return a pointer to bytes that need not be an archive."""
    return Pointer(
        key=key.text,
        created="2026-01-01T00:00:00Z",
        archive=ArchiveSummary(name=name or archive_name(), size=len(data), sha256=hashlib.sha256(data).hexdigest()),
        manifest=ManifestLocation(offset=0, packed=0, size=0, sha256="0" * 64),
        python="3.11.7",
        packages=1,
        builder="tests",
        expires=expires,
    )


def sealed(pointer: Pointer) -> bytes:
    """Return a pointer as it is stored, unsigned."""
    return Envelope(pointer.to_payload()).to_bytes()


def pointer_to(packed: Packed, key: EnvKey, name: str) -> bytes:
    """Return the pointer to what was packed, as it is stored."""
    return sealed(pointer(packed, key, name))


def put(store: MemoryStore, data: bytes, pointer: Pointer | None = None) -> Published:
    """Put bytes in an archive's place, and a pointer to them, which need not fit."""
    pointer = pointer or pointer_for(data)
    # With spaces, as another version might write it.
    envelope = sealed(pointer).replace(b",", b", ")
    published = Published(store=store, key=KEY, pointer=pointer, envelope=envelope)
    store.create(place(published), data)
    store.create(layout.pointer(KEY.text), envelope)
    return published


def found(store: MemoryStore, key: EnvKey = KEY) -> Published:
    """Return what the store has for ``key``, without a warning."""
    report = Report()
    published = find(store, key, Trust(), report)
    assert published is not None
    assert [] == report.warnings
    return published


def place(published: Published) -> str:
    """Return the name of the archive in its store."""
    return layout.archive(published.key.text, published.pointer.archive.name)


def objects(store: MemoryStore) -> list[str]:
    """Return the names of all that is in a store."""
    return [listed.name for listed in store.list("")]


def contents(store: MemoryStore) -> dict[str, bytes]:
    """Return all that is in a store."""
    return {name: current.data for name in objects(store) if (current := store.read(name))}


def envelope(document: object) -> bytes:
    """Return a pointer that says anything."""
    payload = b64encode(json.dumps(document).encode()).decode()
    return json.dumps({"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": []}).encode()


class TroubledStore(MemoryStore):
    """A store that refuses one step: to be read, or to be uploaded to at its beginning, in its middle, at its end."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step
        self.taken = 0

    def check(self, step: str) -> None:
        if step == self.step:
            raise StoreRefusedError(f"no {step} here")

    def read(self, name: str) -> Object | None:
        self.check("read")
        return super().read(name)

    def create(self, name: str, data: bytes) -> bool:
        self.check("create")
        return super().create(name, data)

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        self.check("upload")
        with super().upload(name) as upload:
            yield Checking(self, upload)
            self.check("end of upload")


class Checking:
    """An upload whose second piece is refused."""

    def __init__(self, store: TroubledStore, upload: Upload) -> None:
        self.store = store
        self.upload = upload

    def write(self, data: bytes, /) -> None:
        self.store.taken += 1
        if self.store.taken > 1:
            self.store.check("write")
        self.upload.write(data)


STEPS = ("read", "upload", "write", "end of upload", "create")


class OrderedStore(MemoryStore):
    """A store that keeps the pieces of an upload."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        with super().upload(name) as upload:
            yield Keeping(self.pieces, upload)


class Keeping:
    """An upload that keeps its pieces."""

    def __init__(self, pieces: list[bytes], upload: Upload) -> None:
        self.pieces = pieces
        self.upload = upload

    def write(self, data: bytes, /) -> None:
        self.pieces.append(data)
        self.upload.write(data)

"""A sound archive taken apart, put together again with anything in it: every digest fits, unless it is the lie."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from terrastore.archive.frames import compress, decompress, trailer
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.reading import read_manifest
from terrastore.trust import Trust
from terrastore.trust.envelope import PAYLOAD_TYPE
from tests.hostile.tar import END, member

MANIFEST = ".terrastore/manifest.json"
Edit = Callable[[Any], object]
Rewrite = Callable[[bytes], bytes]


@dataclass
class Draft:
    """What an archive and its pointer are made of.

    ``layers`` are raw bytes by name, of which ``pack`` makes frames; ``count`` how many members they have; ``document``
    what the manifest says beside what follows from them. ``edits`` change the manifest, ``pointer_edits`` the pointer's
    payload, once all figures are in; the functions after them the bytes that come of the manifest, its frame, the
    archive and the envelope. ``outside`` is a directory that nobody may write to.
    """

    layers: dict[str, bytes]
    count: int
    document: dict[str, Any]
    payload: dict[str, Any]
    outside: str = "/nowhere"
    pack: Callable[[str, bytes], list[tuple[bytes, int]]] = lambda name, raw: packed(raw)
    edits: list[Edit] = field(default_factory=list)
    pointer_edits: list[Edit] = field(default_factory=list)
    manifest_bytes: Rewrite = lambda data: data
    manifest_member: Rewrite = lambda data: member(MANIFEST, data)
    archive_bytes: Rewrite = lambda data: data
    envelope_bytes: Rewrite = lambda data: data

    @classmethod
    def of(cls, archive: bytes, envelope: bytes, *, key: str, outside: str = "/nowhere") -> Self:
        """Take an archive and its pointer apart."""
        pointer = Trust().judge(envelope, key=key).pointer
        manifest = read_manifest(lambda offset, size: archive[offset : offset + size], pointer.manifest)
        layers, position = {}, 0
        for layer in manifest.layers:
            raw = []
            for frame in layer.frames:
                raw.append(decompress(archive[position : position + frame.packed], frame.size))
                position += frame.packed
            layers[layer.name] = b"".join(raw)
        return cls(
            layers=layers,
            count=manifest.totals.members,
            document=json.loads(manifest.to_json()),
            payload=json.loads(b64decode(json.loads(envelope)["payload"])),
            outside=outside,
        )

    def add(self, *members: bytes, layer: str = "rest", count: int | None = None) -> None:
        """Put members behind those of a layer."""
        self.layers[layer] += b"".join(members)
        self.count += len(members) if count is None else count

    def relocate(self, path: str, kind: str, **more: Any) -> None:
        """Let the manifest say that a file is to be relocated."""
        self.document["relocations"].append({"path": path, "kind": kind, **more})

    def seal(self) -> tuple[bytes, bytes]:
        """Return the archive and the envelope of its pointer."""
        document, body = dict(self.document), b""
        described = {layer["name"]: layer for layer in document["layers"]}
        table, size = [], 0
        for name, raw in self.layers.items():
            frames = self.pack(name, raw) if raw else []
            table.append(
                {
                    "name": name,
                    "version": described[name]["version"] if name in described else "1",
                    "digest": sha256(raw),
                    "frames": [{"packed": len(each), "size": most, "sha256": sha256(each)} for each, most in frames],
                }
            )
            body += b"".join(each for each, _ in frames)
            size += sum(most for _, most in frames)
        document |= {"layers": table, "totals": {"members": self.count, "size": size, "packed": len(body)}}
        for edit in self.edits:
            edit(document)
        raw = self.manifest_member(self.manifest_bytes(json.dumps(document).encode()))
        frame = compress(raw)
        archive = self.archive_bytes(body + frame + compress(END) + trailer(len(body), len(frame)))
        payload = {
            **self.payload,
            "archive": {**self.payload["archive"], "size": len(archive), "sha256": sha256(archive)},
            "manifest": {"offset": len(body), "packed": len(frame), "size": len(raw), "sha256": sha256(frame)},
        }
        for edit in self.pointer_edits:
            edit(payload)
        return archive, self.envelope_bytes(envelope_of(json.dumps(payload).encode()))


def packed(raw: bytes) -> list[tuple[bytes, int]]:
    """Return the frames of a layer, and how many bytes each says it has."""
    pieces = [raw[start : start + FRAME_LIMIT] for start in range(0, len(raw), FRAME_LIMIT)]
    return [(compress(piece), len(piece)) for piece in pieces]


def envelope_of(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """Return a DSSE envelope."""
    return json.dumps({"payload": b64encode(payload).decode(), "payloadType": kind, "signatures": []}).encode()


def sha256(data: bytes) -> str:
    """Return a digest as everything in an archive spells it."""
    return hashlib.sha256(data).hexdigest()

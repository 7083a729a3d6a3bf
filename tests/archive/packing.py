"""Small environments at a staging prefix, packed, and each layer packed alone: what an archive has to be."""

from __future__ import annotations

import hashlib
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from terrastore.archive import credentials
from terrastore.archive.frames import compress, describe
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.origin import Origin
from terrastore.archive.pack import pack
from terrastore.archive.staging import StagingPrefix
from terrastore.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.archive.credentials import IsSecret
    from terrastore.archive.manifest import Layer, Manifest
    from terrastore.archive.packed_layers import PackedLayers

SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


@dataclass(frozen=True)
class Archive:
    """An archive, its manifest, and what was reported of packing it."""

    data: bytes
    manifest: Manifest
    report: Report


def distribution(tree: Path, name: str, **files: bytes) -> None:
    """Install a distribution of modules and other files: ``module_py`` stands for ``module.py``."""
    info = tree / SITE / f"{name}-1.0.dist-info"
    (tree / SITE / name).mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    paths = [f"{info.name}/METADATA", f"{info.name}/RECORD"]
    for written, content in files.items():
        path = f"{name}/{'.'.join(written.rsplit('_', 1))}"
        (tree / SITE / path).write_bytes(content)
        paths.append(path)
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in paths))


def packed(
    tree: Path, kept: PackedLayers | None = None, *, workers: int = 2, is_secret: IsSecret = credentials.unknown
) -> Archive:
    """Pack the environment at ``tree``."""
    origin = Origin(
        key="cp311-linux_x86_64-" + "0" * 40,
        interpreter={"version": "3.11"},
        host={},
        installer={"name": "pip", "version": "25.0"},
        request={},
        libc=None,
        compiled=frozenset(),
        downloads={},
    )
    sink, report = io.BytesIO(), Report()
    done = pack(
        StagingPrefix(str(tree)),
        [sink],
        skeleton=(),
        python=sys.executable,
        origin=origin,
        workers=workers,
        report=report,
        kept=kept,
        is_secret=is_secret,
    )
    assert done.sha256 == hashlib.sha256(sink.getvalue()).hexdigest()
    return Archive(sink.getvalue(), done.manifest, report)


def alone(raw: bytes) -> tuple[bytes, tuple[str, tuple[object, ...]]]:
    """Return a layer's packed bytes, digest and frames, made one after the other as FORMAT.md has it."""
    pieces = [raw[start : start + FRAME_LIMIT] for start in range(0, len(raw), FRAME_LIMIT)]
    frames = [compress(piece) for piece in pieces]
    table = tuple(describe(piece, frame) for piece, frame in zip(pieces, frames, strict=True))
    return b"".join(frames), (hashlib.sha256(raw).hexdigest(), table)


def layers(archive: Archive) -> Iterator[tuple[Layer, bytes]]:
    """Yield every layer of an archive with its packed bytes."""
    position = 0
    for layer in archive.manifest.layers:
        yield layer, archive.data[position : position + layer.packed]
        position += layer.packed

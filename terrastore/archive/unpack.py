"""From an archive to the files of an environment, relocated while they are written.

What this machine keeps of the layers is taken from there, the rest is fetched, and kept if there is where. Processes
write the layers piece by piece; what is in memory is bounded whatever the archive's size. Nothing is decompressed
before its SHA-256 is checked.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.archive import folding, inventory, originals, pieces, relocate, slots, ustar
from terrastore.archive.crew import Crew
from terrastore.archive.laying import Laying
from terrastore.archive.originals import MANIFEST_PATH
from terrastore.archive.stream import packed_frames
from terrastore.errors import HEAL, ArchiveRefusedError
from terrastore.report import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from terrastore.archive.laying import Layers
    from terrastore.archive.manifest import Frame, Layer, Manifest
    from terrastore.archive.reading import Archive
    from terrastore.report import Report

_DIRECTORY: Final = ".terrastore"


class Taken(NamedTuple):
    """What was read of an archive: packed bytes, and of how many layers."""

    size: int
    layers: int


def unpack(
    archive: Archive,
    manifest: Manifest,
    staged: str,
    *,
    prefix: str,
    workers: int,
    report: Report,
    layers: Layers | None = None,
) -> Taken:
    """Write the environment into the empty directory ``staged``, with its paths as they must be at ``prefix``.

    ``layers`` is what this machine keeps, None for nothing.

    :raises ArchiveRefusedError: at the first byte that is not as the manifest or the format says
    :raises UsageError: when a file's syntax cannot take ``prefix``; the file is named
    :raises LostError: when a layer that was kept is no more; ``layers`` does not have it any longer
    """
    originals.check_kinds(manifest)
    slots.refuse_too_long(manifest, prefix)
    kinds = {entry.path: entry.kind for entry in manifest.relocations}
    held = {path for path, kind in kinds.items() if kind != relocate.BINARY_KIND}
    fetched = [layer for layer in manifest.layers if layers is None or not layers.has(layer)]
    frames = list(_frames(manifest, fetched))
    try:
        with (
            report.phase("fetch", total=sum(frame.packed for _, frame in frames)) as fetch,
            report.phase("unpack", total=manifest.totals.size) as progress,
            Crew(staged, held, size=manifest.totals.size, most=workers) as crew,
            packed_frames(archive, frames, fetch) as packed,
        ):
            laying = Laying(manifest, staged, crew, packed, layers, progress)
            laying.run()
        if laying.copied:
            report.warn(f"{number(laying.copied, 'file')} were copied, for the disk cannot share them with {prefix}")
        _finish(staged, manifest, laying, kinds, prefix, report)
    except ustar.MalformedError as error:
        raise ArchiveRefusedError(f"the archive is corrupt: {error}", hint=HEAL) from error
    except pieces.LostError as error:
        if layers is not None:
            raise
        archive.read(0, 1)  # its store says best what is wrong
        raise ArchiveRefusedError("the archive is gone, or cut off, since it was opened", hint=HEAL) from error
    return Taken(fetch.done, len(fetched))


def _frames(manifest: Manifest, layers: list[Layer]) -> Iterator[tuple[int, Frame]]:
    """Yield (offset, frame) of the frames of some layers."""
    wanted = {layer.digest for layer in layers}
    owners = (layer.digest for layer in manifest.layers for _ in layer.frames)
    return (located for located, owner in zip(manifest.frames(), owners, strict=True) if owner in wanted)


def _finish(
    staged: str, manifest: Manifest, laid: Laying, kinds: Mapping[str, str], prefix: str, report: Report
) -> None:
    """Write what was held back, relocated, the symbolic links, and what the environment keeps of the archive."""
    _check_members(manifest, laid, kinds)
    kept, writer = {}, pieces.PieceWriter(staged, (), pieces.umask())
    if os.path.lexists(f"{staged}/{_DIRECTORY}"):
        raise pieces.collision(_DIRECTORY)
    writer.make_folder(_DIRECTORY)
    # In an order that does not depend on what was written first.
    for path, (mode, data) in sorted(laid.held.items()):
        if kinds[path] == relocate.RECORD_KIND:
            writer.write_file(path, mode, data)
        else:
            kept[ustar.Member(path, ustar.REGULAR, mode, len(data))] = bytes(data)
    contents = originals.relocated(manifest, kept, prefix, report)
    originals.write_originals(staged, kept)
    for member in kept:
        writer.write_file(member.path, member.mode, contents[member.path])
        originals.drop_bytecode(staged, member.path)
    _verify_slots(staged, manifest)
    originals.write_derived(staged, manifest, contents, prefix, report)
    if collision := folding.collision(staged, _DIRECTORY, laid.seen):
        raise pieces.collision(collision)
    # Last, so that nothing was written through a link.
    for path, target in laid.links:
        try:
            os.symlink(target, writer.place(path))
        except FileExistsError:
            raise pieces.collision(path) from None
    for path, document in (
        (originals.INVENTORY_PATH, inventory.to_json(laid.rows)),
        (MANIFEST_PATH, manifest.to_json()),
    ):
        writer.write_file(path, 0o644, document)


def _check_members(manifest: Manifest, laid: Laying, kinds: Mapping[str, str]) -> None:
    """Compare what was there with what the manifest says."""
    if missing := kinds.keys() - laid.seen:
        msg = f"{min(missing)} is to be relocated and is not there"
        raise ustar.MalformedError(msg)
    if others := kinds.keys() & laid.others:
        msg = f"{min(others)} is to be relocated and is no file"
        raise ustar.MalformedError(msg)
    if len(laid.seen) != manifest.totals.members:
        msg = f"it has {len(laid.seen)} members; the manifest says {manifest.totals.members}"
        raise ustar.MalformedError(msg)


def _verify_slots(staged: str, manifest: Manifest) -> None:
    """Refuse a compiled file that does not hold the placeholder where the manifest says."""
    for entry in manifest.relocations:
        if entry.kind == relocate.BINARY_KIND and not slots.is_canonical(f"{staged}/{entry.path}", entry):
            msg = f"{entry.path} does not hold the placeholder where the manifest says"
            raise ustar.MalformedError(msg)

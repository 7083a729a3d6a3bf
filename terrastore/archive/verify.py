"""Is it what it was: an archive against its manifest and pointer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from terrastore.archive import ustar
from terrastore.archive.frames import TRAILER_SIZE, decompress, parse_trailer, verified
from terrastore.archive.members import Members
from terrastore.archive.originals import check_kinds
from terrastore.errors import ArchiveRefusedError

if TYPE_CHECKING:
    from terrastore.archive.manifest import Manifest
    from terrastore.archive.reading import ReadRange
    from terrastore.pointer import ManifestLocation
    from terrastore.report import Report

_PIECE: Final = 8 * 1024 * 1024


def verify_archive(
    read: ReadRange, manifest: Manifest, location: ManifestLocation, *, size: int, sha256: str, report: Report
) -> None:
    """Read a whole archive and compare everything that is said of it.

    :raises ArchiveRefusedError: at the first difference
    """
    check_kinds(manifest)
    try:
        with report.phase("verify", total=size) as phase:
            frames = manifest.frames()
            members = Members(manifest)
            for layer in manifest.layers:
                digest, reader = hashlib.sha256(), ustar.Reader()
                for _ in layer.frames:
                    offset, frame = next(frames)
                    raw = verified(read(offset, frame.packed), frame)
                    digest.update(raw)
                    members.take(reader.feed(raw))
                    phase.advance(frame.packed)
                reader.finish()
                if digest.hexdigest() != layer.digest:
                    raise ustar.MalformedError(f"the layer {layer.name} is not the one that its digest names")
            members.end()
        _verify_end(read, manifest, location, size)
        whole = hashlib.sha256()
        for offset in range(0, size, _PIECE):
            whole.update(read(offset, min(_PIECE, size - offset)))
        if whole.hexdigest() != sha256:
            raise ustar.MalformedError("its SHA-256 differs from the pointer's")
    except ustar.MalformedError as error:
        raise ArchiveRefusedError(
            f"the archive is corrupt: {error}", hint="run ensure --rebuild to replace it"
        ) from error


def _verify_end(read: ReadRange, manifest: Manifest, location: ManifestLocation, size: int) -> None:
    """Check that layers, manifest, end of tar and trailer follow each other without gaps."""
    end = location.offset + location.packed
    if manifest.totals.packed != location.offset:
        raise ustar.MalformedError("the manifest does not lie directly behind the layers")
    if end + TRAILER_SIZE >= size:
        raise ustar.MalformedError("it ends with its manifest")
    if decompress(read(end, size - TRAILER_SIZE - end), len(ustar.END)) != ustar.END:
        raise ustar.MalformedError("the end of the tar stream is not behind the manifest")
    if parse_trailer(read(size - TRAILER_SIZE, TRAILER_SIZE)) != (location.offset, location.packed):
        raise ustar.MalformedError("its trailer does not lead to the manifest")

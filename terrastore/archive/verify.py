"""Is it what it was: an archive against its manifest and pointer, an environment against its RECORDs."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Final

from terrastore.archive import record, ustar
from terrastore.archive.frames import verified
from terrastore.archive.installed import installed
from terrastore.errors import ArchiveRefusedError

if TYPE_CHECKING:
    from terrastore.archive.manifest import Manifest
    from terrastore.archive.unpack import ReadRange
    from terrastore.report import Report

_PIECE: Final = 8 * 1024 * 1024
_SHA256_ROW: Final = re.compile(r"sha256=[A-Za-z0-9_-]{43}")


def verify_archive(read: ReadRange, manifest: Manifest, *, size: int, sha256: str, report: Report) -> None:
    """Read a whole archive and compare everything that is said of it.

    :raises ArchiveRefusedError: at the first difference
    """
    try:
        with report.phase("verify", total=size) as phase:
            frames = manifest.frames()
            members = 0
            for layer in manifest.layers:
                digest, reader = hashlib.sha256(), ustar.Reader()
                for _ in layer.frames:
                    offset, frame = next(frames)
                    raw = verified(read(offset, frame.packed), frame)
                    digest.update(raw)
                    members += sum(last for *_, last in reader.feed(raw))
                    phase.advance(frame.packed)
                reader.finish()
                if digest.hexdigest() != layer.digest:
                    raise ustar.MalformedError(f"the layer {layer.name} is not the one that its digest names")
            if members != manifest.totals.members:
                raise ustar.MalformedError(f"it has {members} members; the manifest says {manifest.totals.members}")
        whole = hashlib.sha256()
        for offset in range(0, size, _PIECE):
            whole.update(read(offset, min(_PIECE, size - offset)))
        if whole.hexdigest() != sha256:
            raise ustar.MalformedError("its SHA-256 differs from the pointer's")
    except ustar.MalformedError as error:
        raise ArchiveRefusedError(
            f"the archive is corrupt: {error}", hint="run ensure --rebuild to replace it"
        ) from error


def differences(tree: str) -> dict[str, str]:
    """Return what the installed distributions' files at ``tree`` have become, by path: ``missing`` or ``changed``."""
    found = {}
    for distribution in installed(tree):
        for row in distribution.rows:
            path = record.location(distribution.record, row)
            place = os.path.join(tree, path)
            if not os.path.lexists(place):
                found[path] = "missing"
            elif _SHA256_ROW.fullmatch(row.digest):
                with open(place, "rb") as file:
                    if record.digest_of(file.read()) != row.digest:
                        found[path] = "changed"
    return found

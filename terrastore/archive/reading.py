"""Random access to an archive, and its manifest: found by a pointer, or by the trailer of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from terrastore.archive import ustar
from terrastore.archive.frames import TRAILER_SIZE, decompress, parse_trailer, verified
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.manifest import (
    Frame,
    Manifest,
    ManifestError,
    UnknownFeatureError,
    UnknownSchemaError,
)
from terrastore.archive.originals import MANIFEST_PATH
from terrastore.errors import HEAL, ArchiveRefusedError, NotInStoreError

if TYPE_CHECKING:
    from terrastore.pointer import ManifestLocation

_UPGRADE: Final = "upgrade terrastore on this machine"


ReadRange = Callable[[int, int], bytes]
"""Returns exactly so many bytes of an archive, from an offset on, or raises: offset and size in, any thread may ask."""


class Archive(Protocol):
    """Random access to an archive."""

    @property
    def readers(self) -> int:
        """How many ranges are best read at once."""

    @property
    def is_near(self) -> bool:
        """Whether it is on a disk of this machine, so that keeping parts of it here too would save little."""

    @property
    def file(self) -> str | None:
        """The file that it is, which other processes can read too; None where it is none."""

    def read(self, offset: int, size: int, /) -> bytes:
        """Return exactly ``size`` bytes from ``offset``, or raise; any number of threads may ask."""


def read_manifest(read: ReadRange, location: ManifestLocation) -> Manifest:
    """Return the manifest that a verified pointer locates.

    :raises ArchiveRefusedError: when its bytes are not those the pointer names, or need a feature of a later version
    :raises NotInStoreError: when its schema is of a later version
    """
    frame = Frame(packed=location.packed, size=location.size, sha256=location.sha256)
    return _parse_manifest(lambda: verified(read(location.offset, location.packed), frame), HEAL)


def find_manifest(read: ReadRange, size: int) -> Manifest:
    """Return the manifest of an archive of ``size`` bytes that no pointer vouches for, by its trailer.

    :raises ArchiveRefusedError: when there is none
    """
    places: list[int] = []

    def raw() -> bytes:
        offset, packed = parse_trailer(read(max(0, size - TRAILER_SIZE), min(size, TRAILER_SIZE)))
        if offset + packed > size or packed > FRAME_LIMIT:
            msg = "its trailer points outside the file"
            raise ustar.MalformedError(msg)
        places.append(offset)
        return decompress(read(offset, packed))

    hint = "name a .tar.zst that terrastore made, whole"
    manifest = _parse_manifest(raw, hint)
    if places != [manifest.totals.packed]:
        raise ArchiveRefusedError("the archive has gaps: its manifest does not follow its layers", hint=hint)
    return manifest


def _parse_manifest(raw: Callable[[], bytes], hint: str) -> Manifest:
    try:
        reader = ustar.Reader()
        pieces = list(reader.feed(raw()))
        reader.finish()
        if [piece[0].path for piece in pieces] != [MANIFEST_PATH]:
            msg = f"the manifest's frame does not hold {MANIFEST_PATH} alone"
            raise ustar.MalformedError(msg)
        return Manifest.parse(bytes(pieces[0][2]))
    except UnknownSchemaError as error:
        raise NotInStoreError(f"{error}", hint=_UPGRADE) from error
    except UnknownFeatureError as error:
        raise ArchiveRefusedError(f"{error}", hint=_UPGRADE, later=True) from error
    except (ustar.MalformedError, ManifestError) as error:
        raise ArchiveRefusedError(f"the archive's manifest is refused: {error}", hint=hint) from error

"""zstd frames (RFC 8878), each compressed on its own so that all cores can work on them."""

from __future__ import annotations

import hashlib
import struct
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import zstandard

from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.ustar import MalformedError

if TYPE_CHECKING:
    from terrastore.archive.manifest import Frame

LEVEL: Final = 6

_TRAILER: Final = struct.Struct("<IIQQ")
_SKIPPABLE_MAGIC: Final = 0x184D2A50
_SKIPPABLE_SIZE: Final = 16
TRAILER_SIZE: Final = _TRAILER.size

_local = threading.local()


def compress(raw: bytes | memoryview, *, level: int = LEVEL) -> bytes:
    """Return ``raw`` as one frame that states its content size; the same bytes for the same zstd version."""
    compressors: dict[int, zstandard.ZstdCompressor] = _local.__dict__.setdefault("compressors", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True)
    return compressors[level].compress(raw)


def describe(raw: bytes | memoryview, packed: bytes) -> Frame:
    """Return the frame table's entry for ``packed``, the compressed form of ``raw``."""
    from terrastore.archive.manifest import Frame  # noqa: PLC0415 -- only who packs needs it

    return Frame(packed=len(packed), size=memoryview(raw).nbytes, sha256=hashlib.sha256(packed).hexdigest())


class Expected(NamedTuple):
    """What is known of a frame where its table is not at hand."""

    size: int
    sha256: str


def verified(packed: bytes | memoryview, frame: Frame | Expected) -> bytes:
    """Return the raw bytes of ``packed`` once it is the frame that the table describes.

    The digest is checked before anything is decompressed, the stated size before anything is allocated.

    :raises MalformedError: when either differs
    """
    if hashlib.sha256(packed).hexdigest() != frame.sha256:
        msg = "a frame's SHA-256 differs from the manifest's"
        raise MalformedError(msg)
    return decompress(packed, frame.size)


def decompress(packed: bytes | memoryview, size: int | None = None) -> bytes:
    """Return the raw bytes of the single frame ``packed``: ``size``, or as many as a frame may have.

    :raises MalformedError: when it is no such frame
    """
    try:
        header = zstandard.get_frame_parameters(packed)
        size = header.content_size if size is None else size
        if header.content_size != size or size > FRAME_LIMIT or header.dict_id or header.window_size > FRAME_LIMIT:
            msg = "a frame's header is not as it should be"
            raise MalformedError(msg)
        if not hasattr(_local, "decompressor"):
            _local.decompressor = zstandard.ZstdDecompressor(max_window_size=FRAME_LIMIT)
        raw: bytes = _local.decompressor.decompress(packed, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        msg = f"a frame cannot be decompressed: {error}"
        raise MalformedError(msg) from None
    if len(raw) != size:
        msg = "a frame is shorter than it says"
        raise MalformedError(msg)
    return raw


def trailer(offset: int, packed: int) -> bytes:
    """Return the skippable frame that says where the manifest's frame lies, for readers without a pointer."""
    return _TRAILER.pack(_SKIPPABLE_MAGIC, _SKIPPABLE_SIZE, offset, packed)


def parse_trailer(data: bytes) -> tuple[int, int]:
    """Return (offset, packed size) of the manifest's frame from the last 24 bytes of an archive.

    :raises MalformedError: when they are no trailer
    """
    if len(data) == TRAILER_SIZE:
        magic, size, offset, packed = _TRAILER.unpack(data)
        if magic == _SKIPPABLE_MAGIC and size == _SKIPPABLE_SIZE:
            return offset, packed
    msg = "it does not end as a terrastore archive does"
    raise MalformedError(msg)

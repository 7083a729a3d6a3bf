"""zstd frames (RFC 8878) by hand, with anything in their headers."""

from __future__ import annotations

import struct

MAGIC = struct.pack("<I", 0xFD2FB528)
_BLOCK_LIMIT = 128 * 1024


def frame(
    raw: bytes,
    *,
    content_size: int | None = -1,
    window: int | None = None,
    dictionary: bytes = b"",
    checksum: bytes = b"",
) -> bytes:
    """Return a frame of blocks that are not compressed.

    It states ``content_size`` (the true one unless told, None for none), a ``window`` of so many powers of two (None:
    the content is the window), and ``dictionary``, four bytes of an id.
    """
    return (
        head(len(raw) if content_size == -1 else content_size, window, dictionary, bool(checksum))
        + _blocks(raw)
        + checksum
    )


def zeros(size: int, *, content_size: int | None = None) -> bytes:
    """Return a frame of ``size`` zeros in a few bytes: each block says that a byte is repeated."""
    return head(size if content_size is None else content_size) + b"".join(
        _block(min(_BLOCK_LIMIT, size - start), 1, start + _BLOCK_LIMIT >= size) + b"\0"
        for start in range(0, size, _BLOCK_LIMIT)
    )


def head(content_size: int | None, window: int | None = None, dictionary: bytes = b"", checksum: bool = False) -> bytes:
    """Return a frame's header."""
    is_single = window is None and content_size is not None
    flags = (0 if content_size is None else 3 << 6) | is_single << 5 | checksum << 2 | (3 if dictionary else 0)
    described = b"" if is_single else bytes([((window or 20) - 10) << 3])
    size = b"" if content_size is None else struct.pack("<Q", content_size)
    return MAGIC + bytes([flags]) + described + dictionary + size


def _blocks(raw: bytes) -> bytes:
    starts = range(0, max(1, len(raw)), _BLOCK_LIMIT)
    pieces = [raw[start : start + _BLOCK_LIMIT] for start in starts]
    return b"".join(_block(len(piece), 0, piece is pieces[-1]) + piece for piece in pieces)


def _block(size: int, kind: int, is_last: bool) -> bytes:
    return struct.pack("<I", size << 3 | kind << 1 | is_last)[:3]

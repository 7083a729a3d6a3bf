"""Byte ranges of HTTP (RFC 9110, section 14): how one is asked for, and what an answer must say."""

from __future__ import annotations

import re
from typing import Final

_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class NotThatRangeError(Exception):
    """An answer is not of the range that was asked for; the text says what it is of."""


def wanted(offset: int, size: int) -> str:
    """Return the header Range for ``size`` bytes from ``offset``; ``size`` is at least 1."""
    return f"bytes={offset}-{offset + size - 1}"


def announced(content_range: str | None, offset: int, size: int) -> int:
    """Return how many bytes follow by the header Content-Range: fewer than ``size`` where the object ends before.

    The status does not tell: some stores say 200 for a range, and some proxies send everything.

    :raises NotThatRangeError: when what follows does not begin at ``offset``, is too long, or ends too early
    """
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    if not match:
        raise NotThatRangeError(
            "it sent the whole object for a range: it, or something in between, does not know ranges"
        )
    first, end = int(match[1]), int(match[2]) + 1
    if first != offset or not first < end <= offset + size or (end < offset + size and match[3] not in {str(end), "*"}):
        raise NotThatRangeError(f"it was asked for {wanted(offset, size)} and sent {match[0]}")
    return end - first

"""Numbers of bytes as people write them."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"": 1, "b": 1} | {
    unit + end: int(base ** (exponent + 1))
    for exponent, unit in enumerate("kmgt")
    for end, base in (("", 1000), ("b", 1000), ("ib", 1024))
}


def parse_size(text: str) -> int:
    """Return how many bytes a size such as ``50GB``, ``1.5 GiB`` or ``0`` is; units are powers of 1000, or of 1024.

    :raises ValueError: when it is none
    """
    match = re.fullmatch(r"\s*(\d{1,20})(?:\.(\d{1,20}))?\s*([A-Za-z]*)\s*", text, re.ASCII)
    if not match or match[3].lower() not in _UNITS:
        msg = f"{text!r} is no size"
        raise ValueError(msg)
    unit, fraction = _UNITS[match[3].lower()], match[2] or "0"
    scale: int = 10 ** len(fraction)
    return int(match[1]) * unit + int(fraction) * unit // scale

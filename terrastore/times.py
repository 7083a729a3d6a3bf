"""Points in time and lengths of time, as pointers and people write them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART: Final = r"(\d+(?:\.\d+)?)([smhdw])"


def now() -> str:
    """Return this moment in UTC as RFC 3339 writes it: ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime(_FORM)


def at(seconds: float) -> str:
    """Return a moment in seconds since the epoch as :func:`now` writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_FORM)


def after(seconds: float) -> str:
    """Return the moment that is so many seconds from now, as :func:`now` writes it."""
    return at(time.time() + seconds)


def seconds_since(text: str) -> float:
    """Return how many seconds ago a moment was that :func:`now` wrote; for any other text it was always."""
    try:
        return (datetime.now(UTC) - datetime.strptime(text, _FORM).replace(tzinfo=UTC)).total_seconds()
    except ValueError:
        return float("inf")


def parse_duration(text: str) -> float:
    """Return the seconds in a length of time such as ``24h``, ``1h30m``, ``7d``; a number alone is seconds.

    :raises ValueError: when it is none
    """
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or re.sub(_PART, "", text):
        msg = f"{text!r} is no length of time"
        raise ValueError(msg)
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(_PART, text))


def duration(seconds: float) -> str:
    """Return a length of time in its largest whole unit.

    >>> duration(86400), duration(5400), duration(90.5)
    ('1 d', '90 min', '90.5 s')
    """
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"


def about(seconds: float) -> str:
    """Return a length of time as a person reads it, in the largest unit of which there is one at least.

    >>> about(200_000), about(5400), about(7)
    ('2 d', '1 h', '7 s')
    """
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((each for each in units if seconds >= each[1]), units[-1])
    return f"{max(0, int(seconds // size))} {unit}"

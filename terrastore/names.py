"""Names of distributions, in the one form that all spellings of a name have."""

from __future__ import annotations

import re
from typing import Final

_SEPARATORS: Final = re.compile(r"[-_.]+")


def normalised(name: str) -> str:
    """Return a distribution's name, or that of an extra, in the form of PEP 503."""
    return _SEPARATORS.sub("-", name).lower()

"""What is made where an environment stands, and is therefore never a member of an archive."""

from __future__ import annotations

import re
from typing import Final

INTERPRETERS: Final = re.compile(r"bin/python(\d+(\.\d+)?t?)?")
"""Names of the interpreter in an environment; they and ``pyvenv.cfg`` are written anew on every machine."""
_RESERVED: Final = re.compile(r"pyvenv\.cfg(/.*)?|\.terrastore(/.*)?|" + INTERPRETERS.pattern + r"(/.*)?")
_STARTS: Final = frozenset("pPbB.")
"""How a reserved path may begin; most others begin with ``lib``, and need no closer look."""
# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties), which HFS+ and ext4 leave out when they fold names.
_IGNORED: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_reserved(path: str) -> bool:
    """Whether ``path``, which is not empty, is taken, on filesystems that fold names too."""
    if path.isascii() and path[0] not in _STARTS:
        return False
    return _RESERVED.fullmatch(folded(path)) is not None


def is_bin(path: str) -> bool:
    """Whether ``path`` is the directory that interpreters are in, on filesystems that fold names too."""
    return "/" not in path and folded(path) == "bin"


def folded(path: str) -> str:
    """Return what every spelling of a path has in common that some filesystem takes for the same."""
    if path.isascii():
        return path.lower()
    import unicodedata  # noqa: PLC0415 -- few names need it

    return _IGNORED.sub("", unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold()))

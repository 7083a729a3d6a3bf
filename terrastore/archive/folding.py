"""Names that are several in an archive and one on a filesystem that folds case or normalises Unicode.

A file whose name is taken so is noticed when it is made. A directory is not, for it may well be there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

# One character, composed and not (Unicode, NFC and NFD).
_COMPOSED: Final = "\u00e9".encode()
_DECOMPOSED: Final = "e\u0301".encode()


def collision(root: str, folder: str, paths: Collection[str]) -> str | None:
    """Return a directory of ``paths`` that is another one's too where ``root`` is; None when each is one of its own.

    ``folder`` is the name of a directory in ``root``, in small letters, in which a probe may be made.
    """
    if not _folds(root, folder):
        return None
    known: dict[tuple[int, int], str] = {}
    for above in sorted(_directories(paths)):
        facts = os.lstat(f"{root}/{above}")
        if known.setdefault((facts.st_dev, facts.st_ino), above) != above:
            return above
    return None


def _folds(root: str, folder: str) -> bool:
    if os.path.lexists(f"{root}/{folder.upper()}"):
        return True
    place = os.fsencode(f"{root}/{folder}/")
    os.mkdir(place + _COMPOSED)
    try:
        return os.path.lexists(place + _DECOMPOSED)
    finally:
        os.rmdir(place + _COMPOSED)


def _directories(paths: Collection[str]) -> set[str]:
    """Return all directories that are above ``paths``."""
    found: set[str] = set()
    for path in paths:
        above = path.rpartition("/")[0]
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found

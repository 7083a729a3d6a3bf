"""What stands in an archive where the environment's prefix stood, and how a prefix is put in its place.

``FORMAT.md`` section 7. Needs the standard library alone, and touches no disk.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MARKER: Final = b"terrastore-staging-"
PLACEHOLDER_NAME: Final = MARKER + b"0" * 32
PLACEHOLDER: Final = b"/" + b"_" * 43 + b"/" + PLACEHOLDER_NAME
SPELLINGS: Final = re.compile(b"(" + PLACEHOLDER + b"|" + PLACEHOLDER_NAME + b")")

# No byte of these needs quoting in sh, fish, csh, nushell, PowerShell, Python, JSON or a URL.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_@+=,./-]+")


class NotRelocatableError(ValueError):
    """This file holds the prefix in a form that cannot be rewritten; the text says why."""


def needs_quoting(prefix: str) -> bool:
    """Whether some syntax cannot take ``prefix`` as it is."""
    return not _PLAIN.fullmatch(prefix)


def meant(spelling: bytes, prefix: str) -> str:
    """Return what a spelling of the placeholder stands for: the prefix, or its last component."""
    return prefix if spelling == PLACEHOLDER else prefix.rpartition("/")[2]


def replace(data: bytes, prefix: str, escape: Callable[[str], str], encoding: str = "utf-8") -> bytes:
    """Replace every spelling in one pass: what is put in may hold a spelling itself.

    :raises NotRelocatableError: when ``encoding`` has not all characters of the prefix
    """
    try:
        return SPELLINGS.sub(lambda match: escape(meant(match.group(), prefix)).encode(encoding), data)
    except UnicodeEncodeError:
        reason = f"it is in {encoding}, which cannot spell this path"
        raise NotRelocatableError(reason) from None

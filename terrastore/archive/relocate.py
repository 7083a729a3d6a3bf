"""From the placeholder that archives hold to the prefix where an environment stands: bytes in, bytes out.

:func:`rewrite` puts the prefix in as the file's syntax demands. ``FORMAT.md`` section 7 is the specification. Needs
the standard library alone, and touches no disk.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote as quote_url

from terrastore.archive import shells
from terrastore.archive.literals import python
from terrastore.archive.placeholder import (
    MARKER,
    PLACEHOLDER,
    PLACEHOLDER_NAME,
    SPELLINGS,
    NotRelocatableError,
    needs_quoting,
    replace,
)
from terrastore.archive.scripts import PLAIN_SHEBANG, SH_SHEBANG, SHEBANG_LIMIT, script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "KINDS",
    "MARKER",
    "PLACEHOLDER",
    "PLACEHOLDER_NAME",
    "PLAIN_SHEBANG",
    "RECORD_KIND",
    "SHEBANG_LIMIT",
    "SH_SHEBANG",
    "SPELLINGS",
    "NotRelocatableError",
    "check_prefix",
    "doubt",
    "needs_quoting",
    "rewrite",
]


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that no script or ``PATH`` could name.

    :raises NotRelocatableError: for control characters, backslashes, colons and names that are not UTF-8
    """
    if not prefix.startswith("/"):
        reason = "the path is not absolute"
        raise NotRelocatableError(reason)
    try:
        prefix.encode()
    except UnicodeEncodeError:
        reason = "the path is not valid UTF-8"
        raise NotRelocatableError(reason) from None
    if found := re.search(r"[\x00-\x1f\x7f\\:]", prefix):
        reason = f"a path with {found.group()!r} cannot stand in PATH or in a script"
        raise NotRelocatableError(reason)


def rewrite(kind: str, canonical: bytes, prefix: str) -> bytes:
    """Return the file as it must be in an environment at ``prefix``.

    :raises NotRelocatableError: when the file's syntax cannot take this prefix
    :raises KeyError: for a kind this version does not know
    """
    return _REWRITERS[kind](canonical, prefix)


def doubt(kind: str, prefix: str) -> str | None:
    """Return why a file of this kind may not work at ``prefix`` although it was rewritten; None when it will."""
    if kind == "text" and needs_quoting(prefix):
        return "needs quoting, which only a reader of these files can know"
    if kind == "batch" and re.search(r'["&|<>^!]', prefix):
        return "holds a character that cmd.exe acts upon wherever it stands"
    if kind == "xonsh" and re.search(r"\$(\w|\{)", prefix):
        return "holds $, which xonsh expands in PATH"
    return None


def _text(canonical: bytes, prefix: str) -> bytes:
    return replace(canonical, prefix, lambda text: text)


def _url(canonical: bytes, prefix: str) -> bytes:
    return replace(canonical, prefix, lambda text: quote_url(text, safe="/@+=,~"))


def _json(canonical: bytes, prefix: str) -> bytes:
    return replace(canonical, prefix, lambda text: json.dumps(text)[1:-1])


def _path(canonical: bytes, prefix: str) -> bytes:
    """Take each line for what ``site`` takes it: Python when it begins with ``import``, else a path, less its end."""
    lines = canonical.split(b"\n")
    if prefix != prefix.rstrip() and any(line.rstrip().endswith(PLACEHOLDER_NAME) for line in lines):
        reason = "a line of it ends with the path, whose white space at the end would be lost"
        raise NotRelocatableError(reason)
    is_code = re.compile(rb"import[ \t]")
    return b"\n".join((python if is_code.match(line) else _text)(line, prefix) for line in lines)


_REWRITERS: Final[Mapping[str, Callable[[bytes, str], bytes]]] = {
    "batch": shells.batch,
    "csh": shells.csh,
    "fish": shells.fish,
    "json": _json,
    "nu": shells.nu,
    "path": _path,
    "powershell": shells.powershell,
    "python": python,
    "script": script,
    "sh": shells.sh,
    "text": _text,
    "url": _url,
    "xonsh": python,
}

RECORD_KIND: Final = "record"
"""The kind of a RECORD (recording installed projects, PyPA), whose lines follow the files that were rewritten."""

BINARY_KIND: Final = "binary"
"""The kind of a compiled file, which is never taken into memory; see :mod:`terrastore.archive.slots`."""

NOT_KEPT: Final = frozenset({RECORD_KIND, BINARY_KIND})
"""Kinds of files whose canonical form is derived from what is there."""

KINDS: Final = frozenset(_REWRITERS) | NOT_KEPT

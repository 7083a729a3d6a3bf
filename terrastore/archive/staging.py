"""The prefix that environments are built under, and how it is taken out of what was built: bytes in, bytes out.

A *staging prefix* has exactly 96 bytes, and its last component begins with a marker that nothing else contains.
:func:`canonicalise` turns every spelling of it into the placeholder, :func:`classify` says how the placeholder is to be
replaced where the environment will stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore.archive.relocate import (
    MARKER,
    PLACEHOLDER,
    PLACEHOLDER_NAME,
    PLAIN_SHEBANG,
    SH_SHEBANG,
    SPELLINGS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from mmap import mmap

PREFIX_SIZE: Final = len(PLACEHOLDER)
_HEX_SIZE: Final = 32
_PATH_LIMIT: Final = 4096  # PATH_MAX
ROOT_LIMIT: Final = PREFIX_SIZE - len(PLACEHOLDER_NAME) - 1
"""Longest directory, in bytes, that can hold a staging prefix."""

_ROOT: Final = re.compile(r"(/[A-Za-z0-9._-]+)+")
_STRANGER: Final = re.compile(
    rb"(?<![A-Za-z0-9/._-])[A-Za-z0-9/._-]*" + MARKER + rb"(?:work-)?[0-9a-f]{16}[A-Za-z0-9/._-]*"
)


@dataclass(frozen=True, slots=True)
class StagingPrefix:
    """The directory an environment is built under: ``<root>/terrastore-staging-<32 hex><padding>``, 96 bytes."""

    path: str

    @classmethod
    def under(cls, root: str, token: str) -> StagingPrefix:
        """Return the prefix below ``root`` for a ``token`` of 32 hexadecimal digits.

        :raises ValueError: when ``root`` is too long, or holds a character that some syntax would escape
        """
        if not _ROOT.fullmatch(root) or len(root) > ROOT_LIMIT:
            msg = f"{root} cannot hold a staging prefix: at most {ROOT_LIMIT} of the characters A-Z a-z 0-9 / . _ -"
            raise ValueError(msg)
        if not re.fullmatch(r"[0-9a-f]{32}", token):
            msg = f"{token!r} is not 32 hexadecimal digits"
            raise ValueError(msg)
        name = f"{MARKER.decode()}{token}"
        return cls(f"{root}/{name}".ljust(PREFIX_SIZE, "_"))

    @property
    def root(self) -> str:
        """The directory above it."""
        return self.path.rpartition("/")[0]

    def spellings(self) -> re.Pattern[bytes]:
        """Match this prefix, and that of any other build under the same root, whole or its last component alone.

        A cached wheel or a project's ``build`` directory can carry the prefix of an earlier build.
        """
        padding = b"_" * (ROOT_LIMIT - len(self.root))
        component = re.escape(MARKER) + rb"[0-9a-f]{%d}" % _HEX_SIZE + padding
        root = rb"(?P<root>" + re.escape(self.root.encode()) + rb"/)"
        # The name alone has no other root before it, written "/", "%2F" or "\u002f", and no more padding behind it.
        return re.compile(root + component + rb"|(?<![/A-Za-z0-9])" + component + rb"(?!_)")


@dataclass(frozen=True, slots=True)
class Canonical:
    """A file with every spelling of the prefix replaced.

    ``hits`` counts them; ``strangers`` are other paths that bear the marker, such as a staging prefix of
    another root, which nothing can map.
    """

    data: bytes
    hits: int
    strangers: tuple[str, ...]


def canonicalise(data: bytes, prefix: StagingPrefix) -> Canonical:
    """Replace every spelling of ``prefix`` in ``data`` by the placeholder."""

    def placeholder(match: re.Match[bytes]) -> bytes:
        return PLACEHOLDER if match["root"] else PLACEHOLDER_NAME

    canonical, hits = prefix.spellings().subn(placeholder, data)
    strangers = {found.group().decode() for found in _STRANGER.finditer(SPELLINGS.sub(b"", canonical))}
    return Canonical(canonical, hits, tuple(sorted(strangers)))


def wide_spelling(data: bytes | mmap) -> str | None:
    """Return the encoding in which ``data`` names a staging prefix by two or four bytes a character; None for neither.

    Found whatever the byte order: all but the last zero bytes stand between the characters.
    """
    for encoding, gap in (("UTF-16", b"\0"), ("UTF-32", b"\0\0\0")):
        if data.find(gap.join(MARKER[at : at + 1] for at in range(len(MARKER)))) >= 0:
            return encoding
    return None


def strangers(content: mmap, prefix: StagingPrefix) -> tuple[str, ...]:
    """Return the other paths that bear the marker in a file that is not text."""
    found, position = set(), -1
    while (position := content.find(MARKER, position + 1)) >= 0:
        window = content[max(0, position - _PATH_LIMIT) : position + _PATH_LIMIT]
        without_ours = prefix.spellings().sub(lambda match: bytes(len(match.group())), window)
        found |= {match.group().decode() for match in _STRANGER.finditer(without_ours)}
    return tuple(sorted(found))


def classify(path: str, canonical: bytes) -> str:
    """Return the relocation kind of a file that holds the placeholder.

    ``path`` is relative to the environment. The kind names the syntax that decides how a path is quoted.

    A file that is not text has another kind; see :mod:`terrastore.archive.binaries`.
    """
    name = path.rpartition("/")[2]
    if PLAIN_SHEBANG.match(canonical) or SH_SHEBANG.match(canonical):
        return "script"
    if name == "direct_url.json":
        return "url"
    if name in _KIND_BY_NAME:
        return _KIND_BY_NAME[name]
    _, dot, suffix = name.rpartition(".")
    if dot and suffix in _KIND_BY_SUFFIX:
        return _KIND_BY_SUFFIX[suffix]
    shebang = re.match(
        rb"#!(?:[^\n]*[/\s])?(?P<name>(?:(?:ba|da|z|k|mk)?sh|t?csh|fish|xonsh|python[\d.]*))(?=\s)", canonical
    )
    return _KIND_BY_INTERPRETER.get(shebang["name"].decode().rstrip("0123456789."), "sh") if shebang else "text"


_KIND_BY_INTERPRETER: Final[Mapping[str, str]] = {
    "csh": "csh",
    "tcsh": "csh",
    "fish": "fish",
    "xonsh": "xonsh",
    "python": "python",
}
_KIND_BY_NAME: Final[Mapping[str, str]] = {"activate": "sh"}
_KIND_BY_SUFFIX: Final[Mapping[str, str]] = {
    "sh": "sh",
    "bash": "sh",
    "zsh": "sh",
    "fish": "fish",
    "csh": "csh",
    "nu": "nu",
    "ps1": "powershell",
    "psm1": "powershell",
    "bat": "batch",
    "cmd": "batch",
    "py": "python",
    "pyi": "python",
    "pyw": "python",
    "pyx": "python",
    "xsh": "xonsh",
    "pth": "path",
    "egg-link": "path",
    "json": "json",
    "ipynb": "json",
}

"""Rewriting the paths of an environment: bytes in, bytes out.

An environment is built under a *staging prefix* of exactly 96 bytes whose last component begins with
a marker that nothing else contains. :func:`canonicalise` turns every spelling of it into the placeholder that
archives hold; :func:`rewrite` turns the placeholder into the prefix where the environment will stand, quoted as
the file's syntax demands. Needs the standard library alone, and touches no disk.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote as quote_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MARKER: Final = b"terrastore-staging-"
PREFIX_SIZE: Final = 96
_HEX_SIZE: Final = 32
_COMPONENT_SIZE: Final = len(MARKER) + _HEX_SIZE
ROOT_LIMIT: Final = PREFIX_SIZE - _COMPONENT_SIZE - 1
"""Longest directory, in bytes, that can hold a staging prefix."""

PLACEHOLDER_NAME: Final = MARKER + b"0" * _HEX_SIZE
PLACEHOLDER: Final = b"/" + b"_" * (ROOT_LIMIT - 1) + b"/" + PLACEHOLDER_NAME

SHEBANG_LIMIT: Final = 127
"""Longest ``#!`` line that every supported kernel runs (execve(2): 127 bytes before Linux 5.1)."""

# No byte of these needs quoting in sh, fish, csh, nushell, PowerShell, Python, JSON or a URL.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_@+=,./-]+")
_ROOT: Final = re.compile(r"(/[A-Za-z0-9._-]+)+")
_SPELLINGS: Final = re.compile(b"(" + PLACEHOLDER + b"|" + PLACEHOLDER_NAME + b")")
_STRANGER: Final = re.compile(rb"[A-Za-z0-9/._-]*" + MARKER + rb"[A-Za-z0-9/._-]*")
_PLAIN_SHEBANG: Final = re.compile(rb"#!(?P<interpreter>" + PLACEHOLDER + rb"/[^\s]+)(?P<arguments>[^\r\n]*)\r?\n")
_SH_SHEBANG: Final = re.compile(
    rb"#!/bin/sh\n'''exec' (?P<quote>[\"']?)(?P<interpreter>" + PLACEHOLDER + rb"/[^\"'\s]+)(?P=quote)"
    rb"(?P<arguments>[^\n]*?) \"\$0\" \"\$@\"\n' '''\n",
)


class NotRelocatableError(ValueError):
    """This file holds the prefix in a form that cannot be rewritten; the text says why."""


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
        return re.compile(rb"(?P<root>" + re.escape(self.root.encode()) + rb"/)?" + component)


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
    strangers = {found.group().decode() for found in _STRANGER.finditer(_SPELLINGS.sub(b"", canonical))}
    return Canonical(canonical, hits, tuple(sorted(strangers)))


def classify(path: str, canonical: bytes) -> str:
    """Return the relocation kind of a file that holds the placeholder.

    ``path`` is relative to the environment. The kind names the syntax that decides how a path is quoted.

    :raises NotRelocatableError: when the file is binary
    """
    if b"\0" in canonical:
        reason = "it is a binary file"
        raise NotRelocatableError(reason)
    name = path.rpartition("/")[2]
    if _PLAIN_SHEBANG.match(canonical) or _SH_SHEBANG.match(canonical):
        return "script"
    if name == "direct_url.json":
        return "url"
    if name in _KIND_BY_NAME:
        return _KIND_BY_NAME[name]
    suffix = "." + name.rpartition(".")[2]
    if suffix in _KIND_BY_SUFFIX:
        return _KIND_BY_SUFFIX[suffix]
    if re.match(rb"#![^\n]*\b(ba|da|z|k)?sh\b", canonical):
        return "sh"
    return "text"


_KIND_BY_NAME: Final[Mapping[str, str]] = {"activate": "sh"}
_KIND_BY_SUFFIX: Final[Mapping[str, str]] = {
    ".sh": "sh",
    ".bash": "sh",
    ".zsh": "sh",
    ".fish": "fish",
    ".csh": "csh",
    ".nu": "nu",
    ".ps1": "powershell",
    ".py": "python",
    ".xsh": "python",
    ".json": "json",
    ".ipynb": "json",
}


def needs_quoting(prefix: str) -> bool:
    """Whether some syntax cannot take ``prefix`` as it is."""
    return not _PLAIN.fullmatch(prefix)


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


def _script(canonical: bytes, prefix: str) -> bytes:
    """Derive the first line anew: plain where a kernel takes it, else the ``/bin/sh`` form for Python."""
    match = _PLAIN_SHEBANG.match(canonical) or _SH_SHEBANG.match(canonical)
    if match is None:
        reason = "its first line does not name the environment's interpreter"
        raise NotRelocatableError(reason)
    interpreter = match["interpreter"].replace(PLACEHOLDER, prefix.encode())
    arguments = match["arguments"].rstrip()
    shebang = b"#!" + interpreter + arguments
    if len(shebang) > SHEBANG_LIMIT or re.search(rb"\s", interpreter):
        if b"/python" not in match["interpreter"]:
            reason = "its interpreter is not Python, and its first line would be too long or hold a space"
            raise NotRelocatableError(reason)
        _refuse_moved_code(canonical[match.end() :])
        # The second line is sh's command and, with the third, a Python string. No backslash may enter it:
        # it would be an escape there.
        quoted = b"'" + interpreter.replace(b"'", b"""'"'"'""") + b"'"
        shebang = b"#!/bin/sh\n'''exec' " + quoted + arguments + b' "$0" "$@"\n' + b"' '''"
    body = canonical[match.end() :]
    return shebang + b"\n" + (_python(body, prefix) if PLACEHOLDER_NAME in body else body)


def _refuse_moved_code(body: bytes) -> None:
    """Refuse Python that must stand in the first lines of its file, which the ``/bin/sh`` form takes.

    :raises NotRelocatableError: for a coding line (PEP 263) other than UTF-8, and for a future import after a docstring
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        reason = "it is not UTF-8, and its coding line would no longer be among the first two"
        raise NotRelocatableError(reason) from None
    if re.match(rb"(\s|#[^\n]*\n)*[rRuU]?[\"']", body) and re.search(rb"^from __future__ ", body, re.MULTILINE):
        reason = "its future import would no longer be among the first statements"
        raise NotRelocatableError(reason)


def _text(canonical: bytes, prefix: str) -> bytes:
    return _replace(canonical, prefix, lambda text: text)


def _url(canonical: bytes, prefix: str) -> bytes:
    return _replace(canonical, prefix, lambda text: quote_url(text, safe="/@+=,~"))


def _json(canonical: bytes, prefix: str) -> bytes:
    return _replace(canonical, prefix, lambda text: json.dumps(text)[1:-1])


def _python(canonical: bytes, prefix: str) -> bytes:
    return _replace(canonical, prefix, lambda text: text.replace("'", r"\'").replace('"', r"\""))


def _powershell(canonical: bytes, prefix: str) -> bytes:
    return _replace(canonical, prefix, lambda text: text.replace("'", "''"))


def _sh(canonical: bytes, prefix: str) -> bytes:
    def escape(text: str, state: str) -> str:
        if state == "'":
            return text.replace("'", r"'\''")
        return re.sub(r'(["\\$`])', r"\\\1", text) if state == '"' else shlex.quote(text)

    return _replace_in_shell(canonical, prefix, escape)


def _fish(canonical: bytes, prefix: str) -> bytes:
    def escape(text: str, state: str) -> str:
        if state == '"':
            return re.sub(r'(["\\$])', r"\\\1", text)
        escaped = re.sub(r"(['\\])", r"\\\1", text)
        return escaped if state == "'" else f"'{escaped}'"

    return _replace_in_shell(canonical, prefix, escape)


def _csh(canonical: bytes, prefix: str) -> bytes:
    # csh expands history ("!") inside quotes too, and has no escape for $ in double quotes.
    def escape(text: str, state: str) -> str:
        single = text.replace("'", r"'\''").replace("!", r"\!")
        if state == "'":
            return single
        return f"\"'{single}'\"" if state == '"' else f"'{single}'"

    return _replace_in_shell(canonical, prefix, escape)


def _nu(canonical: bytes, prefix: str) -> bytes:
    """Widen the raw strings (``r#'…'#``) that hold the prefix until it cannot end them; refuse what is in others."""

    def widened(match: re.Match[bytes]) -> bytes:
        content = _text(match["content"], prefix)
        fence = match["fence"]
        while b"'" + fence in content:
            fence += b"#"
        return b"r" + fence + b"'" + content + b"'" + fence

    raw_string = rb"r(?P<fence>#+)'(?P<content>[^'\n]*" + MARKER + rb"[^'\n]*)'(?P=fence)"
    widest = re.sub(raw_string, widened, canonical)
    if needs_quoting(prefix) and re.search(_SPELLINGS, re.sub(raw_string, b"", canonical)):
        reason = "it names the environment outside of a raw string"
        raise NotRelocatableError(reason)
    return widest if needs_quoting(prefix) else _text(canonical, prefix)


_REWRITERS: Final[Mapping[str, Callable[[bytes, str], bytes]]] = {
    "csh": _csh,
    "fish": _fish,
    "json": _json,
    "nu": _nu,
    "powershell": _powershell,
    "python": _python,
    "script": _script,
    "sh": _sh,
    "text": _text,
    "url": _url,
}

RECORD_KIND: Final = "record"
"""The kind of a RECORD (recording installed projects, PyPA), whose lines follow the files that were rewritten."""

KINDS: Final = frozenset(_REWRITERS) | {RECORD_KIND}


def _replace(data: bytes, prefix: str, escape: Callable[[str], str]) -> bytes:
    """Replace every spelling in one pass: what is put in may hold a spelling itself."""
    return _SPELLINGS.sub(lambda match: escape(_meant(match.group(), prefix)).encode(), data)


def _meant(spelling: bytes, prefix: str) -> str:
    return prefix if spelling == PLACEHOLDER else prefix.rpartition("/")[2]


def _replace_in_shell(data: bytes, prefix: str, escape: Callable[[str, str], str]) -> bytes:
    """Replace each spelling, escaped for the quotes it stands in; ``escape`` takes the text and the open quote."""
    if not needs_quoting(prefix):
        return _text(data, prefix)
    lines = data.splitlines(keepends=True)
    return b"".join(_replace_in_line(line, prefix, escape) if MARKER in line else line for line in lines)


def _replace_in_line(line: bytes, prefix: str, escape: Callable[[str, str], str]) -> bytes:
    quote, result = "", b""
    for piece in _SPELLINGS.split(line):
        if piece in {PLACEHOLDER, PLACEHOLDER_NAME}:
            result += escape(_meant(piece, prefix), quote).encode()
        else:
            quote = _quote_after(piece.decode("latin-1"), quote)
            result += piece
    return result


def _quote_after(text: str, quote: str) -> str:
    """Return the quote character that is open after ``text``, or "", given the one open before it."""
    characters = iter(text)
    for character in characters:
        if character == "\\" and quote != "'":
            next(characters, None)
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return quote

"""From the placeholder that archives hold to the prefix where an environment stands: bytes in, bytes out.

:func:`rewrite` puts the prefix in as the file's syntax demands. ``FORMAT.md`` section 7 is the specification. Needs
the standard library alone, and touches no disk.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Final
from urllib.parse import quote as quote_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MARKER: Final = b"terrastore-staging-"
PLACEHOLDER_NAME: Final = MARKER + b"0" * 32
PLACEHOLDER: Final = b"/" + b"_" * 43 + b"/" + PLACEHOLDER_NAME

SHEBANG_LIMIT: Final = 127
"""Longest ``#!`` line that every supported kernel runs (execve(2): 127 bytes before Linux 5.1)."""

# No byte of these needs quoting in sh, fish, csh, nushell, PowerShell, Python, JSON or a URL.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_@+=,./-]+")
_SUBSTITUTION: Final = re.compile(rb"(`[^\n]*|\"[^\n]*\$\{[^}\n]*)" + MARKER)
# Literals of Python whose letters change what a path in them means, and the characters that they cannot hold.
_LITERALS: Final = tuple(
    (kind, re.compile(unfit), re.compile(rb"(?<![\w/])" + letters + rb"[\"'][^\n]*" + MARKER))
    for kind, unfit, letters in (
        ("a raw string", r"['\"]", rb"(?:[bBfFtT]?[rR]|[rR][bBfFtT])"),
        ("an f-string", r"[{}]", rb"(?:[rR]?[fFtT]|[fFtT][rR])"),
        ("bytes", r"[^\x00-\x7f]", rb"(?:[rR]?[bB]|[bB][rR])"),
    )
)
SPELLINGS: Final = re.compile(b"(" + PLACEHOLDER + b"|" + PLACEHOLDER_NAME + b")")
PLAIN_SHEBANG: Final = re.compile(rb"#!(?P<interpreter>" + PLACEHOLDER + rb"/[^\s]+)(?P<arguments>[^\r\n]*)\r?\n")
SH_SHEBANG: Final = re.compile(
    rb"#!/bin/sh\n'''exec' (?P<quote>[\"']?)(?P<interpreter>" + PLACEHOLDER + rb"/[^\"'\s]+)(?P=quote)"
    rb"(?P<arguments>[^\n]*?) \"\$0\" \"\$@\"\n' '''\n",
)


class NotRelocatableError(ValueError):
    """This file holds the prefix in a form that cannot be rewritten; the text says why."""


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
    match = PLAIN_SHEBANG.match(canonical) or SH_SHEBANG.match(canonical)
    if match is None:
        reason = "its first line does not name the environment's interpreter"
        raise NotRelocatableError(reason)
    interpreter = match["interpreter"].replace(PLACEHOLDER, prefix.encode())
    arguments = match["arguments"].rstrip()
    shebang = b"#!" + interpreter + arguments
    if len(shebang) > SHEBANG_LIMIT or re.search(rb"\s", interpreter):
        if not match["interpreter"].rpartition(b"/")[2].startswith(b"python"):
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
    for kind, unfit, literal in _LITERALS:
        if unfit.search(prefix) and literal.search(canonical):
            reason = f"it names the environment in {kind}, which cannot hold this path"
            raise NotRelocatableError(reason)
    return _replace(canonical, prefix, lambda text: text.replace("'", r"\'").replace('"', r"\""))


def _powershell(canonical: bytes, prefix: str) -> bytes:
    def escape(text: str, quote: str) -> str:
        if quote == '"':
            return re.sub('(["$`\u201c-\u201e])', r"`\1", text)
        # PowerShell takes typographic single quotes for plain ones.
        doubled = re.sub("(['\u2018-\u201b])", r"\1\1", text)
        return doubled if quote == "'" else f"'{doubled}'"

    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(escape="`", nests=True))


def _sh(canonical: bytes, prefix: str) -> bytes:
    def escape(text: str, state: str) -> str:
        if state == "'":
            return text.replace("'", r"'\''")
        return re.sub(r'(["\\$`])', r"\\\1", text) if state == '"' else shlex.quote(text)

    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(nests=True))


def _fish(canonical: bytes, prefix: str) -> bytes:
    def escape(text: str, state: str) -> str:
        if state == '"':
            return re.sub(r'(["\\$])', r"\\\1", text)
        escaped = re.sub(r"(['\\])", r"\\\1", text)
        return escaped if state == "'" else f"'{escaped}'"

    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(nests=True, escapes_in_single=True))


def _csh(canonical: bytes, prefix: str) -> bytes:
    # csh expands history ("!") inside quotes too, and has no escape for $ in double quotes.
    def escape(text: str, state: str) -> str:
        single = text.replace("'", r"'\''").replace("!", r"\!")
        if state == "'":
            return single
        return f"\"'{single}'\"" if state == '"' else f"'{single}'"

    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(escapes_in_double=False))


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
    if needs_quoting(prefix) and re.search(SPELLINGS, re.sub(raw_string, b"", canonical)):
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

BINARY_KIND: Final = "binary"
"""The kind of a compiled file, which is never taken into memory; see :mod:`terrastore.archive.slots`."""

NOT_KEPT: Final = frozenset({RECORD_KIND, BINARY_KIND})
"""Kinds of files whose canonical form is derived from what is there."""

KINDS: Final = frozenset(_REWRITERS) | NOT_KEPT


def _replace(data: bytes, prefix: str, escape: Callable[[str], str]) -> bytes:
    """Replace every spelling in one pass: what is put in may hold a spelling itself."""
    return SPELLINGS.sub(lambda match: escape(_meant(match.group(), prefix)).encode(), data)


def _meant(spelling: bytes, prefix: str) -> str:
    return prefix if spelling == PLACEHOLDER else prefix.rpartition("/")[2]


def _replace_in_shell(
    data: bytes, prefix: str, escape: Callable[[str, str], str], quotes: Callable[[], _Quotes]
) -> bytes:
    """Replace each spelling, escaped for the quotes it stands in; ``escape`` takes the text and the open quote.

    Which quote is open is found twice, from the start of the file and from that of the line. A here-document, or a
    quote that goes on over lines, makes them differ, and then nothing is guessed.
    """
    if not needs_quoting(prefix):
        return _text(data, prefix)
    if _SUBSTITUTION.search(data):
        reason = "it names the environment in a substitution, whose quotes are not followed"
        raise NotRelocatableError(reason)
    result, from_file = b"", quotes()
    for line in data.splitlines(keepends=True):
        from_line = quotes()
        for piece in SPELLINGS.split(line):
            if piece in {PLACEHOLDER, PLACEHOLDER_NAME}:
                if from_file.open != from_line.open:
                    reason = "it is not certain in which quotes it names the environment"
                    raise NotRelocatableError(reason)
                result += escape(_meant(piece, prefix), from_line.open).encode()
            else:
                result += piece
            from_file.read(piece)
            from_line.read(piece)
    return result


class _Quotes:
    """Follows the text of a shell script and knows in which quote it stands.

    ``escape`` takes the next character's meaning, also within single quotes with ``escapes_in_single``, and not within
    double ones without ``escapes_in_double``; ``nests``: ``$(…)`` within double quotes begins anew.
    """

    def __init__(
        self,
        *,
        escape: str = "\\",
        nests: bool = False,
        escapes_in_single: bool = False,
        escapes_in_double: bool = True,
    ) -> None:
        self._escape = escape
        self._nests = nests
        self._escaping = {"": True, "'": escapes_in_single, '"': escapes_in_double}
        self._contexts = [""]
        self._parentheses = [0]
        self._before = "\n"

    @property
    def open(self) -> str:
        """The quote that is open, "" for none."""
        return self._contexts[-1]

    def read(self, text: bytes) -> None:
        """Go on through ``text``."""
        characters = iter(text.decode("latin-1"))
        for character in characters:
            if character == self._escape and self._escaping[self.open]:
                next(characters, None)
            elif self.open == '"' and character == "(" and self._before == "$" and self._nests:
                self._enter("")
            elif self.open:
                if character == self.open:
                    self._leave()
            elif character == "#" and self._before in " \t\n;(&|":
                while next(characters, "\n") != "\n":
                    pass
                character = "\n"  # noqa: PLW2901 -- what stands before the next one
            else:
                self._read_unquoted(character)
            self._before = character

    def _read_unquoted(self, character: str) -> None:
        if character in "'\"":
            self._enter(character)
        elif len(self._contexts) > 1 and character in "()":
            self._parentheses[-1] += 1 if character == "(" else -1
            if self._parentheses[-1] < 0:
                self._leave()

    def _enter(self, quote: str) -> None:
        self._contexts.append(quote)
        self._parentheses.append(0)

    def _leave(self) -> None:
        self._contexts.pop()
        self._parentheses.pop()

"""Python's literals: a path put in them means what it says, whatever quotes, letters and encoding they have.

Needs the standard library alone, and touches no disk.
"""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from typing import Final

from terrastore.archive.placeholder import MARKER, PLACEHOLDER_NAME, NotRelocatableError, replace

_NO_TEXT: Final = frozenset({"idna", "punycode", "undefined", "mbcs", "oem"})
_RAW_STRING: Final = re.compile(r"(?P<letters>[rR])(?P<quote>\"\"\"|\'\'\'|\"|\').*", re.DOTALL)

# Literals of Python whose letters change what a path in them means, and the characters that they cannot hold.
_LITERALS: Final = tuple(
    (kind, re.compile(unfit), re.compile(rb"(?<![\w/])" + letters + rb"[\"']"))
    for kind, unfit, letters in (
        ("a raw string", r"['\"]", rb"(?:[bBfFtT]?[rR]|[rR][bBfFtT])"),
        ("an f-string", r"[{}]", rb"(?:[rR]?[fFtT]|[fFtT][rR])"),
        ("bytes", r"[^\x00-\x7f]", rb"(?:[rR]?[bB]|[bB][rR])"),
    )
)


def python(canonical: bytes, prefix: str) -> bytes:
    """Return Python, or a language with its strings, with the prefix in its literals.

    :raises NotRelocatableError: when a literal, or the file's encoding (PEP 263), cannot hold it
    """
    if PLACEHOLDER_NAME not in canonical:
        return canonical
    encoding = "utf-8" if prefix.isascii() else encoding_of(b"\n".join(canonical.split(b"\n", 2)[:2]), behind=0)
    # Raw strings have no escapes: they are ended before a quote, and begun again behind it.
    try:
        pieces = _around_raw_strings(canonical, encoding) if re.search(r"['\"]", prefix) else [canonical]
    except UnicodeError:
        reason = f"it is not in {encoding}, as it says"
        raise NotRelocatableError(reason) from None
    for kind, unfit, literal in _LITERALS:
        if unfit.search(prefix) and any(_begins_before_marker(literal, piece) for piece in pieces[::2]):
            reason = f"it names the environment in {kind}, which cannot hold this path"
            raise NotRelocatableError(reason)

    def escaped(text: str) -> str:
        return text.replace("'", r"\'").replace('"', r"\"")

    pieces[::2] = [replace(piece, prefix, escaped, encoding) for piece in pieces[::2]]
    pieces[1::2] = [_raw_string(piece, prefix, encoding) for piece in pieces[1::2]]
    return b"".join(pieces)


def _begins_before_marker(literal: re.Pattern[bytes], piece: bytes) -> bool:
    """Whether such a literal begins in a line before a place where the environment is named."""
    heads = (line.rpartition(MARKER) for line in piece.split(b"\n") if MARKER in line)
    return any(literal.search(head) for head, *_ in heads)


def _around_raw_strings(canonical: bytes, encoding: str) -> list[bytes]:
    """Cut a file so that raw strings that hold the placeholder are every second piece, none when it is no Python."""
    text = canonical.decode(encoding, "surrogateescape")
    lines = io.StringIO(text, newline="\n")
    starts, pieces, done = [0], [], 0

    def line() -> str:
        starts.append(starts[-1] + len(read := lines.readline()))
        return read

    try:
        for token in tokenize.generate_tokens(line):
            if PLACEHOLDER_NAME.decode() in token.string and _RAW_STRING.fullmatch(token.string):
                begin = starts[token.start[0] - 1] + token.start[1]
                pieces += [text[done:begin], token.string]
                done = begin + len(token.string)
    except (tokenize.TokenError, SyntaxError):
        return [canonical]
    return [piece.encode(encoding, "surrogateescape") for piece in (*pieces, text[done:])]


def _raw_string(literal: bytes, prefix: str, encoding: str) -> bytes:
    match = _RAW_STRING.fullmatch(literal.decode(encoding, "surrogateescape"))
    letters, quote = match.group("letters", "quote") if match else ("", "")
    other = "'" if quote[0] == '"' else '"'
    between = f"{quote} {other}{quote[0]}{other} {letters}{quote}"
    return replace(literal, prefix, lambda text: text.replace(quote[0], between), encoding)


def encoding_of(body: bytes, *, behind: int = 1) -> str:
    """Return the encoding of a Python file whose first ``behind`` lines ``body`` lacks (PEP 263).

    A file that is in none is no better anywhere else; it passes for Latin-1, which is every sequence of bytes. So does
    one whose encoding is none of text, or one of names on the wire, by which nobody writes Python.
    """
    try:
        name = tokenize.detect_encoding(io.BytesIO(b"#\n" * behind + body).readline)[0].removesuffix("-sig")
        codec = codecs.lookup(name)
    except (SyntaxError, LookupError):
        return "latin-1"
    is_text = getattr(codec, "_is_text_encoding", True) and codec.name not in _NO_TEXT
    return name if is_text else "latin-1"

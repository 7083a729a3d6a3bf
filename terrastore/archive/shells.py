"""Scripts for shells: the prefix put in with the quotes that it needs where it stands.

Needs the standard library alone, and touches no disk.
"""

from __future__ import annotations

import re
import shlex
from bisect import bisect, bisect_left
from typing import TYPE_CHECKING, Final

from terrastore.archive.placeholder import (
    MARKER,
    PLACEHOLDER,
    PLACEHOLDER_NAME,
    SPELLINGS,
    NotRelocatableError,
    meant,
    needs_quoting,
    replace,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SUBSTITUTION_PARTS: Final = re.compile(rb"[`\"}'\n]|\$[{']|" + MARKER)
_HERE_DOCUMENT: Final = re.compile(rb"<<-?[ \t]*[\"'\\]?(?P<end>\w+)")
_CSH_PROMPT: Final = re.compile(rb"prompt_(?P<shell>tcsh|plain) ?= ?'$")
_LOOKED_BACK_AT: Final = 64


def sh(canonical: bytes, prefix: str) -> bytes:
    """For a POSIX shell, bash, zsh.

    :raises NotRelocatableError: where it is not certain what would have to be escaped
    """

    def escape(text: str, state: str, _: bytes) -> str:
        if state == "'":
            return text.replace("'", r"'\''")
        return re.sub(r'(["\\$`])', r"\\\1", text) if state == '"' else shlex.quote(text)

    if needs_quoting(prefix):
        if _is_in_substitution(canonical):
            reason = "it names the environment in a substitution, whose quotes are not followed"
            raise NotRelocatableError(reason)
        if _is_in_here_document(canonical):
            reason = "it names the environment in a here-document, which may be in any language"
            raise NotRelocatableError(reason)
    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(nests=True))


def _is_in_substitution(text: bytes) -> bool:
    """Whether the environment is named behind a backquote, in ``"…${…``, or in bash's ``$'…'``, which has escapes."""
    behind_backquote = behind_quote = in_braces = in_dollar_quote = False
    for match in _SUBSTITUTION_PARTS.finditer(text):
        part = match.group()
        if part == MARKER:
            if behind_backquote or in_braces or in_dollar_quote:
                return True
        elif part == b"\n":
            behind_backquote = behind_quote = in_braces = in_dollar_quote = False
        elif part == b"${":
            in_braces |= behind_quote
        else:
            behind_backquote |= part == b"`"
            behind_quote |= part == b'"'
            in_braces &= part != b"}"
            in_dollar_quote = part == b"$'" or (in_dollar_quote and part != b"'")
    return False


def _is_in_here_document(text: bytes) -> bool:
    """Whether the environment is named between ``<<WORD`` and the line that is ``WORD``."""
    lines = text.split(b"\n")
    places: dict[bytes, list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault(line.lstrip(b"\t"), []).append(number)
    named = [number for number, line in enumerate(lines) if MARKER in line]
    number = 0
    while number < len(lines):
        match = _HERE_DOCUMENT.search(lines[number])
        ends = places.get(match["end"], []) if match else []
        following = bisect(ends, number)
        if following < len(ends):
            end = ends[following]
            if bisect(named, number) < bisect_left(named, end):
                return True
            number = end
        number += 1
    return False


def fish(canonical: bytes, prefix: str) -> bytes:
    """For fish.

    :raises NotRelocatableError: as for :func:`sh`
    """

    def escape(text: str, state: str, _: bytes) -> str:
        if state == '"':
            return re.sub(r'(["\\$])', r"\\\1", text)
        escaped = re.sub(r"(['\\])", r"\\\1", text)
        return escaped if state == "'" else f"'{escaped}'"

    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(nests=True, escapes_in_single=True))


def csh(canonical: bytes, prefix: str) -> bytes:
    """For csh and tcsh, which expand history (``!``) inside quotes too, and have no escape for $ in double quotes.

    :raises NotRelocatableError: as for :func:`sh`
    """

    def escape(text: str, state: str, before: bytes) -> str:
        # What is drawn as a prompt is read a second time.
        if prompt := _CSH_PROMPT.search(before):
            text = text.replace("!", r"\!")
            text = text.replace("%", "%%").replace("^", r"\^") if prompt["shell"] == b"tcsh" else text
        single = _csh_quoted(text)
        if state == "'":
            return single
        return f"\"'{single}'\"" if state == '"' else f"'{single}'"

    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(escapes_in_double=False))


def _csh_quoted(text: str) -> str:
    """Return ``text`` as it must be between single quotes; a backslash stands outside of them, as in all settings."""
    return re.sub(r"['!\\]", lambda match: r"\!" if match.group() == "!" else rf"'\{match.group()}'", text)


def nu(canonical: bytes, prefix: str) -> bytes:
    """For nushell: raw strings (``r#'…'#``) that hold the prefix are widened until it cannot end them.

    :raises NotRelocatableError: when the prefix needs quoting and stands elsewhere
    """

    def widened(match: re.Match[bytes]) -> bytes:
        if MARKER not in match["content"]:
            return match.group()
        content = _plain(match["content"], prefix)
        fence = match["fence"]
        while b"'" + fence in content:
            fence += b"#"
        return b"r" + fence + b"'" + content + b"'" + fence

    raw_string = rb"r(?P<fence>#++)'(?P<content>[^'\n]*+)'(?P=fence)"
    widest = re.sub(raw_string, widened, canonical)
    if needs_quoting(prefix) and re.search(SPELLINGS, re.sub(raw_string, b"", canonical)):
        reason = "it names the environment outside of a raw string"
        raise NotRelocatableError(reason)
    return widest if needs_quoting(prefix) else _plain(canonical, prefix)


def powershell(canonical: bytes, prefix: str) -> bytes:
    """For PowerShell.

    :raises NotRelocatableError: as for :func:`sh`
    """

    def escape(text: str, quote: str, _: bytes) -> str:
        if quote == '"':
            return re.sub('(["$`\u201c-\u201e])', r"`\1", text)
        # PowerShell takes typographic single quotes for plain ones.
        doubled = re.sub("(['\u2018-\u201b])", r"\1\1", text)
        return doubled if quote == "'" else f"'{doubled}'"

    return _replace_in_shell(canonical, prefix, escape, lambda: _Quotes(escape="`", nests=True))


def batch(canonical: bytes, prefix: str) -> bytes:
    """For cmd.exe, which expands ``%`` wherever it stands."""
    return replace(canonical, prefix, lambda text: text.replace("%", "%%"))


def _plain(data: bytes, prefix: str) -> bytes:
    return replace(data, prefix, lambda text: text)


def _replace_in_shell(
    data: bytes, prefix: str, escape: Callable[[str, str, bytes], str], quotes: Callable[[], _Quotes]
) -> bytes:
    """Replace each spelling, escaped for where it stands.

    ``escape`` takes the text, the open quote, and what stands before it in its line. Which quote is open is found
    twice, from the start of the file and from that of the line. A here-document, or a quote that goes on over
    lines, makes them differ, and then nothing is guessed.
    """
    if not needs_quoting(prefix):
        return _plain(data, prefix)
    result, from_file = bytearray(), quotes()
    for line in data.splitlines(keepends=True):
        from_line, before = quotes(), b""
        for piece in SPELLINGS.split(line):
            if piece in {PLACEHOLDER, PLACEHOLDER_NAME}:
                if from_file.open != from_line.open:
                    reason = "it is not certain in which quotes it names the environment"
                    raise NotRelocatableError(reason)
                result += escape(meant(piece, prefix), from_line.open, before).encode()
            else:
                result += piece
            from_file.read(piece)
            from_line.read(piece)
            before = (before + piece)[-_LOOKED_BACK_AT:]
    return bytes(result)


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

"""A requirements file as text: its encoding, its logical lines, its variables (pip's "Requirements File Format")."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COMMENT: Final = r"(^|\s+)#.*$"
_VARIABLE: Final = r"\$\{([A-Z0-9_]+)\}"
_REMOTE: Final = r"(?i)(?<!file)://"
# That of UTF-32 first, for it begins with that of UTF-16.
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
_DECLARATION: Final = rb"coding[:=]\s*([-\w.]+)"


def decode(data: bytes) -> str:
    """Return the text of a file: by its byte order mark, else as its first two lines declare (PEP 263), else UTF-8.

    Unlike pip it never falls back on the machine's locale, with which a file would mean another thing elsewhere.

    :raises ValueError: when it is not in that encoding, or that is none; the text says so
    """
    text = _decoded(*_encoding(data))
    if "\0" in text:
        msg = f"it is no text: there is a null character at {text.index(chr(0))}"
        raise ValueError(msg)
    return text


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first physical line, text) with continuations joined, comments and blank lines gone."""
    pending, started = list[str](), 0
    for number, line in enumerate(text.splitlines(), start=1):
        started = started if pending else number
        comment = "#" in line and re.match(_COMMENT, line) is not None
        if line.endswith("\\") and not comment:
            pending.append(line.strip("\\"))
            continue
        # A comment ends a continued line, as pip has it.
        whole, pending = "".join((*pending, " " if comment else "", line)), []
        if stripped := _without_comment(whole):
            yield started, stripped
    if stripped := _without_comment("".join(pending)):
        yield started, stripped


def _without_comment(line: str) -> str:
    return (re.sub(_COMMENT, "", line) if "#" in line else line).strip()


def is_one_line(text: str) -> bool:
    """Whether a file that holds ``text`` says just that; the value of a variable can hold an end of line."""
    return list(logical_lines(text)) == [(1, text)]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return ``text`` with the value of each ``${NAME}`` in upper case; an unset or empty variable stays as it is."""
    for name in re.findall(_VARIABLE, text) if "${" in text else ():
        if value := variables.get(name):
            text = text.replace(f"${{{name}}}", value)
    return text


def expand_for_show(line: str, variables: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    """Return a line as it may be shown, and the names of variables that it does not show.

    In a URL of another machine a variable may hold credentials, so there it stays a name.
    """
    if "${" not in line:
        return line, frozenset()
    words = re.split(r"(\s+)", line)
    hidden = {name for word in words if re.search(_REMOTE, word) for name in re.findall(_VARIABLE, word)}
    return "".join(word if re.search(_REMOTE, word) else expand(word, variables) for word in words), frozenset(hidden)


def _encoding(data: bytes) -> tuple[bytes, str]:
    """Return what there is to decode, and how."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :], encoding
    for line in data.split(b"\n")[:2]:
        if line.startswith(b"#") and (found := re.search(_DECLARATION, line)):
            return data, found[1].decode()
    return data, "utf-8"


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except LookupError:
        msg = f"its first lines declare an encoding {encoding!r}, which there is none of"
        raise ValueError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"it is not {encoding.upper()} text: {error.reason} at byte {error.start}"
        raise ValueError(msg) from None

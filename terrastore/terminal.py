"""What a terminal is told of width: lines are broken between words, and what goes on stands under what it belongs to.

Where there is no terminal lines stay as they are: programs read them, and people search them.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

_PLENTY: Final = 200
"""Columns that are taken where nobody says how many there are."""
_LEAST: Final = 24
"""Columns that text has at least: rather than fewer, what goes on begins further to the left."""
_SLIGHT: Final = 2
_LABEL: Final = r"^([a-z]{4,8}) {2,}(?=\S)"
_LABEL_WIDTH: Final = 9
"""Columns of the word that a line may begin with, so that the lines of a run stand under each other."""
_HEAD: Final = r"terrastore: (?:\w+: )?|\s*\S{1,12} {2,}(?:\w{1,8} {2,})?|[a-z]{8} (?=\S)|\s*(?:→ )?"
"""What a line begins with: who speaks, or labels with two spaces behind."""
_TOGETHER: Final = r"(?<=\d) (?=(?:s|min|h|d|%|bytes?|[kMGT]B)(?:\W|$))|(?<=→) "
"""Spaces at which no line is broken: a figure has its unit beside it, and an arrow what it leads to."""


def columns(stream: TextIO | None = None) -> int:
    """Return the columns of the terminal that ``stream``, by default standard output, is; ``COLUMNS`` beats it."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size((stream or sys.stdout).fileno()).columns or _PLENTY
    except (OSError, ValueError):
        return _PLENTY


def is_fine(stream: TextIO | None = None) -> bool:
    """Whether ``stream``, by default standard output, takes characters that draw."""
    try:
        "█▏".encode((stream or sys.stdout).encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def fitted(text: str, stream: TextIO) -> str:
    """Return lines for ``stream``: on a terminal none is broken within a word, as far as a word fits."""
    if not stream.isatty():
        return text
    width = columns(stream)
    return "\n".join(wrapped(re.sub(_LABEL, _padded, line), width) for line in text.split("\n"))


def _padded(label: re.Match[str]) -> str:
    return f"{label[1]:{_LABEL_WIDTH}}"


def wrapped(line: str, width: int) -> str:
    r"""Return a line as lines of at most ``width`` columns, broken between words; a longer word has a line of its own.

    >>> print(wrapped("miss  numpy 2.1.0 added; 73 of 74 packages as in a-key", 32))
    miss  numpy 2.1.0 added; 73 of
          74 packages as in a-key
    """
    if _width(line) <= width:
        return line
    match = re.match(_HEAD, line)
    head = match[0] if match else ""
    indent = len(head) if head and width - len(head) >= _LEAST else _SLIGHT
    lines, current, is_begun = [], head, False
    for word in re.sub(_TOGETHER, "\0", line[len(head) :]).split(" "):
        is_full = _width(current) + is_begun + _width(word) > width
        fits_elsewhere = _SLIGHT + _width(word) <= width
        if is_full and (is_begun or (current.strip() and fits_elsewhere)):
            lines.append(current)
            # A path that fits nowhere else begins further to the left.
            current, is_begun = " " * (indent if indent + _width(word) <= width else _SLIGHT), False
        current += f" {word}" if is_begun else word
        is_begun = True
    return "\n".join(each.rstrip() for each in [*lines, current]).replace("\0", " ")


def _width(text: str) -> int:
    """Return the columns that a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # noqa: PLC0415 -- for few texts

    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )

"""Tables and pages in the documentation that hold what tests saw.

A table stands behind ``<!-- table: name -->``, up to the next empty line; what is generated of a page behind
``<!-- generated -->``, up to its end. With ``WRITE_DOCS=1`` tests write them, else they compare.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCS = Path(__file__).parents[1] / "docs"
_GENERATED = "<!-- generated -->\n\n"


def check(page: str, name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Compare a table with ``rows``; equal ones that follow one another are one."""
    lines = table(header, rows)
    expected = "\n".join(line for number, line in enumerate(lines) if number == 0 or line != lines[number - 1])
    path = DOCS / page
    text = path.read_text()
    place = re.compile(rf"(?<=<!-- table: {re.escape(name)} -->\n)(.+\n)*")
    found = place.search(text)
    assert found is not None, f"{page} has no place for the table {name}"
    if os.environ.get("WRITE_DOCS"):
        path.write_text(text[: found.start()] + expected + "\n" + text[found.end() :])
    else:
        assert expected == found.group().rstrip("\n"), f"{page} tells otherwise; WRITE_DOCS=1 writes it anew"


def check_rest(page: str, lines: Iterable[str]) -> None:
    """Compare what a page has behind its mark with ``lines``."""
    expected = "\n".join(lines).strip() + "\n"
    path = DOCS / page
    by_hand, mark, found = path.read_text().partition(_GENERATED)
    assert mark, f"{page} has no place for what is generated"
    if os.environ.get("WRITE_DOCS"):
        path.write_text(by_hand + mark + expected)
    else:
        assert expected == found, f"{page} tells otherwise; WRITE_DOCS=1 writes it anew"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [_line(header), _line("---" for _ in header), *map(_line, rows)]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

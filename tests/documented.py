"""Tables, files and pages in the documentation that hold what tests saw.

A table stands behind ``<!-- table: name -->``, up to the next empty line; a file of the repository behind ``<!-- file:
path -->``, in a fence; what is generated of a page behind ``<!-- generated -->``, up to its end. With ``WRITE_DOCS=1``
tests write them, else they compare. What a run says is shown behind ``<!-- told: name -->``, and compared but for what
differs from day to day.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DOCS = Path(__file__).parents[1] / "docs"
_GENERATED = "<!-- generated -->\n\n"
_FILE = re.compile(
    r"(?<=<!-- file: )(?P<path>\S+)(?P<fence> -->\n\n```\w+\n)(?P<text>.*?)(?=^```$)", re.DOTALL | re.MULTILINE
)
_VARYING = [
    (r"\bcp3\d+-linux_\w+?-[0-9a-f]{8}([0-9a-f]{32})?\b", "KEY"),
    (r"\b\d+(\.\d+)? [kMG]?B\b", "SIZE"),
    (r"\b\d+\.\d s\b", "TIME"),
    (r"\b(\d+ of )?\d+ packages\b", "N packages"),
]
"""What differs from machine to machine, and from day to day."""


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


def files(page: str) -> list[str]:
    """Compare the files of the repository that a page shows whole; return their paths."""
    path = DOCS / page
    text = path.read_text()

    def whole(found: re.Match[str]) -> str:
        return found["path"] + found["fence"] + (DOCS.parent / found["path"]).read_text()

    if os.environ.get("WRITE_DOCS"):
        path.write_text(_FILE.sub(whole, text))
    else:
        assert _FILE.sub(whole, text) == text, f"{page} shows other files; WRITE_DOCS=1 writes them anew"
    return [found["path"] for found in _FILE.finditer(text)]


def varied(text: str) -> str:
    """Return what is said with that left out which may be another one."""
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    return text


def told(page: str, name: str, said: str, places: Mapping[Any, str]) -> None:
    """Require that a page shows what was said; ``places`` has what the page calls paths and names of here."""
    found = re.search(rf"<!-- told: {re.escape(name)} -->\n\n((?: {{4}}.*\n)+)", (DOCS / page).read_text())
    assert found is not None, f"{page} does not show {name}"
    for here, there in places.items():
        said = said.replace(str(here), there)
    assert varied(textwrap.dedent(found[1]).strip()) == varied(said.strip())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [_line(header), _line("---" for _ in header), *map(_line, rows)]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

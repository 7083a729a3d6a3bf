"""What the documentation says of the repository is so."""

import ast
import re
from pathlib import Path

import pytest

from tests import documented, private_ways
from tests.end_to_end import (
    test_disk_faults,
    test_disk_full,
    test_private_indexes_pip,
    test_private_indexes_uv,
    test_shared_store,
    test_vanishing_store,
)
from tests.end_to_end.disk import Row

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")])
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
RELOCATION = (ROOT / "docs/relocation.md").read_text()
NUMBERED = re.compile(r"^\| (\d+) \|[^|]+\|(?P<done>[^|]+)\|(?P<tests>[^|]+)\|$", re.MULTILINE)


def defined(path: Path) -> set[str]:
    """Return the functions at the top of a module."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_tests_exist(page: Path) -> None:
    """Who wants to see how something is shown finds it."""
    named = NAMED_TEST.findall(page.read_text())
    assert [] == [(file, test) for file, test in named if test not in defined(ROOT / file)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files of the repository."""
    assert [] == [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]


def test_every_place_is_documented_once() -> None:
    """docs/relocation.md has the forty places in order, each with a test that shows what is done."""
    rows = list(NUMBERED.finditer(RELOCATION))
    assert list(range(1, 41)) == [int(row[1]) for row in rows]
    assert [] == [row[1] for row in rows if not NAMED_TEST.search(row["tests"])]


def test_places_are_counted() -> None:
    """As many are said to be handled as do not begin with a word to the contrary."""
    partly = [row for row in NUMBERED.finditer(RELOCATION) if row["done"].startswith(" **In part.**")]
    assert f"Of these forty rows {40 - len(partly)} are handled and tested" in RELOCATION


@pytest.mark.parametrize("heading", ["What a host must have", "What cannot move"])
def test_every_row_of_relocation_names_a_test(heading: str) -> None:
    """The other tables of docs/relocation.md too: whatever has no test is not claimed."""
    section = RELOCATION.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.endswith("| shown by |")]
    assert [] == [row for row in rows if not NAMED_TEST.search(row) and not row.startswith("| --- ")]
    assert len(rows) > 1


DISKS: dict[str, tuple[Row, ...]] = {
    "a full disk": test_disk_full.ROWS,
    "a store that vanishes": test_vanishing_store.ROWS,
    "surroundings": tuple(case.row for case in test_disk_faults.CASES),
    "two users": test_shared_store.ROWS,
}


@pytest.mark.parametrize("table", DISKS)
def test_faults_on_disk_are_documented(table: str) -> None:
    """docs/reliability.md lists them with when they strike, how that ends and what is left."""
    header = ("what is wrong", "when", "exit", "the message says", "what is left")
    said = {row: f"`{row.message}`" if row.message else "" for row in DISKS[table]}
    rows = [(row.fault, row.phase, str(row.code), said[row], row.left) for row in DISKS[table]]
    documented.check("reliability.md", table, header, rows)


def test_ways_to_tell_a_login_are_documented() -> None:
    """docs/private-indexes.md lists them, and which installers have them."""
    ways = dict.fromkeys([*private_ways.OF_BOTH, *test_private_indexes_pip.WAYS, *test_private_indexes_uv.WAYS])
    tables = (test_private_indexes_pip.WAYS, test_private_indexes_uv.WAYS)
    rows = [(way, *("yes" if way in table else "" for table in tables)) for way in ways]
    documented.check("private-indexes.md", "ways", ("way", "pip", "uv"), rows)

"""How the weight of an environment is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from terrastore.archive.manifest import Frame, Layer, Manifest, Totals
from terrastore.cli import tree

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZES = {
    ("base", None): 47_600,
    ("numpy", "2.1.0"): 62_000_000,
    ("a-package-with-a-name-that-is-longer-than-others", "2026.10.19.post1"): 31_000_000,
    ("six", "1.17.0"): 31_000,
    ("rest", None): 0,
}
USERS = {"six": ["dateutil", "pandas", "python-utils", "x" * 60], "numpy": ["pandas"]}


def manifest(sizes: Mapping[tuple[str, str | None], int], asked: tuple[str, ...] = ("numpy==2.1.0",)) -> Manifest:
    layers = tuple(
        Layer(
            name=name,
            version=version,
            digest="0" * 64,
            frames=(Frame(packed=1, size=size, sha256="0" * 64),) if size else (),
        )
        for (name, version), size in sizes.items()
    )
    nothing: dict[str, Any] = {"interpreter": {"version": "3.11.7"}, "host": {}, "installer": {}, "needs": {}}
    return Manifest(
        key="", layers=layers, relocations=(), packages=(), totals=Totals(members=0, size=0, packed=0), prefix="",
        request={"requirements": list(asked)}, **nothing,
    )  # fmt: skip


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    """The heaviest comes first, with the longest bar, and every layer has its line."""
    lines = tree.lines(manifest(SIZES), USERS, columns=columns)
    assert len(SIZES) == len(lines)
    assert max(map(len, lines)) <= columns
    assert ["62.0 MB", "31.0 MB", "47.6 kB", "31.0 kB", "0 bytes"] == [" ".join(line.split()[:2]) for line in lines]
    bars = [line.count("█") for line in lines]
    assert bars[0] == 2 * bars[1] > 0


def test_whole_lines() -> None:
    """In 80 columns there is room for parts in per cent, and for who needs a package."""
    assert [
        "   62.0 MB   67 %  ████████████  numpy 2.1.0                      asked for",
        "   31.0 MB   33 %  ██████        a-package-with-a-name-that-is-…",
        "   47.6 kB    0 %  ▏             before packages",
        "   31.0 kB    0 %  ▏             six 1.17.0                       for 4 others",
        "   0 bytes    0 %                of no package",
    ] == tree.lines(manifest(SIZES), USERS, columns=80)


def test_as_many_names_as_there_is_room_for() -> None:
    """The others are counted."""
    (line,) = (each for each in tree.lines(manifest(SIZES), USERS, columns=200) if "six" in each)
    assert line.endswith("for dateutil, pandas, python-utils and 1 more")


def test_where_nothing_draws() -> None:
    """A terminal that knows ASCII alone gets bars of that."""
    lines = tree.lines(manifest(SIZES), {}, columns=80, fine=False)
    assert "############  numpy 2.1.0" in lines[0]
    assert not any(each in "".join(lines) for each in "█▏")


def test_what_a_store_says_cannot_draw() -> None:
    """Names from a manifest have no controls, and one called base is a package when it has a version."""
    sizes: dict[tuple[str, str | None], int] = {("base", "1.0"): 10, ("evil\x1b[2J", "1\r2"): 5}
    lines = tree.lines(manifest(sizes), {"base": ["\x1b]0;x\x07"]}, columns=100)
    assert "base 1.0" in lines[0]
    assert not any(each in "".join(lines) for each in "\x1b\r\x07")


@pytest.mark.parametrize(
    ("requirement", "is_asked"),
    [("Num_Py[extra] >=2", False), ("numpy[extra]>=2,<3", True), ("NumPy", True), ("numpy @ https://x", True),
     ("numpy/x.whl", False), ("./numpy", False)],
)  # fmt: skip
def test_what_was_asked_for(requirement: str, *, is_asked: bool) -> None:
    """It is told by name, in any spelling; a path is none."""
    lines = tree.lines(manifest(SIZES, (requirement,)), {}, columns=120)
    assert is_asked == any("asked for" in line for line in lines)

"""How lines are broken for a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrastore import terminal

KEY = "cp311-linux_x86_64-3f9c0a71"
WORDS = st.lists(st.from_regex(r"[a-z0-9./→-]{1,30}", fullmatch=True), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("line", "width", "expected"),
    [
        (f"kept     .venv is what it asks for  ({KEY})", 40, [
            "kept     .venv is what it asks for",
            f"         ({KEY})",
        ]),
        ("terrastore: hint: check the path, or that the share is mounted", 50, [
            "terrastore: hint: check the path, or that the",
            "                  share is mounted",
        ]),
        ("ok       store    /srv/envs gives back what was written", 45, [
            "ok       store    /srv/envs gives back what",
            "                  was written",
        ]),
        ("                  → check the clock of this machine", 46, [
            "                  → check the clock of this",
            "                    machine",
        ]),
        ("unpinned blinker, certifi, click: as found", 34, [
            "unpinned blinker, certifi, click:",
            "         as found",
        ]),
        ("would prune 4 of 9 environments  (147.6 MB left)", 40, [
            "would prune 4 of 9 environments",
            "  (147.6 MB left)",
        ]),
    ],
    ids=["result", "hint", "two labels", "advice", "label as wide as its column", "no label"],
)  # fmt: skip
def test_what_goes_on_stands_under_its_text(line: str, width: int, expected: list[str]) -> None:
    """Behind the labels that the line begins with, or a little to the right."""
    assert expected == terminal.wrapped(line, width).split("\n")


@pytest.mark.parametrize(
    ("line", "width", "expected"),
    [
        ("fetched  13 packages, 5.4 MB from it", 36 - 9, ["fetched  13 packages,", "  5.4 MB from it"]),
        ("built    7 packages in 12.2 s → .venv", 35, ["built    7 packages in 12.2 s", "         → .venv"]),
        ("built    7 packages in 12.2 s → .venv", 36, ["built    7 packages in 12.2 s", "         → .venv"]),
    ],
    ids=["a unit", "an arrow", "an arrow that would fit alone"],
)
def test_what_belongs_together(line: str, width: int, expected: list[str]) -> None:
    """A figure is not parted from its unit, nor an arrow from where it leads."""
    assert expected == terminal.wrapped(line, width).split("\n")


def test_a_path_that_fits_nowhere_else() -> None:
    """It begins further to the left rather than be broken."""
    path = "/root/.pyenv/versions/3.11.7/bin/python3.11"
    wrapped = terminal.wrapped(f"ok       python   {path}: 3.11.7", 60)
    assert ["ok       python", f"  {path}: 3.11.7"] == wrapped.split("\n")


def test_a_path_that_fits_nowhere_at_all() -> None:
    """It stays where it is: the terminal breaks it, and it can be copied as one."""
    line = f"  stored     {'/path' * 20}"
    assert line == terminal.wrapped(line, 60)


@given(WORDS, st.sampled_from(["", "kept     ", "terrastore: error: ", "  made       "]), st.integers(40, 200))
def test_no_word_is_broken_and_none_is_lost(words: list[str], head: str, width: int) -> None:
    """Whatever the line, its words are all there in their order, and lines are as wide as the terminal at most."""
    line = head + " ".join(words)
    wrapped = terminal.wrapped(line, width).split("\n")
    assert line.split() == " ".join(wrapped).split()
    assert all(len(each) <= width or len(each.split()) == 1 or "→" in each for each in wrapped)


def test_a_line_that_fits_stays() -> None:
    """To the last column; wide characters count twice."""
    assert "a b" == terminal.wrapped("a b", 3)
    assert "a\n  世" == terminal.wrapped("a 世", 3)


class Terminal(io.StringIO):
    """A stream that is a terminal, of as many columns as COLUMNS says."""

    def isatty(self) -> bool:
        return True


def test_words_at_the_beginning_stand_in_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the lines of a run are aligned, whatever they begin with."""
    monkeypatch.setenv("COLUMNS", "100")
    told = ["miss  numpy added", "wheels  3 of 4", "unpinned  six: as found", "built    5 packages"]
    assert ["miss     numpy added", "wheels   3 of 4", "unpinned six: as found", "built    5 packages"] == [
        terminal.fitted(each, Terminal()) for each in told
    ]


def test_where_there_is_no_terminal_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read these lines."""
    monkeypatch.setenv("COLUMNS", "20")
    line = "miss  numpy 2.1.0 added; 73 of 74 packages as in another"
    assert line == terminal.fitted(line, io.StringIO())


def test_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As COLUMNS says, else plenty where there is no terminal."""
    monkeypatch.setenv("COLUMNS", "72")
    assert 72 == terminal.columns()
    monkeypatch.setenv("COLUMNS", "wide")
    assert 200 == terminal.columns(io.StringIO())


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", True), ("latin-1", False), ("ascii", False)])
def test_characters_that_draw(encoding: str, *, expected: bool) -> None:
    """Only where the stream can say them."""
    assert terminal.is_fine(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is expected

"""What a person sees: the command in a terminal of 60, 100 and 200 columns."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import command_line
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import CommandLine

WIDTHS = [60, 100, 200]
DRAWN = re.compile("[━╸╺\u2800-\u28ff]")


@pytest.fixture(scope="module")
def stored(wheels: Path) -> Iterator[CommandLine]:
    """Return a command line with an environment at .venv and in a store, in places whose names fit on a line."""
    home = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    try:
        with command_line(home / "h", wheels) as cli:
            cli.write("requirements.txt", "alpha==1.0\n")
            cli.ok("ensure", "-q")
            cli.write("other.txt", "alpha==2.0\nclash-a\nclash-b\n")
            yield cli
    finally:
        shutil.rmtree(home)


def terminal(cli: CommandLine, columns: int, *arguments: str) -> Terminal:
    return Terminal([*cli.command, *arguments], columns=columns, cwd=cli.cwd, env=cli.env)


COMMANDS = {
    "kept": ("ensure",),
    "why": ("why", "-r", "other.txt"),
    "not in the store": ("ensure", "--no-build", "-r", "other.txt"),
    "no store": ("ensure", "--store", "/nowhere/at/all/envs", "--target", "elsewhere"),
    "no requirements": ("build", "-r", "nothing.txt"),
    "usage": ("ensure", "--no-build", "--rebuild"),
    "list": ("list",),
    "prune": ("prune", "--dry-run", "--keep-last", "1"),
    "cache": ("cache", "size"),
}


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_is_broken_within_a_word(stored: CommandLine, name: str, columns: int) -> None:
    """The words on the screen are those of a log, in their order: paths, keys and versions can be copied."""
    arguments = COMMANDS[name]
    done = stored(*arguments)
    with terminal(stored, columns, *arguments) as shown:
        lines = shown.end()
    assert done.code == shown.code
    # Warnings, errors and results go to the one screen.
    assert sorted([done.out.split(), done.err.split()]) == sorted(_parted(lines, done.out))
    assert all(len(line) <= columns for line in lines)


def _parted(lines: list[str], out: str) -> list[list[str]]:
    """Return the words of a screen as those of standard output and of standard error."""
    words, count = " ".join(lines).split(), len(out.split())
    is_last = words[len(words) - count :] == out.split()
    return [words[len(words) - count :], words[: len(words) - count]] if is_last else [words[:count], words[count:]]


@pytest.mark.parametrize("columns", WIDTHS)
def test_doctor_and_show_too(stored: CommandLine, columns: int) -> None:
    """Each line that is not of one long path is broken between words, and goes on under its text."""
    for arguments in (("doctor",), ("show", ".venv")):
        with terminal(stored, columns, *arguments) as shown:
            lines = shown.end()
        words = {word for line in stored.ok(*arguments).out.splitlines() for word in line.split()}
        figures = re.compile(r"\d+(\.\d+)?,?$")  # what is free on a disk, and how long a store took
        broken = {word for line in lines for word in line.split()} - words
        assert set() == {word for word in broken if not figures.match(word)}


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_tree_fits(stored: CommandLine, columns: int) -> None:
    """A line for each layer, none wider than the screen, the heaviest first, with who needs it."""
    with terminal(stored, columns, "show", ".venv", "--tree") as shown:
        lines = shown.end()
    assert lines[0].startswith("cp3")
    drawn = lines[2:]
    assert {"alpha 1.0", "beta 1.0", "before packages"} <= {part for line in drawn for part in re.split(r" {2,}", line)}
    assert [line for line in drawn if "beta 1.0" in line and line.endswith("for alpha")]
    assert [line for line in drawn if "alpha 1.0" in line and line.endswith("asked for")]
    assert drawn[0].count("█") == max(line.count("█") for line in drawn) > 0
    assert all(len(line) <= columns for line in lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_build_leaves_what_it_said(stored: CommandLine, columns: int) -> None:
    """Nothing is left of the progress, though a key is pressed meanwhile; the cursor is there, at the left."""
    arguments = ("ensure", "-r", "other.txt", "--target", f"env-{columns}", "--salt", f"{columns}")
    with terminal(stored, columns, *arguments) as shown:
        shown.until(lambda: any(map(DRAWN.search, shown.lines)))
        assert shown.screen.cursor.hidden
        shown.press(b"x")
        lines = shown.end()
        assert (0, False, 0) == (shown.code, shown.screen.cursor.hidden, shown.screen.cursor.x)
        assert shown.settings == shown.settings_now
    assert not [line for line in lines if DRAWN.search(line)]
    assert lines[0].startswith("miss     ")
    assert [line for line in lines if line.startswith("built    ")]
    # Whatever goes on stands under what it belongs to.
    assert not [line for line in lines if not re.match(r"(miss|unpinned|built|terrastore:) +\S| {2,}\S", line)]


@pytest.mark.parametrize("columns", WIDTHS)
def test_ctrl_c_leaves_the_terminal_as_it_was(stored: CommandLine, columns: int) -> None:
    """The cursor is visible again, nothing of the display is left, and what is typed is shown as before."""
    arguments = ("ensure", "-r", "other.txt", "--target", f"interrupted-{columns}", "--salt", f"interrupted {columns}")
    with terminal(stored, columns, *arguments) as shown:
        shown.until(lambda: any(map(DRAWN.search, shown.lines)))
        shown.press(b"\x03")
        lines = shown.end()
        assert (130, False, 0) == (shown.code, shown.screen.cursor.hidden, shown.screen.cursor.x)
        assert shown.settings == shown.settings_now
    assert "terrastore: interrupted" == lines[-1]
    assert not [line for line in lines if DRAWN.search(line) or "^C" in line]
    assert not (stored.cwd / f"interrupted-{columns}").exists()

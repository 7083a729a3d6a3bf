"""terrastore report, by the real command and of a real store."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import CommandLine


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line with two environments in its store."""
    with command_line(tmp_path_factory.mktemp("report") / "home", wheels) as found:
        for version in ("1.0", "2.0"):
            found.write("requirements.txt", f"alpha=={version}\n")
            found.ok("build")
        yield found


def test_a_page_in_a_file(cli: CommandLine) -> None:
    """One line says where it is and what of; others may read it; nothing else is left there."""
    done = cli.ok("report", "-o", "store.html")
    file = cli.cwd / "store.html"
    assert done.out.startswith("written  store.html, ")
    assert done.out.endswith(f": 2 environments of {cli.store}\n")
    assert file.read_bytes().startswith(b"<!doctype html>")
    assert 0o644 == stat.S_IMODE(file.stat().st_mode)
    assert {"store.html", "requirements.txt"} == {path.name for path in cli.cwd.iterdir()}


def test_a_page_on_standard_output(cli: CommandLine) -> None:
    """It is the same page."""
    done = cli.ok("report", "--unused-for", "30d")
    assert done.out.startswith("<!doctype html>")
    assert "terrastore prune --unused-for 30d</code> would remove 0 of 2 environments" in done.out


def test_no_page_on_a_terminal(cli: CommandLine) -> None:
    """Nobody reads HTML there: it is refused, with what to do, before the store is asked."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*cli.command, "report"], cwd=cli.cwd, env=cli.env, stdout=theirs, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(theirs)
        os.close(ours)
    assert 2 == done.returncode
    assert b"terrastore: hint: name a file: terrastore report -o store.html\n" in done.stderr


def test_figures(cli: CommandLine) -> None:
    """--json prints what the page shows; with -o the page is written too."""
    told = cli.ok("report", "--json").json
    assert (1, str(cli.store), 2) == (told["schema"], told["store"], len(told["environments"]))
    assert told["bytes"] == sum(each["size"] for each in told["environments"])
    assert told["bytes_stored_again"] > 0
    alpha = next(each for each in told["packages"] if each["name"] == "alpha")
    assert ["1.0", "2.0"] == sorted(alpha["versions"])
    assert "file" not in told
    both = cli.ok("report", "--json", "-o", "again.html").json
    assert (cli.cwd / "again.html").stat().st_size == both["file_bytes"]


@pytest.mark.parametrize(
    ("output", "problem"),
    [(".", "is a directory"), ("nowhere/store.html", "is in no directory"), ("/dev/full", "is a device")],
)
def test_no_place_for_a_page(cli: CommandLine, output: str, problem: str) -> None:
    """It is named before any work is done."""
    done = cli("report", "-o", output)
    assert 2 == done.code
    assert f"{output} {problem}" in done.err
    assert "hint: name a file" in done.err

"""Shells complete commands, options, choices and paths, once docs/completion.md was followed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import put_program
from tests.terminals import Terminal

if TYPE_CHECKING:
    from tests.conftest import CommandLine

PAGE = (Path(__file__).parents[2] / "docs/completion.md").read_text()
BLOCK = re.compile(r"<!-- run: (\w+) -->\n((?: {4}.*\n)+)")
BLOCKS = dict(BLOCK.findall(PAGE))
TYPED = [
    ("terrastore ensu", "terrastore ensure"),
    ("--no-bui", "--no-build"),
    ("--installer u", "--installer uv"),
    ("-r require", "-r requirements.txt"),
    ("--target under", "--target underneath"),
]


def test_every_shell_is_tried() -> None:
    """What the page shows."""
    assert {"bash", "zsh", "fish"} == set(BLOCKS)


@pytest.mark.parametrize("shell", BLOCKS)
def test_it_completes(cli: CommandLine, shell: str) -> None:
    """In an interactive shell a tab finishes each word that was begun."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    cli.write("requirements.txt", "")
    (cli.cwd / "underneath").mkdir()
    programs = cli.home / "programs"
    programs.mkdir()
    put_program(programs / "terrastore")
    env = cli.env | {"PATH": f"{programs}:{cli.env['PATH']}", "SHELL": shutil.which(shell) or ""}
    subprocess.run(["bash", "-eo", "pipefail", "-c", BLOCKS[shell]], cwd=cli.cwd, env=env, check=True)
    with Terminal([shell, "-i"], columns=160, cwd=cli.cwd, env=env) as terminal:
        typed: list[str] = []
        terminal.press(b"\x15echo read''y\r")
        terminal.until(lambda: "ready" in terminal.lines)
        for begun, whole in TYPED:
            typed.append(whole)
            terminal.press(f"{begun}\t".encode())
            terminal.until(lambda: any(" ".join(typed) in line for line in terminal.lines))
            terminal.press(b"\x17" + f"{whole.split()[-1]} ".encode())  # the last word anew, with one space behind

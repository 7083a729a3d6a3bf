"""What docs/reference/python.md shows of the API runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import CommandLine

PAGE = (Path(__file__).parents[2] / "docs/reference/python.md").read_text().partition("<!-- generated -->")[0]
BLOCK = re.compile(r"((?:^ {4}.*\n|^\n(?= {4}))+)", re.MULTILINE)


def test_the_examples(stored: CommandLine) -> None:
    """The first fetches, what the second adds tells of its phases; stores are directories here."""
    first, second = (textwrap.dedent(block).strip() for block in BLOCK.findall(PAGE))
    program = f"{first}\n{second}\n".replace("/mnt/share/terrastore/envs", f"{stored.home}/near")
    program = program.replace("s3://acme-envs/web", str(stored.store))
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=stored.cwd,
        env=stored.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    outcome, *phases = done.stdout.splitlines()
    assert re.fullmatch(rf"fetched cp3\S+ {re.escape(str(stored.cwd))}/\.venv", outcome)
    assert [] == [line for line in phases if not re.fullmatch(r"[\w ]+ \d+ \w*", line)]
    assert phases
    assert (stored.cwd / "env/bin/alpha").exists()

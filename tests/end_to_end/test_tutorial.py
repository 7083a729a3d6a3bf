"""docs/tutorial.md is followed word for word, in order, by one shell: it says what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from terrastore import __version__
from tests.documented import varied

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tutorial.md").read_text()
STEP = re.compile(r"<!-- run: ([\w ]+) -->\n((?: {4}.*\n)+)(?:\n((?: {4}.*\n)+))?")
HOME = "/home/you"
"""What the page calls whoever follows it."""


@pytest.mark.network
def test_word_by_word(tmp_path: Path) -> None:
    """From nothing to a second machine; each step prints what the page shows, and nothing is left of it."""
    steps = [(name, *map(textwrap.dedent, blocks)) for name, *blocks in STEP.findall(PAGE)]
    assert ["install", "project", "ensure"] == [name for name, _, _ in steps[:3]]
    assert 7 < len([shown for _, _, shown in steps if shown])
    home = tmp_path / "you"
    home.mkdir()
    mark = "== what comes next"
    (home / "script").write_text("".join(f"{commands}echo '{mark}'\n" for _, commands, _ in steps))
    foreign = ("TERRASTORE_", "XDG_", "PYTHON", "VIRTUAL", "UV_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", str(home / "script")],
        cwd=ROOT,
        env=env | {"HOME": str(home), "PATH": f"{Path(sys.executable).resolve().parent}:{env['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    said = [varied(part.strip().replace(str(home), HOME)) for part in done.stdout.split(mark)]
    for (name, _, shown), out in zip(steps, said, strict=False):
        if shown:
            assert (name, varied(shown.strip())) == (name, out)
    assert f"terrastore {__version__}" == said[0].splitlines()[-1]
    assert set() == {"shop", "share", "second"} & {path.name for path in home.iterdir()}

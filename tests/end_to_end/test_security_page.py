"""What docs/security.md shows is done as it stands there, in order, by a shell."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import put_program

if TYPE_CHECKING:
    from tests.conftest import CommandLine

PAGE = Path(__file__).parents[2] / "docs/security.md"
BLOCK = re.compile(r"<!-- run -->\n((?: {4}.*\n)+)")


def test_the_commands_that_are_shown(cli: CommandLine) -> None:
    """Each block ends well; the directories of a machine and the bucket are others here."""
    blocks = BLOCK.findall(PAGE.read_text())
    assert 7 == len(blocks)
    etc = cli.home / "etc"
    programs = cli.home / "programs"
    programs.mkdir()
    put_program(programs / "terrastore")
    cli.write("requirements.txt", "alpha==1.0\n")
    del cli.env["TERRASTORE_STORE"]
    cli.env |= {"TERRASTORE_NO_SEED": "1", "XDG_CONFIG_DIRS": str(etc / "xdg")}
    said = []
    for block in blocks:
        commands = block.replace("s3://acme-envs/web", str(cli.store)).replace("/etc/", f"{etc}/")
        key = cli.cwd / "ci-2026.key"
        secret = {"SIGNING_KEY": key.read_text()} if key.exists() else {}
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", commands],
            cwd=cli.cwd,
            env=cli.env | secret | {"PATH": f"{programs}:{cli.env['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, f"{block}{done.stdout}{done.stderr}"
        said.append(done.stdout)
    assert ["", "built", "fetched", "", "built", "signed", "fetched"] == [text.partition(" ")[0] for text in said]
    assert "signed   by ci-2027" in said[5]
    assert (
        8 == cli("ensure", "--no-build", "--target", "third", "--realm", "other", TERRASTORE_STORE=str(cli.store)).code
    )
    assert "ci-2026" not in (etc / "terrastore/trust").read_text()

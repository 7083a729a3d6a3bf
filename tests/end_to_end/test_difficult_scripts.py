"""Real packages whose scripts name the environment in every way there is, by both installers.

Built once, fetched at other places while the first still stands, with other content.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line
from tests.end_to_end.examine import contents, examine, files_that_name, reached_by_scripts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.network

# Old-style scripts, with docstrings, coding lines and suffixes; entry points; scripts for shells beside them.
REQUIREMENTS = """\
awscli
docutils==0.16
jmespath
jsonpointer
mercurial
nodeenv
s3cmd
"""
OLD_STYLE = {"aws", "aws_completer", "rst2html.py", "rst2s5.py", "jp.py", "jsonpointer", "hg", "s3cmd"}
PLACES = {
    "odd": "a b'c\"d$e;f%g!h`i(j)[k]{l}<m>*n?o~p#q^r&s|t/é 'x\" $y!",
    "long": "/".join(["long-directory-name"] * 14),
}
places = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


@pytest.fixture(scope="module", params=["pip", "uv"])
def cli(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheels: Path
) -> Iterator[CommandLine]:
    """Return a command line in whose working directory the environments stand; the first is somebody else's."""
    home = tmp_path_factory.mktemp("difficult") / "home"
    with command_line(home, wheels) as command:
        del command.env["PIP_NO_INDEX"], command.env["PIP_FIND_LINKS"]
        command.env["TERRASTORE_INSTALLER"] = request.param
        command.write("requirements.txt", REQUIREMENTS)
        assert "built" == command.ok("ensure", "--json", "--target", "first").json["outcome"]
        for script in (command.cwd / "first/bin").iterdir():
            if not script.is_symlink():
                script.write_text("#!/bin/sh\necho another\n")
        for place in PLACES.values():
            command.ok("ensure", "--no-build", "--target", place)
        yield command
    shutil.rmtree(home)


def said(*command: str | Path) -> str:
    """Return what a command prints on either output; it must end with 0."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd="/", env={"PATH": "/bin"}
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


@places
def test_every_script_reaches_its_interpreter(cli: CommandLine, place: str, tmp_path: Path) -> None:
    """By path, from another directory."""
    found = reached_by_scripts(cli.cwd / place, tmp_path)
    assert OLD_STYLE <= found.keys()
    assert dict.fromkeys(found, str(cli.cwd / place)) == found


@places
def test_scripts_do_their_work(cli: CommandLine, place: str, tmp_path: Path) -> None:
    """They do not merely start: what they import, read and print is there."""
    there = cli.cwd / place / "bin"
    text = tmp_path / "x.rst"
    text.write_text("Title\n=====\n\nSome *text*.\n")
    assert "<em>text</em>" in said(there / "rst2html.py", text)
    assert said(there / "aws", "--version").startswith("aws-cli/")
    assert said(there / "s3cmd", "--version").startswith("s3cmd version")
    assert "Mercurial Distributed SCM" in said(there / "hg", "--version")
    assert "nodeenv" in said(there / "nodeenv", "--help")
    document = tmp_path / "x.json"
    document.write_text('{"a": {"b": 1}}')
    assert "1" == said(there / "jp.py", "--filename", document, "a.b").strip()


@places
def test_it_is_whole_and_names_no_other_place(cli: CommandLine, place: str) -> None:
    """Modules import, entry points lead to objects, RECORDs are true, no other place is named."""
    there = cli.cwd / place
    before = contents(there)
    found = examine(there)
    assert ([], str(there)) == (found["untrue"], found["prefix"])
    assert {"ok"} == set(found["entries"].values())
    others = [f"{cli.cwd}/{other}/".encode() for other in ("first", *PLACES.values()) if other != place]
    assert set() == files_that_name(there, *others)
    assert {".terrastore/manifest.json", ".terrastore/originals.tar"} == files_that_name(there, b"terrastore-staging-")
    assert before == contents(there)

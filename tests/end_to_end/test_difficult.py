"""Packages that others could not move: built at one place, fetched at five others while the first still stands.

What stands at the first place by then is something else, so that whatever still leads there is found out.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from terrastore.archive.layers import source_of
from terrastore.archive.originals import read_environment_manifest
from tests.conftest import CommandLine, command_line
from tests.end_to_end.examine import contents, examine, files_that_name, reached_by_scripts

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.network, pytest.mark.difficult]

DATA: Final = Path(__file__).parents[1] / "data/difficult"
SETS: Final = ("scripts", "jupyter", "numeric", "compiled")
PLACES: Final = {
    "short": "e",
    "a sibling whose name goes on": "first2",
    "with spaces, quotes and more": 'it\'s "here", 100%; $HOME é & co',
    "behind a link": "link/env",
    "long": "l" * 120 + "/" + "m" * 120,
}
LONGEST_IN_COMPILED_FILES: Final = 90
"""A little less than the 96 bytes that there is room for."""
FOR_A_SHELL: Final = {"spark-pipelines"}
"""Scripts that speak of Python in their first lines and look for it on ``PATH``, wherever they are."""
KEPT_FOR_MOVING: Final = {".terrastore/manifest.json", ".terrastore/originals.tar"}
"""They hold the placeholder, as FORMAT.md says."""
WRITTEN_HERE: Final = {"pyvenv.cfg", "bin/python", ".terrastore/state.json"}
POISON: Final = "raise SystemExit('this is the first place, which nothing must lead to')\n"


@dataclass(frozen=True)
class Built:
    """An environment that was built at ``first``, what it was like there, and a command line that has it in its store.

    ``scripts`` reached its interpreter there; ``files`` are digests by path.
    """

    name: str
    root: Path
    first: Path
    cli: CommandLine
    examined: Any
    scripts: frozenset[str]
    files: dict[str, str]
    listed: frozenset[str]


@pytest.fixture(scope="module", params=SETS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Built]:
    """Return a set of packages that was built, and is poison by now where that was."""
    name = request.param
    root = Path(os.path.realpath(tmp_path_factory.mktemp("d")))
    with command_line(root / "home", wheels) as command:
        del command.env["PIP_NO_INDEX"], command.env["PIP_FIND_LINKS"]
        command.write("requirements.txt", (DATA / f"{name}.txt").read_text())
        first = root / "first"
        assert "built" == ensure(command, first)["outcome"]
        examined, files = examine(first), contents(first)
        reached = reached_by_scripts(first, tmp_path_factory.mktemp("witness"))
        scripts = frozenset(script for script, prefix in reached.items() if prefix == str(first))
        listed = frozenset(each.path for each in read_environment_manifest(str(first)).relocations)
        poison(first)
        shutil.rmtree(command.cache)
        (root / "elsewhere").mkdir()
        (root / "link").symlink_to("elsewhere")
        yield Built(name, root, first, command, examined, scripts, files, listed)
    shutil.rmtree(root)


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, built: Built) -> Iterator[Path]:
    """Return where it was fetched to; one place after the other, for they are large."""
    path = built.root / PLACES[request.param]
    if built.name == "compiled":
        path = Path(str(path)[:LONGEST_IN_COMPILED_FILES])
    assert "fetched" == ensure(built.cli, path, "--no-build")["outcome"]
    yield Path(os.path.realpath(path))
    shutil.rmtree(path)


def ensure(command: CommandLine, target: Path, *arguments: str) -> Any:
    """Run ensure and return what it says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return command.ok("ensure", "--json", "--target", str(target), *arguments).json


def poison(environment: Path) -> None:
    """Let everything in an environment fail, where it stands."""
    for path in environment.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_text(POISON if path.suffix == ".py" else f"#!/bin/false\n{POISON}")


def test_it_is_as_good_as_where_it_was_built(built: Built, place: Path) -> None:
    """The same modules import, the same entry points lead to an object, and RECORDs are as true as they were.

    Of files that two distributions bring, only one of the two can be there, and be told the truth of.
    """
    found = examine(place)
    assert str(place) == found["prefix"]
    assert built.examined["modules"] == found["modules"]
    assert built.examined["entries"] == found["entries"]
    assert built.examined["untrue"] == found["untrue"]
    assert {"cv2"} >= {line.partition("/")[0] for line in found["untrue"]}


def test_every_script_reaches_its_own_interpreter(built: Built, place: Path, tmp_path: Path) -> None:
    """Whatever script is started, from whatever directory, runs in the environment it stands in."""
    found = reached_by_scripts(place, tmp_path)
    assert dict.fromkeys(built.scripts, str(place)) == {name: found[name] for name in built.scripts}
    assert found.keys() - built.scripts <= FOR_A_SHELL


def test_no_file_names_another_place(built: Built, place: Path) -> None:
    """No byte of another prefix is anywhere but where it is kept for moving."""
    assert KEPT_FOR_MOVING >= files_that_name(place, b"terrastore-staging-")
    assert set() == files_that_name(place, f"{built.first}/".encode())
    links = {path for path in place.rglob("*") if path.is_symlink() and os.path.isabs(os.readlink(path))}
    assert {place / "bin/python"} == {path for path in links if not path.match("lib/libpython*.so*")}
    assert not any(os.readlink(link).startswith(f"{built.root}/") for link in links)


def test_only_what_is_listed_differs(built: Built, place: Path) -> None:
    """A hit touches the files that the manifest lists, RECORDs that tell of them among these; all others are the same.

    Beside them there is the bytecode of modules that hold paths.
    """
    found = contents(place)
    assert built.files.keys() == found.keys()
    differing = {path for path in found if found[path] != built.files[path]}
    rewritten = {path for path in differing if source_of(path) in built.listed}
    assert differing - rewritten <= built.listed | WRITTEN_HERE
    assert len(built.listed) < len(found) / 20


def test_there_are_as_many_as_promised() -> None:
    """Fifty at least, each chosen for its difficulty, with what they need."""
    names = {
        line.partition("==")[0]
        for each in SETS
        for line in (DATA / f"{each}.txt").read_text().splitlines()
        if "==" in line
    }
    assert len(names) >= 150

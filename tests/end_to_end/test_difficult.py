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

from terrastore.archive.originals import read_environment_manifest
from tests.conftest import CommandLine, command_line
from tests.end_to_end.examine import contents, examine, files_that_name, reached_by_scripts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.archive.manifest import Manifest

pytestmark = [pytest.mark.network, pytest.mark.difficult]

DATA: Final = Path(__file__).parents[1] / "data/difficult"
SETS: Final = ("scripts", "jupyter", "numeric", "compiled")
PLACES: Final = {
    "short": "e",
    "a sibling whose name goes on": "e2",
    "with spaces, quotes and more": 'it\'s "here", 100%; $HOME é & co',
    "behind a link": "link/env",
    "long": "l" * 120 + "/" + "m" * 120,
}
LONGEST_IN_COMPILED_FILES: Final = 90
FOR_A_SHELL: Final = {"spark-pipelines"}
"""Scripts that speak of Python in their first lines and look for it on ``PATH``, wherever they are."""
KEPT_FOR_MOVING: Final = {".terrastore/manifest.json", ".terrastore/originals.tar"}
"""They hold the placeholder, as FORMAT.md says."""
WRITTEN_HERE: Final = {"pyvenv.cfg", "bin/python", ".terrastore/state.json"}
POISON: Final = "raise SystemExit('this is the first place, which nothing must lead to')\n"


@dataclass(frozen=True)
class Moved:
    """An environment that was built at ``first`` and examined there, and fetched at other places, by name.

    ``scripts`` reached its interpreter where it was built.
    """

    name: str
    root: Path
    first: Path
    before: Any
    scripts: frozenset[str]
    places: dict[str, Path]

    @property
    def manifest(self) -> Manifest:
        """Return the manifest that all of them were unpacked with."""
        return read_environment_manifest(str(self.places["short"]))


@pytest.fixture(scope="module", params=SETS)
def moved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Moved]:
    """Return a set of packages at all its places."""
    name = request.param
    root = Path(os.path.realpath(tmp_path_factory.mktemp("d")))
    with command_line(root / "home", wheels) as command:
        del command.env["PIP_NO_INDEX"], command.env["PIP_FIND_LINKS"]
        command.write("requirements.txt", (DATA / f"{name}.txt").read_text())
        first = root / "first"
        assert "built" == ensure(command, first)["outcome"]
        before, reached = examine(first), reached_by_scripts(first, tmp_path_factory.mktemp("witness"))
        poison(first)
        (root / "elsewhere").mkdir()
        (root / "link").symlink_to("elsewhere")
        places = {}
        for case, place in PLACES.items():
            path = root / (place[: LONGEST_IN_COMPILED_FILES - len(f"{root}/")] if name == "compiled" else place)
            assert "fetched" == ensure(command, path, "--no-build")["outcome"]
            places[case] = Path(os.path.realpath(path))
        scripts = frozenset(script for script, prefix in reached.items() if prefix == str(first))
        yield Moved(name, root, first, before, scripts, places)
    shutil.rmtree(root)


def ensure(command: CommandLine, target: Path, *arguments: str) -> Any:
    """Run ensure and return what it says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return command.ok("ensure", "--json", "--target", str(target), *arguments).json


def poison(environment: Path) -> None:
    """Let everything in an environment fail, where it stands."""
    for path in environment.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_text(POISON if path.suffix == ".py" else f"#!/bin/false\n{POISON}")


@pytest.mark.parametrize("case", PLACES)
def test_it_is_as_good_as_where_it_was_built(moved: Moved, case: str) -> None:
    """The same modules import, the same entry points lead to an object, and RECORDs are as true as they were.

    Of files that two distributions bring, only one of the two can be there, and be told the truth of.
    """
    found = examine(moved.places[case])
    assert str(moved.places[case]) == found["prefix"]
    assert moved.before["modules"] == found["modules"]
    assert moved.before["entries"] == found["entries"]
    assert moved.before["untrue"] == found["untrue"]
    assert {"cv2"} >= {line.partition("/")[0] for line in found["untrue"]}


@pytest.mark.parametrize("case", PLACES)
def test_every_script_reaches_its_own_interpreter(moved: Moved, case: str, tmp_path: Path) -> None:
    """Whatever script is started, from whatever directory, runs in the environment it stands in."""
    found = reached_by_scripts(moved.places[case], tmp_path)
    assert dict.fromkeys(moved.scripts, str(moved.places[case])) == {name: found[name] for name in moved.scripts}
    assert found.keys() - moved.scripts <= FOR_A_SHELL


@pytest.mark.parametrize("case", PLACES)
def test_no_file_names_another_place(moved: Moved, case: str) -> None:
    """No byte of another prefix is anywhere but where it is kept for moving."""
    environment = moved.places[case]
    assert KEPT_FOR_MOVING >= files_that_name(environment, b"terrastore-staging-")
    # The short place is how others begin: what leads there is followed by a slash.
    others = [path for path in (moved.first, *moved.places.values()) if path != environment]
    assert set() == files_that_name(environment, *(f"{other}/".encode() for other in others))
    links = {path for path in environment.rglob("*") if path.is_symlink() and os.path.isabs(os.readlink(path))}
    assert {environment / "bin/python"} == {path for path in links if not path.match("lib/libpython*.so*")}
    assert not any(os.readlink(link).startswith(f"{moved.root}/") for link in links)


@pytest.mark.parametrize("case", [case for case in PLACES if case != "short"])
def test_only_what_is_listed_differs(moved: Moved, case: str) -> None:
    """A hit touches the files that the manifest lists, and the RECORDs that tell of them; all others are the same."""
    one, other = contents(moved.places["short"]), contents(moved.places[case])
    assert one.keys() == other.keys()
    differing = {path for path in one if one[path] != other[path]}
    listed = {relocation.path for relocation in moved.manifest.relocations}
    assert differing <= listed | WRITTEN_HERE
    assert len(listed) < len(one) / 20


def test_there_are_as_many_as_promised() -> None:
    """Fifty at least, each chosen for its difficulty, with what they need."""
    names = {
        line.partition("==")[0]
        for each in SETS
        for line in (DATA / f"{each}.txt").read_text().splitlines()
        if "==" in line
    }
    assert len(names) >= 150

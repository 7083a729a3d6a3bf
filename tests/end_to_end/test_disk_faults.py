"""Surroundings that are not as they should be: what is read-only, on another filesystem, held by others, or our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from terrastore import atomic
from tests.conftest import Result, command_with
from tests.end_to_end.disk import NEW, NOTHING, OLD, Project, Row, in_store, listed, own_project, said, version
from tests.mounts import Disk, freeze, unmount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Site:
    """Where everything of a project is, in directories that can be made read-only one by one; the old one stands."""

    def __init__(self, project: Project) -> None:
        self.project = project
        home = project.cli.cwd
        self.place, self.near, self.links = home / "place", home / "near", home / "links"
        self.store, self.cache = home / "store", home / "cache"
        self.target, self.link = self.place / "env", self.links / "current"
        for folder in (self.place, self.near, self.links, self.cache):
            folder.mkdir()
        shutil.copytree(project.cli.store, self.store)
        (self.archive,) = project.old_store.glob("v1/archives/*/*")
        project.ask_for(OLD)
        project.cli.ok("ensure", "--target", str(self.target))
        project.cli.ok("ensure", "--link", str(self.link), "--releases", str(self.place / "releases"))
        project.ask_for(NEW)

    def miss(self) -> None:
        """Let the store have the old environment alone."""
        shutil.rmtree(self.store)
        shutil.copytree(self.project.old_store, self.store)

    def run(self, *arguments: str) -> Result:
        words = [word.format(**vars(self)) for word in arguments]
        options = ("--cache-dir", str(self.cache)) if words[0] in {"ensure", "build"} else ()
        return self.project.cli(*words, *options)

    def left(self) -> str:
        """Return what is neither environment nor store."""
        known = {"env", "releases", "current", ".current.previous"}
        beside = [name for folder in (self.place, self.links) for name in os.listdir(folder)]
        unfinished = [each for each in (*in_store(self.store), *in_store(self.near)) if each.startswith("unfinished")]
        return listed([*("stranger" for name in beside if name not in known), *unfinished])


@dataclass(frozen=True)
class Case:
    """A row, the directory that is read-only, and what is run; ``miss`` when the store does not have it."""

    row: Row
    frozen: str
    command: tuple[str, ...]
    miss: bool = False


ENSURE = ("ensure", "--store={store}", "--target={target}")
LINKED = ("ensure", "--store={store}", "--link={link}", "--releases={place}/releases")
NEARER = ("ensure", "--store={near}", "--store={store}", "--target={target}")
MUST = "--require-publish"

STORE, PARENT = "a read-only store", "a read-only parent of the target"
REFUSED = "the store {store} cannot be written: read-only file system"
UNPUBLISHED = f"not published: {REFUSED}"
NOT_NEARER = "not copied nearer: the store {near} cannot be written: read-only file system"
UNWRITABLE = "the target's parent {place} cannot be written"

CASES: Final = (
    Case(Row(STORE, "on a hit", 0, ""), "store", ENSURE),
    Case(Row(STORE, "on a miss", 0, UNPUBLISHED), "store", ENSURE, miss=True),
    Case(Row(STORE, f"on a miss, with {MUST}", 7, REFUSED), "store", (*ENSURE, MUST), miss=True),
    Case(Row(STORE, f"with --rebuild {MUST}", 7, REFUSED), "store", (*ENSURE, "--rebuild", MUST)),
    Case(Row(STORE, "with terrastore build", 7, REFUSED), "store", ("build", "--store={store}"), miss=True),
    Case(Row("a read-only nearer store", "on a hit", 0, NOT_NEARER), "near", NEARER),
    Case(Row(PARENT, "on a hit", 2, UNWRITABLE), "place", ENSURE),
    Case(Row(PARENT, "on a miss", 2, UNWRITABLE), "place", ENSURE, miss=True),
    Case(Row(PARENT, "with terrastore unpack", 2, UNWRITABLE), "place", ("unpack", "{archive}", "--target={target}")),
    Case(Row(PARENT, "with terrastore relocate", 2, UNWRITABLE), "place", ("relocate", "{target}")),
    Case(Row("read-only releases", "on a hit", 2, "the target's parent {place}/releases cannot be"), "place", LINKED),
    Case(Row("a read-only directory of the link", "on a hit", 2, "{links} cannot be written"), "links", LINKED),
    Case(Row("a read-only cache", "on a hit", 0, ""), "cache", ENSURE),
    Case(
        Row(
            "a read-only cache", "on a miss", 9, "{cache}/locks cannot take the lock of a build: read-only file system"
        ),
        "cache",
        ENSURE,
        miss=True,
    ),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a project with a store that has both versions, and mounts that nobody else sees."""
    with own_project(tmp_path_factory) as project:
        yield project


@pytest.fixture
def project(made: Project) -> Project:
    """Return the same in a directory of its own."""
    return made.elsewhere(f"project{sum(1 for _ in made.cli.home.iterdir())}")


@pytest.fixture
def site(project: Project) -> Site:
    return Site(project)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.row))
def test_what_is_read_only(site: Site, case: Case) -> None:
    """It is named before any work; what stood stands; where it is not needed nothing is said; later all is well."""
    if case.miss:
        site.miss()
    row, place = case.row, Path(vars(site)[case.frozen])
    environment = site.link if case.command is LINKED else site.target
    freeze(place)
    result = site.run(*case.command)
    assert row.code == result.code, result.err
    message, hint = said(result)
    assert row.message.format(**vars(site)) in message if row.message else not message
    assert bool(row.code) == bool(hint)
    assert (OLD if row.code else NEW) == version(environment)
    assert row.left == site.left()
    assert row.code == 0 or "miss  " not in result.err or case.frozen == "cache"
    unmount(place)
    again = site.run(*case.command)
    assert ("", 0) == (said(again)[0], again.code)
    assert NOTHING == site.left()


@pytest.mark.parametrize("frozen", ["place", "links", "store", "cache"])
@pytest.mark.parametrize("command", [ENSURE, LINKED], ids=["target", "link"])
def test_what_is_there_needs_no_writing(site: Site, frozen: str, command: tuple[str, ...]) -> None:
    """An environment that is what was asked for is kept, whatever is read-only: an image may have it."""
    site.project.ask_for(OLD)
    freeze(Path(vars(site)[frozen]))
    result = site.run(*command)
    assert ("", 0) == (said(result)[0], result.code)
    assert result.out.startswith("kept ")


@pytest.mark.parametrize("miss", [False, True], ids=["hit", "miss"])
def test_the_target_may_be_on_another_filesystem(project: Project, miss: bool) -> None:
    """Cache, store and target need not have one in common."""
    for name in ("place", "links", "store", "cache"):
        Disk(project.cli.cwd / f"{name}-disk")
    site = Site(project)
    for name in ("place", "store", "cache"):
        setattr(site, name, project.cli.cwd / f"{name}-disk" / name)
    site.target = site.place / "env"
    project.stand(site.target)
    shutil.copytree(project.old_store if miss else project.cli.store, site.store)
    project.ask_for(NEW)
    result = site.run(*ENSURE)
    assert ("", 0) == (said(result)[0], result.code)
    assert (NEW, ["env"]) == (version(site.target), os.listdir(site.place))


# Others at work.

HELD: Final[Mapping[str, tuple[str, ...]]] = {
    "ensure": ENSURE,
    "unpack": ("unpack", "{archive}", "--target={target}"),
    "relocate": ("relocate", "{target}"),
    "rollback": ("rollback", "--target={target}"),
}


@pytest.mark.parametrize("command", HELD)
def test_who_waits_for_a_target_ends(site: Site, command: str) -> None:
    """Another run that hangs is not waited for longer than --wait says; then its target is named."""
    with atomic.locked(str(site.place / ".env.terrastore-lock")):
        begun = time.monotonic()
        result = site.run(*HELD[command], "--wait=1.6")
        assert 1.6 <= time.monotonic() - begun
    message, hint = said(result)
    assert (10, f"waited 2 s for another run to finish with {site.target}") == (result.code, message)
    assert "--wait" in hint
    assert (OLD, NOTHING) == (version(site.target), site.left())


# What terrastore itself runs from.


@pytest.fixture
def own(site: Site) -> Site:
    """Return a site whose target is the environment that terrastore is installed in and run from."""
    shutil.rmtree(site.target)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", site.target], check=True)
    paths = subprocess.run(
        [*command_with("import sys; print(*filter(None, sys.path), sep='\\n'); sys.exit()")],
        cwd=site.project.cli.cwd,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (packages,) = site.target.glob("lib/*/site-packages")
    (packages / "terrastore-under-test.pth").write_text(paths)
    site.project.cli.command = [str(site.target / "bin/python"), "-P", "-m", "terrastore"]
    return site


OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "ensure": ENSURE,
    "ensure --force": (*ENSURE, "--force"),
    "ensure --backup": (*ENSURE, "--backup"),
    "ensure --rebuild": (*ENSURE, "--rebuild"),
    "unpack": ("unpack", "{archive}", "--target={target}"),
    "doctor": ("doctor", "--store={store}", "--target={target}"),
}


@pytest.mark.parametrize("command", OWN)
def test_the_environment_that_terrastore_runs_from(own: Site, command: str) -> None:
    """It is not replaced by one in which terrastore is not, and a way that leads there is named."""
    before = sorted(own.target.rglob("*"))
    result = own.run(*OWN[command])
    assert 2 == result.code
    told = result.err + result.out
    assert f"the target {own.target} cannot be replaced: terrastore itself runs from it" in told
    assert "with --link PATH --releases DIR this one stays" in told
    assert (before, NOTHING) == (sorted(own.target.rglob("*")), own.left())


def test_a_link_beside_the_environment_that_terrastore_runs_from(own: Site) -> None:
    """With --link it stays, and goes on working."""
    for wanted in (NEW, OLD):
        own.project.ask_for(wanted)
        assert 0 == own.run(*LINKED).code
        assert wanted == version(own.link)
    assert own.run("--version").out.startswith("terrastore ")


# Permissions.


def modes(environment: Path) -> dict[str, int]:
    """Return the permissions of all that is in an environment, and its own."""
    paths = [environment, *environment.rglob("*")]
    return {str(path.relative_to(environment)): path.lstat().st_mode & 0o7777 for path in paths}


@pytest.mark.parametrize("asked", ["", "alpha==1.0", "alpha==2.0"], ids=["nothing", "hit", "miss"])
def test_a_private_umask(site: Site, asked: str) -> None:
    """What is made with umask 077 has the permissions of what is made with 022, and others can read the store."""
    site.miss()
    found = []
    for umask in (0o022, 0o077):
        shutil.rmtree(site.target)
        site.miss()
        site.project.cli.write("requirements.txt", asked)
        site.project.cli.options["umask"] = umask
        assert 0 == site.run(*ENSURE).code
        found.append((modes(site.target), {path.stat().st_mode for path in site.store.rglob("*")}))
    assert found[0] == found[1]
    assert {0o755, 0o644} == {mode for mode in found[0][0].values() if mode != 0o777}

"""Killed before any system call that changes a disk, a run leaves the old or the new, and the next one tidies up."""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line, make_wheel
from tests.kill_points import Call, Killer, tracer_lacks
from terrastore.archive.verify import differences
from terrastore.environment import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, OLD, NEW = "1.0", "2.0", "3.0"
WITH_LINK = ("--link", "current", "--releases", "releases")


class Site:
    """A working directory that is put back as often as needed, and a store with three versions of ``alpha``."""

    def __init__(self, cli: CommandLine) -> None:
        self.cli = cli
        self.target = cli.cwd / ".venv"
        self.near = cli.home / "near"
        self._kept = cli.home / "kept"

    def ask_for(self, version: str) -> None:
        self.cli.write("requirements.txt", f"alpha=={version}\n")

    def ensure(self, version: str, *arguments: str) -> str:
        self.ask_for(version)
        return str(self.cli.ok("ensure", "--no-seed", "--no-build", "--json", *arguments).json["outcome"])

    def keep(self) -> None:
        """Remember how everything is now."""
        shutil.copytree(self.cli.cwd, self._kept, symlinks=True)

    def put_back(self) -> None:
        """Make everything as it was when it was kept."""
        shutil.rmtree(self.cli.cwd)
        shutil.rmtree(self.near, ignore_errors=True)
        shutil.copytree(self._kept, self.cli.cwd, symlinks=True)

    def forget(self) -> None:
        shutil.rmtree(self._kept)
        shutil.rmtree(self.cli.cwd)
        shutil.rmtree(self.near, ignore_errors=True)
        self.cli.cwd.mkdir()

    @property
    def names(self) -> set[str]:
        return set(os.listdir(self.cli.cwd)) - {"requirements.txt"}


def version(environment: Path) -> str | None:
    """Return which version of ``alpha`` is in a whole environment, None when there is none at all."""
    if not environment.exists():
        return None
    root = os.path.realpath(environment)
    state = State.read(root)
    assert state is not None
    assert (root.removesuffix(".bak"), {}) == (state.prefix, differences(root))
    (info,) = environment.glob("lib/*/site-packages/alpha-*.dist-info")
    return info.name.removeprefix("alpha-").removesuffix(".dist-info")


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("wheels")
    for each in (FIRST, OLD, NEW):
        make_wheel(folder, "alpha", each, {"alpha.py": f"VERSION = {each!r}\n"})
    with command_line(tmp_path_factory.mktemp("crashes") / "home", folder) as cli:
        for each in (FIRST, OLD, NEW):
            cli.write("requirements.txt", f"alpha=={each}\n")
            cli.ok("build", "--no-seed")
        yield Site(cli)


@pytest.fixture
def site(stocked: Site) -> Iterator[Site]:
    """Return the site, when commands can be traced; in continuous integration they must."""
    if (lack := tracer_lacks()) and "CI" not in os.environ:
        pytest.skip(lack)
    assert not lack
    yield stocked
    stocked.forget()


def chosen(calls: list[Call], *, every: int = 12) -> list[Call]:
    """Return all calls but those for the contents of one directory that is made or removed: of these a sample."""
    within = [call for call in calls if "terrastore-*/" in call.given or "terrastore-*>" in call.given]
    sample = set(within[::every]) | set(within[:1]) | set(within[-1:])
    points = [call for call in calls if call not in within or call in sample]
    print(f"{len(points)} kill points of {len(calls)} calls")
    return points


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("backup", [False, True], ids=["plain", "backup"])
def test_killed_while_an_environment_is_replaced(backup: bool, exchange: bool, site: Site) -> None:
    """The target is the old environment or the new one; then it is the new one, the backup the old, and nothing else.

    Only where two names cannot be exchanged, nothing may be there until the next run.
    """
    site.ensure(FIRST)
    site.ensure(OLD, "--backup")
    site.ask_for(NEW)
    site.keep()
    options = ("--no-seed", "--no-build", *(["--backup"] if backup else []))
    killer = Killer(site.cli, "ensure", *options, exchange=exchange)
    backed_up = site.target.with_name(".venv.bak")
    for call in chosen(killer.calls(site.cli.cwd)):
        site.put_back()
        killer.kill_before(call)
        assert version(site.target) in ({OLD, NEW} if exchange else {OLD, NEW, None}), call
        assert site.ensure(NEW, *options) in {"fetched", "kept"}, call
        found = (version(site.target), version(backed_up), site.names)
        assert (NEW, OLD if backup else FIRST, {".venv", ".venv.bak"}) == found, call


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("begun", ["ensure", "rollback"])
def test_a_way_back_is_not_lost(begun: str, exchange: bool, site: Site) -> None:
    """Whoever rolls back after a run was killed comes to the environment before the one that this run left."""
    site.ensure(FIRST)
    site.ensure(OLD, "--backup")
    site.ask_for(NEW)
    site.keep()
    options = ("--no-seed", "--no-build", "--backup") if begun == "ensure" else ()
    killer = Killer(site.cli, begun, *options, exchange=exchange)
    done = (OLD, NEW) if begun == "ensure" else (OLD, FIRST)
    for call in chosen(killer.calls(site.cli.cwd), every=40):
        site.put_back()
        killer.kill_before(call)
        site.cli.ok("rollback")
        found = (version(site.target), version(site.target.with_name(".venv.bak")))
        assert found in {(FIRST, OLD), done}, call
        assert {".venv", ".venv.bak"} == site.names, call


@pytest.mark.parametrize("then", ["ensure", "rollback"])
@pytest.mark.parametrize("begun", ["ensure", "rollback"])
def test_killed_while_a_link_is_switched(begun: str, then: str, site: Site) -> None:
    """The link leads to a whole release, the old one or the new one; then to what was asked for, and there is a way back."""
    for each in (FIRST, OLD):
        site.ensure(each, *WITH_LINK)
    site.ask_for(NEW)
    site.keep()
    options = ("--no-seed", "--no-build") if begun == "ensure" else ()
    killer = Killer(site.cli, begun, *WITH_LINK, *options)
    aim = NEW if begun == "ensure" else FIRST
    link, previous = site.cli.cwd / "current", site.cli.cwd / ".current.previous"
    for call in chosen(killer.calls(site.cli.cwd), every=40):
        site.put_back()
        killer.kill_before(call)
        assert version(link) in {OLD, aim}, call
        if then == "ensure":
            site.ensure(aim, *WITH_LINK)
            assert (aim, OLD) == (version(link), version(previous)), call
            releases = {each.name: version(each) for each in (site.cli.cwd / "releases").iterdir()}
            assert {FIRST, OLD, aim} == set(releases.values()), call
        else:
            site.cli.ok("rollback", *WITH_LINK)
            assert (version(link), version(previous)) in {(FIRST, OLD), (OLD, aim)}, call
        assert {"current", ".current.previous", "releases"} == site.names, call

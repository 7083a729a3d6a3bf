"""Killed before any system call that changes a disk, a run leaves the old or the new, and the next one tidies up."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore import catalogue
from terrastore.archive.changes import Drift
from terrastore.archive.drift import find_drift
from terrastore.archive.verify import verify_archive
from terrastore.environment import State
from terrastore.report import Report
from terrastore.store.directory import DirectoryStore
from terrastore.trust import Trust
from tests import documented
from tests.conftest import COMMAND, CommandLine, command_line, make_wheel
from tests.kill_points import Call, Killer
from tests.published import KEY, OTHER_KEY, publish_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.key import EnvKey

FIRST, OLD, NEW = "1.0", "2.0", "3.0"
WITHIN = "any change within a directory that is made or removed"
IN_WORDS = {OLD: "the old environment", NEW: "the new environment", None: "nothing, until the next run"}
WITH_LINK = ("--link", "current", "--releases", "releases")


class Seen:
    """What there is after each kill, for docs/reliability.md."""

    def __init__(self, table: str, root: Path) -> None:
        self._table = table
        self._root = root
        self._rows: list[tuple[str, str]] = []

    def add(self, call: Call, found: str) -> None:
        """Note what is found when a run was killed before ``call``."""
        described = (
            "any change within a directory that is made or removed" if is_within(call) else call.described(self._root)
        )
        self._rows.append((described, found))

    def check(self) -> None:
        """Compare with what is documented."""
        documented.check("reliability.md", self._table, ("killed before", "what is there then"), self._rows)


class Site:
    """A working directory that is put back as often as needed, and a store with three versions of ``alpha``."""

    def __init__(self, cli: CommandLine) -> None:
        self.cli = cli
        self.target = cli.cwd / ".venv"
        self._kept = cli.home / "kept"

    def ask_for(self, version: str) -> None:
        self.cli.write("requirements.txt", f"alpha=={version}\n")

    def ensure(self, version: str, *arguments: str) -> str:
        self.ask_for(version)
        return str(self.cli.ok("ensure", "--no-seed", "--no-build", "--json", *arguments).json["outcome"])

    def killer(self, *arguments: str, exchange: bool = True) -> Killer:
        return Killer([*COMMAND, *arguments], cwd=self.cli.cwd, env=self.cli.env, exchange=exchange)

    def keep(self) -> None:
        """Remember how everything is now."""
        shutil.copytree(self.cli.cwd, self._kept, symlinks=True)

    def put_back(self) -> None:
        """Make everything as it was when it was kept."""
        shutil.rmtree(self.cli.cwd)
        shutil.copytree(self._kept, self.cli.cwd, symlinks=True)

    def forget(self) -> None:
        shutil.rmtree(self._kept)
        shutil.rmtree(self.cli.cwd)
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
    drift = find_drift(root, prefix=state.prefix, workers=1, report=Report())
    assert (root.removesuffix(".bak"), Drift()) == (state.prefix, drift)
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
    yield stocked
    stocked.forget()


def once_staged(calls: list[Call]) -> list[Call]:
    """Return the calls from where a new environment is complete, if one is made."""
    complete = [number for number, call in enumerate(calls) if call.given.endswith('/state.json"')]
    return calls[complete[0] + 1 :] if complete else calls


def is_within(call: Call) -> bool:
    """Whether it changes something in a directory that is being made or removed."""
    return "terrastore-*/" in call.given or "terrastore-*>" in call.given


def chosen(calls: list[Call], *, sample: int = 3) -> list[Call]:
    """Return all calls but those within a directory that is being made or removed: of these a sample."""
    within = [call for call in calls if is_within(call)]
    some = within[:: len(within) // sample] if sample and within else []
    points = [call for call in calls if call not in within or call in some]
    print(f"{len(points)} kill points of {len(calls)} calls")
    return points


@pytest.mark.usefixtures("traced")
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
    killer = site.killer("ensure", *options, exchange=exchange)
    backed_up = site.target.with_name(".venv.bak")
    seen = Seen(f"replaced{', --backup' if backup else ''}{'' if exchange else ', two renames'}", site.cli.cwd)
    for call in chosen(killer.calls(site.cli.cwd)):
        site.put_back()
        killer.kill_before(call)
        there = version(site.target)
        seen.add(call, IN_WORDS[there])
        assert there in ({OLD, NEW} if exchange else {OLD, NEW, None}), call
        assert site.ensure(NEW, *options) in {"fetched", "kept"}, call
        found = (version(site.target), version(backed_up), site.names)
        assert (NEW, OLD if backup else FIRST, {".venv", ".venv.bak"}) == found, call
    seen.check()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("begun", ["ensure", "rollback"])
def test_a_way_back_is_not_lost(begun: str, exchange: bool, site: Site) -> None:
    """Whoever rolls back after a run was killed comes to the environment before the one that this run left."""
    site.ensure(FIRST)
    site.ensure(OLD, "--backup")
    site.ask_for(NEW)
    site.keep()
    options = ("--no-seed", "--no-build", "--backup") if begun == "ensure" else ()
    killer = site.killer(begun, *options, exchange=exchange)
    done = (OLD, NEW) if begun == "ensure" else (OLD, FIRST)
    seen = Seen(f"rolled back{'' if exchange else ', two renames'}", site.cli.cwd)
    for call in chosen(once_staged(killer.calls(site.cli.cwd)), sample=0):
        site.put_back()
        killer.kill_before(call)
        there = version(site.target)
        seen.add(call, IN_WORDS[NEW if there == FIRST else there])
        site.cli.ok("rollback")
        found = (version(site.target), version(site.target.with_name(".venv.bak")))
        assert found in {(FIRST, OLD), done}, call
        assert {".venv", ".venv.bak"} == site.names, call
    if begun == "rollback":
        seen.check()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("then", ["ensure", "rollback"])
@pytest.mark.parametrize("begun", ["ensure", "rollback"])
def test_killed_while_a_link_is_switched(begun: str, then: str, site: Site) -> None:
    """The link leads to a whole release, old or new; then to what was asked for, and there is a way back."""
    for each in (FIRST, OLD):
        site.ensure(each, *WITH_LINK)
    site.ask_for(NEW)
    site.keep()
    options = ("--no-seed", "--no-build") if begun == "ensure" else ()
    killer = site.killer(begun, *WITH_LINK, *options)
    aim = NEW if begun == "ensure" else FIRST
    link, previous = site.cli.cwd / "current", site.cli.cwd / ".current.previous"
    calls = killer.calls(site.cli.cwd)
    seen = Seen("link switched" if begun == "ensure" else "link rolled back", site.cli.cwd)
    for call in chosen(calls if then == "ensure" else once_staged(calls)):
        site.put_back()
        killer.kill_before(call)
        there = version(link)
        seen.add(call, IN_WORDS[NEW if there == aim else there])
        assert there in {OLD, aim}, call
        if then == "ensure":
            site.ensure(aim, *WITH_LINK)
            assert (aim, OLD) == (version(link), version(previous)), call
            releases = {each.name: version(each) for each in (site.cli.cwd / "releases").iterdir()}
            assert {FIRST, OLD, aim} == set(releases.values()), call
        else:
            site.cli.ok("rollback", *WITH_LINK)
            assert (version(link), version(previous)) in {(FIRST, OLD), (OLD, aim)}, call
        assert {"current", ".current.previous", "releases"} == site.names, call
    if then == "ensure":
        seen.check()


def sound(store: Path, key: EnvKey) -> bool:
    """Whether the store has the environment, verified; False when it says that it has not."""
    report = Report()
    found = catalogue.find(DirectoryStore(str(store)), key, Trust(), report)
    assert [] == report.warnings
    if found is None:
        return False
    archive, manifest = found.pointer.archive, found.manifest()
    verify_archive(
        found.read, manifest, found.pointer.manifest, size=archive.size, sha256=archive.sha256, report=report
    )
    return True


_PUBLISH_ONCE = """
from pathlib import Path
from tests.published import KEY, publish_once
publish_once(Path.cwd() / "store", Path.cwd() / "locks", KEY)
"""


@pytest.mark.usefixtures("traced")
def test_killed_while_an_environment_is_published(tmp_path: Path) -> None:
    """The store has the environment or says that it has not; then it has it, and one lease, and the lock is gone.

    An archive that no pointer leads to may stay, and a second name of a published file until the next publication.
    """
    store, locks = tmp_path / "store", tmp_path / "locks"
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    killer = Killer([sys.executable, "-c", _PUBLISH_ONCE], cwd=tmp_path, env=env)
    seen = Seen("published", tmp_path)
    for call in chosen(killer.calls(store, locks)):
        shutil.rmtree(store, ignore_errors=True)
        shutil.rmtree(locks, ignore_errors=True)
        killer.kill_before(call)
        there = sound(store, KEY)
        seen.add(call, "the environment, whole" if there else "no environment: a miss")
        publish_once(store, locks, KEY)
        assert sound(store, KEY), call
        assert [] == os.listdir(locks), call
        assert 1 == len(finished(store / "v1/leases" / KEY.text)), call
        assert len(finished(store / "v1/archives" / KEY.text)) <= (1 if there else 2), call
        assert {2} >= {os.stat(path).st_nlink for path in unfinished(store)}, call
        publish_once(store, locks, OTHER_KEY)
        assert [] == unfinished(store), call
    seen.check()


def finished(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def unfinished(folder: Path) -> list[str]:
    return [f"{place}/{name}" for place, _, names in os.walk(folder) for name in names if name.startswith(".")]


def test_killed_at_random(stocked: Site) -> None:
    """Runs that fetch, build and publish are killed at any moment; then one succeeds, and the next build tidies up."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    site = stocked
    site.ensure(OLD)
    for turn in range(30):
        site.ask_for((NEW, OLD)[turn % 2])
        building = turn % 3 == 2
        options = ["--rebuild"] if building else ["--no-build"]
        process = site.cli.start("ensure", "--no-seed", *options)
        time.sleep(chance.uniform(0, 2.0 if building else 0.4))
        process.kill()
        process.communicate()
        assert version(site.target) in {OLD, NEW}, f"seed {seed}, turn {turn}"
    for each in (NEW, OLD):
        site.ask_for(each)
        site.cli.ok("ensure", "--no-seed", "--rebuild")
        assert each == version(site.target)
        site.cli.ok("verify", site.cli.ok("key", "--no-seed").out.strip())
    assert {".venv"} == site.names
    assert [] == os.listdir(site.cli.cache / "build")
    assert [] == unfinished(site.cli.store)

"""A disk is full, at any phase of a run: an error names it, nothing is lost, with room again the next run succeeds.

Each run is repeated with more and more room until it succeeds, so that every phase is met.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from tests.end_to_end.disk import NEW, OLD, Project, Row, in_store, listed, own_project, said, steps, version
from tests.end_to_end.test_s3_failures import of_this_module
from tests.mounts import Disk, unmount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.conftest import Result

DONE: Final = "to its end"


class Work:
    """A run that needs room on a disk, in the directory ``place``, and what is to be known of it afterwards.

    ``phases`` are by the functions that tell them, of which the first counts that was at work.
    """

    phases: ClassVar[Mapping[str, str]]

    def __init__(self, project: Project, disk: Disk, *arguments: str) -> None:
        self.project = project
        self.place = disk.place / "place"
        self.target = project.cli.cwd / "env"
        self.arguments = arguments

    def put_back(self) -> None:
        """Make everything as it was before the run, which asks for another environment than the one that stands."""
        if version(self.target) != OLD:
            self.project.stand(self.target)
        self.project.ask_for(NEW)

    def run(self) -> Result:
        return self.project.cli("ensure", "-v", "--target", str(self.target), *self.arguments)

    def again(self) -> Result:
        """Run it once more, with plenty of room."""
        return self.run()

    def phase(self, result: Result) -> str:
        """Return when a run met the fault."""
        at_work = steps(result) if result.code else []
        return next((phase for step, phase in self.phases.items() if step in at_work), DONE)

    def left(self) -> list[str]:
        """Return what is there that was not there before, beside the new environment."""
        raise NotImplementedError

    def ended(self, result: Result, disk: Disk) -> End:
        """Return what there is now; from here on the disk has plenty of room."""
        disk.give()
        return End(result, version(self.target), listed(self.left()))


UNPACKED = "while files are unpacked"


class Fetching(Work):
    """An environment is fetched to the disk."""

    phases: ClassVar[Mapping[str, str]] = {
        "environment.write": "while its state is written",
        "environment.bind": "while the interpreter is bound",
        "laying.run": UNPACKED,
        "unpack._finish": "while paths are rewritten",
        "unpack.unpack": UNPACKED,
        "place.stage": "when it is staged",
        "atomic.locked": "when the target is locked",
    }

    def __init__(self, project: Project, disk: Disk) -> None:
        super().__init__(project, disk, "--no-build")
        self.target = self.place / "env"

    def left(self) -> list[str]:
        return ["stranger" for name in os.listdir(self.place) if name != "env"]


class Linking(Work):
    """An environment is fetched to a release on the disk, and the link is switched to it."""

    phases: ClassVar[Mapping[str, str]] = {
        "atomic.switch_link": "while the release before is remembered",
        "atomic.locked": "when the link is locked",
        "place.switch": "while the link is switched",
        **Fetching.phases,
    }

    def __init__(self, project: Project, disk: Disk) -> None:
        super().__init__(project, disk, "--no-build")
        self.target = self.place / "current"

    def put_back(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.project.ask_for(OLD)
        assert 0 == self.run().code
        self.project.ask_for(NEW)

    def run(self) -> Result:
        where = ("--link", str(self.target), "--releases", str(self.place / "releases"))
        return self.project.cli("ensure", "-v", *where, *self.arguments)

    def left(self) -> list[str]:
        known = {".current.previous": "link to the release before", "current": "", "releases": ""}
        beside = [known.get(name, "stranger") for name in os.listdir(self.place)]
        releases = sorted(filter(None, map(version, (self.place / "releases").iterdir())))
        return [*filter(None, beside), *("release" for _ in releases[1:])]


class Building(Work):
    """An environment is built, with the cache on the disk, and published elsewhere."""

    phases: ClassVar[Mapping[str, str]] = {
        "flight._try_lock": "when the build is locked",
        "staging.held": "when it is staged",
        "process._new_log": "when its log is begun",
        "process._clean_environment": "when it is staged",
        "compilers.variables": "when it is staged",
        "__init__._make_skeleton": "in virtualenv",
        "pip.install": "in the installer",
        "uv.install": "in the installer",
        "bytecode.compile_modules": "while it is compiled",
        "production.packed": "while it is packed",
        "flight.turn": "when the build is locked",
    }

    def __init__(self, project: Project, disk: Disk, installer: str) -> None:
        self.store = project.cli.cwd / "store"
        cache = ("--cache-dir", str(disk.place / "place"))
        super().__init__(project, disk, "--installer", installer, "--store", str(self.store), *cache)

    def put_back(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.rmtree(self.place, ignore_errors=True)
        super().put_back()

    def left(self) -> list[str]:
        beside = [each for each in ("build", "locks") if (self.place / each).exists()]
        return [*in_store(self.store), *("stranger" for each in beside for _ in os.listdir(self.place / each))]


FILLED = "while its archive is copied"


class Publishing(Work):
    """An environment is built, and published to a store on the disk that has another one."""

    phases: ClassVar[Mapping[str, str]] = {
        "flight.taken": "when the lease is taken",
        "publish._point": "while its pointer is written",
        "publish.write": "while its archive is written",
        "publish.end": "while its archive is written",
    }
    warned: ClassVar[Mapping[str, str]] = {
        "other machines cannot be told": "when the lease is taken",
        "not published": "while it is published",
        "not copied nearer": FILLED,
    }

    def __init__(self, project: Project, disk: Disk, *arguments: str) -> None:
        self.stores = [disk.place / "place"]
        super().__init__(project, disk, *arguments)

    def put_back(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.project.old_store, self.place)
        super().put_back()

    def run(self) -> Result:
        stores = (f"--store={store}" for store in self.stores)
        return self.project.cli("ensure", "-v", "--target", str(self.target), *stores, *self.arguments)

    def again(self) -> Result:
        """Run it on another machine, which has nothing yet."""
        shutil.rmtree(self.target)
        return self.run()

    def phase(self, result: Result) -> str:
        told = result.err if result.code == 0 else ""
        phase = next((phase for words, phase in self.warned.items() if words in told), super().phase(result))
        return "while its pointer is written" if phase == FILLED and "archive" in self.left() else phase

    def left(self) -> list[str]:
        before = self.project.old_store
        for path in filter(os.path.isfile, before.rglob("*")):
            assert path.read_bytes() == (self.place / path.relative_to(before)).read_bytes()
        return [*(Counter(in_store(self.place)) - Counter(in_store(before))).elements()]


class Filling(Publishing):
    """An environment is fetched from a farther store, and fills a nearer one on the disk."""

    def __init__(self, project: Project, disk: Disk) -> None:
        super().__init__(project, disk, "--no-build")
        self.stores.append(project.cli.store)


@dataclass(frozen=True)
class End:
    """What a run did, which environment stands then, and what is left beside it."""

    result: Result
    version: str | None
    left: str


@dataclass(frozen=True)
class Attempt:
    """A run with so much room; ``again`` is the next one, with plenty of it, where that was tried."""

    room: int
    phase: str
    end: End
    again: End | None


@dataclass(frozen=True)
class Sweep:
    """A run that is tried with the rooms of a ladder, in ``unit``, and between those that end differently."""

    work: Callable[[Project, Disk], Work]
    unit: str
    ladder: Iterable[int]
    finest: int = 1

    def attempts(self, project: Project) -> list[Attempt]:
        """Try until it succeeds; a next run is made once for each phase."""
        # The path of a cache must be short.
        with TemporaryDirectory(prefix="ts-", ignore_cleanup_errors=True) as place:
            disk = Disk(Path(place))
            work, tried, met = self.work(project, disk), dict[int, Attempt](), {DONE}

            def attempt(room: int) -> None:
                work.put_back()
                disk.leave(**{self.unit: room})
                end = work.ended(work.run(), disk)
                phase = work.phase(end.result)
                again = work.ended(work.again(), disk) if phase not in met else None
                tried[room] = Attempt(room, phase, end, again)
                met.add(phase)

            for room in self.ladder:
                attempt(room)
                if tried[room].phase == DONE:
                    break
            while between := [
                (low + high) // 2
                for low, high in pairwise(sorted(tried))
                if high - low > self.finest and tried[low].phase != tried[high].phase
            ]:
                for room in between:
                    attempt(room)
            unmount(disk.place)
        return [tried[room] for room in sorted(tried)]


def building(installer: str) -> Callable[[Project, Disk], Work]:
    return lambda project, disk: Building(project, disk, installer)


def publishing(*arguments: str) -> Callable[[Project, Disk], Work]:
    return lambda project, disk: Publishing(project, disk, *arguments)


EVERY: Final = range(200)
DOUBLED: Final = (0, 1, *(2**power for power in range(6, 16)))
ROUGH: Final = (64, *range(1024, 100_000, 1024))

# The slowest first: the others run in their shadow.
SWEEPS: Final[Mapping[str, Sweep]] = {
    "no space for a build by pip": Sweep(building("pip"), "pages", (0, *ROUGH), 64),
    "no inodes for a build by pip": Sweep(building("pip"), "inodes", (*range(6), *ROUGH), 64),
    "no space for a build by uv": Sweep(building("uv"), "pages", DOUBLED, 4),
    "no space in a store that must be published to": Sweep(publishing("--require-publish"), "pages", DOUBLED),
    "no inodes in a store that must be published to": Sweep(publishing("--require-publish"), "inodes", EVERY),
    "no space in the store": Sweep(publishing(), "pages", DOUBLED),
    "no inodes in the store": Sweep(publishing(), "inodes", EVERY),
    "no space for the target": Sweep(Fetching, "pages", DOUBLED),
    "no inodes for the target": Sweep(Fetching, "inodes", EVERY),
    "no inodes for the link": Sweep(Linking, "inodes", range(30, 200)),
    "no space in a nearer store": Sweep(Filling, "pages", DOUBLED),
    "no inodes in a nearer store": Sweep(Filling, "inodes", EVERY),
}

ENVIRONMENT = "cannot take the environment: no space left on device"
LINK = "cannot take the link: no space left on device"
LOCK = "locks cannot take the lock of a build: no space left on device"
BUILD = "cannot take the build: no space left on device"
STORE = "cannot be written: no space left on device"
UNPUBLISHED = "not published: the store "
UNFILLED = "not copied nearer: the store "

ROWS: Final = (
    Row("no space for the target", "while files are unpacked", 9, ENVIRONMENT),
    Row("no space for the target", "while paths are rewritten", 9, ENVIRONMENT),
    Row("no space for the target", "while the interpreter is bound", 9, ENVIRONMENT),
    Row("no space for the target", "while its state is written", 9, ENVIRONMENT),
    Row("no inodes for the target", "when the target is locked", 9, ENVIRONMENT),
    Row("no inodes for the target", "when it is staged", 9, ENVIRONMENT),
    Row("no inodes for the target", "while files are unpacked", 9, ENVIRONMENT),
    Row("no inodes for the target", "while paths are rewritten", 9, ENVIRONMENT),
    Row("no inodes for the target", "while the interpreter is bound", 9, ENVIRONMENT),
    Row("no inodes for the target", "while its state is written", 9, ENVIRONMENT),
    Row("no inodes for the link", "while paths are rewritten", 9, ENVIRONMENT),
    Row("no inodes for the link", "while the interpreter is bound", 9, ENVIRONMENT),
    Row("no inodes for the link", "while its state is written", 9, ENVIRONMENT),
    Row("no inodes for the link", "while the link is switched", 9, LINK, "a release"),
    Row("no inodes for the link", "while the release before is remembered", 9, LINK, "a release"),
    Row("no space for a build by pip", "when it is staged", 9, BUILD, "a lease"),
    Row("no space for a build by pip", "in virtualenv", 9, BUILD, "a lease"),
    Row("no space for a build by pip", "in the installer", 9, BUILD, "a lease"),
    Row("no inodes for a build by pip", "when the build is locked", 9, LOCK),
    Row("no inodes for a build by pip", "when its log is begun", 9, BUILD, "a lease"),
    Row("no inodes for a build by pip", "when it is staged", 9, BUILD, "a lease"),
    Row("no inodes for a build by pip", "in virtualenv", 9, BUILD, "a lease"),
    Row("no space for a build by uv", "when it is staged", 9, BUILD, "a lease"),
    Row("no space for a build by uv", "in virtualenv", 9, BUILD, "a lease"),
    Row("no space for a build by uv", "in the installer", 9, BUILD, "a lease"),
    Row("no space for a build by uv", "while it is compiled", 9, BUILD, "a lease"),
    Row("no space for a build by uv", "while it is packed", 9, BUILD, "a lease"),
    Row("no space in the store", "when the lease is taken", 0, UNPUBLISHED),
    Row("no space in the store", "while it is published", 0, UNPUBLISHED, "a lease"),
    Row("no inodes in the store", "when the lease is taken", 0, UNPUBLISHED),
    Row("no inodes in the store", "while it is published", 0, UNPUBLISHED, "a lease"),
    Row("no space in a store that must be published to", "when the lease is taken", 7, STORE),
    Row("no space in a store that must be published to", "while its archive is written", 7, STORE, "a lease"),
    Row("no space in a store that must be published to", "while its pointer is written", 7, STORE, "a lease"),
    Row("no inodes in a store that must be published to", "when the lease is taken", 7, STORE),
    Row("no inodes in a store that must be published to", "while its archive is written", 7, STORE, "a lease"),
    Row("no inodes in a store that must be published to", "while its pointer is written", 7, STORE, "a lease"),
    Row("no space in a nearer store", "while its archive is copied", 0, UNFILLED),
    Row("no space in a nearer store", "while its pointer is written", 0, UNFILLED, "an archive"),
    Row("no inodes in a nearer store", "while its archive is copied", 0, UNFILLED),
    Row("no inodes in a nearer store", "while its pointer is written", 0, UNFILLED, "an archive"),
)


@pytest.fixture(scope="module")
def attempts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[list[Attempt]]]]:
    """Return the attempts of the sweeps that were selected, of which two are made at once."""
    given = [value for item in of_this_module(request) for value in item.callspec.params.values()]
    selected = {value.fault if isinstance(value, Row) else value for value in given}
    with own_project(tmp_path_factory) as project, ThreadPoolExecutor(2) as pool:
        yield {
            fault: pool.submit(sweep.attempts, project.elsewhere(f"sweep{number}"))
            for number, (fault, sweep) in enumerate(SWEEPS.items())
            if fault in selected
        }


@pytest.mark.parametrize("fault", SWEEPS)
def test_every_phase_is_met(attempts: dict[str, Future[list[Attempt]]], fault: str) -> None:
    """The table has a row for every phase at which the disk can be full."""
    met = {attempt.phase: attempt.room for attempt in reversed(attempts[fault].result())}
    print(f"{fault}, by {SWEEPS[fault].unit} left:", met)
    assert {row.phase for row in ROWS if row.fault == fault} | {DONE} == set(met)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_full_disk(attempts: dict[str, Future[list[Attempt]]], row: Row) -> None:
    """The disk is named; what stood stands and nothing is left of the new one, unless that did not need the disk."""
    for attempt in attempts[row.fault].result():
        if attempt.phase == row.phase:
            message, hint = said(attempt.end.result)
            assert row.message in message
            assert re.search(r"/ts-\w+/place\b.* \(.* left", message)
            assert hint.startswith("make room there" if row.code else "")
            assert (row.code, row.left) == (attempt.end.result.code, attempt.end.left)
            assert (OLD if row.code else NEW) == attempt.end.version


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_once_there_is_room_again(attempts: dict[str, Future[list[Attempt]]], row: Row) -> None:
    """The next run succeeds without a word of what was, and all is as it is where there was room from the beginning."""
    *tried, done = attempts[row.fault].result()
    (again,) = (attempt.again for attempt in tried if attempt.phase == row.phase and attempt.again)
    assert ("", 0) == (said(again.result)[0], again.result.code)
    assert (NEW, done.end.left) == (again.version, again.left)


@pytest.mark.parametrize("fault", [fault for fault in SWEEPS if "must be published" in fault])
def test_nothing_is_built_for_a_store_without_room(attempts: dict[str, Future[list[Attempt]]], fault: str) -> None:
    """Where not even a lease can be written, that is told before minutes are spent."""
    told = {attempt.phase: attempt.end.result.err for attempt in attempts[fault].result()}
    assert "miss  " not in told["when the lease is taken"]
    assert "miss  " in told["while its archive is written"]


@pytest.mark.parametrize("unit", ["pages", "inodes"])
def test_an_environment_that_is_moved_to_a_full_disk(tmp_path_factory: pytest.TempPathFactory, unit: str) -> None:
    """relocate names the disk, leaves no unfinished file, and does its work once there is room."""
    with own_project(tmp_path_factory) as project:
        disk = Disk(project.cli.home / "disk")
        before, target = disk.place / "place/before", disk.place / "place/env"
        project.stand(before)
        before.rename(target)
        codes = []
        for room in range(100):
            disk.leave(**{unit: room})
            result = project.cli("relocate", str(target))
            disk.give()
            codes.append(result.code)
            assert [] == [path for path in target.rglob("*") if path.name.endswith(("new", ".tmp"))]
            if result.code == 0:
                break
            assert f"{target.parent} {ENVIRONMENT}" in said(result)[0]
        assert [9] * (len(codes) - 1) + [0] == codes
        assert 1 < len(codes)
        assert OLD == version(target)

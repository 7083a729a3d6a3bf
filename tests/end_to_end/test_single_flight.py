"""Of many that want one environment at once one builds it: whatever becomes of that one, the others get theirs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from terrastore.store.lease import FAILED, OVER, Note
from tests.conftest import COMMAND, make_project, make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import CommandLine
    from tests.servers import S3Server

ROUNDS = int(os.environ.get("FLIGHT_ROUNDS", "1"))
"""How often the crowds come: 20 before a release."""
CROWD = int(os.environ.get("FLIGHT_CROWD", "20"))
"""How many come to S3 at once: 50 before a release."""
PATIENCE = 240.0
QUICK = 20.0
"""Far below the time to live of a lease, and enough for a build on a machine that has other things to do."""

HURRIED = """
from terrastore import flight
flight.TTL, flight.HEARTBEAT, flight._POLL_SECONDS = 4.0, 1.0, (0.1, 0.3)
from terrastore.cli import main
main()
"""


@dataclass
class Run:
    """A process of the command line, and the files of what it says."""

    process: subprocess.Popen[str]
    target: Path
    out: Path
    err: Path

    def said(self, text: str) -> bool:
        """Whether it has told people something already."""
        return text in self.err.read_text()

    @property
    def waits(self) -> bool:
        return self.said("wait  ")

    @property
    def builds(self) -> bool:
        return self.said("miss  ")

    def end(self) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(PATIENCE)

    @property
    def json(self) -> Any:
        """What --json said."""
        return json.loads(self.out.read_text())

    @property
    def works(self) -> bool:
        """Whether its environment is whole and stands where it is."""
        check = "import beta; print(beta.PREFIX)"
        done = subprocess.run([self.target / "bin/python", "-c", check], capture_output=True, text=True, check=False)
        return done.stdout.strip() == str(self.target)


class Fleet:
    """Machines that have a project and a store in common, and a build that goes on until a test lets it end."""

    def __init__(self, cli: CommandLine, wheels: Path) -> None:
        self.cli = cli
        self.caches = [cli.cache]
        self.runs: list[Run] = []
        self.begun, self.gate = cli.home / "begun", cli.home / "gate"
        self.begun.touch()
        cli.env |= {"TERRASTORE_NO_SEED": "1"}
        cli.write("requirements.txt", "./gadget\n")
        make_project(
            cli.cwd / "gadget",
            "import os, shutil, sys, time\n"
            f"with open({str(self.begun)!r}, 'a') as file:\n"
            "    file.write('begun\\n')\n"
            f"while not os.path.exists({str(self.gate)!r}):\n"
            "    time.sleep(0.02)\n"
            f"if verdict := open({str(self.gate)!r}).read():\n"
            "    sys.exit(verdict)\n"
            f"shutil.copy({str(wheels / 'beta-1.0-py3-none-any.whl')!r}, folder)\n"
            "return 'beta-1.0-py3-none-any.whl'",
        )

    def machine(self) -> int:
        """Return the number of one more machine."""
        # Short enough to hold a staging prefix, as a person's is.
        self.caches.append(Path(tempfile.mkdtemp(prefix="ts-")))
        return len(self.caches) - 1

    def start(self, *arguments: str, machine: int = 0, hurried: bool = False) -> Run:
        """Start a run for an environment of its own."""
        name = f"run{len(self.runs)}"
        out, err = self.cli.home / f"{name}.out", self.cli.home / f"{name}.err"
        command = hurried_command() if hurried else COMMAND
        with out.open("w") as to_out, err.open("w") as to_err:
            process = subprocess.Popen(
                [*command, "ensure", "--target", name, "--json", *arguments],
                cwd=self.cli.cwd,
                env=self.cli.env | {"TERRASTORE_CACHE_DIR": str(self.caches[machine])},
                stdout=to_out,
                stderr=to_err,
                text=True,
            )
        self.runs.append(Run(process, self.cli.cwd / name, out, err))
        return self.runs[-1]

    def builder(self, *, machine: int = 0, hurried: bool = False) -> Run:
        """Start a run, and return it when it builds."""
        before = self.builds
        run = self.start(machine=machine, hurried=hurried)
        until(lambda: self.builds > before or run.process.poll() is not None)
        assert self.builds > before, run.err.read_text()
        return run

    def waiter(self, *arguments: str, machine: int = 0, hurried: bool = False) -> Run:
        """Start a run, and return it when it waits."""
        run = self.start(*arguments, machine=machine, hurried=hurried)
        until(lambda: run.waits or run.process.poll() is not None)
        assert run.waits, run.err.read_text()
        return run

    @property
    def builds(self) -> int:
        """How often it was built, or somebody tried."""
        return len(self.begun.read_text().splitlines())

    def open(self, verdict: str = "") -> None:
        """Let every build end: well, or by an error."""
        waiting = self.gate.with_suffix(".new")
        waiting.write_text(verdict)
        waiting.rename(self.gate)

    def close(self) -> None:
        """Let builds go on until they are told to end."""
        self.gate.unlink()

    def notes(self) -> list[Note]:
        """Return the notes of the leases in the store, all of them."""
        found = [Note.parse(path.read_bytes()) for path in self.cli.store.glob("v1/leases/*/*")]
        return [note for note in found if note is not None]

    def check_tidy(self, *, orphans: int = 0) -> None:
        """Check that nothing is left but what was asked for: no lock, no stage, nothing unfinished, one note."""
        allowed = {"gadget", "requirements.txt", *(run.target.name for run in self.runs)}
        assert set(os.listdir(self.cli.cwd)) <= allowed
        for cache in self.caches:
            for name in ("locks", "build"):
                assert not (cache / name).exists() or [] == os.listdir(cache / name)
        if self.cli.env["TERRASTORE_STORE"] == str(self.cli.store):
            files = [path.relative_to(self.cli.store).parts for path in self.cli.store.rglob("*") if path.is_file()]
            assert [] == [path for path in files if path[-1].startswith(".")]
            kinds = Counter(path[1] for path in files)
            # Whoever fetched or built left a mark, all of them the same one.
            assert kinds.pop("uses", 0) <= 1
            assert {"pointers": 1, "archives": 1 + orphans, "leases": 1} == dict(kinds)


def hurried_command() -> list[str]:
    """Return the command under test with a short time to live."""
    if COMMAND[-2:] == ["-m", "terrastore"]:
        return [*COMMAND[:-2], "-c", HURRIED]
    return [str(Path(COMMAND[0]).with_name("python")), "-P", "-c", HURRIED]


def until(condition: Callable[[], Any]) -> None:
    """Wait for what processes do."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def fleet(cli: CommandLine, wheels: Path) -> Iterator[Fleet]:
    """Return a machine of a fleet that has built nothing."""
    fleet = Fleet(cli, wheels)
    yield fleet
    for run in fleet.runs:
        run.process.kill()
        run.process.wait()
    fleet.open("the test is over")
    for cache in fleet.caches[1:]:
        shutil.rmtree(cache, ignore_errors=True)


# Crowds.


@dataclass
class Crowd:
    """A fleet, and how many of it come at once."""

    fleet: Fleet
    size: int

    def come(self) -> None:
        """Start all at one instant, let the build end when all others wait for it, and check what came of it."""
        fleet = self.fleet
        fleet.runs.clear()
        machines = [*range(len(fleet.caches))]
        runs = [fleet.start(machine=machines[number % len(machines)]) for number in range(self.size)]
        until(lambda: self.size - 1 <= sum(run.waits for run in runs))
        fleet.open()
        assert [0] * self.size == [run.end() for run in runs], [run.err.read_text() for run in runs]
        assert {"built": 1, "fetched": self.size - 1} == Counter(run.json["outcome"] for run in runs)
        assert [] == [warning for run in runs for warning in run.json["warnings"]]
        assert [True] * self.size == [run.works for run in runs]
        assert 1 == fleet.builds
        fleet.check_tidy()


def again(crowd: Crowd) -> None:
    """Forget all that was made."""
    fleet = crowd.fleet
    fleet.close()
    fleet.begun.write_text("")
    for run in fleet.runs:
        shutil.rmtree(run.target)


def test_fifty_at_once_on_a_directory(fleet: Fleet) -> None:
    """Processes of five machines that start at one instant: one build, and every environment works."""
    for _ in range(4):
        fleet.machine()
    crowd = Crowd(fleet, 50)
    crowd.come()
    assert [OVER] == [note.state for note in fleet.notes()]
    for _ in range(1, ROUNDS):
        again(crowd)
        shutil.rmtree(fleet.cli.store)
        crowd.come()


@dataclass
class Corner:
    """A part of a bucket that only one fleet uses."""

    server: S3Server
    prefix: str

    @classmethod
    def of(cls, server: S3Server, fleet: Fleet) -> Corner:
        """Let ``fleet`` use a new one."""
        corner = cls(server, uuid4().hex)
        fleet.cli.env |= server.variables() | {"TERRASTORE_STORE": f"s3://{server.bucket}/{corner.prefix}"}
        return corner

    def kinds(self) -> list[str]:
        """Return of what kind each object is, sorted, but for marks of use."""
        found = self.server.client().list_objects_v2(Bucket=self.server.bucket, Prefix=self.prefix)
        return sorted(kind for each in found["Contents"] if (kind := each["Key"].split("/")[2]) != "uses")

    def uploads(self) -> list[Any]:
        """Return unfinished uploads."""
        found = self.server.client().list_multipart_uploads(Bucket=self.server.bucket, Prefix=self.prefix)
        return list(found.get("Uploads", ()))


@pytest.mark.parametrize("kind", ["moto", "radosgw"])
def test_a_crowd_on_s3(fleet: Fleet, kind: str, request: pytest.FixtureRequest) -> None:
    """The same holds of a bucket: one build, one pointer, one archive, one note, and no unfinished upload."""
    server: S3Server = request.getfixturevalue(kind)
    for _ in range(4):
        fleet.machine()
    crowd = Crowd(fleet, CROWD)
    for turn in range(ROUNDS):
        corner = Corner.of(server, fleet)
        crowd.come()
        assert ["archives", "leases", "pointers"] == corner.kinds()
        assert [] == corner.uploads()
        if turn < ROUNDS - 1:
            again(crowd)


def test_a_crowd_on_an_s3_that_ignores_conditions(fleet: Fleet, rclone: S3Server) -> None:
    """Each machine may believe that it is the one that builds; every environment works, and what is there is sound."""
    for _ in range(4):
        fleet.machine()
    for turn in range(ROUNDS):
        corner = Corner.of(rclone, fleet)
        fleet.open()
        runs = [fleet.start(machine=number % len(fleet.caches)) for number in range(CROWD)]
        assert [0] * CROWD == [run.end() for run in runs], [run.err.read_text() for run in runs]
        assert [True] * CROWD == [run.works for run in runs]
        outcomes = Counter(run.json["outcome"] for run in runs)
        print(f"round {turn}: {fleet.builds} builds on {len(fleet.caches)} machines, {dict(outcomes)}")
        assert 1 <= outcomes["built"] == fleet.builds <= len(fleet.caches)
        assert 1 == corner.kinds().count("pointers")
        (key,) = fleet.cli.ok("list").out.split()
        fleet.cli.ok("verify", key)
        fleet.check_tidy()
        if turn < ROUNDS - 1:
            again(Crowd(fleet, CROWD))
            fleet.runs.clear()


def test_many_at_once_without_much_to_build(fleet: Fleet) -> None:
    """Some find it built when they come, some wait for a moment: still one build."""
    fleet.open()
    fleet.machine()
    runs = [fleet.start(machine=number % 2) for number in range(8)]
    assert [0] * 8 == [run.end() for run in runs]
    assert {"built": 1, "fetched": 7} == Counter(run.json["outcome"] for run in runs)
    assert 1 == fleet.builds
    fleet.check_tidy()


# What those who wait say.


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this machine", "another machine"])
def test_who_waited_fetched(fleet: Fleet, elsewhere: bool) -> None:
    """One line says for whom it waits; in the end it has fetched, and says how long it waited."""
    builder = fleet.builder()
    waiter = fleet.waiter(machine=fleet.machine() if elsewhere else 0)
    (note,) = fleet.notes()
    assert waiter.said(f"is built by {note.host}, process {builder.process.pid}, since {note.since}")
    fleet.open()
    assert (0, 0) == (builder.end(), waiter.end())
    assert ("built", "fetched") == (builder.json["outcome"], waiter.json["outcome"])
    assert builder.json["store"] == waiter.json["store"] == str(fleet.cli.store)
    assert waiter.json["seconds"]["wait"] > 0
    assert "wait" not in builder.json["seconds"]
    assert [] == waiter.json["warnings"]
    assert waiter.works
    fleet.check_tidy()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this machine", "another machine"])
def test_patience_ends(fleet: Fleet, elsewhere: bool) -> None:
    """--wait 1 ends with 10 after a second, says who builds and what to do, and leaves nothing."""
    builder = fleet.builder()
    waiter = fleet.waiter("--wait", "1", machine=fleet.machine() if elsewhere else 0)
    assert 10 == waiter.end()
    (note,) = fleet.notes()
    who = f"{note.host}, process {builder.process.pid}, since"
    error = waiter.json["error"]
    assert ("wait", True) == (error["kind"], f"which is built by {who}" in error["message"])
    assert error["message"].startswith("waited 1 s for cp3")
    assert "--wait 0 builds at once" in error["hint"]
    assert waiter.said("terrastore: error: waited 1 s")
    assert not waiter.target.exists()
    fleet.open()
    assert (0, 1) == (builder.end(), fleet.builds)
    fleet.check_tidy()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this machine", "another machine"])
def test_who_does_not_wait_builds(fleet: Fleet, elsewhere: bool) -> None:
    """--wait 0 builds beside the other; both end well, with what was published first."""
    builder = fleet.builder()
    other = fleet.start("--wait", "0", machine=fleet.machine() if elsewhere else 0)
    until(lambda: fleet.builds == 2)
    assert not other.waits
    fleet.open()
    assert (0, 0) == (builder.end(), other.end())
    assert builder.works
    assert other.works
    (key,) = fleet.cli.ok("list").out.split()
    fleet.cli.ok("verify", key)


def test_who_publishes_second_takes_what_was_published_first(fleet: Fleet, tmp_path: Path) -> None:
    """Two builds of one key may come to different things; both end with the one that all others will fetch."""
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        make_wheel(tmp_path / str(number), "gamma", "1.0", {"gamma.py": f"BUILD = {number}\n"})
    make_project(
        fleet.cli.cwd / "widget",
        "import os, shutil, time\n"
        f"with open({str(fleet.begun)!r}, 'a+') as file:\n"
        "    file.write('begun\\n')\n"
        "    file.seek(0)\n"
        "    number = len(file.readlines())\n"
        f"while not os.path.exists({str(fleet.gate)!r}):\n"
        "    time.sleep(0.02)\n"
        f"shutil.copy(f'{tmp_path}/{{number}}/gamma-1.0-py3-none-any.whl', folder)\n"
        "return 'gamma-1.0-py3-none-any.whl'",
    )
    fleet.cli.write("requirements.txt", "./widget\n")
    builder = fleet.builder()
    other = fleet.start("--wait", "0", machine=fleet.machine())
    until(lambda: fleet.builds == 2)
    fleet.open()
    assert (0, 0) == (builder.end(), other.end())
    assert ["built", "fetched"] == sorted(run.json["outcome"] for run in (builder, other))
    later = fleet.start()
    assert (0, "fetched") == (later.end(), later.json["outcome"])
    show = "import gamma; print(gamma.BUILD)"
    assert 1 == len({subprocess.check_output([run.target / "bin/python", "-c", show]) for run in fleet.runs})
    assert 2 == fleet.builds


def test_build_waits_too(fleet: Fleet) -> None:
    """``terrastore build`` beside a builder finds in the store what that one published."""
    builder = fleet.builder()
    process = fleet.cli.start("build", "--json")
    fleet.open()
    out, errors = process.communicate(timeout=PATIENCE)
    assert (0, 0) == (builder.end(), process.returncode), errors
    assert ("kept", 1) == (json.loads(out)["outcome"], fleet.builds)


@pytest.mark.parametrize("arguments", [["--rebuild"], ["--no-publish"]], ids=lambda each: each[0])
def test_who_publishes_nothing_for_others_waits_for_nobody(fleet: Fleet, arguments: list[str]) -> None:
    """What somebody else builds is not what it wants."""
    fleet.builder()
    other = fleet.start(*arguments)
    until(lambda: fleet.builds == 2)
    assert not other.waits
    fleet.open()
    assert 0 == other.end()


# Builders that end otherwise.


def test_a_failure_is_everybodys_who_waited(fleet: Fleet) -> None:
    """They end with 5 and its last lines, on this machine and on others; who comes later tries itself."""
    builder = fleet.builder()
    waiters = [fleet.waiter(), fleet.waiter(), fleet.waiter(machine=fleet.machine())]
    fleet.open("there is no compiler")
    assert [5, 5, 5, 5] == [run.end() for run in (builder, *waiters)]
    (note,) = fleet.notes()
    assert FAILED == note.state
    for waiter in waiters:
        error = waiter.json["error"]
        assert "build" == error["kind"]
        assert f"the build that this run waited for failed, on {note.host}: " in error["message"]
        assert "there is no compiler" in error["message"]
        assert f"the log on {note.host}" in error["hint"]
    assert 1 == fleet.builds
    fleet.close()
    fleet.open()
    later = fleet.start()
    assert (0, "built", 2) == (later.end(), later.json["outcome"], fleet.builds)
    fleet.check_tidy()


@pytest.mark.parametrize(
    ("how", "elsewhere"), [(signal.SIGINT, False), (signal.SIGTERM, True)], ids=["this machine", "another machine"]
)
def test_who_waits_for_one_that_is_interrupted_builds(fleet: Fleet, how: signal.Signals, elsewhere: bool) -> None:
    """Ctrl-C of the builder is no failure of the build: one of those who wait builds, and soon."""
    builder = fleet.builder()
    machine = fleet.machine() if elsewhere else 0
    waiters = [fleet.waiter(machine=machine), fleet.waiter(machine=machine)]
    interrupted = time.monotonic()
    builder.process.send_signal(how)
    assert 130 == builder.end()
    until(lambda: fleet.builds == 2)
    fleet.open()
    assert [0, 0] == [waiter.end() for waiter in waiters]
    assert time.monotonic() - interrupted < QUICK
    assert ["built", "fetched"] == sorted(waiter.json["outcome"] for waiter in waiters)
    assert 2 == fleet.builds
    fleet.check_tidy()


def test_a_waiter_that_is_interrupted_disturbs_nobody(fleet: Fleet) -> None:
    """It ends with 130 at once, and the builder goes on."""
    builder, here, there = fleet.builder(), fleet.waiter(), fleet.waiter(machine=fleet.machine())
    for waiter in (here, there):
        waiter.process.send_signal(signal.SIGINT)
        assert 130 == waiter.process.wait(5)
    fleet.open()
    assert (0, 1) == (builder.end(), fleet.builds)
    fleet.check_tidy()


def test_a_killed_builder_is_taken_over_on_its_machine(fleet: Fleet) -> None:
    """The lock is free at once: one of those who wait builds, and nobody waits for the time to live."""
    builder = fleet.builder()
    waiters = [fleet.waiter() for _ in range(4)]
    killed = time.monotonic()
    builder.process.kill()
    until(lambda: fleet.builds == 2)
    fleet.open()
    assert [0] * 4 == [waiter.end() for waiter in waiters]
    assert time.monotonic() - killed < QUICK
    assert {"built": 1, "fetched": 3} == Counter(waiter.json["outcome"] for waiter in waiters)
    assert (2, [True] * 4) == (fleet.builds, [waiter.works for waiter in waiters])
    assert [OVER] == [note.state for note in fleet.notes()]


def test_a_killed_builder_is_taken_over_elsewhere(fleet: Fleet) -> None:
    """Once its note did not change for a time to live, here of seconds, one of all machines builds."""
    builder = fleet.builder(hurried=True)
    waiters = [fleet.waiter(machine=machine, hurried=True) for machine in (fleet.machine(), fleet.machine()) * 2]
    until(lambda: fleet.notes()[-1].sequence >= 6)  # longer than the time to live, while it lives
    assert 1 == fleet.builds
    builder.process.kill()
    until(lambda: fleet.builds == 2)
    fleet.open()
    assert [0] * 4 == [waiter.end() for waiter in waiters]
    assert {"built": 1, "fetched": 3} == Counter(waiter.json["outcome"] for waiter in waiters)
    assert (2, [True] * 4) == (fleet.builds, [waiter.works for waiter in waiters])


def test_a_builder_that_slept_disturbs_nobody(fleet: Fleet) -> None:
    """Stopped for longer than the time to live and woken, it ends well: what it made is sound, and the first stays."""
    builder = fleet.builder(hurried=True)
    waiter = fleet.waiter(machine=fleet.machine(), hurried=True)
    builder.process.send_signal(signal.SIGSTOP)
    until(lambda: fleet.builds == 2)
    builder.process.send_signal(signal.SIGCONT)
    fleet.open()
    assert (0, 0) == (builder.end(), waiter.end())
    assert builder.works
    assert waiter.works
    (key,) = fleet.cli.ok("list").out.split()
    fleet.cli.ok("verify", key)
    assert [OVER] == [note.state for note in fleet.notes()]


@pytest.mark.parametrize("turn", range(3 * ROUNDS))
def test_killed_at_any_moment(fleet: Fleet, turn: int) -> None:
    """Whenever the builder dies, all others end well, and at most one more builds."""
    seed = random.randrange(2**32)
    print(f"turn {turn}, seed {seed}")
    fleet.open()
    machines = (0, 0, fleet.machine())
    runs = [fleet.start(machine=machine, hurried=True) for machine in machines]
    until(lambda: any(run.builds for run in runs) or all(run.process.poll() is not None for run in runs))
    time.sleep(random.Random(seed).uniform(0, 1.5))
    builder = next(run for run in runs if run.builds)
    builder.process.kill()
    builder.end()
    others = [run for run in runs if run is not builder]
    assert [0, 0] == [run.end() for run in others]
    assert [True, True] == [run.works for run in others]
    assert fleet.builds <= 2
    (key,) = fleet.cli.ok("list").out.split()
    fleet.cli.ok("verify", key)

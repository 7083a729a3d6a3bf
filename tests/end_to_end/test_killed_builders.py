"""A builder that is killed takes its tools with it, and whoever comes next neither waits for ever nor finds a mess."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_project
from tests.end_to_end.test_single_flight import Corner, Fleet
from tests.processes import PATIENCE, is_alive, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.end_to_end.test_single_flight import Run

ROUNDS = int(os.environ.get("FLIGHT_ROUNDS", "1"))
"""How often the crowds come: 20 before a release."""
CROWD = int(os.environ.get("FLIGHT_CROWD", "6"))
"""How many come at once: 50 before a release."""
MACHINES = 5 if CROWD >= 10 else 2


# As a compiler that heeds no SIGTERM: says who it is, and writes until it is told to end.
BUSY = """
import os, signal, sys, tempfile
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid, done = sys.argv[1:]
with open(pid + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(pid + ".new", pid)
while not os.path.exists(done):
    os.close(tempfile.mkstemp()[0])
"""


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_killed_build_takes_its_tools_along(cli: CommandLine, wheels: Path, installer: str) -> None:
    """No compiler goes on, the next run succeeds, and nothing is left of the one before."""
    pid, done = cli.home / "pid", cli.home / "done"
    busy = cli.home / "busy.py"
    busy.write_text(BUSY)
    make_project(
        cli.cwd / "gadget",
        "import os, shutil, subprocess, sys\n"
        f"subprocess.run([sys.executable, {str(busy)!r}, {str(pid)!r}, {str(done)!r}], check=True)\n"
        f"shutil.copy({str(wheels / 'beta-1.0-py3-none-any.whl')!r}, folder)\n"
        "return 'beta-1.0-py3-none-any.whl'",
    )
    cli.write("requirements.txt", "./gadget\n")
    ensure = ("ensure", "--no-seed", "--installer", installer, "--json")
    process = cli.start(*ensure)
    try:
        until(lambda: pid.exists() or process.poll() is not None)
        process.kill()
        process.communicate(timeout=PATIENCE)
        until(lambda: not is_alive(int(pid.read_text())))
    finally:
        done.touch()
    assert os.listdir(cli.cache / "build")
    assert "built" == cli.ok(*ensure).json["outcome"]
    assert [] == os.listdir(cli.cache / "build")
    assert [] == os.listdir(cli.cache / "locks")
    assert {"gadget", "requirements.txt", ".venv"} == set(os.listdir(cli.cwd))


@pytest.fixture
def fleet(cli: CommandLine, wheels: Path) -> Iterator[Fleet]:
    """Return some machines that have built nothing, and whose builds end by themselves."""
    fleet = Fleet(cli, wheels)
    fleet.open()
    for _ in range(1, MACHINES):
        fleet.machine()
    yield fleet
    for run in fleet.runs:
        run.process.kill()
        run.process.wait()
    for cache in fleet.caches[1:]:
        shutil.rmtree(cache, ignore_errors=True)


@pytest.mark.parametrize("kind", ["directory", "moto", "radosgw"])
def test_killed_at_any_moment_in_a_crowd(fleet: Fleet, kind: str, request: pytest.FixtureRequest) -> None:
    """Whenever the builder dies, one of all that came with it takes over, at most; all others end well, and soon."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    for turn in range(ROUNDS):
        corner = None if kind == "directory" else Corner.of(request.getfixturevalue(kind), fleet)
        fleet.begun.write_text("")
        fleet.runs.clear()
        started = time.monotonic()
        runs = [fleet.start(machine=number % MACHINES) for number in range(CROWD)]
        builder = kill_builder(fleet, chance)
        others = [run for run in runs if run is not builder]
        assert [0] * len(others) == [run.end() for run in others], [run.err.read_text() for run in others]
        outcomes = Counter(run.json["outcome"] for run in others)
        print(f"round {turn}: {fleet.builds} builds, {dict(outcomes)}, {time.monotonic() - started:.0f} s")
        assert [True] * len(others) == [run.works for run in others]
        assert outcomes["built"] <= fleet.builds <= 2
        assert outcomes["built"] <= 1
        (key,) = fleet.cli.ok("list").out.split()
        fleet.cli.ok("verify", key)
        fleet.cli.ok("ensure", "--no-build", "--target", builder.target.name)
        assert builder.works
        targets = {run.target.name for run in runs}
        assert {"gadget", "requirements.txt"} | targets == set(os.listdir(fleet.cli.cwd))
        assert corner is None or [] == corner.uploads()
        forget(fleet)


def kill_builder(fleet: Fleet, chance: random.Random) -> Run:
    """Kill who builds, soon after it began, or after its compiler did."""
    until(lambda: any(run.builds for run in fleet.runs))
    if chance.random() < 0.5:
        until(lambda: fleet.builds)
    time.sleep(chance.uniform(0, 2))
    builder = next(run for run in fleet.runs if run.builds)
    builder.process.kill()
    builder.end()
    return builder


def forget(fleet: Fleet) -> None:
    """Remove what was made."""
    for run in fleet.runs:
        shutil.rmtree(run.target)
    shutil.rmtree(fleet.cli.store, ignore_errors=True)

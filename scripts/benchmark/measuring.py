"""Runs scenarios, a whole process each, in rounds that pair neighbours in time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scripts.benchmark.results import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scripts.benchmark.results import Measured, Results

LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command of sh to be timed, ``{new}`` standing for a path that is not there yet."""

    name: str
    command: str
    bytecode: bool | None = None
    """Whether what it makes has bytecode; None when it makes no environment."""
    rounds: int = 1000
    """In how many it takes part at most; few for what takes long."""
    before: str = ":"
    """What is run before, untimed."""
    code: int = 0
    """The exit code that is right."""
    variables: Mapping[str, str] = field(default_factory=dict)
    answers: Path | None = None
    """Where a server notes when it answered: see shaped.py."""


class FailedError(Exception):
    """A command did not do what it was there for; the text has what it said last, then the command and some more."""


class Launcher:
    """A small process that runs commands, in a folder that is there for what they make."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self._errors = folder / "errors"
        self._in_memory = filesystem(folder) == "tmpfs"
        self._number = 0
        self._variables = dict(variables)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER)],
            env=self._variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, command: str, variables: Mapping[str, str] | None = None, *, code: int = 0) -> dict[str, Any]:
        """Run a command of sh and return what it took, as launcher.py says it."""
        assert self._process.stdin
        assert self._process.stdout
        asked = {"command": command, "variables": dict(variables or {}), "errors": str(self._errors)}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        took: dict[str, Any] = json.loads(self._process.stdout.readline())
        if took["code"] != code:
            said = self._errors.read_text(errors="replace").splitlines()[-8:]
            raise FailedError("\n".join([f"exit code {took['code']}: {said[-1] if said else ''}", command, *said]))
        return took

    def measure(self, scenario: Scenario, number: int, ready: Callable[[], None] = lambda: None) -> Run:
        """Run a scenario once; ``ready`` is called just before.

        What it made goes afterwards where the filesystem is in memory; elsewhere it stays until the end, for creating
        files can be slow just after deleting many.
        """
        self._number += 1
        new = self.folder / f"new-{self._number}"
        self.run(scenario.before.format(new=new))
        ready()
        took = self.run(scenario.command.format(new=new), scenario.variables, code=scenario.code)
        if self._in_memory:
            for leftover in self.folder.glob(f"{new.name}*"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        first = first_answer(scenario.answers, took["started"]) if scenario.answers else None
        return Run(round=number, wall=took["wall"], cpu=took["cpu"], memory=took["memory"], first_byte=first)


def rounds_of(scenarios: Sequence[Scenario], rounds: int) -> Iterator[tuple[int, Scenario]]:
    """Yield every scenario once a round, every other round backwards."""
    for number in range(rounds):
        taking_part = [scenario for scenario in scenarios if number < scenario.rounds]
        for scenario in taking_part[:: -1 if number % 2 else 1]:
            yield number, scenario


def measure(
    launcher: Launcher, scenarios: Sequence[Scenario], rounds: int, measured: Measured, results: Results
) -> None:
    """Run all rounds, and note what each run took. A scenario that fails is left out from there on, and named."""
    for scenario in scenarios:
        measured.bytecode[scenario.name] = scenario.bytecode
        measured.runs.setdefault(scenario.name, [])
    failed = set()
    for number, scenario in rounds_of(scenarios, rounds):
        if scenario.name in failed:
            continue
        try:
            run = launcher.measure(scenario, number)
        except FailedError as error:
            failed.add(scenario.name)
            results.left_out[scenario.name] = str(error)
            say(f"left out: {scenario.name}: {error}")
            continue
        measured.runs[scenario.name].append(run)
        say(f"round {number}  {scenario.name:48}{run.wall:8.2f} s{run.cpu:8.2f} s of the processor")
        results.save()


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)


def first_answer(answers: Path, since: float) -> float:
    """Return how long after ``since``, by the monotonic clock, a server first answered."""
    times = (float(line.split()[0]) for line in answers.read_text().splitlines())
    return next(time for time in times if time >= since) - since


def filesystem(folder: Path) -> str:
    """Return the kind of filesystem that a folder is on."""
    shown = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def clean_variables() -> dict[str, str]:
    """Return this process's environment without what would shape keys and installers behind our back.

    Where an index is, and whom to trust there, stays.
    """
    kept = {"PIP_CERT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL"}
    beginnings = ("PIP_", "UV_", "TERRASTORE_", "AWS_", "PEX_", "PYTHON", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(beginnings)}
    return variables | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_CONFIG": "1"}

"""docs/tutorial.md is followed word for word, in order, by one shell on a bare machine: it says what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from packaging.utils import parse_wheel_filename

from terrastore import __version__
from tests.bare_machine import bare_machine
from tests.conftest import Result
from tests.documented import varied
from tests.package_index import PackageIndex
from tests.servers import LackingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tutorial.md").read_text()
HOME = "/home/you"
"""What the page calls the home of whoever follows it."""
MARK = "== what comes next"
TEN_MINUTES = 600
# A machine as somebody has it who is new: a user, pip that knows an index, a clone, and a share that other machines
# mount at the same place.
NEWCOMER = f"""
set -eu
useradd --create-home --home-dir {HOME} --shell /bin/bash you
printf '[global]\\nindex-url = %s\\n' "$INDEX" > /etc/pip.conf
cp -r /srv/clone {HOME}/terrastore
ln -s /srv/share {HOME}/share
chown -R you: {HOME}
exec su --login you --command "cd ~/terrastore && bash -eo pipefail /srv/script"
"""


class Step(NamedTuple):
    """What the page tells to type, and what it shows as the answer, if anything."""

    name: str
    commands: str
    shown: str


STEPS = [
    Step(name, *map(textwrap.dedent, blocks))
    for name, *blocks in re.findall(r"<!-- run: ([\w ]+) -->\n((?: {4}.*\n)+)(?:\n((?: {4}.*\n)+))?", PAGE)
]
AT_THE_SECOND = [step for step in STEPS if step.name in {"install", "project", "second machine", "its paths"}]
"""What another machine must do to have terrastore, the same requirements and the environment."""


class Place(NamedTuple):
    """Where the page is followed: each script begins in a home of its own; only ``~/share`` is that of before."""

    run: Callable[[str], Result]
    asked: list[str]
    """What the index was asked for, as far as that is known."""


@contextmanager
def on_bare_machines(folder: Path) -> Iterator[Place]:
    """Yield Debian with what the page names, for each script anew; LackingError tells why there can be none."""
    (packages,) = re.findall(r"Debian: `apt install ([\w -]+)`", PAGE)
    with bare_machine(packages.replace(" ", "-"), packages.replace(" ", ",")) as machine:
        shutil.copytree(ROOT, machine.folder / "clone", ignore=shutil.ignore_patterns(".*", "__pycache__", "dist"))
        share = machine.folder / "share"
        share.mkdir()
        share.chmod(0o777)
        index = filled_index(folder)
        with index.serving(), machine.wire(index.url.removesuffix("/simple")) as wire:

            def run(script: str) -> Result:
                file = machine.folder / "script"
                file.write_text(script)
                file.chmod(0o644)
                url = f"{wire.url}/simple"
                return machine("sh", "-c", NEWCOMER, writable=True, timeout=TEN_MINUTES, INDEX=url)

            yield Place(run, index.asked)


def filled_index(folder: Path) -> PackageIndex:
    """Return an index that has what terrastore is built with and needs, and what the page pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [project["build-system"]["requires"] + project["project"]["dependencies"]]
    asked += [[pin] for pin in set(re.findall(r"\b[\w.-]+==[\d.]+\d\b", PAGE))]
    wheels = folder / "wheels"
    for requirements in asked:
        command = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", "--dest", str(wheels)]
        done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
    index = PackageIndex(folder)
    for wheel in wheels.iterdir():
        wheel.rename(index.folder(parse_wheel_filename(wheel.name)[0]) / wheel.name)
    return index


@contextmanager
def on_this_machine(folder: Path) -> Iterator[Place]:
    """Yield what there is without root: homes of this machine, and the index that its pip knows."""
    share = folder / "share"
    share.mkdir()
    foreign = ("TERRASTORE_", "XDG_", "PYTHON", "VIRTUAL", "UV_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin"

    def run(script: str) -> Result:
        home = folder / "you"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        (home / "share").symlink_to(share)
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=ROOT,
            env=env | {"HOME": str(home), "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=TEN_MINUTES,
        )
        return Result(done.returncode, done.stdout.replace(str(home), HOME), done.stderr)

    yield Place(run, [])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return bare machines; where there can be none it is this one, but not in continuous integration."""
    try:
        with on_bare_machines(tmp_path) as place:
            yield place
            return
    except LackingError:
        if "CI" in os.environ:
            raise
    with on_this_machine(tmp_path) as place:
        yield place


def follow(place: Place, steps: list[Step]) -> set[str]:
    """Follow steps in one shell on a new machine, require what the page shows, and return what they add to the home."""
    look = "ls -A ~\n"
    script = f"echo '{MARK}'\n".join([look, *(step.commands for step in steps), look])
    begun = time.monotonic()
    done = place.run(script)
    print(f"{len(steps)} steps in {time.monotonic() - begun:.0f} s")
    assert 0 == done.code, done.out + done.err
    before, *said, after = (part.strip() for part in done.out.split(MARK))
    for step, out in zip(steps, said, strict=True):
        if step.shown:
            assert (step.name, varied(step.shown.strip())) == (step.name, varied(out))
    assert f"terrastore {__version__}" == said[0].splitlines()[-1]
    return set(after.split()) - set(before.split())


@pytest.mark.network
def test_word_by_word(place: Place) -> None:
    """From nothing to a second machine; each step prints what the page shows, and no more is left than the page says.

    A machine that has only the store in common with the first, and is told the same, fetches too.
    """
    assert ["install", "project", "ensure"] == [step.name for step in STEPS[:3]]
    assert 7 < len([step for step in STEPS if step.shown])
    assert {".terrastore", ".cache"} == follow(place, STEPS)
    known = bool(place.asked)
    assert known == ("/simple/httpx/" in place.asked)
    place.asked.clear()
    assert 4 == len(AT_THE_SECOND)
    assert {"shop", "second"} == follow(place, AT_THE_SECOND) - {".terrastore", ".cache"}
    # For terrastore itself, and for nothing else.
    assert (known, False) == ("/simple/hatchling/" in place.asked, "/simple/httpx/" in place.asked)

"""A store that is looked after from the command line, while others use it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.conftest import CommandLine, command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import S3Server

DAY = 86400.0
MACHINES = 3
ROUNDS = 3


def age(store: Path, days: float) -> None:
    """Let everything in a store have been written so many days ago, marks in some other week."""
    for week in (store / "v1/uses").iterdir():
        week.rename(week.with_name("2001-W01"))
    for path in store.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - days * DAY,) * 2)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no terminal of a developer's count."""
    monkeypatch.delenv("COLUMNS", raising=False)


def key_of(cli: CommandLine) -> str:
    return cli.ok("list").out.strip()


def test_what_was_not_used_is_pruned(stored: CommandLine) -> None:
    """A dry run says what would go and why; then it goes, its archive with the first prune after a day."""
    key = key_of(stored)
    age(stored.store, 50)
    would = stored.ok("prune", "--unused-for", "30d", "--dry-run").out.splitlines()
    assert would[0].startswith(f"{key[:27]}  ")
    assert would[0].endswith("used 7 weeks ago   not used for 43 d")
    assert would[1].startswith("would prune 1 of 1 environment, ")
    assert [key] == stored.ok("list").out.split()
    pruned = stored.ok("prune", "--unused-for", "30d").out
    assert pruned.startswith("pruned   1 of 1 environment, ")
    assert f" from {stored.store}  (0 bytes left; what they have is freed by the first prune after a day" in pruned
    assert "" == stored.ok("list").out
    age(stored.store, 2)
    last = stored.ok("prune", "--json").json
    assert (0, [], 1, 1) == (
        last["environments"],
        last["removed"],
        last["tidied"]["archives"],
        last["tidied"]["records"],
    )
    assert last["freed"] > 1000
    assert [] == [path for path in stored.store.rglob("*") if path.is_file() and "/uses/" not in str(path)]


def test_a_fetch_is_a_use(stored: CommandLine) -> None:
    """What was made long ago and fetched today stays; keeping what stands is none."""
    age(stored.store, 50)
    stored.ok("ensure", "--no-build")
    assert "used this week" in stored.ok("list", "-l").out
    assert "pruned   0 of 1 environment," in stored.ok("prune", "--unused-for", "30d").out
    age(stored.store, 50)
    assert stored.ok("ensure", "--no-build").out.startswith("kept ")
    assert "used 7 weeks ago" in stored.ok("list", "-l").out


def test_a_build_that_finds_it_there_is_a_use(stored: CommandLine) -> None:
    """Who makes sure that a store has something needs it."""
    shutil.rmtree(stored.store / "v1/uses")
    assert stored.ok("build").out.startswith("kept ")
    assert "used this week" in stored.ok("list", "-l").out


def test_what_is_pinned_stays(stored: CommandLine) -> None:
    """Neither a prune nor ``remove`` takes it, unless that is forced, and the list says why."""
    key = key_of(stored)
    assert stored.ok("pin", "production", key[:27]).out == f"pinned   production holds {key[:27]}, in {stored.store}\n"
    assert stored.ok("pin", "staging", key, "--json").json["before"] is None
    assert stored.ok("list", "-l").out.endswith("  pinned as production, staging\n")
    assert ["production", "staging"] == stored.ok("list", "--json").json["environments"][0]["pins"]
    assert "pruned   0 of 1 environment," in stored.ok("prune", "--keep-last", "0").out
    for variables in ({}, {"TERRASTORE_FORCE": "1"}):
        refused = stored("remove", key, **variables)
        assert (2, f"{key[:27]} in {stored.store} is pinned as production, staging" in refused.err) == (
            refused.code,
            True,
        )
    assert stored.ok("unpin", "staging").out == f"unpinned staging, in {stored.store}\n"
    assert 2 == stored("unpin", "staging").code
    stored.ok("remove", key, "--force")
    assert "" == stored.ok("list").out


def test_what_is_said_when_pruning_cannot_be(stored: CommandLine) -> None:
    """Of several stores one must be named; sizes and times must be such."""
    several = stored("prune", TERRASTORE_STORE=f"{stored.home}/near {stored.store}")
    assert (2, "are several" in several.err, "name one with --store" in several.err) == (several.code, True, True)
    web = stored("prune", "--store", "https://127.0.0.1:1/x")
    assert (2, "cannot be pruned" in web.err) == (web.code, True)
    for option in ("--unused-for=soon", "--max-size=big", "--keep-last=-1"):
        assert 2 == stored("prune", option).code
    assert 1 == len(stored.ok("list").out.split())


def test_a_list_of_what_holds_a_package(stored: CommandLine) -> None:
    """By name and version; what was learnt once is known, also when the store's archives cannot be read any more."""
    stored.write("two.txt", "alpha==2.0\n")
    stored.ok("build", "-r", "two.txt")
    two, one = stored.ok("list").out.split()
    for expected, wanted in (
        ([two, one], ["alpha"]),
        ([two, one], ["Alpha>=1"]),
        ([one], ["alpha==1.0"]),
        ([two], ["alpha>1", "beta==1.0"]),
        ([], ["alpha==3.0"]),
        ([], ["nothing"]),
    ):
        assert expected == stored.ok("list", *(f"--with={each}" for each in wanted)).out.split()
    for path in (stored.store / "v1/archives").rglob("*.tar.zst"):
        path.write_bytes(b"gone")
    assert [one] == stored.ok("list", "--with=alpha==1.0").out.split()
    for wrong in ("alpha==", "alpha @ https://x.example/y", "alpha[x]", "alpha; python_version>'3'"):
        assert 2 == stored("list", "--with", wrong).code


@pytest.mark.parametrize("columns", [80, 200])
def test_a_long_list_fits(stored: CommandLine, columns: int) -> None:
    """Wide terminals show the whole key, Python and packages; narrow ones what matters most."""
    key = key_of(stored)
    stored.ok("pin", "a-long-name-of-a-pin-for-the-environment-of-production", key)
    (line,) = stored.ok("list", "-l", COLUMNS=str(columns)).out.splitlines()
    assert len(line) <= columns
    assert line.startswith(key if columns > 100 else key.rpartition("-")[2][:8])
    assert ("3 packages" in line) == (columns > 100)
    assert " ago  used this week  " in line


# ---- while others are at work


@pytest.fixture(params=["directory", "radosgw"])
def busy(request: pytest.FixtureRequest, tmp_path: Path, wheels: Path) -> Iterator[list[CommandLine]]:
    """Return the command lines of several machines with a store in common."""
    variables = {"TERRASTORE_STORE": str(tmp_path / "store"), "TERRASTORE_NO_SEED": "1"}
    if request.param == "radosgw":
        server: S3Server = request.getfixturevalue("radosgw")
        variables |= server.variables() | {"TERRASTORE_STORE": f"s3://{server.bucket}/busy-{uuid4().hex}"}
    machines = []
    lines = [command_line(tmp_path / f"machine{number}", wheels) for number in range(MACHINES + 1)]
    for line in lines:
        machines.append(line.__enter__())
        machines[-1].env |= variables
        machines[-1].write("requirements.txt", "alpha==1.0\n")
    yield machines
    for line in lines:
        line.__exit__(None, None, None)


def test_nothing_in_use_is_lost_while_others_prune(busy: list[CommandLine]) -> None:
    """Machines fetch and build while prunes remove what is not pinned: every run ends well, what is pinned stays."""
    *machines, keeper = busy
    keeper.ok("build")
    keeper.ok("pin", "production", key_of(keeper))
    over = threading.Event()
    pruned: list[int] = []

    def prune() -> None:
        while not over.is_set():
            pruned.append(len(keeper.ok("prune", "--keep-last", "0", "--json").json["removed"]))

    def use(number: int) -> list[tuple[str, str]]:
        cli, ended = machines[number], []
        for turn in range(ROUNDS):
            shutil.rmtree(cli.cwd / ".venv", ignore_errors=True)
            ended.append(("pinned", cli.ok("ensure", "--no-build", "--json").json["outcome"]))
            other = cli.ok("ensure", "--salt", str(turn % 2), "--target", f"other-{turn}", "--json").json
            ended.append(("other", other["outcome"]))
            assert [] == other["warnings"]
        return ended

    with ThreadPoolExecutor(MACHINES + 1) as pool:
        pruning = pool.submit(prune)
        try:
            ended = [outcome for outcomes in pool.map(use, range(MACHINES)) for outcome in outcomes]
        finally:
            over.set()
        pruning.result()
    assert [("pinned", "fetched")] * MACHINES * ROUNDS == [each for each in ended if each[0] == "pinned"]
    assert {"fetched", "built"} >= {outcome for kind, outcome in ended if kind == "other"}
    print(f"{len(pruned)} prunes removed {sum(pruned)} environments")
    assert pruned

"""What docs/recipes has for Airflow and Dask: lines of Python, and the commands of a real Dask."""

from __future__ import annotations

import os
import signal
import site
import socket
import subprocess
import textwrap
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import terrastore
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import CommandLine


def test_the_task(stored: CommandLine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A function that a scheduler runs brings the environment and runs a program there; without one it raises."""
    source = pages.example("airflow", "task")
    assert 1 == source.count(f'"{pages.STORE}"')
    names: dict[str, Any] = {}
    exec(source.replace(f'"{pages.STORE}"', repr(str(stored.store))), names)
    # Not a part of the function: it is run by this process, whose pip has other settings.
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, stored.env[name])
    monkeypatch.setenv("HOME", stored.env["HOME"])
    program = stored.write("job.py", "import alpha, sys\nprint('ran', alpha.VERSION, sys.prefix)\n")
    target = str(stored.cwd / "env")
    names["run_in_environment"](str(program), str(stored.cwd / "requirements.txt"), target)
    assert f"ran 1.0 {target}\n" == capfd.readouterr().out
    other = stored.write("other.txt", "alpha==2.0\n")
    with pytest.raises(terrastore.TerrastoreError) as raised:
        names["run_in_environment"](str(program), str(other), target)
    (last,) = traceback.format_exception_only(raised.value)
    pages.told("airflow", "failure", last, {stored.store: pages.STORE, "alpha 1.0 → 2.0": "numpy 2.1.0 → 2.1.1"})


CLIENT = """\
import subprocess, sys
import terrastore
from distributed import Client

with Client({address!r}) as client:
    client.wait_for_workers(2)
{lines}
    print(*sorted(outcome.outcome for outcome in outcomes.values()))
    print(done.result().decode().strip())
    print(*{{*client.run(lambda: sys.prefix).values(), client.run_on_scheduler(lambda: sys.prefix), sys.prefix}})
"""


@contextmanager
def at_work(cli: CommandLine, *arguments: str) -> Iterator[None]:
    """Run a command in the background, and end it with all that it started: without a scheduler workers wait long."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = cli.start(*arguments, start_new_session=True, **pipes)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.network
def test_dask(cli: CommandLine) -> None:
    """Scheduler, workers and client run in one environment; the client brings another one to the workers."""
    cli.forget_wheels()
    cli.write("requirements.txt", "distributed\n")
    cli.write("job.txt", "iniconfig==2.1.0\n")
    shown = "\n".join(line for line in pages.text("dask").splitlines() if line.startswith("    terrastore run"))
    scheduler, worker, client = calls(shown)
    missed = cli(*scheduler)
    assert 4 == missed.code
    pages.told("dask", "failure", missed.err, {cli.store: pages.STORE})
    cli.ok("build")
    cli.ok("build", "-r", "job.txt")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    lines = pages.example("dask", "on every worker")
    target = str(cli.cwd / "job")
    for there, here in ((pages.STORE, str(cli.store)), ("/var/tmp/job", target), ('"-m", "job"', '"-c", "print(17)"')):
        assert there in lines
        lines = lines.replace(there, here)
    cli.write("client.py", CLIENT.format(address=address, lines=textwrap.indent(lines, "    ")))
    cli.env["DASK_TEMPORARY_DIRECTORY"] = str(cli.home)
    # What workers have beside what the store has: terrastore.
    cli.env["PYTHONPATH"] = ":".join((str(SCRIPTS.parent), *site.getsitepackages()))
    with (
        at_work(cli, *scheduler, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
        at_work(cli, *worker[:-1], address, "--nworkers", "2", "--no-dashboard"),
    ):
        done = cli(*client)
    assert 0 == done.code, done.err
    outcomes, ran, prefixes = done.out.splitlines()
    assert ("fetched kept", "17") == (outcomes, ran)
    (prefix,) = prefixes.split()
    assert f"{cli.home}/.local/share/terrastore/environments" == os.path.dirname(prefix)

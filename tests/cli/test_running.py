"""A command in an environment: what it prints and nothing else, its exit code, and the environment stays."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine


def test_a_command_runs_in_the_environment(stored: CommandLine) -> None:
    """Its own programs come first, and it is told as an activated one."""
    script = "import os, sys, alpha; print(sys.prefix == os.environ['VIRTUAL_ENV'], alpha.VERSION)"
    result = stored.ok("run", "python", "-c", script)
    assert "True 1.0\n" == result.out
    assert "alpha 1.0\n" == stored.ok("run", "-r", "requirements.txt", "--", "alpha").out


def test_it_is_shared_by_who_asks_for_the_same(stored: CommandLine) -> None:
    """By its key, in the user's data folder, and not made again."""
    stored.ok("run", "true")
    (environment,) = (stored.home / ".local/share/terrastore/environments").glob("cp*")
    before = environment.stat()
    (stored.cwd / "elsewhere").mkdir()
    stored.cwd = stored.cwd / "elsewhere"
    stored.write("other.txt", "alpha == 1.0\n")
    assert f"{environment}\n" == stored.ok("run", "-r", "other.txt", "--", "sh", "-c", "echo $VIRTUAL_ENV").out
    after = environment.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize(
    ("code", "command"),
    [
        pytest.param(0, ("true",), id="success"),
        pytest.param(3, ("sh", "-c", "exit 3"), id="its own code"),
        pytest.param(127, ("no-such-command",), id="not found"),
        pytest.param(126, ("/",), id="a directory"),
        pytest.param(2, (), id="none"),
    ],
)
def test_exit_codes(stored: CommandLine, code: int, command: tuple[str, ...]) -> None:
    """They are the command's, and a shell's where it cannot be run."""
    result = stored("run", "--", *command)
    assert code == result.code
    assert "" == result.out
    assert ("terrastore: error: " in result.err) == (code in {2, 126, 127})
    assert "Traceback" not in result.err


def test_options_behind_the_command_are_its_own(stored: CommandLine) -> None:
    """Those that terrastore has too, and dashes alone."""
    words = ("--no-build", "-r", "x", "--", "-v", "--help")
    result = stored.ok("run", "python", "-c", "import sys; print(sys.argv[1:])", *words)
    assert f"{list(words)}\n" == result.out


def test_a_miss_is_told_on_standard_error(cli: CommandLine) -> None:
    """What a command prints can be piped, whatever was done before."""
    cli.write("requirements.txt", "alpha==1.0\n")
    refused = cli("run", "--no-build", "--", "echo", "x")
    assert (4, "") == (refused.code, refused.out)
    result = cli.ok("run", "--", "echo", "x")
    assert "x\n" == result.out
    assert "miss " in result.err


def test_signals_reach_the_command(stored: CommandLine) -> None:
    """There is no process of terrastore around it: it has its place, and ends as the signal ends it."""
    process = stored.start("run", "--", "sh", "-c", "echo $$; exec sleep 60", stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.pid == int(process.stdout.readline())
    os.kill(process.pid, signal.SIGTERM)
    assert -signal.SIGTERM == process.wait(timeout=30)
    process.stdout.close()

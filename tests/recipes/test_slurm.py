"""scripts/slurm/job.sh. Slurm is not there: an srun stands in that runs a command once a task, one after the other."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import put_program
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, calls, require_understood

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine

JOB = SCRIPTS / "slurm/job.sh"
# The disk of each node is a directory of its own; where the job's tasks go is told by options, else by the job.
SRUN = """\
#!/bin/bash
tasks=$SLURM_NTASKS
while [[ $1 == --* ]]; do
    case $1 in
    --ntasks=*) tasks=${1#*=} ;;
    --ntasks-per-node=1 | --kill-on-bad-exit=1) ;;
    *) echo "srun: no such option: $1" >&2; exit 1 ;;
    esac
    shift
done
for ((task = 0; task < tasks; task++)); do
    node=$((task * SLURM_JOB_NUM_NODES / tasks))
    unshare --mount sh -c 'mount --bind "$0" "$SLURM_TMPDIR" && exec "$@"' "$NODES/$node" "$@" || exit
done
"""


def run(cli: CommandLine, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the job as a batch script on two nodes."""
    programs, shared, nodes = folder / "programs", folder / "tmp", folder / "nodes"
    for each in (programs, shared, nodes / "0", nodes / "1"):
        each.mkdir(parents=True)
    (programs / "srun").write_text(SRUN)
    (programs / "srun").chmod(0o755)
    put_program(programs / "terrastore")
    given = {
        "PATH": f"{programs}:{cli.env['PATH']}",
        "NODES": str(nodes),
        "SLURM_TMPDIR": str(shared),
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_NTASKS": "8",
    }
    return subprocess.run(["bash", JOB], cwd=cli.cwd, env=cli.env | given, capture_output=True, text=True, check=False)


def test_every_command_is_understood() -> None:
    """The job runs terrastore with options that there are."""
    shown = calls(JOB.read_text().replace("requirements.txt)", "requirements.txt"))
    assert ["build", "key", "ensure"] == [words[0] for words in shown]
    for words in shown:
        require_understood(words)


def test_shell() -> None:
    """shellcheck has nothing to say."""
    done = subprocess.run([f"{sys.prefix}/bin/shellcheck", str(JOB)], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_once_a_node(stored: CommandLine, tmp_path: Path) -> None:
    """Each node fetches once, every task runs in what its node has, and nothing is left on the nodes."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount")
    stored.write("train.py", "import alpha, sys\nprint('trained', alpha.VERSION, sys.prefix)\n")
    done = run(stored, tmp_path)
    assert 0 == done.returncode, done.stderr
    lines = done.stdout.splitlines()
    pages.told("slurm", "hit", pages.result(done.stdout), {stored.store: pages.STORE, tmp_path: ""})
    assert [f"trained 1.0 {tmp_path}/tmp/terrastore-17/env"] * 8 == [line for line in lines if line.startswith("train")]
    assert [] == list((tmp_path / "nodes").glob("*/*"))


def test_nothing_runs_without_the_environment(cli: CommandLine, tmp_path: Path) -> None:
    """What was not published ends the job with terrastore's exit code."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount")
    cli.write("requirements.txt", "alpha==1.0\n")
    cli.write("train.py", "print('trained')\n")
    done = run(cli, tmp_path)
    assert 4 == done.returncode, done.stderr
    assert "trained" not in done.stdout
    pages.told("slurm", "failure", pages.result(done.stderr), {cli.store: pages.STORE})

"""Tools see nothing that would lead them astray, end as they end, and do not outlive who wanted them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from terrastore.build.process import Tools
from terrastore.errors import BuildError
from terrastore.redaction import Redactor
from terrastore.report import Report
from tests.processes import PATIENCE, is_alive, until

# Starts a tool of two processes, the second of which heeds no SIGTERM, and says which they are.
OWNER = """
import sys
from pathlib import Path
from terrastore.build.process import Tools
from terrastore.redaction import Redactor
from terrastore.report import Report
folder = Path(sys.argv[1])
report = Report()
tools = Tools(folder / "cache", str(folder), redactor=Redactor(), variables={})
with report.phase("install", unit="steps") as phase:
    tools.run([sys.executable, str(folder / "tool.py"), str(folder)], "the tool", phase)
"""
TOOL = """
import os, signal, subprocess, sys, time
folder = sys.argv[1]
busy = "import signal, time\\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\\nprint('busy', flush=True)\\n" + (
    "while True:\\n"
    "    time.sleep(0.01)\\n"
)
child = subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE)
child.stdout.readline()
with open(folder + "/pids.new", "w") as file:
    print(os.getppid(), os.getpid(), child.pid, file=file)
os.rename(folder + "/pids.new", folder + "/pids")
child.wait()
"""


ASTRAY = (
    "PIP_INDEX_URL",
    "PYTHONPATH",
    "UV_LINK_MODE",
    "VIRTUALENV_PROMPT",
    "VIRTUAL_ENV",
    "TCL_LIBRARY",
    "TK_LIBRARY",
)


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path / "cache", str(tmp_path), redactor=Redactor(), variables={})


def run(tools: Tools, program: str) -> str:
    return run_command(tools, sys.executable, "-c", program)


def run_command(tools: Tools, *command: str) -> str:
    with Report().phase("install", unit="steps") as phase:
        return tools.run(command, "the tool", phase)


def test_what_a_tool_says_is_returned(tools: Tools) -> None:
    """On both streams."""
    told = run(tools, "import sys; print('one', flush=True); print('two', file=sys.stderr)")
    assert "one\ntwo" == told


def test_a_tool_ignores_no_signal_of_ours(tools: Tools) -> None:
    """Python ignores SIGPIPE; what a tool starts ends by it in silence, as everywhere."""
    assert "y" == run_command(tools, "sh", "-c", "yes | head -n 1")


@pytest.mark.parametrize(
    ("program", "code"),
    [
        pytest.param("raise SystemExit(3)", 3, id="an exit code"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -9, id="killed"),
        pytest.param("import os; os.kill(os.getpid(), 15)", -15, id="terminated"),
        pytest.param("import os; os.abort()", -6, id="crashed"),
    ],
)
def test_a_tool_that_fails(program: str, code: int, tools: Tools) -> None:
    """Its end is told as it was."""
    with pytest.raises(BuildError, match=f"^the tool failed with exit code {code}:"):
        run(tools, program)


def test_a_tool_that_is_not_there(tools: Tools) -> None:
    """The error names it."""
    with pytest.raises(BuildError, match="/nonexistent cannot be run: No such file or directory"):
        run_command(tools, "/nonexistent")


def test_a_tool_inherits_nothing(tools: Tools) -> None:
    """It has no descriptor but the three that it needs: neither end of the pipe that says whether it is wanted."""
    inherited = "import os; print([fd for fd in range(3, 256) if os.path.exists(f'/dev/fd/{fd}')])"
    assert "[]" == run(tools, inherited)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_no_tool_outlives_us(how: signal.Signals, tmp_path: Path) -> None:
    """Killed or interrupted, we take the whole group with us: the tool and what it started, whatever that ignores."""
    (tmp_path / "tool.py").write_text(TOOL)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], env=env, stderr=subprocess.DEVNULL)
    until((tmp_path / "pids").exists)
    pids = [*map(int, (tmp_path / "pids").read_text().split())]
    assert [True] * 3 == [is_alive(pid) for pid in pids]
    owner.send_signal(how)
    owner.wait(PATIENCE)
    until(lambda: not any(is_alive(pid) for pid in pids))


def test_what_a_tool_leaves_running_is_left_alone(tools: Tools, tmp_path: Path) -> None:
    """A daemon that a tool starts on purpose, such as a compiler's server, outlives it; its supervisor does not."""
    program = (
        "import os, subprocess, sys\n"
        "daemon = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL, "
        "stderr=subprocess.DEVNULL)\n"
        "print(os.getppid(), daemon.pid)"
    )
    supervisor, daemon = map(int, run(tools, program).split())
    try:
        assert (False, True) == (is_alive(supervisor), is_alive(daemon))
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_what_leads_astray_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the builder's shell reach no build; virtualenv would put its Tcl and Tk into activation scripts."""
    for name in (*ASTRAY, "CFLAGS"):
        monkeypatch.setenv(name, "/builder")
    (tmp_path / "work").mkdir()
    tools = Tools(tmp_path, str(tmp_path / "work"), redactor=Redactor(), variables={})
    code = "import os; print(*sorted(name for name, value in os.environ.items() if value == '/builder'))"
    assert "CFLAGS" == run(tools, code)

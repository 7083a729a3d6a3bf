"""Running the tools that make an environment: surroundings of their own, a log without secrets, an end with ours."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from terrastore import room
from terrastore.build import logins
from terrastore.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from terrastore.redaction import Redactor
    from terrastore.report import Phase

_TAIL_LINES: Final = 15
_LINE_LIMIT: Final = 400
_LOGS_KEPT: Final = 20
_EPOCH: Final = "946684800"  # 2000-01-01, a time that zip files can hold in every time zone
_LEADING_ASTRAY: Final = ("PIP_", "PYTHON", "UV_", "VIRTUALENV_", "__PYVENV")
_SUPERVISOR: Final = Path(__file__).with_name("_supervise.py")
# With the first of these set, virtualenv asks the interpreter for its Tcl and Tk and has activation name them.
_LEADING_ASTRAY_BY_NAME: Final = frozenset(
    {"TCL_LIBRARY", "TK_LIBRARY", "RUST_LOG", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"}
)


class Tools:
    """Runs commands with everything of the caller's surroundings that could lead them astray taken out.

    ``work`` is where their temporary files go; ``redactor`` knows what must not be written anywhere; ``variables`` are
    what else the commands get.
    """

    def __init__(self, cache: Path, work: str, *, redactor: Redactor, variables: Mapping[str, str]) -> None:
        self._log = _new_log(cache)
        self.redactor = redactor
        self._environment = _clean_environment(f"{work}/temporary") | dict(variables)

    def run(
        self,
        command: Sequence[str],
        title: str,
        phase: Phase,
        *,
        status: Callable[[str], str] | None = None,
        noise: tuple[str, ...] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
        may_fail: bool = False,
        refused: Callable[[Sequence[str]], str | None] = logins.demanded,
        reworded: Callable[[str], str] = str,
    ) -> str:
        """Run a command, its output in the log without credentials, and return that output.

        ``status`` returns what a line of the output says of what is being done, "" when it says nothing of that;
        lines that begin with one of ``noise`` are no part of an error; ``refused`` returns, after a failure, the URL
        that is not to be had without a login; ``reworded`` returns a line as a person is to read it. ``variables`` are
        for this command alone.

        :raises BuildError: when it fails, unless it ``may_fail``; its last lines and the log's path are in the message
        :raises OSError: when it fails for lack of room, or the log cannot be written
        """
        lines: list[str] = []
        with self._log.open("a") as log:
            log.write(f"$ {self.redactor.redacted(' '.join(command))}\n")
            with self._started(command, title, variables) as process:
                for raw in process.stdout or ():
                    line = reworded(self.redactor.redacted(raw.rstrip()))
                    lines.append(line)
                    log.write(line + "\n")
                    phase.tell(line)
                    if status and (said := status(line)):
                        phase.say(said)
        if process.returncode and not may_fail:
            room.heed("\n".join(lines))
            telling = [line for line in lines if line.strip() and not line.startswith(noise)]
            raise self._failure(title, process.returncode, telling, refused(lines))
        return "\n".join(lines)

    def _failure(self, title: str, code: int, lines: Sequence[str], refused: str | None) -> BuildError:
        tail = "\n".join(f"  {_cut(line)}" for line in lines[-_TAIL_LINES:])
        message, hint = f"{title} failed with exit code {code}", f"the whole output is in {self._log}"
        if refused is not None:
            place = self.redactor.redacted(refused)
            message, hint = f"{place} demands a login, and {title} had none that it takes", f"{logins.HINT}; {hint}"
        return BuildError(f"{message}:\n{tail}", hint=hint)

    @contextmanager
    def _started(
        self, command: Sequence[str], title: str, variables: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command in a process group of its own, and wait for its end; it does not outlive us, however we end.

        The supervisor ends the group once nobody holds the pipe's other end, which no process inherits.
        """
        watched, held = os.pipe()
        try:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_SUPERVISOR), str(watched), *command],
                    env=self._environment | dict(variables),
                    pass_fds=(watched,),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    umask=0o022,
                    start_new_session=True,
                )
            except OSError as error:
                raise BuildError(
                    f"{title} cannot be run: {error.strerror}",
                    hint="check that terrastore is installed whole, and the disk",
                ) from error
            finally:
                os.close(watched)
            with _ended(process):
                yield process
        finally:
            os.close(held)


def _clean_environment(temporary: str) -> dict[str, str]:
    os.mkdir(temporary)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_LEADING_ASTRAY) and name not in _LEADING_ASTRAY_BY_NAME
    }
    ldflags = environment.get("LDFLAGS", "")
    if sys.platform == "linux":
        # Debug sections and build ids hold the build directory's random name: no two builds would be equal.
        ldflags = f"{ldflags} -Wl,-S,--build-id=none".lstrip()
    return environment | {
        "GIT_TERMINAL_PROMPT": "0",
        "LDFLAGS": ldflags,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8",
        "SOURCE_DATE_EPOCH": _EPOCH,
        "TMPDIR": temporary,
        "VIRTUALENV_CONFIG_FILE": os.devnull,
    }


def _cut(line: str) -> str:
    """Return a line of an error short enough to be read; what matters of a list of versions is its end."""
    return line if len(line) <= _LINE_LIMIT else f"{line[: _LINE_LIMIT // 2]} … {line[-_LINE_LIMIT // 2 :]}"


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Wait for the process; when we are interrupted it does not outlive us."""
    with process:
        try:
            yield process
        except BaseException:
            # The whole group: a build backend must not outlive the installer that started it.
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
            raise


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _new_log(cache: Path) -> Path:
    logs = cache / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(logs.glob("*.log"))[: -_LOGS_KEPT + 1]:
        old.unlink(missing_ok=True)
    return logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.log"

"""Building an environment: virtualenv and pip, as subprocesses, into a staging prefix."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terrastore import atomic
from terrastore.archive.layers import normalised
from terrastore.archive.relocate import MARKER
from terrastore.archive.staging import StagingPrefix
from terrastore.errors import BuildError, HostError
from terrastore.requirements.lines import without_secrets
from terrastore.requirements.machine import configuration_files, effective_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from terrastore.interpreter import Interpreter
    from terrastore.report import Phase, Report

_STAGING: Final = MARKER.decode()
_TAIL_LINES: Final = 15
_LINE_LIMIT: Final = 400
_LOGS_KEPT: Final = 20
_EPOCH: Final = "946684800"  # 2000-01-01, a time that zip files can hold in every time zone
_STATUS: Final = ("Collecting", "Downloading", "Using cached", "Building wheel", "Installing", "Preparing metadata")
_LISTING: Final = "Installing collected packages: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be installed and how.

    ``files`` and ``constraints`` are paths of requirements files; ``options`` are lines of such a file, and may hold
    credentials; ``secrets`` are texts that must not be written anywhere. Without ``files`` nothing is installed;
    without ``seed`` not even pip stays.
    """

    interpreter: Interpreter
    files: Sequence[str]
    constraints: Sequence[str] = ()
    options: Sequence[str] = ()
    secrets: Sequence[str] = ()
    seed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An environment at a staging prefix.

    ``skeleton``: paths that were there before anything was installed. ``work``: a directory for what goes with the
    build, removed with it. ``compiled``: normalised names of distributions made from source; ``downloads``: SHA-256
    of what distributions were installed from, by name. ``installer``: its name and version.
    """

    prefix: StagingPrefix
    python: str
    skeleton: frozenset[str]
    work: str
    compiled: frozenset[str]
    downloads: Mapping[str, str]
    installer: Mapping[str, str]


@contextmanager
def built(recipe: Recipe, *, cache: Path, report: Report) -> Iterator[Built]:
    """Build an environment, and remove it when the body ends.

    ``cache`` keeps pip's downloads and wheels between builds, and the logs.

    :raises BuildError: when virtualenv or pip fails; its last lines and the log's path are in the message
    :raises HostError: when no directory can hold a staging prefix
    """
    root = _staging_root(cache)
    _sweep(root)
    prefix = StagingPrefix.under(root, secrets.token_hex(16))
    # The marker is in the work directory's name too: what a package notes of where it was compiled is found.
    work = f"{root}/{_STAGING}work-{secrets.token_hex(8)}"
    with _held(prefix.path, report), _held(work, report):
        tools = _Tools(recipe, cache, work)
        python = f"{prefix.path}/bin/python"
        outcome = f"{work}/report.json"
        with report.phase("virtualenv", unit="steps") as phase:
            tools.virtualenv(prefix.path, phase)
            skeleton = frozenset(_paths(prefix.path))
        with report.phase("install", unit="steps") as phase:
            if recipe.files:
                tools.pip(python, ["install", *tools.arguments(outcome)], phase)
            version = tools.pip(python, ["--version"], phase).split()[1]
            if not recipe.seed:
                tools.pip(python, ["uninstall", "--yes", "pip"], phase)
        compiled, downloads = _origins(Path(outcome))
        yield Built(
            prefix=prefix,
            python=python,
            skeleton=skeleton,
            work=work,
            compiled=compiled,
            downloads=downloads,
            installer={"name": "pip", "version": version},
        )


class _Tools:
    """Runs virtualenv and pip with everything of the caller's surroundings that could lead them astray taken out."""

    def __init__(self, recipe: Recipe, cache: Path, work: str) -> None:
        self._recipe = recipe
        self._cache = cache
        self._work = work
        self._log = _new_log(cache)
        self._environment = self._clean_environment()

    def virtualenv(self, path: str, phase: Phase) -> None:
        command = [
            *(sys.executable, "-P", "-m", "virtualenv", "--python", self._recipe.interpreter.executable),
            *("--app-data", str(self._cache / "virtualenv"), "--no-download", "--no-periodic-update"),
            *("--no-setuptools", path),
        ]
        self._run(command, "virtualenv", phase)

    def pip(self, python: str, arguments: Sequence[str], phase: Phase) -> str:
        # Isolated: a json.py in the directory we are in is not pip's.
        command = [python, "-I", "-B", "-u", "-X", "utf8", "-m", "pip", *arguments]
        return self._run(command, f"pip {arguments[0]}", phase)

    def arguments(self, outcome: str) -> Iterator[str]:
        """Yield the arguments of ``pip install``; options go through a file, for they may hold credentials."""
        yield from ("--no-compile", "--no-warn-script-location", f"--report={outcome}")
        if self._recipe.options:
            options = Path(self._work, "options.txt")
            options.touch(mode=0o600)
            options.write_text("".join(f"{line}\n" for line in self._recipe.options))
            yield f"--requirement={options}"
        yield from (f"--requirement={path}" for path in self._recipe.files)
        yield from (f"--constraint={path}" for path in self._recipe.constraints)

    def _clean_environment(self) -> dict[str, str]:
        tmp = f"{self._work}/temporary"
        os.mkdir(tmp)
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "PYTHON", "VIRTUALENV_", "__PYVENV"))
            and name not in {"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"}
        }
        # pip gets the settings that the key was made of, and reads none by itself.
        settings = effective_settings(os.environ, configuration_files(os.environ))
        environment |= {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
        ldflags = environment.get("LDFLAGS", "")
        if sys.platform == "linux":
            # Debug sections and build ids hold the build directory's random name: no two builds would be equal.
            ldflags = f"{ldflags} -Wl,-S,--build-id=none".lstrip()
        return environment | {
            "LDFLAGS": ldflags,
            "PIP_CACHE_DIR": str(self._cache / "pip"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COLOR": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONIOENCODING": "utf-8",
            "SOURCE_DATE_EPOCH": _EPOCH,
            "TMPDIR": tmp,
            "VIRTUALENV_CONFIG_FILE": os.devnull,
        }

    def _redacted(self, text: str) -> str:
        for secret in self._recipe.secrets:
            text = text.replace(secret, "****")
        return without_secrets(text)

    def _run(self, command: Sequence[str], title: str, phase: Phase) -> str:
        """Run a command, its output in the log without credentials, and return that output."""
        lines: list[str] = []
        try:
            with self._log.open("a") as log:
                log.write(f"$ {self._redacted(' '.join(command))}\n")
                process = subprocess.Popen(
                    command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    umask=0o022,
                    start_new_session=True,
                )
                with _ended(process):
                    for raw in process.stdout or ():
                        line = self._redacted(raw.rstrip())
                        lines.append(line)
                        log.write(line + "\n")
                        if status := _status(line):
                            phase.say(status)
        except OSError as error:
            raise BuildError(
                f"{title} cannot be run: {error.strerror}",
                hint="check that terrastore is installed whole, and the disk",
            ) from error
        if process.returncode:
            tail = "\n".join(f"  {_cut(line)}" for line in deque((line for line in lines if line.strip()), _TAIL_LINES))
            raise BuildError(
                f"{title} failed with exit code {process.returncode}:\n{tail}",
                hint=f"the whole output is in {self._log}",
            )
        return "\n".join(lines)


def _status(line: str) -> str:
    """Return what a line of pip's output says of what it is doing, "" for other lines."""
    if line.startswith(_LISTING):
        return f"Installing {line.count(',') + 1} packages"
    return line.strip().partition(" (from ")[0] if line.lstrip().startswith(_STATUS) else ""


def _cut(line: str) -> str:
    """Return a line of an error short enough to be read; what matters of a list of versions is its end."""
    return line if len(line) <= _LINE_LIMIT else f"{line[: _LINE_LIMIT // 2]} … {line[-_LINE_LIMIT // 2 :]}"


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Wait for the process; when we are interrupted it does not outlive us."""
    with process:
        try:
            yield
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


def _staging_root(cache: Path) -> str:
    """Return a private directory short enough for a staging prefix, on a filesystem that may execute."""
    # In a directory that everybody may write to, ours is 0700, and is used only when it is ours.
    shared = (Path(folder, f"terrastore-{os.getuid()}") for folder in ("/var/tmp", "/tmp"))  # noqa: S108
    for place in (cache / "build", *shared):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            root = os.path.realpath(place)
            facts = os.lstat(place)
            StagingPrefix.under(root, "0" * 32)
            may_execute = not os.statvfs(root).f_flag & os.ST_NOEXEC
        except (OSError, ValueError):
            continue
        if may_execute and stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid():
            return root
    raise HostError(
        f"neither {cache} nor /var/tmp nor /tmp can hold a build: too long a path, not writable, or noexec",
        hint="set TERRASTORE_CACHE_DIR to a short path without spaces",
    )


@contextmanager
def _held(path: str, report: Report) -> Iterator[None]:
    """Make a directory, lock it against being swept away by another build, and remove it afterwards."""
    fd = None
    while fd is None:
        os.makedirs(path, 0o755, exist_ok=True)
        fd = atomic.hold_directory(path)
    try:
        yield
    finally:
        with report.phase("clean", unit="steps"):
            shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def _sweep(root: str) -> None:
    """Remove what builds that were killed left behind."""
    for name in os.listdir(root):
        if name.startswith(_STAGING) and (fd := atomic.hold_directory(f"{root}/{name}")) is not None:
            shutil.rmtree(f"{root}/{name}", ignore_errors=True)
            os.close(fd)


def _new_log(cache: Path) -> Path:
    logs = cache / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(logs.glob("*.log"))[: -_LOGS_KEPT + 1]:
        old.unlink(missing_ok=True)
    return logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.log"


def _paths(tree: str) -> Iterator[str]:
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            yield os.path.relpath(os.path.join(folder, name), tree)


def _origins(report: Path) -> tuple[frozenset[str], dict[str, str]]:
    """Return (what was made from source, SHA-256 of downloads by name) from pip's installation report, version 1."""
    compiled, downloads = set(), {}
    for item in json.loads(report.read_bytes())["install"] if report.exists() else ():
        name, origin = normalised(item["metadata"]["name"]), item["download_info"]
        if not origin["url"].partition("#")[0].endswith(".whl"):
            compiled.add(name)
        if digest := origin.get("archive_info", {}).get("hashes", {}).get("sha256"):
            downloads[name] = digest
    return frozenset(compiled), downloads

"""What tests of several modules share: tiny real wheels, a command line in surroundings of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers import LackingError, S3Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
pytest.register_assert_rewrite("tests.store.contract", "tests.private_ways")

COMMAND = os.environ.get("COMMAND_UNDER_TEST", f"{sys.executable} -P -m terrastore").split()


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str | bytes],
    *,
    scripts: Mapping[str, str] | None = None,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel of ``files``, by path in site-packages, with console ``scripts``; the same bytes every time."""
    info = f"{name}-{version}.dist-info"
    contents = dict(files)
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {requirement}\n" for requirement in requires
    )
    purelib = "true" if tag.endswith("any") else "false"
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {purelib}\nTag: {tag}\n"
    if scripts:
        entries = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        contents[f"{info}/entry_points.txt"] = f"[console_scripts]\n{entries}"
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in ((path, as_bytes(content)) for path, content in contents.items())
    ]
    contents[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 2, 2, 0, 0, 0)), content)
    return wheel


def as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def make_project(folder: Path, build_wheel: str) -> Path:
    """Write a project whose build backend runs the lines ``build_wheel``; ``folder`` there is where the wheel goes."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    lines = "".join(f"    {line}\n" for line in build_wheel.splitlines())
    (folder / "backend.py").write_text(f"def build_wheel(folder, *_):\n{lines}")
    return folder


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small distributions: ``alpha`` 1.0 and 2.0, which need ``beta``, and two that clash."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        make_wheel(
            folder,
            "alpha",
            version,
            {
                "alpha/__init__.py": f"VERSION = {version!r}\n\n\ndef main():\n    print('alpha', VERSION)\n",
                f"alpha/only_in_{version[0]}.py": "",
            },
            scripts={"alpha": "alpha:main"},
            requires=("beta",),
        )
    make_wheel(folder, "beta", "1.0", {"beta.py": "import sys\n\nPREFIX = sys.prefix\n"})
    make_wheel(folder, "clash_a", "1.0", {"shared/__init__.py": "# a\n"})
    make_wheel(folder, "clash_b", "1.0", {"shared/__init__.py": "# b\n"})
    return folder


@dataclass(frozen=True)
class Result:
    """What a run of the command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)


def command_with(program: str) -> list[str]:
    """Return the command under test as one that runs ``program`` first, in its own process."""
    program += "\nfrom terrastore.cli import main\nmain()\n"
    if COMMAND[-2:] == ["-m", "terrastore"]:
        return [*COMMAND[:-2], "-c", program]
    return [str(Path(COMMAND[0]).with_name("python")), "-P", "-c", program]


def put_program(path: Path) -> None:
    """Make the terrastore under test a program at ``path``, in a folder that is there."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    path.chmod(0o755)


class CommandLine:
    """terrastore as a process, in a home, a working directory and an environment of its own.

    ``options`` are for the process, such as another user.
    """

    def __init__(self, home: Path, wheels: Path) -> None:
        self.command = COMMAND
        self.options: dict[str, Any] = {}
        self.home = home
        self.cwd = home / "project"
        self.store = home / "store"
        self.cwd.mkdir(parents=True)
        # Short enough to hold a staging prefix, as a person's is.
        self.cache = Path(tempfile.mkdtemp(prefix="ts-"))
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TERRASTORE_", "PIP_", "UV_", "XDG_", "VIRTUALENV_", "PYTHON", "AWS_"))
        } | {
            "HOME": str(home),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "TERRASTORE_STORE": str(self.store),
            "TERRASTORE_CACHE_DIR": str(self.cache),
        }

    def forget_wheels(self) -> None:
        """Know no index and no folder of wheels but those of the machine, or that a test tells."""
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
            self.env.pop(name, None)

    def write(self, name: str, text: str) -> Path:
        """Write a file in the working directory."""
        path = self.cwd / name
        path.write_text(text)
        return path

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start it without waiting."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        options = self.options | pipes | options
        return subprocess.Popen([*self.command, *arguments], cwd=self.cwd, env=self.env, **options)

    def __call__(self, *arguments: str, **variables: str) -> Result:
        """Run it to its end."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.cwd,
            env=self.env | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            **self.options,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, **variables: str) -> Result:
        """Run it and fail the test unless it ends with 0."""
        result = self(*arguments, **variables)
        assert result.code == 0, result.err
        return result


@contextmanager
def command_line(home: Path, wheels: Path) -> Iterator[CommandLine]:
    """Yield a command line with an empty store; its cache goes with it."""
    command = CommandLine(home, wheels)
    try:
        yield command
    finally:
        shutil.rmtree(command.cache, ignore_errors=True)


@pytest.fixture
def cli(tmp_path: Path, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line with an empty store."""
    with command_line(tmp_path / "home", wheels) as command:
        yield command


@pytest.fixture(scope="session")
def alpha_home(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """Return a home whose store holds the environment of ``alpha==1.0``, built once."""
    home = tmp_path_factory.mktemp("alpha") / "home"
    with command_line(home, wheels) as command:
        command.write("requirements.txt", "alpha==1.0\n")
        command.ok("build")
    return home


@pytest.fixture
def stored(cli: CommandLine, alpha_home: Path) -> CommandLine:
    """Return a command line whose store has what its requirements.txt asks for."""
    cli.write("requirements.txt", "alpha==1.0\n")
    shutil.copytree(alpha_home / "store", cli.store)
    return cli


@contextmanager
def server_or_skip(kind: str, *options: str) -> Iterator[S3Server]:
    """Yield a server; where it cannot run, the tests that need it are skipped, but not in continuous integration."""
    try:
        with running(kind, *options) as server:
            yield server
    except LackingError as lacking:
        if "CI" in os.environ:
            raise
        pytest.skip(str(lacking))


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """Return an emulated S3, for what needs no real one."""
    with server_or_skip("moto") as server:
        yield server


@pytest.fixture(scope="session")
def strict_moto() -> Iterator[S3Server]:
    """Return an emulated S3 that checks signatures and IAM policies."""
    with server_or_skip("moto", "--enforce") as server:
        yield server


@pytest.fixture(scope="session")
def radosgw() -> Iterator[S3Server]:
    """Return a real S3."""
    with server_or_skip("radosgw") as server:
        yield server


@pytest.fixture(scope="session")
def radosgw_16() -> Iterator[S3Server]:
    """Return an old S3: it refuses trailers, and conditions on multipart uploads do not count."""
    with server_or_skip("radosgw-16") as server:
        yield server


@pytest.fixture(scope="session")
def rclone() -> Iterator[S3Server]:
    """Return an S3 that ignores conditions."""
    with server_or_skip("rclone") as server:
        yield server

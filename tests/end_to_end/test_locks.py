"""Environments of lock files and projects: written by the real tools, installed by pip and by uv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import CommandLine, make_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UV = os.path.join(sysconfig.get_path("scripts"), "uv")
INSTALLERS = ["pip", "uv"]
# Of the standard library alone, so that it needs no index.
BACKEND = """
import tomllib, zipfile
from pathlib import Path


def build_wheel(folder, *_):
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    name = project["name"].replace("-", "_")
    metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"
    metadata += "".join(f"Requires-Dist: {each}\\n" for each in project["dependencies"])
    files = {
        f"{name}.py": Path(f"{name}.py").read_text(),
        f"{name}-1.0.dist-info/METADATA": metadata,
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = f"{name}-1.0.dist-info/RECORD"
    files[record] = "".join(f"{path},,\\n" for path in (*files, record))
    with zipfile.ZipFile(Path(folder, f"{name}-1.0-py3-none-any.whl"), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}-1.0-py3-none-any.whl"
"""
PYPROJECT = """
[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.11"
dependencies = {needs}

[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
WEB = """
[project.optional-dependencies]
more = ["clash-a"]

[dependency-groups]
dev = ["clash-b"]

[tool.uv.sources]
core = { workspace = true }

[tool.uv.workspace]
members = ["libs/*"]
"""


def run(command: Sequence[str | Path], cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(cli: CommandLine, program: str, target: str = ".venv") -> str:
    """Run a program in an environment."""
    return run([cli.cwd / target / "bin/python", "-I", "-c", program], cli.cwd, cli.env).strip()


def installed(cli: CommandLine, target: str = ".venv") -> set[str]:
    """Return what an environment consists of, without pip."""
    manifest = json.loads((cli.cwd / target / ".terrastore/manifest.json").read_text())
    return {package["name"] for package in manifest["packages"]} - {"pip"}


def write_project(folder: Path, name: str, needs: list[str], more: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(PYPROJECT.format(name=name, needs=json.dumps(needs)) + more)
    (folder / f"{name.replace('-', '_')}.py").write_text(f"NAME = {name!r}\n")
    (folder / "backend.py").write_text(BACKEND)


@pytest.fixture
def uv(cli: CommandLine, wheels: Path) -> CommandLine:
    """Return a command line in a workspace that uv has locked, for both installers, without an index."""
    write_project(cli.cwd, "web", ["alpha", "core"], WEB)
    write_project(cli.cwd / "libs/core", "core", ["beta"])
    cli.env |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(cli.cache / "own-uv")}
    run([UV, "lock", "--quiet"], cli.cwd, cli.env)
    del cli.env["UV_NO_INDEX"]
    cli.env["TERRASTORE_NO_INDEX"] = "1"
    return cli


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_workspace_of_uv(uv: CommandLine, installer: str) -> None:
    """Its lock names all of it; members come by path, the project itself with --project, extras and groups by name."""
    uv.ok("ensure", "--installer", installer)
    assert {"alpha", "beta", "core"} == installed(uv)
    assert "2.0 core" == python(uv, "import alpha, core; print(alpha.VERSION, core.NAME)")
    everything = (
        "ensure",
        "--installer",
        installer,
        "--target",
        "all",
        "--extra",
        "more",
        "--group",
        "dev",
        "--project",
    )
    uv.ok(*everything)
    assert {"alpha", "beta", "core", "web", "clash-a", "clash-b"} == installed(uv, "all")
    assert "web" == python(uv, "import web; print(web.NAME)", "all")
    assert "kept" == uv.ok(*everything, "--json").json["outcome"]
    (uv.cwd / "web.py").write_text("NAME = 'changed'\n")
    assert "built" == uv.ok(*everything, "--json").json["outcome"]
    assert "changed" == python(uv, "import web; print(web.NAME)", "all")
    # Without the project itself nothing has changed.
    assert "kept" == uv.ok("ensure", "--installer", installer, "--json").json["outcome"]


@pytest.mark.parametrize("installer", INSTALLERS)
def test_exported_by_uv(uv: CommandLine, installer: str) -> None:
    """The same lock as pylock.toml, for machines without uv, is the same environment."""
    run([UV, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "-o", "pylock.toml"], uv.cwd, uv.env)
    keys = {uv.ok("key", "--installer", installer, "-r", name).out for name in ("uv.lock", "pylock.toml")}
    assert 1 == len(keys)
    uv.ok("ensure", "--installer", installer, "-r", "pylock.toml")
    assert {"alpha", "beta", "core"} == installed(uv)


def test_a_stale_lock(uv: CommandLine) -> None:
    """What was not locked anew is refused before anything is built."""
    path = uv.cwd / "pyproject.toml"
    path.write_text(path.read_text().replace('"alpha"', '"alpha<2"'))
    result = uv("ensure", "-r", "uv.lock")
    assert (3, "") == (result.code, result.out)
    assert "uv.lock is not of this pyproject.toml: alpha was changed after it was locked" in result.err
    assert not uv.store.exists()


@pytest.fixture
def locked(cli: CommandLine, wheels: Path) -> CommandLine:
    """Return a command line with a lock of pip."""
    cli.env["UV_FIND_LINKS"] = str(wheels)
    run([sys.executable, "-m", "pip", "lock", "--quiet", "-o", "pylock.toml", "alpha==1.0"], cli.cwd, cli.env)
    return cli


@pytest.mark.parametrize("installer", INSTALLERS)
def test_locked_by_pip(locked: CommandLine, installer: str) -> None:
    """What pip lock writes is installed, by no resolution of its own."""
    locked.ok("ensure", "--installer", installer)
    assert {"alpha", "beta"} == installed(locked)
    assert "1.0" == python(locked, "import alpha, beta; print(alpha.VERSION)")


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_wrong_hash(locked: CommandLine, installer: str) -> None:
    """A file that is not the one that was locked is refused by the installer, and nothing is published."""
    path = locked.cwd / "pylock.toml"
    text = path.read_text()
    digest = text.split('sha256 = "')[1][:64]
    path.write_text(text.replace(digest, "0" * 64))
    result = locked("ensure", "--installer", installer)
    assert (5, "") == (result.code, result.out)
    assert "0" * 64 in result.err
    assert "alpha" in result.err
    assert {"leases"} >= {path.name for path in locked.store.glob("v1/*")}
    assert not (locked.cwd / ".venv").exists()


REFUSED: dict[str, tuple[str, str, list[str], int, str]] = {
    "another platform": (
        'created-by = "pip"',
        'created-by = "pip"\nenvironments = ["sys_platform == \'win32\'"]',
        [],
        3,
        "is for sys_platform",
    ),
    "another interpreter": (
        'created-by = "pip"',
        'created-by = "pip"\nrequires-python = "<3"',
        [],
        3,
        "is for Python <3",
    ),
    "another platform's wheels": ("py3-none-any.whl", "py3-none-win_amd64.whl", [], 3, "no wheel found matching"),
    "a later version": ('lock-version = "1.0"', 'lock-version = "2.0"', [], 3, "is of version 2.0"),
    "no such extra": ("", "", ["--extra", "x"], 3, "pylock.toml has no extras"),
    "no project": ("", "", ["--project"], 3, "there is no project in this directory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(locked: CommandLine, case: str) -> None:
    """What a lock cannot give is told before anything is built."""
    old, new, arguments, code, message = REFUSED[case]
    path = locked.cwd / "pylock.toml"
    path.write_text(path.read_text().replace(old, new) if old else path.read_text())
    result = locked("ensure", *arguments)
    assert (code, "") == (result.code, result.out)
    assert message in result.err
    assert "terrastore: hint: " in result.err
    assert "Traceback" not in result.err
    assert not locked.store.exists()


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_project(cli: CommandLine, wheels: Path, installer: str) -> None:
    """Its dependencies are resolved; extras, groups and the project itself come when they are named."""
    cli.env |= {"TERRASTORE_NO_INDEX": "1", "TERRASTORE_FIND_LINKS": str(wheels)}
    write_project(cli.cwd, "web", ["alpha<2"], WEB.partition("[tool.uv")[0])
    cli.ok("ensure", "--installer", installer)
    assert {"alpha", "beta"} == installed(cli)
    cli.ok("ensure", "--installer", installer, "--extra", "more", "--group", "dev", "--project")
    assert {"alpha", "beta", "web", "clash-a", "clash-b"} == installed(cli)
    assert "web 1.0" == python(cli, "import web, alpha; print(web.NAME, alpha.VERSION)")


def test_extras_of_requirements_files(cli: CommandLine) -> None:
    """They have none: a usage error."""
    cli.write("requirements.txt", "beta\n")
    result = cli("ensure", "-r", "requirements.txt", "--extra", "x")
    assert (2, True) == (result.code, "--extra x: a requirements file has no extras" in result.err)


@pytest.mark.parametrize("name", ["poetry.lock", "Pipfile.lock", "pdm.lock", "environment.yml"])
def test_locks_of_other_tools(cli: CommandLine, name: str) -> None:
    """They are refused with the command that exports them."""
    cli.write(name, "")
    result = cli("ensure", "-r", name)
    assert (3, "") == (result.code, result.out)
    assert f"{name} cannot be read" in result.err


def test_hashes_beside_a_project(cli: CommandLine, wheels: Path) -> None:
    """Hashes of a requirements file are looked at, and the project, which has none, comes all the same."""
    write_project(cli.cwd, "web", ["beta"])
    out = run([sys.executable, "-m", "pip", "hash", str(wheels / "beta-1.0-py3-none-any.whl")], cli.cwd, cli.env)
    cli.write("pins.txt", f"beta==1.0 {out.splitlines()[1]}\n")
    cli.ok("ensure", "-r", "pins.txt", "--project")
    assert {"beta", "web"} == installed(cli)
    cli.write("pins.txt", f"beta==1.0 --hash=sha256:{'0' * 64}\n")
    assert 5 == cli("ensure", "-r", "pins.txt", "--project").code


def test_what_a_lock_overrides(cli: CommandLine, tmp_path: Path) -> None:
    """A lock is installed as it is, also where a package's metadata asks for something else."""
    make_wheel(tmp_path, "picky", "1.0", {"picky.py": ""}, requires=("beta>=9", "absent"))
    (tmp_path / "picky-1.0-py3-none-any.whl").rename(cli.cwd / "picky-1.0-py3-none-any.whl")
    out = run([sys.executable, "-m", "pip", "hash", "picky-1.0-py3-none-any.whl"], cli.cwd, cli.env)
    digest = out.splitlines()[1].removeprefix("--hash=sha256:")
    cli.write(
        "pylock.toml",
        'lock-version = "1.0"\ncreated-by = "tests"\n[[packages]]\nname = "picky"\n'
        f'wheels = [{{ path = "picky-1.0-py3-none-any.whl", hashes = {{ sha256 = "{digest}" }} }}]\n',
    )
    cli.ok("ensure")
    assert {"picky"} == installed(cli)


@pytest.fixture
def online(cli: CommandLine) -> CommandLine:
    """Return a command line with the index that this machine uses."""
    cli.forget_wheels()
    cli.env |= {name: value for name, value in os.environ.items() if name.startswith("UV_")}
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    if asked.returncode == 0:
        cli.env |= {"UV_INDEX_URL": asked.stdout.strip(), "PIP_INDEX_URL": asked.stdout.strip()}
    return cli


REAL = ["markupsafe==3.0.2", "jinja2==3.1.6", "numpy==2.2.6"]
USE = "import numpy, jinja2, markupsafe._speedups; print(numpy.__version__, jinja2.Template('{{ x }}').render(x=1))"


@pytest.mark.network
@pytest.mark.parametrize("tool", ["pip", "uv", "uv export"])
def test_real_packages(online: CommandLine, tool: str) -> None:
    """Real packages, locked by the real tools at a real index, installed by either."""
    write_project(online.cwd, "web", REAL)
    if tool == "pip":
        run([sys.executable, "-m", "pip", "lock", "--quiet", "-o", "pylock.toml", *REAL], online.cwd, online.env)
    else:
        run([UV, "lock", "--quiet"], online.cwd, online.env)
    if tool == "uv export":
        run([UV, "export", "--quiet", "--frozen", "--no-emit-project", "-o", "pylock.toml"], online.cwd, online.env)
    for installer in INSTALLERS:
        online.ok("ensure", "--installer", installer, "--target", installer, "--no-publish")
        assert {"jinja2", "markupsafe", "numpy"} == installed(online, installer)
        assert "2.2.6 1" == python(online, USE, installer)
        explained: dict[str, Any] = json.loads(online.ok("key", "--explain", "--installer", installer).out)
        assert {"no-deps": True, "require-hashes": True}.items() <= explained["resolution"].items()
        assert all(" --hash=sha256:" in line for line in explained["requirements"])

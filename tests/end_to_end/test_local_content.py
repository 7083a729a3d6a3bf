"""What is local counts by content, wherever it stands, and is read once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line, make_wheel
from tests.requirements.repositories import git, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETUP = """
from setuptools import Extension, setup
setup(name="fast", version="1.0", packages=["fast"], ext_modules=[Extension("fast.native", ["native.c"])])
"""
NATIVE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", 0, -1, 0};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"""


@pytest.fixture
def local(cli: CommandLine) -> CommandLine:
    """Return a command line in a project whose distributions are in ``packages``."""
    packages = cli.cwd / "packages"
    packages.mkdir()
    make_wheel(packages, "alpha", "1.0", {"alpha.py": "", "data.txt": os.urandom(100_000).hex()})
    write(packages, "README.md", "what this is\n")
    cli.write("requirements.txt", "alpha\n")
    del cli.env["PIP_FIND_LINKS"], cli.env["PIP_NO_INDEX"]
    cli.env["PIP_CONFIG_FILE"] = os.devnull  # the machine's own settings may name folders too
    return cli


def key(cli: CommandLine, folder: str = "packages") -> str:
    return cli.ok("key", "--no-index", "-f", folder).out


def test_a_folder_of_packages_counts_by_content(local: CommandLine) -> None:
    """A wheel more is another key; a README that was touched, a copy elsewhere, a URL of the folder are the same."""
    first = key(local)
    write(local.cwd / "packages", "README.md", "more\n")
    write(local.cwd / "packages", "old/alpha-0.1-py3-none-any.whl")
    shutil.copytree(local.cwd / "packages", local.cwd / "elsewhere")
    assert first == key(local) == key(local, "elsewhere") == key(local, f"file://{local.cwd}/elsewhere")
    make_wheel(local.cwd / "packages", "alpha", "1.1", {"alpha.py": ""})
    assert first != key(local)
    assert first == key(local, "elsewhere")


def opened(cli: CommandLine, *arguments: str) -> tuple[str, list[str]]:
    """Return what a command prints, and the files in the project that it opened."""
    log = cli.home / "strace"
    tracer = ["strace", "-f", "-e", "trace=open,openat,openat2", "-e", "signal=none", "-o", str(log)]
    done = subprocess.run(
        [*tracer, *cli.command, *arguments], cwd=cli.cwd, env=cli.env, capture_output=True, text=True, check=True
    )
    paths = re.findall(r'"([^"]+)", [^)]*\) = \d', log.read_text())
    return done.stdout, [path for path in paths if "packages/" in path or "web/" in path]


def settle(*folders: Path) -> None:
    """Wait until nothing in the folders was changed so lately that it may change again unseen."""
    last = max(os.lstat(path).st_ctime_ns for folder in folders for path in (folder, *folder.rglob("*")))
    while time.time_ns() <= last + 2_000_000_000:
        time.sleep(0.1)


@pytest.mark.usefixtures("traced")
def test_what_is_local_is_read_once(local: CommandLine) -> None:
    """The second run opens none of the wheels and of the project's sources, and says the same."""
    web = write(local.cwd, "web/pyproject.toml", "[build-system]\nrequires = []\n").parent
    write(web, "web.py", "x = 1\n")
    git(web, "init", "--quiet")
    other = make_wheel(local.cwd / "packages", "other", "1.0", {"other.py": ""})
    local.write("requirements.txt", f"alpha\n./web\n./packages/{other.name}\n")
    settle(local.cwd / "packages", web)
    arguments = ("key", "--no-index", "-f", "packages")
    first, read = opened(local, *arguments)
    wheel = "alpha-1.0-py3-none-any.whl"
    assert {wheel, other.name, "web.py"} <= {os.path.basename(path) for path in read}
    second, read = opened(local, *arguments)
    assert first == second
    assert [] == [path for path in read if path.endswith((".whl", ".py"))]
    write(web, "web.py", "x = 2\n")
    assert first != local.ok(*arguments).out


def test_digests_are_kept_in_the_cache(local: CommandLine) -> None:
    """They go to the directory of --cache-dir; where that cannot be written the key is the same."""
    settle(local.cwd / "packages")
    first = local.ok("key", "-f", "packages", "--cache-dir", str(local.home / "here")).out
    assert ["digests"] == os.listdir(local.home / "here")
    assert first == local.ok("key", "-f", "packages", "--cache-dir", str(local.cwd / "requirements.txt" / "no")).out
    local.write("requirements.txt", "alpha\n")
    local.ok("key", "--cache-dir", str(local.home / "there"))
    assert not (local.home / "there").exists()


@pytest.fixture
def compiled(tmp_path: Path, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line beside a project in git with an extension, which nobody told git what to ignore of."""
    with command_line(tmp_path / "home", wheels) as cli:
        project = cli.cwd / "fast"
        write(project, "setup.py", SETUP)
        write(project, "native.c", NATIVE)
        write(project, "fast/__init__.py", "x = 1\n")
        git(project, "init", "--quiet")
        git(project, "add", "--all")
        cli.write("requirements.txt", "./fast\n")
        del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
        yield cli


@pytest.mark.network
def test_a_build_does_not_change_its_project(compiled: CommandLine) -> None:
    """A project that setuptools built in place is what it was: the environment is kept, until a source changes."""
    first = compiled.ok("ensure", "--json").json
    assert (compiled.cwd / "fast/build").is_dir()
    second = compiled.ok("ensure", "--json").json
    assert ("built", "kept", first["key"]) == (first["outcome"], second["outcome"], second["key"])
    write(compiled.cwd, "fast/fast/__init__.py", "x = 2\n")
    assert f"{first['key']}\n" != compiled.ok("key").out

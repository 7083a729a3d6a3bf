"""The interpreter that an environment is bound to: wherever it lives, however it is reached, whatever becomes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore.interpreter import Interpreter, find, probe
from tests.conftest import CommandLine, command_with, make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBIAN = Path("/usr/bin/python3")
_LEFT_OUT = shutil.ignore_patterns("test", "idlelib", "site-packages", "dist-packages", "__pycache__", "config-*")


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def copied(python: Interpreter, folder: Path) -> Path:
    """Copy an interpreter with its library to ``folder``, and return its path there."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / python.names[-1]
    shutil.copy2(os.path.realpath(python.executable), program)
    base = Path(python.base_prefix, "lib")
    shutil.copytree(base / python.names[-1], folder / "lib" / python.names[-1], symlinks=True, ignore=_LEFT_OUT)
    for library in base.glob("libpython*.so*"):
        shutil.copy2(library, folder / "lib", follow_symlinks=False)
    return program


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an interpreter like the one that tests run on, in a directory with spaces and signs."""
    return copied(find(None), tmp_path_factory.mktemp("python") / "another = Python's #1")


@pytest.fixture
def mine(another: Path, tmp_path: Path) -> Iterator[Path]:
    """Return one that the test may spoil."""
    folder = tmp_path / "mine"
    shutil.copytree(another.parents[1], folder, symlinks=True)
    yield folder / "bin" / another.name
    shutil.rmtree(folder, ignore_errors=True)


def settings(environment: Path) -> dict[str, str]:
    lines = (environment / "pyvenv.cfg").read_text().splitlines()
    return dict(line.split(" = ", 1) for line in lines)


def facts(environment: Path) -> list[str]:
    """Return what the environment says of itself: its prefix, that of its base, and where its library comes from."""
    program = "import sys, os; print(sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), sep='\\n')"
    return run(environment / "bin/python", "-I", "-c", program).splitlines()


def test_an_archive_fits_the_same_version_elsewhere(stored: CommandLine, another: Path) -> None:
    """Built by one interpreter it is fetched for a copy of it at another place, and bound to that alone."""
    base = another.parents[1]
    assert "fetched" == stored.ok("ensure", "--no-build", "--python", str(another), "--json").json["outcome"]
    environment = stored.cwd / ".venv"
    assert [str(environment), str(base), str(base / "lib" / another.name)] == facts(environment)
    told = settings(environment)
    assert str(another.parent) == told["home"]
    assert [str(another)] * 2 == [told["executable"], told["base-executable"]]
    assert str(base) == told["base-prefix"]
    assert str(another) == os.readlink(environment / "bin/python")
    assert "alpha 1.0" == run(environment / "bin/alpha")
    stored.ok("verify", ".venv")
    # And back, by relocate.
    stored.ok("relocate", ".venv", "--python", sys.executable)
    assert find(None).executable == os.readlink(environment / "bin/python")
    assert "alpha 1.0" == run(environment / "bin/alpha")
    stored.ok("verify", ".venv")


@pytest.mark.parametrize("way", ["a link to it", "a link to a link", "a link to its directory", "a venv of it"])
def test_however_it_is_reached(way: str, stored: CommandLine, another: Path, tmp_path: Path) -> None:
    """Through links, or by a virtual environment that was made of it, it is the same base with the same library."""
    base, asked = another.parents[1], tmp_path / "a link"
    if way == "a link to its directory":
        asked.symlink_to(base)
        asked /= f"bin/{another.name}"
    elif way == "a venv of it":
        run(another, "-m", "venv", "--without-pip", asked)
        asked /= "bin/python"
    else:
        asked.symlink_to(another)
        if way == "a link to a link":
            (tmp_path / "python3").symlink_to(asked)
            asked = tmp_path / "python3"
    stored.ok("ensure", "--no-build", "--python", str(asked))
    environment = stored.cwd / ".venv"
    prefix, base_prefix, library = facts(environment)
    assert str(environment) == prefix
    assert base.samefile(base_prefix)
    assert (base / "lib" / another.name).samefile(library)
    assert base_prefix == settings(environment)["base-prefix"]
    assert "alpha 1.0" == run(environment / "bin/alpha")
    assert "kept" == stored.ok("ensure", "--no-build", "--python", str(asked), "--json").json["outcome"]


def test_an_interpreter_that_was_replaced(stored: CommandLine, mine: Path) -> None:
    """Upgraded in place, as packages do it, the environment is not kept, and made anew for what is there now."""
    arguments = ("ensure", "--no-build", "--python", str(mine), "--json")
    stored.ok(*arguments)
    assert "kept" == stored.ok(*arguments).json["outcome"]
    shutil.copy(mine, f"{mine}.new")
    os.rename(f"{mine}.new", mine)
    assert "fetched" == stored.ok(*arguments).json["outcome"]
    assert "alpha 1.0" == run(stored.cwd / ".venv/bin/alpha")
    assert "kept" == stored.ok(*arguments).json["outcome"]


def test_an_interpreter_that_is_gone(stored: CommandLine, mine: Path) -> None:
    """relocate finds another of the version; ensure makes the environment anew."""
    stored.ok("ensure", "--no-build", "--python", str(mine))
    shutil.rmtree(mine.parents[1])
    assert not (stored.cwd / ".venv/bin/python").exists()
    stored.ok("relocate", ".venv")
    assert "alpha 1.0" == run(stored.cwd / ".venv/bin/alpha")
    assert "kept" == stored.ok("ensure", "--json").json["outcome"]


@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's Python")
def test_the_systems_interpreter(cli: CommandLine) -> None:
    """Debian's Python, with its own ways for what is not in a virtual environment, makes one like every other."""
    cli.write("requirements.txt", "alpha==1.0\n")
    assert "built" == cli.ok("ensure", "--python", str(DEBIAN), "--json").json["outcome"]
    environment, base = cli.cwd / ".venv", probe(str(DEBIAN))
    assert [str(environment), base.base_prefix] == facts(environment)[:2]
    assert "alpha 1.0" == run(environment / "bin/alpha")
    assert not list(environment.rglob("local")) + list(environment.rglob("dist-packages"))
    places = run(environment / "bin/python", "-c", "import sys; print('\\n'.join(sys.path))").splitlines()
    assert [] == [place for place in places if "dist-packages" in place]
    cli.ok("verify", ".venv")
    cli.ok("ensure", "--target", "other", "--no-build", "--python", base.executable)
    assert [str(cli.cwd / "other"), base.base_prefix] == facts(cli.cwd / "other")[:2]


def another_patch() -> Interpreter | None:
    """Return an interpreter of the running one's series and of another patch version, None when there is none."""
    own = find(None)
    folders = [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for folder in folders:
        if os.access(program := f"{folder}/{own.names[-1]}", os.X_OK):
            found = probe(program)
            if found.version != own.version and found.identity(any_patch=True) == own.identity(any_patch=True):
                return found
    return None


@pytest.fixture(scope="module")
def other() -> Interpreter:
    """Return an interpreter that differs in its patch version alone."""
    if (found := another_patch()) is None:
        pytest.skip("needs another patch version of the running Python")
    return found


def test_any_patch_shares_across_patch_versions(cli: CommandLine, other: Interpreter) -> None:
    """Built by one patch version it is fetched for another, bound to that, with bytecode that is valid there."""
    cli.write("requirements.txt", "alpha==1.0\n")
    assert cli.ok("key").out != cli.ok("key", "--python", other.executable).out
    assert cli.ok("key", "--any-patch").out == cli.ok("key", "--any-patch", "--python", other.executable).out
    assert "built" == cli.ok("ensure", "--any-patch", "--json").json["outcome"]
    arguments = ("ensure", "--no-build", "--target", "other", "--python", other.executable, "--json")
    assert 4 == cli(*arguments).code
    told = cli.ok(*arguments, TERRASTORE_ANY_PATCH="1").json
    environment = cli.cwd / "other"
    assert ("fetched", []) == (told["outcome"], told["warnings"])
    assert [str(environment), other.base_prefix] == facts(environment)[:2]
    assert other.version_text == settings(environment)["version"]
    trace = subprocess.run(
        [environment / "bin/python", "-v", "-c", "import alpha, beta"], capture_output=True, text=True, check=True
    ).stderr
    assert f"matches {environment}/lib/{other.names[-1]}/site-packages/alpha/__init__.py" in trace
    cli.ok("verify", "other")
    assert "alpha 1.0" == run(environment / "bin/alpha")
    assert "kept" == cli.ok(*arguments, "--any-patch").json["outcome"]
    # Moved, it is bound to whichever is there.
    environment.rename(cli.cwd / "moved")
    for python in (other.executable, sys.executable):
        cli.ok("relocate", "moved", "--python", python)
        assert "alpha 1.0" == run(cli.cwd / "moved/bin/alpha")
    (archive,) = cli.store.glob("v1/archives/*/*.tar.zst")
    cli.ok("unpack", str(archive), "--target", "unpacked", "--python", other.executable)
    assert f"python     {'.'.join(map(str, other.version[:2]))}," in cli.ok("show", told["key"]).out


_PRETENDING = """\
from terrastore import _asked
true = _asked.facts
def pretended():
    facts = true()
    return facts | {"version": [*facts["version"][:2], 98, "final", 0]}
_asked.facts = pretended
"""


def test_any_patch_where_there_is_one_python_alone(cli: CommandLine) -> None:
    """What a builder of another patch version published is fetched with --any-patch, and not without."""
    cli.write("requirements.txt", "alpha==1.0\n")
    cli.command, command = command_with(_PRETENDING), cli.command
    cli.ok("build", "--any-patch", "--no-seed")
    pretended = cli.ok("key", "--no-seed").out
    cli.command = command
    assert pretended != cli.ok("key", "--no-seed").out
    assert 4 == cli("ensure", "--no-build", "--no-seed").code
    assert "fetched" == cli.ok("ensure", "--no-build", "--no-seed", "--any-patch", "--json").json["outcome"]
    assert find(None).version_text == settings(cli.cwd / ".venv")["version"]
    assert "alpha 1.0" == run(cli.cwd / ".venv/bin/alpha")
    cli.ok("relocate", ".venv")


DEPENDENT = {
    "a marker": "Requires-Dist: beta; python_full_version < '{}.3'",
    "Requires-Python": "Requires-Python: !={}.99",
}


@pytest.mark.parametrize("header", DEPENDENT.values(), ids=DEPENDENT)
def test_any_patch_refuses_what_depends_on_it(header: str, cli: CommandLine, tmp_path: Path) -> None:
    """A package that some patch versions would get otherwise is named, after it was installed; nothing is published."""
    series, folder = "{}.{}".format(*sys.version_info), tmp_path / "folder"
    folder.mkdir()
    add_header(make_wheel(folder, "gamma", "1.0", {"gamma.py": ""}), header.format(series))
    cli.write("requirements.txt", "gamma\n")
    arguments = ("ensure", "-f", str(folder))
    result = cli(*arguments, "--any-patch")
    assert 5 == result.code
    assert f"not every patch version of Python {series} would get this: gamma 1.0 " in result.err
    assert "hint: leave --any-patch out" in result.err
    assert not list(cli.store.glob("v1/pointers/*"))
    assert not (cli.cwd / ".venv").exists()
    cli.ok(*arguments)


def add_header(wheel: Path, line: str) -> None:
    """Add a line to a wheel's METADATA; its RECORD is then untrue, which pip does not mind."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data + line.encode() + b"\n" if name.endswith("/METADATA") else data)


def test_any_patch_refuses_such_a_line(cli: CommandLine) -> None:
    """A marker in the requirements themselves is named before anything is built."""
    series = "{}.{}".format(*sys.version_info)
    cli.write("requirements.txt", f"alpha==1.0\nbeta; python_full_version < '{series}.2'\n")
    result = cli("ensure", "--any-patch")
    assert 3 == result.code
    line = f'beta; python_full_version < "{series}.2"'
    assert f"not every patch version of Python {series} reads this alike: {line}\n" in result.err

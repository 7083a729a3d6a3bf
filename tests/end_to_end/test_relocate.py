"""Environments that were moved, copied, or unpacked by tar, made to work by the command and by its one file."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.conftest import CommandLine, Result, make_project, make_wheel
from tests.kill_points import Call, Killer, tracer_lacks
from tests.mounts import freeze, own_mounts_or_skip

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = Path("/usr/bin/python2"), Path.home() / ".pyenv/versions/3.8.18/bin/python3.8"


class Relocate(Protocol):
    """relocate, by whatever way."""

    def __call__(self, *arguments: str) -> Result: ...


@dataclass(frozen=True)
class Single:
    """relocate as one file, run by an interpreter that sees no site-packages."""

    cli: CommandLine
    file: Path

    def __call__(self, *arguments: str, python: str | Path = sys.executable) -> Result:
        done = subprocess.run(
            [python, "-I", "-S", self.file, *arguments],
            cwd=self.cli.cwd, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def single(stored: CommandLine) -> Single:
    """Return relocate as one file."""
    file = stored.home / "relocate.pyz"
    stored.ok("relocate", "--standalone", str(file))
    return Single(stored, file)


@pytest.fixture(params=["command", "one file"])
def relocate(request: pytest.FixtureRequest, stored: CommandLine, single: Single) -> Relocate:
    """Return relocate by either way."""
    return partial(stored, "relocate") if request.param == "command" else single


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd="/")
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def unpacked_by_tar(cli: CommandLine, place: str) -> Path:
    """Unpack the archive of the store as who has no terrastore does."""
    (archive,) = cli.store.glob("v1/archives/*/*.tar.zst")
    target = cli.cwd / place
    target.mkdir(parents=True)
    run("tar", "--zstd", "-xmf", archive, "-C", target)
    return target


def state_of(environment: Path) -> dict[str, object]:
    state: dict[str, object] = json.loads((environment / ".terrastore/state.json").read_text())
    return state


def test_after_plain_tar(relocate: Relocate, stored: CommandLine) -> None:
    """Unpacked by tar it is an environment once it was relocated, and again once it was moved."""
    target = unpacked_by_tar(stored, "plain")
    result = relocate("plain")
    assert (0, "") == (result.code, result.err)
    assert result.out.startswith("relocated ")
    assert result.out.endswith(" → plain\n")
    assert "alpha 1.0" == run(target / "bin/alpha")
    stored.ok("verify", "plain")
    target.rename(stored.cwd / "with a space")
    told = relocate("with a space", "--json").json
    assert (1, str(stored.cwd / "with a space")) == (told["schema"], told["target"])
    assert "alpha 1.0" == run(stored.cwd / "with a space/bin/alpha")
    stored.ok("verify", "with a space")


def move(source: Path, target: Path) -> None:
    shutil.move(source, target)


def copy(source: Path, target: Path) -> None:
    run("cp", "-a", source, target)


def link(source: Path, target: Path) -> None:
    run("cp", "-al", source, target)


@pytest.mark.parametrize("way", [move, copy, link])
def test_as_often_as_one_likes(way: Callable[[Path, Path], None], relocate: Relocate, stored: CommandLine) -> None:
    """Moved or copied from place to place, it never names a place before, even when another stands there."""
    stored.ok("ensure", "--target", "first")
    before = {path.name: path.read_bytes() for path in (stored.cwd / "first/bin").iterdir() if path.is_file()}
    places = [stored.cwd / name for name in ("first", "second place", "third'$x", "fourth")]
    for source, target in itertools.pairwise(places):
        way(source, target)
        if way is move:
            # Other content at the old place must change nothing.
            (source / "bin").mkdir(parents=True)
            (source / "bin/python").write_text("#!/bin/sh\necho the old place\n")
            (source / "bin/python").chmod(0o755)
        assert 0 == relocate(str(target)).code
        assert "alpha 1.0" == run(target / "bin/alpha")
        assert str(target) == run("bash", "-c", 'source "$1/bin/activate"; python -c "import sys; print(sys.prefix)"', "-", target)  # fmt: skip  # noqa: E501
        stored.ok("verify", str(target))
        named = [
            path for path in (target / "bin").iterdir() if path.is_file() and f"{source}/".encode() in path.read_bytes()
        ]
        assert [] == named
    if way is not move:
        # The first one is untouched by what became of its copies.
        stored.ok("verify", "first")
        now = {path.name: path.read_bytes() for path in (stored.cwd / "first/bin").iterdir() if path.is_file()}
        assert before == now


@pytest.fixture
def killer(stored: CommandLine) -> Killer:
    """Return what kills ``relocate moved``."""
    if lack := tracer_lacks():
        if "CI" in os.environ:
            raise AssertionError(lack)
        pytest.skip(lack)
    return Killer([*stored.command, "relocate", "moved"], cwd=stored.cwd, env=stored.env)


def steps(killer: Killer, environment: Path) -> list[Call]:
    """Relocate, and return what gave a file of the environment its name or took it."""
    return [call for call in killer.calls(environment) if call.name in {"rename", "symlink", "unlink"}]


def test_killed_half_way(stored: CommandLine, killer: Killer) -> None:
    """Killed at any step, a second run completes it, and until then it is no environment that is kept."""
    stored.ok("ensure", "--target", "first")
    first, moved = stored.cwd / "first", stored.cwd / "moved"
    run("cp", "-a", first, moved)
    points = steps(killer, moved)
    assert len(points) > 15
    for point in (*points[:3], *points[3:-3:4], *points[-3:]):
        shutil.rmtree(moved)
        run("cp", "-a", first, moved)
        killer.kill_before(point)
        assert state_of(moved)["prefix"] != str(moved)
        stored.ok("relocate", "moved")
        assert "alpha 1.0" == run(moved / "bin/alpha")
        stored.ok("verify", "moved")
        assert [] == list(moved.rglob("*.terrastore-new")) + list(moved.rglob("*.new")) + list(moved.rglob("*.edited"))


def test_moved_back_after_a_kill(stored: CommandLine, killer: Killer) -> None:
    """Half-way to another place and back at the first, it is not taken for whole."""
    stored.ok("ensure", "--target", "first")
    first, moved = stored.cwd / "first", stored.cwd / "moved"
    run("cp", "-a", first, moved)
    points = steps(killer, moved)
    shutil.rmtree(moved)
    first.rename(moved)
    killer.kill_before(points[len(points) // 2])
    result = stored("verify", "moved")
    assert (8, True) == (result.code, "moved was relocated half-way\n" in result.err)
    moved.rename(first)
    assert "fetched" == stored.ok("ensure", "--target", "first", "--json").json["outcome"]
    assert "alpha 1.0" == run(first / "bin/alpha")


def test_without_its_originals(stored: CommandLine) -> None:
    """Once relocated it cannot be moved without what was kept for that, which is said before anything is done."""
    stored.ok("ensure")
    (stored.cwd / ".venv/.terrastore/originals.tar").unlink()
    (stored.cwd / ".venv").rename(stored.cwd / "moved")
    result = stored("relocate", "moved")
    assert (2, True) == (result.code, "originals.tar is gone" in result.err)
    assert not (stored.cwd / "moved/.terrastore/originals.tar").exists()


def test_an_edit_is_not_lost(relocate: Relocate, stored: CommandLine) -> None:
    """A listed file that somebody edited is made anew, and what it was is kept beside and told."""
    stored.ok("ensure")
    activate = stored.cwd / ".venv/bin/activate"
    edited = activate.read_text() + "export MINE=1\n"
    activate.write_text(edited)
    (stored.cwd / ".venv").rename(stored.cwd / "moved")
    warning = relocate("moved").err
    assert "warning: bin/activate is not as it was made; what was there is now bin/activate.edited\n" in warning
    assert edited == (stored.cwd / "moved/bin/activate.edited").read_text()
    assert str(stored.cwd / ".venv") not in (stored.cwd / "moved/bin/activate").read_text()
    assert "" == relocate("moved").err


def test_no_edit_is_lost_to_another_one(stored: CommandLine) -> None:
    """Each is kept, also where it is not known for which place the file was made."""
    stored.ok("ensure")
    environment = stored.cwd / ".venv"
    edits = []
    for number, before in enumerate((environment, *(stored.cwd / f"moved{each}" for each in range(2)))):
        edits.append(before.joinpath("bin/activate").read_text() + f"export MINE={number}\n")
        before.joinpath("bin/activate").write_text(edits[-1])
        if number == 2:
            (before / ".terrastore/state.json").unlink()
        stored.ok("relocate", str(before.rename(stored.cwd / f"moved{number}")))
    kept = {path.read_text() for path in (stored.cwd / "moved2/bin").glob("activate*.edited")}
    assert set(edits) <= kept


@pytest.mark.parametrize("size", [0, 9728])
def test_damaged_originals(stored: CommandLine, size: int) -> None:
    """What is kept for moving and ends too early is refused, for scripts would be left as they are."""
    stored.ok("ensure")
    os.truncate(stored.cwd / ".venv/.terrastore/originals.tar", size)
    (stored.cwd / ".venv").rename(stored.cwd / "moved")
    result = stored("relocate", "moved")
    assert 2 == result.code
    assert "originals.tar is damaged: its end is missing" in result.err
    assert "hint: make the environment anew" in result.err


def test_what_pip_upgraded_stays(relocate: Relocate, stored: CommandLine, wheels: Path) -> None:
    """Files of a version that is there no more are nobody's to write; what pip wrote instead is told, and stays."""
    stored.ok("ensure")
    environment = stored.cwd / ".venv"
    run(environment / "bin/python", "-m", "pip", "install", "-q", "--no-index", "-f", wheels, "alpha==2.0")
    script = (environment / "bin/alpha").read_bytes()
    environment.rename(stored.cwd / "moved")
    warning = relocate("moved").err
    assert "added since it was made" in warning
    assert "bin/alpha" in warning
    assert script == (stored.cwd / "moved/bin/alpha").read_bytes()
    assert [] == list((stored.cwd / "moved").rglob("*.edited"))


def test_a_pipe_in_the_place_of_a_script(stored: CommandLine) -> None:
    """Nothing is read from it."""
    stored.ok("ensure")
    (stored.cwd / ".venv").rename(stored.cwd / "moved")
    script = stored.cwd / "moved/bin/alpha"
    script.unlink()
    os.mkfifo(script)
    result = stored("relocate", "moved")
    assert (2, True) == (result.code, f"{script} is no file" in result.err)


def test_what_pip_added_is_told(relocate: Relocate, stored: CommandLine, tmp_path: Path) -> None:
    """What was installed or written since still names the old place, which is said."""
    stored.ok("ensure")
    wheel = make_wheel(tmp_path, "gamma", "1.0", {"gamma.py": "def main(): ...\n"}, scripts={"gamma": "gamma:main"})
    run(stored.cwd / ".venv/bin/python", "-m", "pip", "install", "-q", "--no-index", wheel)
    old = stored.cwd / ".venv"
    (old / "pip.conf").write_text(f"[global]\nfind-links = {old}/wheels\n")
    (old / "etc/jupyter").mkdir(parents=True)
    (old / "etc/jupyter/jupyter_config.json").write_text(json.dumps({"root": str(old)}))
    (old / "etc/jupyter/other.json").write_text(json.dumps({"root": f"{old}2"}))
    old.rename(stored.cwd / "moved")
    result = relocate("moved")
    named = "bin/gamma, etc/jupyter/jupyter_config.json, pip.conf"
    assert f"added since it was made, and still for {old}: {named}; edit them, or install them again\n" in result.err
    assert "alpha 1.0" == run(stored.cwd / "moved/bin/alpha")


REFUSED = {
    "no environment": (2, "was not made by terrastore", lambda env: shutil.rmtree(env / ".terrastore")),
    "a later version's": (8, "a kind this version does not know: runes", lambda env: change(env, _runes)),
    "another libc's": (9, "needs glibc 9999.0 or later", lambda env: change(env, _future)),
    "another Python's": (9, "no interpreter on this machine fits", lambda env: change(env, _ancient)),
    "no path for scripts": (2, "cannot hold an environment", lambda env: env.rename(env.with_name("env:x"))),
}


def change(environment: Path, edit: Callable[[dict[str, dict[str, object]]], None]) -> None:
    """Edit the manifest, and forget the interpreter."""
    place = environment / ".terrastore/manifest.json"
    document = json.loads(place.read_bytes())
    edit(document)
    place.write_text(json.dumps(document))
    (environment / ".terrastore/state.json").unlink()


def _runes(document: dict[str, dict[str, object]]) -> None:
    document["relocations"][0]["kind"] = "runes"  # type: ignore[index]


def _future(document: dict[str, dict[str, object]]) -> None:
    document["needs"]["libc"] = {"family": "glibc", "version": "9999.0"}


def _ancient(document: dict[str, dict[str, object]]) -> None:
    document["interpreter"]["version"] = "3.9.99"


@pytest.mark.parametrize(("code", "message", "spoil"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    code: int, message: str, spoil: Callable[[Path], None], relocate: Relocate, stored: CommandLine
) -> None:
    """Both ways end with the same message and exit code, in words and as JSON."""
    stored.ok("ensure", "--target", "env")
    spoil(stored.cwd / "env")
    (place,) = (path for path in stored.cwd.iterdir() if path.is_dir())
    result = relocate(place.name, "--json")
    assert (code, True) == (result.code, message in result.err), result.err
    assert result.err.startswith("terrastore: error: ")
    assert "\nterrastore: hint: " in result.err
    assert {"schema", "error"} == result.json.keys()
    assert {"kind", "message", "hint"} == result.json["error"].keys()


def test_the_file_takes_an_interpreter(single: Single, stored: CommandLine) -> None:
    """--python takes a path, a version or a command, found on PATH alone; another version is refused."""
    target = unpacked_by_tar(stored, "plain")
    own = os.path.realpath(sys.executable)
    assert 0 == single("plain", "--python", own).code
    assert own == os.path.realpath(target / "bin/python")
    folder = stored.home / "on path"
    folder.mkdir()
    name = "python{}.{}".format(*sys.version_info)
    (folder / name).symlink_to(own)
    for spec in ("{}.{}".format(*sys.version_info), "{}.{}.{}".format(*sys.version_info), name):
        done = subprocess.run(
            [sys.executable, single.file, "plain", "--python", spec],
            cwd=stored.cwd, env={"PATH": str(folder)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (0, "") == (done.returncode, done.stderr)
        assert "alpha 1.0" == run(target / "bin/alpha")
    assert (9, True) == ((refused := single("plain", "--python", "3.99")).code, "no interpreter" in refused.err)


def test_the_file_is_a_program(single: Single, stored: CommandLine) -> None:
    """It can be started by its name, says what it can do, and takes wrong arguments as the command does."""
    assert 0o755 == single.file.stat().st_mode & 0o777
    assert "usage: relocate [" in run(single.file, "--help")
    assert run(single.file, "--version") == run(*stored.command, "--version")
    for arguments in ((), ("a", "b"), ("a", "--wait", "soon"), ("--pythn", "3.11", "a")):
        result = single(*arguments)
        assert (2, "") == (result.code, result.out)
        assert result.err.startswith("terrastore: error: ")
        assert result.err.endswith("hint: see --help\n")


@pytest.mark.skipif(not OLD[1].exists(), reason="needs an old Python")
def test_an_old_python_is_told(single: Single) -> None:
    """A Python that cannot run it says so, with the documented code."""
    result = single("anything", python=OLD[1])
    assert (9, True) == (result.code, result.err.startswith("terrastore: error: Python 3.8 cannot run this\n"))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_the_file_replaces_only_files(kind: str, stored: CommandLine) -> None:
    """A device, a pipe or a link that is named by mistake stays what it is."""
    place = stored.cwd / "relocate.pyz"
    os.mkfifo(place) if kind == "pipe" else place.symlink_to("elsewhere")
    inode = place.lstat().st_ino
    result = stored("relocate", "--standalone", "relocate.pyz")
    assert (2, True) == (result.code, "is a link, a device or a pipe" in result.err)
    assert inode == place.lstat().st_ino


def test_one_of_two_arguments(stored: CommandLine, tmp_path: Path) -> None:
    """relocate takes an environment or writes the file; where that cannot be is said."""
    for arguments in ((), ("env", "--standalone", "x")):
        assert (2, True) == ((r := stored("relocate", *arguments)).code, "needs one of ENV and --standalone" in r.err)
    assert 2 == stored("relocate", "--standalone", str(tmp_path)).code
    assert 2 == stored("relocate", "--standalone", str(tmp_path / "absent/x")).code
    assert [] == [path for path in tmp_path.iterdir() if path.name != "home"]


STAMPED = """\
import sys, zipfile
info = 'stamped-1.0.dist-info'
with zipfile.ZipFile(folder + '/stamped-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('stamped.py', 'PREFIX = %r\\n' % sys.prefix)
    wheel.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: stamped\\nVersion: 1.0\\n')
    wheel.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + '/RECORD', '')
return 'stamped-1.0-py3-none-any.whl'
"""


def test_bytecode_of_what_is_rewritten_is_made_anew(cli: CommandLine) -> None:
    """A module that holds the path has bytecode of where it stands: not that of the place before, and valid."""
    make_project(cli.cwd / "stamped", STAMPED)
    cli.write("requirements.txt", "./stamped\n")
    cli.ok("ensure", "--target", "one")
    for before, now in (("one", "two"), ("two", "six")):
        python = cli.cwd / before / "bin/python"
        written = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run([python, "-c", "import stamped"], check=True, env=written)
        (module,) = (cli.cwd / before).glob("lib/*/site-packages/stamped.py")
        (bytecode,) = module.parent.glob("__pycache__/stamped.*.pyc")
        (cli.cwd / before).rename(cli.cwd / now)
        cli.ok("relocate", now)
        fresh = (cli.cwd / now / bytecode.relative_to(cli.cwd / before)).read_bytes()
        assert (True, False) == (os.fsencode(cli.cwd / now) in fresh, os.fsencode(cli.cwd / before) in fresh)
        source = (cli.cwd / now / module.relative_to(cli.cwd / before)).read_bytes()
        # PEP 552: to be checked against the source, by the hash that it has now.
        assert b"\3\0\0\0" + importlib.util.source_hash(source) == fresh[4:16]
        program = "import stamped; print(stamped.PREFIX)"
        assert str(cli.cwd / now) == run(cli.cwd / now / "bin/python", "-B", "-c", program)
        cli.ok("verify", now)


@pytest.mark.parametrize("frozen", [False, True], ids=["writable", "read-only"])
def test_bytecode_is_valid_wherever(frozen: bool, stored: CommandLine) -> None:
    """Moved and relocated, the first import of everything compiles nothing, and writes nothing where it may not."""
    target = unpacked_by_tar(stored, "plain")
    stored.ok("relocate", "plain")
    target = target.rename(stored.cwd / "moved")
    stored.ok("relocate", "moved")
    (folder,) = target.glob("lib/*/site-packages")
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*.pyc")}
    with own_mounts_or_skip() if frozen else nullcontext():
        if frozen:
            freeze(target)
        program = "import alpha, alpha.only_in_1, beta, pip._internal.cli.main, pip._vendor.requests"
        done = subprocess.run(
            [target / "bin/python", "-v", "-c", program],
            env={"PATH": os.defpath}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        stored.ok("verify", "moved")
    assert f"matches {folder}/alpha/__init__.py" in done.stderr
    assert [] == [line for line in done.stderr.splitlines() if f"code object from {folder}" in line]
    assert before == {path: path.stat().st_mtime_ns for path in target.rglob("*.pyc")}


def test_moved_into_place(relocate: Relocate, stored: CommandLine) -> None:
    """Made to work elsewhere and put there in one step, in place of an environment, which is gone then."""
    unpacked_by_tar(stored, "staged")
    old = stored.cwd / "there"
    old.mkdir()
    (old / "pyvenv.cfg").touch()
    result = relocate("staged", "--into", "there")
    assert (0, "") == (result.code, result.err)
    assert "alpha 1.0" == run(old / "bin/alpha")
    assert {"requirements.txt", "there"} == set(os.listdir(stored.cwd))
    assert str(old) == state_of(old)["prefix"]
    assert stored.ok("verify", "there").out.startswith("sound ")
    assert stored.ok("ensure", "--target", "there").out.startswith("kept ")
    assert 0 == relocate("there", "--into", "back").code
    assert "alpha 1.0" == run(stored.cwd / "back/bin/alpha")
    assert not old.exists()


def test_into_what_must_stay(relocate: Relocate, stored: CommandLine) -> None:
    """A directory that is no environment, unless it is forced; what holds the environment; another filesystem."""
    staged = unpacked_by_tar(stored, "staged")
    (stored.cwd / "there").mkdir()
    (stored.cwd / "there/data").touch()
    refused = relocate("staged", "--into", "there")
    assert (2, True) == (refused.code, "is a directory that is no environment" in refused.err)
    inside = relocate("staged", "--into", ".", "--force")
    assert (2, True) == (inside.code, f"{staged} in it would be gone" in inside.err)
    if Path("/dev/shm").stat().st_dev != staged.stat().st_dev:
        elsewhere = relocate("staged", "--into", "/dev/shm/terrastore-elsewhere")
        assert (2, True) == (elsewhere.code, "are on different filesystems" in elsewhere.err)
    assert (stored.cwd / "there/data").exists()
    assert not (staged / ".terrastore/state.json").exists()
    assert 0 == relocate("staged", "--into", "there", "--force").code
    assert "alpha 1.0" == run(stored.cwd / "there/bin/alpha")


def test_force_alone_means_nothing(relocate: Relocate, stored: CommandLine) -> None:
    """Where it stands an environment replaces nothing."""
    unpacked_by_tar(stored, "plain")
    assert 2 == relocate("plain", "--force").code

"""What is found in a built environment, and what is taken out of it first."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from terrastore.archive.staging import StagingPrefix
from terrastore.archive.survey import Survey, drop_stray_bytecode, survey
from terrastore.report import Phase

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = StagingPrefix.under("/srv/builds", "0f" * 16)


def surveyed(tree: Path) -> Survey:
    return survey(str(tree), PREFIX, Phase("scan", total=None, unit="files"))


def found(tree: Path) -> set[str]:
    return set(surveyed(tree).members)


def write(tree: Path, name: str, content: str | bytes = "") -> Path:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_stray_bytecode_leaves_nothing(tmp_path: Path) -> None:
    """Bytecode that nobody lists goes, with a folder that is then empty and would be a member; the rest stays."""
    for name in ("a/__pycache__/x.cpython-311.pyc", "b/__pycache__/y.cpython-311.pyc", "a/x.py", "b/y.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    drop_stray_bytecode(str(tmp_path), frozenset({"b/__pycache__/y.cpython-311.pyc"}))
    assert {"a/x.py", "b/y.py", "b/__pycache__/y.cpython-311.pyc"} == found(tmp_path)


def test_leftovers_and_the_interpreter_are_no_members(tmp_path: Path) -> None:
    """What is made anew on every machine, and what installers leave lying about, is passed over."""
    for name in ("pyvenv.cfg", ".lock", ".terrastore/state.json", "bin/python", "bin/python3.11", "bin/tool", "empty"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name == "empty" else path.touch()
    (tmp_path / "bin/__pycache__").mkdir()
    assert {"bin/tool", "empty"} == found(tmp_path)


def test_what_programs_leave_when_they_run_is_no_member(tmp_path: Path) -> None:
    """Caches of twisted and numba hold paths and times of the builder; a cache's tag would keep tar from a copy."""
    for name in (
        "CACHEDIR.TAG", "lib/twisted/plugins/dropin.cache", "lib/x/__pycache__/x.f-3.py311.nbi",
        "lib/x/__pycache__/x.f-3.py311.1.nbc",
    ):  # fmt: skip
        write(tmp_path, name, PREFIX.path)
    kept = {".gitignore", "lib/x/CACHEDIR.TAG", "lib/x/dropin.cache", "share/x.nbi"}
    for name in kept:
        write(tmp_path, name, "*")
    assert kept == found(tmp_path)


LINKS = {
    "absolute, inside": ("lib/link", f"{PREFIX.path}/lib/there", "there"),
    "absolute, inside, from below": ("lib/a/link", f"{PREFIX.path}/bin/tool", "../../bin/tool"),
    "absolute, dangling": ("link", f"{PREFIX.path}/lib/absent", "lib/absent"),
    "absolute, to the environment": ("lib/link", PREFIX.path, ".."),
    "relative": ("lib64", "lib", "lib"),
    "relative, in a roundabout way": ("lib/link", "../lib/../lib/there", "there"),
}


@pytest.mark.parametrize(("path", "target", "expected"), LINKS.values(), ids=LINKS.keys())
def test_links_that_stay_inside_are_relative(path: str, target: str, expected: str, tmp_path: Path) -> None:
    """Wherever the environment stands they lead to the same file of it."""
    write(tmp_path, "lib/a/file")
    (tmp_path / path).symlink_to(target)
    result = surveyed(tmp_path)
    assert {} == result.problems
    assert expected == result.members[path].target


@pytest.mark.parametrize("target", ["/usr/share/zoneinfo", "/nowhere", "../../etc/passwd", f"{PREFIX.path}2/lib"])
def test_links_that_leave_are_refused(target: str, tmp_path: Path) -> None:
    """Nobody knows what is there on another machine, and what is here may be no package's to give away."""
    write(tmp_path, "lib/file")
    (tmp_path / "lib/link").symlink_to(target)
    result = surveyed(tmp_path)
    assert {"lib/link"} == set(result.problems)
    assert target in result.problems["lib/link"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("size", [0, 1024 * 1024], ids=["small", "large"])
def test_wide_spellings_are_refused_by_name(encoding: str, size: int, tmp_path: Path) -> None:
    """A path of two or four bytes a character is found in files of any kind."""
    write(tmp_path, "share/x.dat", b"\x01" * size + f"a{PREFIX.path}/lib".encode(encoding))
    write(tmp_path, "share/y.dat", "a/usr/lib".encode(encoding))
    result = surveyed(tmp_path)
    assert {"share/x.dat"} == set(result.problems)
    assert f"UTF-{encoding[4:6]}" in result.problems["share/x.dat"]


def test_bytecode_goes_where_its_module_does(tmp_path: Path) -> None:
    """Listed or not: bytecode of a module that holds the prefix is stale elsewhere, and what holds it itself untrue."""
    listed = set()
    for name, source, bytecode in (
        ("bound", f"X = {PREFIX.path!r}", "pyc"),
        ("binding", "", f"pyc {PREFIX.path}"),
        ("free", "", "pyc"),
    ):
        write(tmp_path, f"lib/{name}.py", source)
        listed.add(f"lib/__pycache__/{name}.cpython-311.pyc")
        write(tmp_path, f"lib/__pycache__/{name}.cpython-311.pyc", bytecode)
    drop_stray_bytecode(str(tmp_path), frozenset(listed))
    assert {"free.cpython-311.pyc"} == {path.name for path in tmp_path.rglob("*.pyc")}


def test_bytecode_alone_is_refused(tmp_path: Path) -> None:
    """Without its module, bytecode that holds the prefix can be neither changed nor made anew."""
    listed = frozenset({"lib/__pycache__/gone.cpython-311.pyc"})
    write(tmp_path, "lib/__pycache__/gone.cpython-311.pyc", f"pyc {PREFIX.path}")
    write(tmp_path, "lib/old.pyc", f"pyc\0 {PREFIX.path}")
    drop_stray_bytecode(str(tmp_path), listed)
    problems = surveyed(tmp_path).problems
    assert {"lib/old.pyc", *listed} == set(problems)
    assert all("bytecode" in reason for reason in problems.values())


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(0o600, 0o644), (0o700, 0o755), (0o4755, 0o755), (0o2711, 0o755), (0o777, 0o755), (0o044, 0o644)],
)
def test_modes_are_two(mode: int, expected: int, tmp_path: Path) -> None:
    """Whoever built it under whatever umask; nothing runs as somebody else."""
    path = write(tmp_path, "bin/tool")
    path.chmod(mode)
    assert mode == stat.S_IMODE(path.stat().st_mode)
    assert expected == surveyed(tmp_path).members["bin/tool"].mode


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    """What is shared with an installer's cache is taken as it is, and the cache's file stays as it was."""
    cached = write(tmp_path, "cache/tool", f"#!{PREFIX.path}/bin/python\n")
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    os.link(cached, tree / "bin/tool")
    os.link(cached, tree / "bin/same")
    result = surveyed(tree)
    assert {"bin/tool": "script", "bin/same": "script"} == result.kinds
    assert PREFIX.path in cached.read_text()

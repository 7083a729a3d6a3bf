"""Files of a tree come to an environment as links, clones or copies, and only as they were made."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING, Final

import pytest

from terrastore.archive import trees
from terrastore.archive.pieces import FILES, LostError, PieceWriter, Row, Written
from terrastore.archive.ustar import MalformedError
from tests.archive.packing import SITE
from tests.archive.shared_layers import Machine, contents, make_archive
from tests.mounts import Disk, cloning_or_skip, own_mounts_or_skip

if TYPE_CHECKING:
    from pathlib import Path

ROWS: Final[list[Row]] = [
    ("bin/run", "x", 5, 1, ""),
    ("lib/module.py", "-", 8, 2, ""),
    ("lib/empty", "d", 0, None, ""),
    ("lib/link", "l", 0, None, "module.py"),
]
CONTENTS = {"bin/run": b"run 1", "lib/module.py": b"module 1"}
MODES = pytest.mark.parametrize("mode", ["hardlink", "clone"])
_FS_IOC_FIEMAP: Final = 0xC020660B  # linux/fs.h
_SYNC: Final = 1
_SHARED: Final = 0x2000
_MOST: Final = 64


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return the tree of a layer with one of each kind of member."""
    return make_tree(tmp_path / "layer.d")


def make_tree(tree: Path) -> Path:
    (tree / FILES / "lib/empty").mkdir(parents=True)
    (tree / FILES / "bin").mkdir()
    for path, content in CONTENTS.items():
        (tree / FILES / path).write_bytes(content)
        (tree / FILES / path).chmod(0o755 if path == "bin/run" else 0o644)
    trees.write_index(str(tree), ROWS)
    return tree


def planted(tree: Path, folder: Path, mode: str, *held: str) -> tuple[Written, int]:
    folder.mkdir()
    return trees.plant(str(tree), PieceWriter(str(folder), held, 0o022), mode)


@MODES
def test_what_is_planted(tree: Path, tmp_path: Path, mode: str) -> None:
    """Files and directories are there, links are left to whoever makes them last, and every member is told."""
    written, _ = planted(tree, tmp_path / "env", mode)
    assert (ROWS, []) == written
    assert CONTENTS == {path: (tmp_path / "env" / path).read_bytes() for path in CONTENTS}
    assert [0o755, 0o644] == [(tmp_path / "env" / path).stat().st_mode & 0o777 for path in CONTENTS]
    assert (tmp_path / "env/lib/empty").is_dir()
    assert not (tmp_path / "env/lib/link").is_symlink()


def test_hard_links_share_inodes(tree: Path, tmp_path: Path) -> None:
    """Of the tree and of every environment."""
    for name in ("one", "two"):
        assert 0 == planted(tree, tmp_path / name, "hardlink")[1]
    for path in CONTENTS:
        places = (tree / FILES / path, tmp_path / "one" / path, tmp_path / "two" / path)
        assert [3] * 3 == [place.stat().st_nlink for place in places]
        assert 1 == len({place.stat().st_ino for place in places})


@MODES
def test_what_is_held_is_handed_over(tree: Path, tmp_path: Path, mode: str) -> None:
    """A file to be relocated is not shared: its content goes to whoever relocates it."""
    written, _ = planted(tree, tmp_path / "env", mode, "lib/module.py")
    assert [("lib/module.py", 0o644, b"module 1")] == written.held
    assert not (tmp_path / "env/lib/module.py").exists()
    assert 1 == (tree / FILES / "lib/module.py").stat().st_nlink


def test_clones_become_copies_where_there_are_none(tree: Path, tmp_path: Path) -> None:
    """A filesystem in memory has no clones; how many files were copied is told."""
    with own_mounts_or_skip():
        Disk(tmp_path / "disk")
        tree = make_tree(tmp_path / "disk/layer.d")
        assert 2 == planted(tree, tmp_path / "disk/env", "clone")[1]
        assert CONTENTS == {path: (tmp_path / "disk/env" / path).read_bytes() for path in CONTENTS}
        assert 0o755 == (tmp_path / "disk/env/bin/run").stat().st_mode & 0o777
        assert 1 == (tree / FILES / "bin/run").stat().st_nlink


@MODES
def test_another_disk_gets_copies(tree: Path, tmp_path: Path, mode: str) -> None:
    """Neither links nor clones leave a filesystem."""
    with own_mounts_or_skip():
        Disk(tmp_path / "disk")
        assert 2 == planted(tree, tmp_path / "disk/env", mode)[1]
        assert CONTENTS == {path: (tmp_path / "disk/env" / path).read_bytes() for path in CONTENTS}


@MODES
def test_a_name_that_is_taken(tree: Path, tmp_path: Path, mode: str) -> None:
    """Two layers with one path are no archive; nothing is written over."""
    planted(tree, tmp_path / "env", mode)
    with pytest.raises(MalformedError, match="bin/run collides with another member"):
        trees.plant(str(tree), PieceWriter(str(tmp_path / "env"), (), 0o022), mode)
    assert CONTENTS == {path: (tree / FILES / path).read_bytes() for path in CONTENTS}


@MODES
@pytest.mark.parametrize("path", [".terrastore/state.json", "pyvenv.cfg", "bin/python"])
def test_what_is_reserved_is_refused(tmp_path: Path, path: str, mode: str) -> None:
    """An index says no more than an archive may."""
    (tmp_path / "layer.d" / FILES / os.path.dirname(path)).mkdir(parents=True)
    (tmp_path / "layer.d" / FILES / path).touch()
    trees.write_index(str(tmp_path / "layer.d"), [(path, "-", 0, 0, "")])
    with pytest.raises(MalformedError, match="must not be a member"):
        planted(tmp_path / "layer.d", tmp_path / "env", mode)


@MODES
def test_an_edit_is_noticed_by_its_time(tree: Path, tmp_path: Path, mode: str) -> None:
    """The size is the same."""
    before = (tree / FILES / "lib/module.py").stat()
    (tree / FILES / "lib/module.py").write_bytes(b"module 2")
    os.utime(tree / FILES / "lib/module.py", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(LostError):
        planted(tree, tmp_path / "env", mode)


@pytest.mark.parametrize("path", CONTENTS)
def test_what_goes_between_two_looks(tree: Path, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody prunes after a file was looked at and before it is linked: it is lost, and no disk is in trouble."""
    link = os.link

    def gone(source: str, place: str, **options: bool) -> None:
        if source.endswith(path):
            os.unlink(source)
        link(source, place, **options)

    monkeypatch.setattr(os, "link", gone)
    with pytest.raises(LostError):
        planted(tree, tmp_path / "env", "hardlink")


def extents(path: Path) -> list[tuple[int, int, bool]]:
    """Return (physical offset, bytes, whether shared) of a file's extents up to its end, as the kernel tells."""
    head = struct.Struct("=QQIIII")
    request = bytearray(head.pack(0, path.stat().st_size, _SYNC, 0, _MOST, 0) + bytes(56 * _MOST))
    with path.open("rb") as file:
        fcntl.ioctl(file, _FS_IOC_FIEMAP, request)
    count = head.unpack_from(request)[3]
    found = (struct.unpack_from("=QQQQQI", request, head.size + 56 * number) for number in range(count))
    return [(physical, size, bool(flags & _SHARED)) for _, physical, size, _, _, flags in found]


def test_clones_share_blocks_and_no_edits(tmp_path: Path) -> None:
    """On a filesystem that can: a second environment takes no room, and what is written to it is in no other."""
    archive = make_archive(large=True)
    path = f"{SITE}/bravo/noise.bin"
    with cloning_or_skip(tmp_path / "xfs"):
        machine = Machine(tmp_path / "xfs", archive, "clone")
        first, _ = machine.unpack(machine.cache())
        (tree,) = [each for each in machine.root.iterdir() if (each / FILES / path).exists()]
        free = os.statvfs(first).f_bavail * os.statvfs(first).f_frsize
        second, taken = machine.unpack(machine.cache())
        os.sync()
        took = free - os.statvfs(first).f_bavail * os.statvfs(first).f_frsize
        assert (0, 0) == taken
        assert contents(first) == contents(second)
        assert took < 30_000_000 < (second / path).stat().st_size
        assert extents(first / path) == extents(second / path) == extents(tree / FILES / path) != []
        assert all(shared for _, _, shared in extents(first / path))
        assert 3 == len({place.stat().st_ino for place in (first / path, second / path, tree / FILES / path)})
        with (first / path).open("r+b") as file:
            file.write(b"edited")
        third, taken = machine.unpack(machine.cache())
        assert (0, 0) == taken
        assert contents(second) == contents(third)
        assert extents(first / path)[0] != extents(second / path)[0]
        assert b"edited" == (first / path).read_bytes()[:6] != (tree / FILES / path).read_bytes()[:6]
    assert [] == machine.report.warnings

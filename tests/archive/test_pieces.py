"""What one process does with one piece of a layer."""

from __future__ import annotations

import os
import stat
import zlib
from typing import TYPE_CHECKING

import pytest

from terrastore.archive.pieces import PieceWriter, Start, Written
from terrastore.archive.ustar import DIRECTORY, REGULAR, SYMLINK, MalformedError, Member, header, padding

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"content\n"


def tar(*members: Member, content: bytes = CONTENT) -> bytes:
    parts = [header(each) + content[: each.size] + bytes(padding(each.size)) for each in members]
    return b"".join(parts)


def file(path: str, mode: int = 0o644, size: int = len(CONTENT)) -> Member:
    return Member(path, REGULAR, mode, size)


def written(root: Path, raw: bytes, *, held: tuple[str, ...] = (), umask: int = 0o022) -> Written:
    writer = PieceWriter(str(root), held, umask)
    pieces, _ = writer.parse(raw, Start(), is_last=True)
    return writer.write(pieces, Start())


def test_members_are_written(tmp_path: Path) -> None:
    """Files with their content and mode, directories; links are told, and are not there."""
    link = Member("lib64", SYMLINK, 0o777, 0, "lib")
    raw = tar(file("bin/tool", 0o755), Member("empty/dir", DIRECTORY, 0o755), file("lib/a"), link)
    rows, held = written(tmp_path, raw)
    crc = zlib.crc32(CONTENT)
    assert rows == [
        ("bin/tool", "x", 8, crc, ""),
        ("empty/dir", "d", 0, None, ""),
        ("lib/a", "-", 8, crc, ""),
        ("lib64", "l", 0, None, "lib"),
    ]
    assert held == []
    assert {"bin", "bin/tool", "empty", "empty/dir", "lib", "lib/a"} == {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")
    }
    assert [0o755, 0o644, 0o755] == [
        stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("bin/tool", "lib/a", "empty/dir")
    ]


def test_modes_are_the_archives(tmp_path: Path) -> None:
    """Whatever the umask of whoever unpacks."""
    before = os.umask(0o077)
    try:
        written(tmp_path, tar(file("bin/tool", 0o755), file("lib/a")), umask=0o077)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"bin": 0o755, "tool": 0o755, "lib": 0o755, "a": 0o644}


def test_what_is_held_comes_back(tmp_path: Path) -> None:
    """Its content is told, and it is not written."""
    rows, held = written(tmp_path, tar(file("lib/a"), file("lib/b", 0o755)), held=("lib/b",))
    assert held == [("lib/b", 0o755, CONTENT)]
    assert [row[0] for row in rows] == ["lib/a", "lib/b"]
    assert not (tmp_path / "lib/b").exists()


@pytest.mark.parametrize("size", [2000, 512, 1024, 1500])
@pytest.mark.parametrize("cut", [512, 1024, 1536])
@pytest.mark.parametrize("held", [(), ("big",)], ids=["written", "held"])
def test_a_file_may_be_in_several_pieces(tmp_path: Path, size: int, cut: int, held: tuple[str, ...]) -> None:
    """Each by a writer of its own that knows where it begins, in any order once the file is there."""
    content = bytes(range(256)) * 8
    raw = tar(file("a", size=100), file("big", 0o755, size), file("z", size=7), content=content)
    first, second = PieceWriter(str(tmp_path), held, 0o022), PieceWriter(str(tmp_path), held, 0o022)
    begins = 512 + 512  # of the header of big
    one, start = first.parse(raw[: begins + cut], Start(), is_last=False)
    two, _ = second.parse(raw[begins + cut :], start, is_last=True)
    later = second.write(two, start)
    earlier = first.write(one, Start())
    rows = [*earlier.rows, *later.rows]
    assert ("big", "x", size, zlib.crc32(content[:size]), "") in rows
    assert ["a", "big", "z"] == [row[0] for row in rows]
    if held:
        assert content[:size] == b"".join(piece for _, _, piece in (*earlier.held, *later.held))
    else:
        assert content[:size] == (tmp_path / "big").read_bytes()
        assert 0o755 == stat.S_IMODE((tmp_path / "big").stat().st_mode)
    assert content[:7] == (tmp_path / "z").read_bytes()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (tar(file("pyvenv.cfg")), "pyvenv.cfg must not be a member"),
        (tar(file("PyVenv.cfg")), "PyVenv.cfg must not be a member"),
        (tar(file("bin/python3.11")), "bin/python3.11 must not be a member"),
        (tar(file("BIN/PYTHON")), "BIN/PYTHON must not be a member"),
        (tar(file(".terrastore/state.json")), "must not be a member"),
        (tar(file("bin")), "bin must not be a member"),
        (tar(Member("held", SYMLINK, 0o777, 0, "a")), "held is to be relocated and is no file"),
        (tar(file("a"), file("a")), "a collides with another member"),
        (tar(file("a"), file("a/b")), "a collides with another member"),
        (tar(file("a/b"), file("a")), "a collides with another member"),
        (tar(file("a"))[:512], "ends inside a member"),
    ],
)
def test_what_must_not_be_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    """What is made elsewhere, what is in another's way, what is cut off."""
    with pytest.raises(MalformedError, match=message):
        written(tmp_path, raw, held=("held",))


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A directory that is a link already is in the way."""
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root/lib").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MalformedError, match="lib collides"):
        written(tmp_path / "root", tar(file("lib/a")))
    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_two_writers_may_need_one_directory(tmp_path: Path) -> None:
    """Whoever comes second finds it there."""
    for name in ("lib/one", "lib/two"):
        written(tmp_path, tar(file(name)))
    assert {"one", "two"} == {path.name for path in (tmp_path / "lib").iterdir()}

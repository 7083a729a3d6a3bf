"""A disk that takes no more is told by path, with what is left there and what is needed."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from terrastore import room
from terrastore.errors import HostError
from terrastore.room import Files

if TYPE_CHECKING:
    from pathlib import Path

Disk = tuple[int, int, int]
"""What a filesystem says of itself: blocks of 1,000 bytes that are left, inodes, inodes that are left."""
ROOMY: Disk = (10_000_000, 5_000_000, 4_000_000)


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Disk]:
    """Return what filesystems are to say, by directory."""
    said: dict[str, Disk] = {}

    def statvfs(folder: str) -> os.statvfs_result:
        blocks, inodes, left = said[folder]
        # bsize, frsize, blocks, bfree, bavail, files, ffree, favail, flag, namemax
        return os.statvfs_result((1000, 1000, 0, 0, blocks, inodes, left, left, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    return said


@pytest.mark.parametrize(
    ("disk", "needed", "expected"),
    [
        pytest.param((12, 5000, 4000), None, "12.0 kB left", id="bytes"),
        pytest.param((12, 5000, 999), None, "12.0 kB and 999 inodes left", id="few inodes"),
        pytest.param((12_000, 5000, 1), None, "12.0 MB and 1 inode left", id="one inode"),
        pytest.param((12, 0, 0), None, "12.0 kB left", id="a filesystem without inodes"),
        pytest.param(
            (12, 5000, 4000),
            Files(size=400_000_000, count=23_500),
            "12.0 kB left, about 496.3 MB needed",
            id="bytes for files, with their last blocks",
        ),
        pytest.param(
            (12, 5000, 0),
            Files(size=0, count=1),
            "12.0 kB and 0 inodes left, about 4.1 kB needed, in 1 file besides directories",
            id="inodes for files",
        ),
    ],
)
def test_figures(
    tmp_path: Path,
    disks: dict[str, Disk],
    disk: Disk,
    needed: Files | None,
    expected: str,
) -> None:
    """Bytes always, inodes where they are few; of a directory that is not there those of the nearest one above it."""
    disks[str(tmp_path)] = disk
    assert expected == room.figures(str(tmp_path), needed)
    assert expected == room.figures(str(tmp_path / "not/there"), needed)


def fail(*folders: str, error: OSError) -> HostError:
    """Return what is told of an error while something is written in ``folders``."""
    with pytest.raises(HostError) as caught, room.writing(*folders, what="the cake", otherwise="eat it"):
        raise error
    assert error is caught.value.__cause__
    return caught.value


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("names", [(), ("{}",), ("{}/deep/file",), ("/usr/bin/python3", None, "{}/link")], ids=len)
def test_a_full_disk_is_named(tmp_path: Path, disks: dict[str, Disk], code: int, names: tuple[str | None, ...]) -> None:
    """Whether the error names a file or not; of a link that cannot be made the name is the second one."""
    disks[str(tmp_path)] = (12, 5000, 4000)
    filled = [name.format(tmp_path) if name is not None else None for name in names]
    told = fail(str(tmp_path), error=OSError(code, os.strerror(code), *filled))
    assert f"{tmp_path} cannot take the cake: {os.strerror(code).lower()} (12.0 kB left)" == told.message
    assert "make room there, or eat it" == told.hint


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.EROFS, "eat it"),
        (errno.EACCES, "eat it"),
        (errno.EPERM, "eat it"),
        (errno.EIO, "check the disk, or eat it"),
        (errno.ESTALE, "check the disk, or eat it"),
        (errno.EFBIG, "check the disk, or eat it"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_a_disk_that_does_not_do_is_named(code: int, hint: str) -> None:
    """One that may not be written, and one that fails."""
    told = fail("/srv", error=OSError(code, os.strerror(code)))
    assert (f"/srv cannot take the cake: {os.strerror(code).lower()}", hint) == (told.message, told.hint)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "no space", "/srvice/file"),
        OSError(errno.ENOENT, "no such file", "/srv/file"),
        OSError(errno.EAGAIN, "try again"),
        ValueError("not a disk's"),
    ],
    ids=["another disk", "a missing file", "no memory", "no error of a disk"],
)
def test_what_is_about_something_else_stays_what_it_is(error: Exception) -> None:
    """It is not the disk's."""
    with pytest.raises(type(error)) as caught, room.writing("/srv", what="the cake", otherwise="eat it"):
        raise error
    assert error is caught.value


@pytest.mark.parametrize(
    ("one", "other", "full"),
    [
        pytest.param((12, 5000, 4000), ROOMY, "one", id="bytes"),
        pytest.param(ROOMY, (12, 5000, 4000), "other", id="bytes of the other"),
        pytest.param((9_000_000, 5000, 1), ROOMY, "one", id="inodes"),
        pytest.param((9_000_000, 0, 0), (12, 5000, 4000), "other", id="a filesystem without inodes"),
    ],
)
def test_of_several_the_full_one_is_meant(
    tmp_path: Path, disks: dict[str, Disk], one: Disk, other: Disk, full: str
) -> None:
    """A tool that finds no room does not say where; an error that names a file does."""
    places = {name: tmp_path / name for name in ("one", "other")}
    for place, disk in zip(places.values(), (one, other), strict=True):
        place.mkdir()
        disks[str(place)] = disk
    with pytest.raises(OSError, match="No space left on device") as caught:
        room.heed("error: [Errno 28] No space left on device: 'x'")
    told = fail(*map(str, places.values()), error=caught.value)
    assert told.message.startswith(f"{places[full]} cannot take the cake: no space left on device")
    for named in map(str, places.values()):
        told = fail(*map(str, places.values()), error=OSError(errno.ENOSPC, "full", f"{named}/file"))
        assert told.message.startswith(named)


@pytest.mark.parametrize(
    "output",
    [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "  Caused by: failed to write to file: No space left on device (os error 28)",
        "/tmp/ccX.s: Fatal error: can't write 12 bytes: no space left on device\nmake: *** [all] Error 1",
        "OSError: [Errno 122] Disk quota exceeded: '/home/x'",
    ],
    ids=["pip", "uv", "a compiler", "a quota"],
)
def test_tools_are_heeded(output: str) -> None:
    """What they say of a full disk is that, and no failure of what they were to do."""
    with pytest.raises(OSError, match=r"(?i)no space|quota") as caught:
        room.heed(f"before\n{output}\nafter")
    assert caught.value.errno in room.FULL


def test_tools_that_say_nothing_of_a_disk_are_not() -> None:
    """Other failures are the tool's own."""
    room.heed("ERROR: No matching distribution found for no-space-left")

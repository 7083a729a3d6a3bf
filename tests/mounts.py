"""Filesystems for a test alone: small ones, read-only ones, ones that go; nobody else on the machine sees them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CLONE_FS: Final = 0x200
_CLONE_NEWNS: Final = 0x00020000
_MS_RDONLY: Final = 1
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_MNT_DETACH: Final = 2
_IMAGE_SIZE: Final = 4_000_000_000
"""Most of an image takes no room."""
_PLENTY: Final = "size=1g,nr_inodes=100k"

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_mounts() -> Iterator[None]:
    """Let this thread, and what it starts, have mounts of their own, which go with the body (mount_namespaces(7)).

    :raises OSError: when this user may not
    """
    folder, before = os.getcwd(), os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
    try:
        _checked(_libc.unshare(_CLONE_NEWNS))
        try:
            _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
            yield
        finally:
            # A thread that was started meanwhile may share what setns(2) wants for us alone.
            _checked(_libc.unshare(_CLONE_FS))
            _checked(_libc.setns(before, _CLONE_NEWNS))
            os.chdir(folder)
    finally:
        os.close(before)


@contextmanager
def own_mounts_or_skip() -> Iterator[None]:
    """Do the same; where this user may not, tests are skipped, but not in continuous integration."""
    with ExitStack() as stack:
        try:
            stack.enter_context(own_mounts())
        except OSError as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"this user cannot mount: {error.strerror}")
        yield


@contextmanager
def cloning_or_skip(place: Path) -> Iterator[None]:
    """Let ``place`` be on an XFS, whose files can share blocks, while the body runs; else the same."""
    place.mkdir(parents=True, exist_ok=True)
    with own_mounts_or_skip(), tempfile.NamedTemporaryFile(suffix=".xfs") as image:
        os.truncate(image.name, _IMAGE_SIZE)
        try:
            for command in (
                ("mkfs.xfs", "-q", "-f", "-m", "reflink=1", image.name),
                ("mount", "-o", "loop", image.name, str(place)),
            ):
                subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"this user cannot mount an XFS: {error}")
        try:
            yield
        finally:
            unmount(place)


class Disk:
    """A filesystem in memory, mounted at a directory, whose room changes as one likes."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place = place
        _mount("tmpfs", str(place), "tmpfs", 0, _PLENTY)
        # Sizes of zero have no bounds: something is always there.
        (place / ".taken").write_text("taken\n")

    def leave(self, *, pages: int | None = None, inodes: int | None = None) -> None:
        """Leave no more than so many pages and inodes to what comes."""
        facts = os.statvfs(self.place)
        size = (facts.f_blocks - facts.f_bfree) * facts.f_frsize + pages * PAGE if pages is not None else "1g"
        number = facts.f_files - facts.f_ffree + inodes if inodes is not None else "100k"
        self._remount(f"size={size},nr_inodes={number}")

    def give(self) -> None:
        """Leave plenty."""
        self._remount(_PLENTY)

    def _remount(self, options: str) -> None:
        _mount("tmpfs", str(self.place), "tmpfs", _MS_REMOUNT, options)


def bind(source: Path, place: Path) -> None:
    """Let what is in ``source`` be in ``place`` too, as a share that is mounted there."""
    _mount(str(source), str(place), "", _MS_BIND)


def freeze(place: Path) -> None:
    """Let nobody write below ``place``, not even root."""
    _mount(str(place), str(place), "", _MS_BIND)
    _mount(str(place), str(place), "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def unmount(place: Path) -> None:
    """Take away what is mounted at ``place``, also from who uses it."""
    _checked(_libc.umount2(os.fsencode(place), _MNT_DETACH))


def open_ways(paths: Iterable[Path]) -> None:
    """Let every user come to ``paths``; whatever else is behind a directory that lets nobody pass is out of sight."""
    closed: dict[Path, set[Path]] = {}
    for path in map(Path.resolve, paths):
        barriers = filter(_is_closed, (*reversed(path.parents), path))
        if (barrier := next(barriers, None)) is not None:
            closed.setdefault(barrier, set()).add(path)
    for barrier, behind in closed.items():
        with tempfile.TemporaryDirectory() as aside:
            _mount(str(barrier), aside, "", _MS_BIND | _MS_REC)
            _mount("tmpfs", str(barrier), "tmpfs", 0, "mode=755")
            for path in sorted(behind):
                _stand_in(Path(aside, path.relative_to(barrier)), path)
            unmount(Path(aside))


def _is_closed(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.stat().st_mode & 0o001


def _stand_in(original: Path, path: Path) -> None:
    """Let ``path`` be what ``original`` is, but open."""
    if _is_closed(original):
        path.mkdir(parents=True, exist_ok=True)
        for each in original.iterdir():
            _stand_in(each, path / each.name)
    elif original.is_symlink():
        if not path.is_symlink():
            path.symlink_to(os.readlink(original))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        if original.is_dir():
            path.mkdir(exist_ok=True)
        else:
            path.touch()
        _mount(str(original), str(path), "", _MS_BIND | _MS_REC)


def _mount(source: str, place: str, kind: str, flags: int, options: str = "") -> None:
    _checked(_libc.mount(os.fsencode(source), os.fsencode(place), kind.encode(), flags, options.encode()))


def _checked(failed: int) -> None:
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

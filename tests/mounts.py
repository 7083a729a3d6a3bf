"""Filesystems for a test alone: small ones, read-only ones, ones that go; nobody else on the machine sees them."""

from __future__ import annotations

import ctypes
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CLONE_NEWNS: Final = 0x00020000
_MS_RDONLY: Final = 1
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_MNT_DETACH: Final = 2
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
    """Let every user come to ``paths``, whose own permissions stay as they are.

    Where a directory above them lets nobody pass, another stands before it, with the same paths in it and nothing else.
    """
    closed: dict[Path, list[Path]] = {}
    for path in map(Path.resolve, paths):
        barriers = [each for each in reversed(path.parents) if not each.stat().st_mode & 0o001]
        if barriers:
            closed.setdefault(barriers[0], []).append(path)
    for barrier, behind in closed.items():
        with tempfile.TemporaryDirectory() as aside:
            kept = [_bound(path, Path(aside, str(number))) for number, path in enumerate(sorted(set(behind)))]
            _mount("tmpfs", str(barrier), "tmpfs", 0, "mode=755")
            for path, again in zip(sorted(set(behind)), kept, strict=True):
                path.mkdir(parents=True, exist_ok=True)
                _mount(str(again), str(path), "", _MS_BIND | _MS_REC)
            for again in kept:
                unmount(again)


def _bound(path: Path, place: Path) -> Path:
    place.mkdir()
    _mount(str(path), str(place), "", _MS_BIND | _MS_REC)
    return place


def _mount(source: str, place: str, kind: str, flags: int, options: str = "") -> None:
    _checked(_libc.mount(os.fsencode(source), os.fsencode(place), kind.encode(), flags, options.encode()))


def _checked(failed: int) -> None:
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

"""Changes to a directory that are seen whole or not at all, and a lock that leaves no file behind."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
import time
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

from terrastore.sha256 import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOCK_POLL_SECONDS = 0.1
_TEMPORARY = r"\.tmp-([0-9a-f]{16})-[0-9a-f]{16}"
_DAY = 86400.0  # seconds
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h on macOS, which spells the call renamex_np


def sync_directory(path: str) -> None:
    """Make the names in ``path`` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def temporary_beside(path: str, *, mode: int) -> Iterator[BinaryIO]:
    """Yield a new file in ``path``'s directory and remove its temporary name afterwards, and those of killed runs.

    The body publishes it, by :func:`publish_new` or :func:`publish_over`, or it is gone. ``mode`` holds
    whatever the umask, so that other users of a share can read what is published.
    """
    file = _temporary(os.path.dirname(path))
    try:
        with file:
            _sweep(file)
            os.fchmod(file.fileno(), mode)
            try:
                yield file
            except BaseException:
                # What did not fit on the disk does not fit now; what led here is worth more than that.
                with suppress(OSError):
                    file.close()
                raise
    finally:
        with suppress(FileNotFoundError):
            os.unlink(file.name)


def _temporary(folder: str) -> BinaryIO:
    """Return a new file that nobody takes for one of a killed run, because it is locked."""
    while True:
        name = f".tmp-{lock_domain()}-{os.urandom(8).hex()}"
        file = open(os.path.join(folder, name), "xb")  # noqa: SIM115 -- closed by the caller
        with suppress(OSError):  # a filesystem without locks, where nobody gets one to remove it either
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_named(file.fileno(), file.name):
            return file
        file.close()


def _sweep(own: BinaryIO) -> None:
    """Remove what killed runs left beside ``own``; where that cannot be told, or not be removed, it stays.

    Nobody holds a lock on it, if it is of this machine; another machine's locks may not reach here (NFS with local
    locks), so what is of another machine must be a day older than ``own`` by the clock of the filesystem.
    """
    folder, own_name = os.path.split(own.name)
    with suppress(OSError):
        others = filter(lambda name: name != own_name, os.listdir(folder))
        for match in filter(None, (re.fullmatch(_TEMPORARY, name) for name in others)):
            with suppress(OSError), open(os.path.join(folder, match[0]), "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                age = os.fstat(own.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
                if match[1] == lock_domain() or age > _DAY:
                    os.unlink(file.name)


@cache
def lock_domain() -> str:
    """Return what processes have in common whose locks (flock(2)) keep each other away: one kernel since its start.

    16 hexadecimal digits; where the kernel does not tell, random ones, as if no process were within reach.
    """
    with suppress(OSError), open(_BOOT_ID, "rb") as file:
        return sha256(file.read().strip()).hexdigest()[:16]
    return os.urandom(8).hex()


def publish_new(file: BinaryIO, path: str) -> bool:
    """Give the temporary ``file`` the name ``path`` unless that is taken; return whether it was free.

    ``link(2)`` is atomic over NFS. When its reply is lost and the client asks again, the second answer
    is EEXIST although we won; the link count of our own file tells (open(2), NOTES on O_EXCL).
    """
    _to_disk(file)
    try:
        os.link(file.name, path)
    except FileExistsError:
        if os.fstat(file.fileno()).st_nlink != 2:  # noqa: PLR2004
            return False
    sync_directory(os.path.dirname(path))
    return True


def publish_over(file: BinaryIO, path: str) -> None:
    """Give the temporary ``file`` the name ``path``, replacing what had it."""
    _to_disk(file)
    os.rename(file.name, path)
    sync_directory(os.path.dirname(path))


def write_file(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` by a file of ``data``; readers see the old one or the new one."""
    with temporary_beside(path, mode=mode) as file:
        file.write(data)
        publish_over(file, path)


def unfinished(link: str) -> str:
    """Name what :func:`switch_link` makes before it has its place."""
    parent, name = os.path.split(link)
    return os.path.join(parent, f".{name}.new")


def switch_link(link: str, target: str) -> None:
    """Make ``link`` a symbolic link to ``target``, replacing the link that was there; one caller at a time."""
    temporary = unfinished(link)
    with suppress(FileNotFoundError):
        os.unlink(temporary)  # of a caller that was killed
    os.symlink(target, temporary)
    try:
        os.rename(temporary, link)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(link))


def exchange(first: str, second: str) -> bool:
    """Swap two existing names in one step; return False where the kernel or the filesystem cannot.

    :raises OSError: for every other reason, such as a mount point (EBUSY)
    """
    import ctypes  # noqa: PLC0415 -- most runs replace nothing

    libc = ctypes.CDLL(None, use_errno=True)
    one, two = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(one, two, ctypes.c_uint(_RENAME_SWAP))
        else:
            failed = libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, two, ctypes.c_uint(_RENAME_EXCHANGE))
    except AttributeError:
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        return False
    raise OSError(code, os.strerror(code), first, None, second)


@contextmanager
def locked(path: str, *, waiting: Callable[[], None] | None = None, patience: float | None = None) -> Iterator[None]:
    """Hold the advisory lock ``path`` (flock(2)); the file is gone afterwards.

    ``waiting`` is called once when somebody else holds it; ``patience`` is the most seconds to wait, None for ever.
    A lock whose file was unlinked by its last holder between our open and our flock guards nothing, so it is taken
    again.

    :raises TimeoutError: when it could not be had in time
    """
    until = None if patience is None else time.monotonic() + patience
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with suppress(PermissionError):  # somebody else's file, with the mode it was given here
                os.fchmod(fd, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is not None:
                    waiting()
                    waiting = None
                _wait_for(fd, until)
            if not _is_named(fd, path):
                continue
            try:
                yield
            finally:
                # In a sticky directory only its maker can remove it.
                with suppress(FileNotFoundError, PermissionError):
                    os.unlink(path)
            return
        finally:
            os.close(fd)


def _wait_for(fd: int, until: float | None) -> None:
    """Take a lock that somebody holds, by ``until`` on the monotonic clock."""
    if until is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    # flock(2) knows no timeout, and an alarm is the process's, not ours.
    while time.monotonic() < until:
        time.sleep(_LOCK_POLL_SECONDS)
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def hold_directory(path: str) -> int | None:
    """Lock an existing directory until the returned descriptor is closed; None when somebody holds it or it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    if not _is_named(fd, path):
        os.close(fd)
        return None
    return fd


def _is_named(fd: int, path: str) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino) and not stat.S_ISLNK(named.st_mode)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())

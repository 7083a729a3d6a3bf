"""Disks of this machine that take no more: told is which one it is, why, how much is left and how much is needed."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore.errors import HostError, reason
from terrastore.report import number, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What an error's ``errno`` is when there is no room."""
_REFUSING: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FAILING: Final = frozenset({errno.EIO, errno.EFBIG, errno.ESTALE})
# strerror(3) of FULL, as tools print it among other things.
_TOLD: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_FEW_INODES: Final = 1000
_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What is to be written: ``size`` bytes together, in ``count`` files."""

    size: int
    count: int


@contextmanager
def writing(*folders: str, what: str, otherwise: str, needed: Files | None = None) -> Iterator[None]:
    """Name that one of ``folders`` in which the body cannot write ``what``; ``otherwise`` says where else it could go.

    :raises HostError: when the disk is full, refuses to be written, or fails
    """
    try:
        yield
    except OSError as error:
        folder = _meant(error, folders)
        if folder is None or error.errno not in FULL | _REFUSING | _FAILING:
            raise
        told, hint = "", otherwise
        if error.errno in FULL:
            told, hint = f" ({figures(folder, needed)})", f"make room there, or {otherwise}"
        elif error.errno in _FAILING:
            hint = f"check the disk, or {otherwise}"
        raise HostError(f"{folder} cannot take {what}: {reason(error)}{told}", hint=hint) from error


def heed(output: str) -> None:
    """Raise the error that the output of a tool tells of, when that is a full disk.

    :raises OSError: which is one of ``FULL``
    """
    if match := _TOLD.search(output):
        raise OSError(errno.ENOSPC, match[0])


def figures(folder: str, needed: Files | None = None) -> str:
    """Return how much room there is for what is to stand in ``folder``: ``12.3 kB left, about 391.2 MB needed``.

    Inodes are told where few are left.
    """
    facts = _statistics(folder)
    few = facts.f_files > 0 and facts.f_favail < _FEW_INODES
    inodes = f" and {number(facts.f_favail, 'inode')}" if few else ""
    told = f"{size(facts.f_bavail * facts.f_frsize)}{inodes} left"
    if needed is not None:
        # Of each file the last block may be all but empty.
        told += f", about {size(needed.size + needed.count * _BLOCK)} needed"
        told += f", in {number(needed.count, 'file')} besides directories" if few else ""
    return told


def _meant(error: OSError, folders: Sequence[str]) -> str | None:
    """Return which of ``folders`` an error is about, None when it names something else."""
    # Of a link that cannot be made, the first name is where it would lead.
    named = error.filename2 or error.filename
    if isinstance(named, str):
        return next((folder for folder in folders if _is_branch(named, folder)), None)
    return min(folders, key=_free)


def _is_branch(one: str, other: str) -> bool:
    """Whether one of two paths is above the other, or they are the same."""
    shorter, longer = sorted((f"{one}/", f"{other}/"), key=len)
    return longer.startswith(shorter)


def _free(folder: str) -> int:
    """Return how many bytes of the smallest files there is room for."""
    facts = _statistics(folder)
    room = facts.f_bavail * facts.f_frsize
    return min(room, facts.f_favail * _BLOCK) if facts.f_files else room


def _statistics(folder: str) -> os.statvfs_result:
    """Return what the filesystem of a directory, or of the nearest one above it that is there, says of itself.

    Filesystems that make inodes as they need them, such as btrfs, say that they have none at all.
    """
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return os.statvfs(folder)

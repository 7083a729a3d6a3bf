"""Disks of this machine that take no more: told is which one it is, why, how much is left and how much is needed."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.errors import HostError, reason
from terrastore.report import number, size

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What an error's ``errno`` is when there is no room."""
_REFUSING: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FAILING: Final = frozenset({errno.EIO, errno.EFBIG, errno.ESTALE})
# strerror(3) of FULL, as tools print it among other things.
_TOLD: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_FEW_INODES: Final = 1000
_BLOCK: Final = 4096


class Amount(NamedTuple):
    """Room on a disk: bytes, and inodes, one for each file and directory."""

    size: int
    inodes: int

    @classmethod
    def of_files(cls, size: int, count: int) -> Amount:
        """Return about what files of ``size`` bytes together take, when the last block of each is half full."""
        return cls(size + count * _BLOCK // 2, count)


@contextmanager
def writing(folder: str, what: str, *, otherwise: str, needed: Amount | None = None) -> Iterator[None]:
    """Name ``folder`` when the body cannot write ``what`` there; ``otherwise`` is a hint where else it could go.

    :raises HostError: when the disk is full, refuses to be written, or fails
    """
    try:
        yield
    except OSError as error:
        # Of a link that cannot be made, the first name is where it would lead.
        named = error.filename2 or error.filename
        if isinstance(named, str) and not _same_branch(named, folder):
            raise
        if error.errno in FULL:
            raise lack(folder, what, reason(error), otherwise=otherwise, needed=needed) from error
        if error.errno not in _REFUSING | _FAILING:
            raise
        hint = otherwise if error.errno in _REFUSING else f"check the disk, or {otherwise}"
        raise HostError(f"{folder} cannot take {what}: {reason(error)}", hint=hint) from error


def lack(folder: str, what: str, why: str, *, otherwise: str, needed: Amount | None = None) -> HostError:
    """Return the error for a full disk; see :func:`writing`."""
    return HostError(
        f"{folder} cannot take {what}: {why} ({figures(folder, needed)})", hint=f"make room there, or {otherwise}"
    )


def heed(output: str) -> None:
    """Raise the error that the output of a tool tells of, when that is a full disk.

    :raises OSError: which is one of ``FULL``
    """
    if match := _TOLD.search(output):
        raise OSError(errno.ENOSPC, match[0])


def figures(folder: str, needed: Amount | None = None) -> str:
    """Return how much room there is for what is to stand in ``folder``: ``12.3 kB left, about 391.2 MB needed``.

    Inodes are told where few are left.
    """
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    facts = os.statvfs(folder)
    # Filesystems that make inodes as they need them, such as btrfs, say that there are none at all.
    few = facts.f_files > 0 and facts.f_favail < _FEW_INODES

    def words(amount: Amount) -> str:
        return f"{size(amount.size)} and {number(amount.inodes, 'inode')}" if few else size(amount.size)

    left = f"{words(Amount(facts.f_bavail * facts.f_frsize, facts.f_favail))} left"
    return f"{left}, about {words(needed)} needed" if needed else left


def _same_branch(one: str, other: str) -> bool:
    """Whether one of two paths is above the other, or they are the same."""
    shorter, longer = sorted((f"{one}/", f"{other}/"), key=len)
    return longer.startswith(shorter)

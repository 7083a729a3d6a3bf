"""A layer as a directory of its files, which environments share by hard links or clones.

Below the directory of a tree stand ``files`` and an index: what an inventory says of each member, and when each file
was written. A file that somebody edited, through whichever environment, has another time, size or mode.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Final

from terrastore.archive import ustar
from terrastore.archive.pieces import FILES, MEMBER_OF, LostError, Row, Written, collision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from terrastore.archive.pieces import PieceWriter

HARDLINK: Final = "hardlink"
_INDEX: Final = "index.json"
_SCHEMA: Final = 1
_FICLONE: Final = 0x40049409  # linux/fs.h
_CANNOT: Final = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}
)


def write_index(tree: str, rows: Iterable[Row]) -> None:
    """Complete the tree whose files are written."""
    table: list[Any] = []
    for row in rows:
        is_file = row[1] in {"-", "x"}
        table.append([*row, _facts(f"{tree}/{FILES}/{row[0]}") if is_file else None])
    with open(f"{tree}/{_INDEX}", "x") as file:
        json.dump({"schema": _SCHEMA, "members": table}, file, separators=(",", ":"), ensure_ascii=False)


def plant(tree: str, writer: PieceWriter, mode: str) -> tuple[Written, int]:
    """Put the files of a tree where ``writer`` writes; return what it would have, and how many had to be copied.

    :raises LostError: when the tree is not as it was made
    :raises MalformedError: when a member must not be there, or its name is taken
    """
    held: list[tuple[str, int, bytes]] = []
    copied = 0
    index = _index(tree)
    for (path, kind, size, _, target), facts in index:
        member = ustar.Member(path, *MEMBER_OF[kind], size, target)
        writer.check(member)
        source = f"{tree}/{FILES}/{path}"
        if kind in {"-", "x"}:
            try:
                if _facts(source) != facts:
                    raise LostError(tree)
                if path in writer.held:
                    with open(source, "rb") as file:
                        held.append((path, member.mode, file.read()))
                else:
                    copied += _put(source, writer.place(path), path, mode)
            except (FileNotFoundError, NotADirectoryError):
                # Others may remove the tree at any moment.
                raise LostError(tree) from None
        elif kind == "d":
            writer.make_folder(path)
    return Written([row for row, _ in index], held), copied


def _index(tree: str) -> list[tuple[Row, Any]]:
    try:
        with open(f"{tree}/{_INDEX}", "rb") as file:
            document = json.load(file)
        if document["schema"] == _SCHEMA:
            index: list[tuple[Row, Any]] = [(tuple(row), facts) for *row, facts in document["members"]]
            if all(kind in MEMBER_OF for (_, kind, _, _, _), _ in index):
                return index
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise LostError(tree)


def _facts(place: str) -> list[int]:
    """Return what editing a file changes: time in nanoseconds, size, type and mode."""
    facts = os.stat(place, follow_symlinks=False)
    return [facts.st_mtime_ns, facts.st_size, facts.st_mode]


def _put(source: str, place: str, path: str, mode: str) -> bool:
    """Make ``place`` the file ``source``, or like it; return whether it had to be copied."""
    try:
        if mode == HARDLINK:
            os.link(source, place, follow_symlinks=False)
        else:
            _clone(source, place)
    except FileExistsError:
        raise collision(path) from None
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        shutil.copy(source, place, follow_symlinks=False)
        return True
    return False


def _clone(source: str, place: str) -> None:
    """Make ``place`` a file that shares the blocks of ``source`` (ioctl_ficlone(2))."""
    with open(source, "rb", buffering=0) as file, open(place, "xb", buffering=0) as new:
        try:
            fcntl.ioctl(new, _FICLONE, file.fileno())
        except OSError:
            os.unlink(place)
            raise
        os.fchmod(new.fileno(), os.fstat(file.fileno()).st_mode & 0o777)

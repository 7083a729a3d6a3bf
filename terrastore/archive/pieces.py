"""One piece of a layer on its way to disk: taken apart, checked, written.

This is what the processes of :mod:`terrastore.archive.crew` do, each with pieces of its own. They share nothing but
the directory that they write to, so what one of them cannot see, such as a path that is there twice, is left to whoever
gives them work.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.archive import ustar
from terrastore.archive.reserved import is_bin, is_reserved

if TYPE_CHECKING:
    from collections.abc import Collection

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MEMBER_OF: Final = {
    "-": (ustar.REGULAR, 0o644),
    "x": (ustar.REGULAR, 0o755),
    "d": (ustar.DIRECTORY, 0o755),
    "l": (ustar.SYMLINK, 0o777),
}
"""Type and mode of a member by its kind in inventories."""
FILES: Final = "files"
"""Where in the tree of a layer its files are."""
_KIND_OF: Final = {member: kind for kind, member in MEMBER_OF.items()}

_LARGE: Final = 256 * 1024
Row = tuple[str, str, int, int | None, str]
"""A member as inventories have it: path, kind, size, CRC-32 unless its RECORD has a better digest, target."""


class LostError(Exception):
    """What this machine keeps of a layer is not as it was, or is gone."""


class Start(NamedTuple):
    """Where a piece begins in the tar stream of its layer, and the CRC-32 so far of the member that it begins in."""

    position: ustar.Position = ustar.Position()
    crc: int = 0


class Written(NamedTuple):
    """What came of a piece: the members that end in it, and pieces (path, mode, content) of files that are held."""

    rows: list[Row]
    held: list[tuple[str, int, bytes]]


class PieceWriter:
    """Writes files and directories below ``root``.

    The content of files in ``held`` is handed back, and symbolic links are not made: that is for later, when nothing
    is written any more that could pass through a link.
    """

    def __init__(self, root: str, held: Collection[str], umask: int) -> None:
        self._root = f"{root}/"
        self.held = frozenset(held)
        self._umask = umask
        self._folders = {""}

    def parse(self, raw: bytes, start: Start, *, is_last: bool) -> tuple[list[ustar.Piece], Start]:
        """Take a piece apart, the last of its layer or not; return what it holds, and where the next one begins.

        A file that goes on in the next piece is there then, for whoever writes that.

        :raises MalformedError: at the first byte that differs from the format
        """
        reader = ustar.Reader(start.position)
        pieces, crc = list(reader.feed(raw)), 0
        if is_last:
            reader.finish()
        if reader.position.offset and reader.position.member is not None:
            member, offset, content, _ = pieces[-1]
            crc = zlib.crc32(content, start.crc if offset else 0) if _has_crc(member) else 0
            if not offset:
                self.check(member)
                if member.path not in self.held:
                    self.write_file(member.path, member.mode, b"")
        return pieces, Start(reader.position, crc)

    def write(self, pieces: list[ustar.Piece], start: Start) -> Written:
        """Write what :meth:`parse` found in a piece.

        :raises MalformedError: when a member must not be there, or its name is taken
        """
        rows: list[Row] = []
        held: list[tuple[str, int, bytes]] = []
        crc = start.crc
        for member, offset, content, last in pieces:
            path, kind, mode, size, target = member
            if not offset:
                self.check(member)
                crc = 0
            has_crc = _has_crc(member)
            if has_crc:
                crc = zlib.crc32(content, crc)
            if path in self.held:
                held.append((path, mode, bytes(content)))
            elif kind == ustar.REGULAR:
                self.write_file(path, mode, content, offset, is_there=offset > 0 or not last)
            elif kind == ustar.DIRECTORY:
                self.make_folder(path)
            if last:
                rows.append((path, _KIND_OF[kind, mode], size, crc if has_crc else None, target))
        return Written(rows, held)

    def make_folder(self, folder: str) -> None:
        """Make a directory and those above it, unless they are there.

        :raises MalformedError: when something else is
        """
        if folder in self._folders:
            return
        self.make_folder(folder.rpartition("/")[0])
        make_folder(self._root + folder, folder, self._umask)
        self._folders.add(folder)

    def check(self, member: ustar.Member) -> None:
        """Refuse a member that must not be there; see :func:`check`."""
        check(member, self.held)

    def place(self, path: str) -> str:
        """Return where a file belongs, in a directory that is there."""
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self.make_folder(folder)
        return self._root + path

    def write_file(
        self, path: str, mode: int, content: bytes | bytearray | memoryview, offset: int = 0, *, is_there: bool = False
    ) -> None:
        """Write a file that is not there yet, or that part of one that begins at ``offset``.

        :raises MalformedError: when its name is taken
        """
        if is_there:
            fd = os.open(self._root + path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        else:
            try:
                fd = os.open(self.place(path), _CREATE, mode)
            except FileExistsError:
                raise collision(path) from None
        try:
            # Modes are part of the archive, not of whoever unpacks it.
            if not is_there and self._umask & mode:
                os.fchmod(fd, mode)
            while content and (written := os.pwrite(fd, content, offset)) < len(content):
                content, offset = memoryview(content)[written:], offset + written
        finally:
            os.close(fd)


def check(member: ustar.Member, relocated: Collection[str]) -> None:
    """Refuse a member that must not be there, whatever else is.

    :raises MalformedError: when it is made elsewhere, or among those to be ``relocated`` and no file
    """
    path, kind = member.path, member.type
    if is_reserved(path) or (kind != ustar.DIRECTORY and is_bin(path)):
        msg = f"{path} must not be a member"
        raise ustar.MalformedError(msg)
    if kind != ustar.REGULAR and path in relocated:
        msg = f"{path} is to be relocated and is no file"
        raise ustar.MalformedError(msg)


def _has_crc(member: ustar.Member) -> bool:
    """Whether an inventory has a member's CRC-32.

    A large one's RECORD has its SHA-256, and it is most of the bytes; of bytecode no RECORD says anything.
    """
    return member.type == ustar.REGULAR and (member.size < _LARGE or member.path.endswith(".pyc"))


def umask() -> int:
    """Return the process's file mode creation mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def make_folder(place: str, path: str, umask: int) -> None:
    """Make the directory ``place`` for the member ``path``; another process may have done so.

    :raises MalformedError: when something else is there
    """
    try:
        os.mkdir(place, 0o755)
    except FileExistsError:
        if os.path.islink(place) or not os.path.isdir(place):
            raise collision(path) from None
    else:
        if umask & 0o755:
            os.chmod(place, 0o755)  # noqa: S103 -- as the archive has it


def collision(path: str) -> ustar.MalformedError:
    """Return the error for a name that is there already: two members are one, or one is in another's way."""
    return ustar.MalformedError(f"{path} collides with another member")

"""Where a compiled file holds the prefix: places of fixed size, which are filled and never grow.

What follows a place, such as the rest of a path, stays where it is, and so does the end of every string: strings may
share their tails, and their lengths may be compiled in elsewhere. So a shorter prefix has as many ``/`` before it as it
takes, which name the same directory. ``FORMAT.md`` section 7 is the specification. Needs the standard library alone.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Final

from terrastore.archive.record import Content
from terrastore.archive.relocate import BINARY_KIND, PLACEHOLDER, NotRelocatableError
from terrastore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from terrastore.archive.manifest import Manifest, Relocation
    from terrastore.report import Report

SIZE: Final = len(PLACEHOLDER)
"""Bytes that every place has: the longest prefix."""
_LISTED: Final = 12
_PIECE: Final = 1024 * 1024


class ChangedError(ValueError):
    """The file is not the one that was unpacked, at whichever prefix."""


def filled(prefix: str) -> bytes:
    """Return the bytes that stand for ``prefix`` in a compiled file.

    :raises NotRelocatableError: when it has more than 96 bytes
    """
    path = prefix.encode()
    if len(path) > SIZE:
        reason = f"a compiled file has room for a path of {SIZE} bytes, and this one has {len(path)}"
        raise NotRelocatableError(reason)
    return path.rjust(SIZE, b"/")


def limiting(manifest: Manifest) -> tuple[str, ...]:
    """Return the files because of which a prefix may have no more than 96 bytes."""
    return tuple(entry.path for entry in manifest.relocations if entry.kind == BINARY_KIND)


def refuse_too_long(manifest: Manifest, prefix: str) -> None:
    """Refuse a prefix for which the compiled files have no room.

    :raises UsageError: when there is such a file; they are named
    """
    found = limiting(manifest)
    try:
        filled(prefix)
    except NotRelocatableError as error:
        if found:
            more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
            raise UsageError(
                f"{', '.join(found[:_LISTED])}{more} cannot be made to work at {prefix}: {error}",
                hint=f"choose a target of at most {SIZE} bytes",
            ) from None


def refill_all(
    place_of: Callable[[str], str], manifest: Manifest, prefix: str, report: Report, *, temporary: str
) -> dict[str, Content]:
    """Write ``prefix`` into the compiled files of an environment; return by path what a RECORD says of them then.

    ``place_of`` returns where a file of the environment is, and refuses one that lies elsewhere; ``temporary`` is where
    each is made. A file that was
    changed since stays as it is, with a warning, and one that is gone stays away.
    """
    contents = {}
    for entry in manifest.relocations:
        if entry.kind == BINARY_KIND and os.path.lexists(place := place_of(entry.path)):
            try:
                contents[entry.path] = refill(place, entry, prefix, temporary=temporary)
            except ChangedError as error:
                report.warn(f"{place} is left as it is: {error}")
    return contents


def is_canonical(place: str, entry: Relocation) -> bool:
    """Whether the file at ``place`` is the one in the archive, with the placeholder at each offset."""
    with open(place, "rb") as file:
        if file_digest(file, "sha256").hexdigest() != entry.sha256:
            return False
        return all(os.pread(file.fileno(), SIZE, offset) == PLACEHOLDER for offset in entry.offsets)


def refill(place: str, entry: Relocation, prefix: str, *, temporary: str) -> Content:
    """Write ``prefix`` into the compiled file at ``place``, whatever prefix it held before; return what it is then.

    The file is replaced by a new one, which is made at ``temporary``: whoever runs from the old one keeps it.

    :raises NotRelocatableError: when the prefix is too long
    :raises ChangedError: when the file differs elsewhere from the one in the archive
    """
    bytes_there = filled(prefix)
    try:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        shutil.copyfile(place, temporary)
        shutil.copymode(place, temporary)
        fd = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = _unchanged_size(fd, entry)
            for offset in entry.offsets:
                os.pwrite(fd, bytes_there, offset)
            made = content(fd, size, ())
        finally:
            os.close(fd)
        os.rename(temporary, place)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return made


def as_made(fd: int, entry: Relocation, prefix: str) -> Content:
    """Return what the open compiled file is, where that is what :func:`refill` makes of it for ``prefix``.

    :raises NotRelocatableError: when the prefix is too long
    :raises ChangedError: when it is not
    """
    bytes_there, size = filled(prefix), _unchanged_size(fd, entry)
    if any(os.pread(fd, SIZE, offset) != bytes_there for offset in entry.offsets):
        msg = "it holds another prefix"
        raise ChangedError(msg)
    return content(fd, size, ())


def canonical(fd: int, entry: Relocation) -> Iterator[bytes]:
    """Yield the open compiled file in pieces as it is in an archive."""
    return patched(fd, os.fstat(fd).st_size, [(offset, PLACEHOLDER) for offset in entry.offsets])


def _unchanged_size(fd: int, entry: Relocation) -> int:
    """Return the size of the open file, whatever prefix it holds.

    :raises ChangedError: when it differs elsewhere from the one in the archive
    """
    size = os.fstat(fd).st_size
    if entry.offsets[-1] + SIZE > size:
        msg = "it is shorter than the one that was unpacked"
        raise ChangedError(msg)
    digest = sha256()
    for piece in canonical(fd, entry):
        digest.update(piece)
    if digest.hexdigest() != entry.sha256:
        msg = "it is not the one that was unpacked"
        raise ChangedError(msg)
    return size


def patched(fd: int, size: int, patches: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield the first ``size`` bytes of an open file in pieces, with ``patches`` (offset, bytes) put in, in order.

    A file that ends before yields less.
    """
    position, waiting = 0, iter(patches)
    offset, content = next(waiting, (size, b""))
    while position < size:
        if position == offset:
            yield content
            position += len(content)
            offset, content = next(waiting, (size, b""))
            continue
        piece = os.pread(fd, min(_PIECE, offset - position), position)
        if not piece:
            return
        yield piece
        position += len(piece)


def content(fd: int, size: int, patches: Sequence[tuple[int, bytes]]) -> Content:
    """Return digest and size of an open file with ``patches`` put in."""
    digest = sha256()
    for piece in patched(fd, size, patches):
        digest.update(piece)
    return Content(digest.digest(), size)

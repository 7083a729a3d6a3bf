"""tar members as archives hold them: POSIX ustar headers, pax only for names that do not fit.

``FORMAT.md`` section 4 is the specification. The reader accepts that subset and refuses everything else, so a
member can neither leave the environment nor carry what was not asked for.
"""

from __future__ import annotations

import re
import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BLOCK: Final = 512
MTIME: Final = 315532800  # 1980-01-01T00:00:00Z, the earliest time that zip files can hold
END: Final = bytes(2 * BLOCK)

REGULAR: Final = b"0"
SYMLINK: Final = b"2"
DIRECTORY: Final = b"5"
_PAX: Final = b"x"

_NAME_SIZE: Final = 100
_PREFIX_SIZE: Final = 155
_SIZE_LIMIT: Final = 8**11
_PAX_LIMIT: Final = 64 * 1024
_PAX_NAME: Final = b"././@PaxHeader"
_PAX_MODE: Final = 0o644
_PATH_LIMIT: Final = 4000
_TARGET_LIMIT: Final = 4095  # PATH_MAX without its NUL
_DEPTH_LIMIT: Final = 128
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NOT_NORMAL: Final = re.compile(r"(^|/)(\.{0,2})(/|$)")
_DOUBTFUL: Final = frozenset({"", ".", "/"})
_MODES: Final = {REGULAR: (0o644, 0o755), SYMLINK: (0o777,), DIRECTORY: (0o755,)}
_TYPES: Final = frozenset({REGULAR, SYMLINK, DIRECTORY, _PAX})

# name, mode, uid and gid, size, mtime, checksum, type, link, what follows up to the devices, prefix, the rest
_HEADER: Final = struct.Struct("100s8s16s12s12s8s1s100s88s155s12s")
# Fields that are the same in every header: uid, gid; then magic, version, owners and device numbers.
_OWNER: Final = b"0000000\0" * 2
_TAIL: Final = b"ustar\x0000" + bytes(64) + b"0000000\0" * 2
_TIME: Final = b"%011o\0" % MTIME
_REST: Final = bytes(12)
_BLANK: Final = bytes(BLOCK)
_NO_LINK: Final = bytes(_NAME_SIZE)
_NO_PREFIX: Final = bytes(_PREFIX_SIZE)
# What a file's mode says, and what it and all that is the same in every file's header add to the checksum, whose own
# field counts as spaces.
_KNOWN_MODES: Final = {
    (field := b"%07o\0" % mode): (mode, sum(field + _OWNER + _TIME + b" " * 8 + REGULAR + _TAIL))
    for mode in _MODES[REGULAR]
}


class MalformedError(ValueError):
    """These bytes are not an archive as FORMAT.md describes it; the text says where they differ."""


class Member(NamedTuple):
    """One entry of an environment. ``path`` is relative, with ``/``; ``size`` in bytes; ``target`` for symlinks."""

    path: str
    type: bytes
    mode: int = 0o644
    size: int = 0
    target: str = ""


def padding(size: int) -> int:
    """Return how many zero bytes follow ``size`` bytes of content."""
    return -size % BLOCK


def header(member: Member) -> bytes:
    """Return the header blocks of ``member``.

    :raises MalformedError: when it is nothing an archive may hold
    """
    check_member(member)
    name, target = member.path.encode(), member.target.encode()
    records = b""
    split = _split(name)
    if split is None:
        records += _pax_record(b"path", name)
        split = b"", name[:_NAME_SIZE]
    if len(target) > _NAME_SIZE:
        records += _pax_record(b"linkpath", target)
        target = target[:_NAME_SIZE]
    size = member.size if member.type == REGULAR else 0
    block = _block(split, member.type, member.mode, size, target)
    if not records:
        return block
    pax = _block((b"", _PAX_NAME), _PAX, _PAX_MODE, len(records), b"")
    return pax + records + bytes(padding(len(records))) + block


def check_member(member: Member) -> None:
    """Refuse what would not be safe, or not be the same on every machine.

    :raises MalformedError: for a name that is absolute, not normal, too long, too deep or holds control characters,
        another mode than 0644 or 0755, a symbolic link that leaves the environment
    """
    path, kind, mode, size, target = member
    if target or not _is_plainly_normal(path):
        _check_name(path, target)
    if len(path) + len(target) > _NAME_SIZE:
        _check_length(path, target)
    if mode not in _MODES.get(kind, ()):
        msg = f"{path} has mode {mode:o}"
        raise MalformedError(msg)
    if kind == SYMLINK and not _stays_inside(path, target):
        msg = f"the symbolic link {path} leaves the environment: {target!r}"
        raise MalformedError(msg)
    if not 0 <= size < _SIZE_LIMIT:
        msg = f"{path} has {size} bytes"
        raise MalformedError(msg)


def _is_plainly_normal(path: str) -> bool:
    """Whether a path is one that :func:`_check_name` takes, seen without a regular expression, as of nearly all."""
    return (
        path.isascii()
        and path.isprintable()
        and path[:1] not in _DOUBTFUL
        and path[-1:] != "/"
        and "//" not in path
        and "/." not in path
    )


def _check_name(path: str, target: str) -> None:
    try:
        (path + target).encode()
    except UnicodeEncodeError:
        msg = f"the name {path!r} is not UTF-8"
        raise MalformedError(msg) from None
    if _NOT_NORMAL.search(path) or _CONTROL.search(path):
        msg = f"the name {path!r} is not a plain relative path"
        raise MalformedError(msg)


def _check_length(path: str, target: str) -> None:
    if len(path.encode()) > _PATH_LIMIT or len(target.encode()) > _TARGET_LIMIT:
        msg = f"the name or the target of {path[:_NAME_SIZE]}… is too long"
        raise MalformedError(msg)
    if path.count("/") >= _DEPTH_LIMIT:
        msg = f"{path[:_NAME_SIZE]}… is too deep"
        raise MalformedError(msg)


Piece = tuple[Member, int, memoryview, bool]
"""(member, offset of the content in the file, content, whether it is the last)"""


class Position(NamedTuple):
    """Where in a tar stream a piece of it begins: in a member and how far, or behind an extended header."""

    member: Member | None = None
    offset: int = 0
    extended: bytes = b""
    pax: Mapping[str, str] = MappingProxyType({})


BEGINNING: Final = Position()


class Reader:
    """Takes a tar stream apart as it arrives, from ``position`` on.

    >>> for member, offset, content, last in reader.feed(raw): ...

    Every piece of raw bytes must be a multiple of 512 bytes long, as frames are. This is the inner loop of every
    fetch: what it does, it does for each of some ten thousand files.
    """

    def __init__(self, position: Position = BEGINNING) -> None:
        self._member, self._offset, self._extended, self._pax = position

    @property
    def position(self) -> Position:
        """Where the next piece begins."""
        return Position(self._member, self._offset, self._extended, self._pax)

    def feed(self, raw: bytes) -> Iterator[Piece]:
        """Yield what ``raw`` holds of each member.

        :raises MalformedError: at the first byte that differs from the format
        """
        end = len(raw)
        if end % BLOCK:
            msg = f"a frame of {end} bytes is no whole number of blocks"
            raise MalformedError(msg)
        view, position = memoryview(raw), 0
        while position < end:
            member, offset = self._member, self._offset
            if member is None:
                member, offset = self._begin(raw, position), 0
                position += BLOCK
            left = member.size - offset
            if left > end - position:
                content, position = view[position:], end
                self._member, self._offset = member, offset + len(content)
                complete = False
            else:
                content = view[position : position + left]
                position += left
                if (blanks := -left % BLOCK) and raw[position : position + blanks] != _BLANK[:blanks]:
                    msg = f"the padding of {member.path} is not zero"
                    raise MalformedError(msg)
                position += blanks
                self._member = None
                complete = True
            if member.type == _PAX:
                self._extended += bytes(content)
                if complete:
                    self._pax, self._extended = _parse_pax(self._extended), b""
            elif content or complete:
                yield member, offset, content, complete

    def finish(self) -> None:
        """Declare the stream complete.

        :raises MalformedError: when it ends inside a member
        """
        if self._member is not None or self._pax:
            msg = "the stream ends inside a member"
            raise MalformedError(msg)

    def _begin(self, raw: bytes, position: int) -> Member:
        if not self._pax and (plain := _plain_file(raw, position)) is not None:
            return plain
        member = _parse_header(raw, position, self._pax)
        if member.type == _PAX:
            if self._pax or member.path != _PAX_NAME.decode() or member.mode != _PAX_MODE:
                msg = "an extended header is not as this format writes it"
                raise MalformedError(msg)
            if not 0 < member.size <= _PAX_LIMIT:
                msg = f"an extended header has {member.size} bytes"
                raise MalformedError(msg)
            return member
        self._pax = {}
        check_member(member)
        return member


def _block(split: tuple[bytes, bytes], kind: bytes, mode: int, size: int, target: bytes) -> bytes:
    prefix, name = split
    head = name.ljust(_NAME_SIZE, b"\0") + b"%07o\0" % mode + _OWNER + b"%011o\0" % size + _TIME
    tail = kind + target.ljust(_NAME_SIZE, b"\0") + _TAIL + prefix.ljust(_PREFIX_SIZE, b"\0") + bytes(12)
    return head + b"%06o\0 " % (sum(head) + sum(tail) + 8 * ord(" ")) + tail


def _plain_file(raw: bytes, position: int) -> Member | None:
    """Return the member of a header like nearly all: a file with a plain name of at most 100 bytes, and all in order.

    None for any other header, which is to be looked at with more care, and more time.
    """
    name, mode, owner, size, time, checksum, kind, link, tail, prefix, rest = _HEADER.unpack_from(raw, position)
    known, digits, stripped = _KNOWN_MODES.get(mode), size[:-1], name.rstrip(b"\0")
    if (
        known is None
        or kind != REGULAR
        or owner != _OWNER
        or time != _TIME
        or link != _NO_LINK
        or tail != _TAIL
        or prefix != _NO_PREFIX
        or rest != _REST
        or size[-1]
        or not digits.isdigit()
        or b"8" in digits
        or b"9" in digits
        or checksum != b"%06o\0 " % (known[1] + sum(stripped) + sum(digits))
        or not stripped.isascii()
    ):
        return None
    path = stripped.decode()
    # NUL is not printable.
    return Member(path, REGULAR, known[0], int(digits, 8)) if _is_plainly_normal(path) else None


def _parse_header(raw: bytes, position: int, extended: Mapping[str, str]) -> Member:
    """Return the member of a header; what an extended header said before it stands for the fields it replaces."""
    name, mode, owner, size, time, checksum, kind, link, tail, prefix, rest = _HEADER.unpack_from(raw, position)
    block = raw[position : position + BLOCK]
    if checksum != b"%06o\0 " % (sum(block) - sum(checksum) + 8 * ord(" ")):
        msg = "a header's checksum is wrong"
        raise MalformedError(msg)
    if kind not in _TYPES or owner != _OWNER or time != _TIME or tail != _TAIL or rest != _REST:
        msg = f"a header of type {kind!r} is not as this format writes it"
        raise MalformedError(msg)
    try:
        path = extended["path"] if "path" in extended else _joined(_text(prefix), _text(name))
        target = extended["linkpath"] if "linkpath" in extended else _text(link)
        member = Member(path, kind, _octal(mode), _octal(size), target)
    except ValueError as error:
        msg = f"a header cannot be read: {error}"
        raise MalformedError(msg) from None
    if (member.size and kind in {SYMLINK, DIRECTORY}) or (kind != SYMLINK and (target or "linkpath" in extended)):
        msg = f"{path} has content or a target that its type does not have"
        raise MalformedError(msg)
    return member


def _octal(field: bytes) -> int:
    digits = field[:-1]
    if field[-1:] != b"\0" or digits.strip(b"01234567"):
        msg = f"{field!r} is not an octal number"
        raise ValueError(msg)
    return int(digits, 8)


def _text(field: bytes) -> str:
    text = field.rstrip(b"\0")
    if b"\0" in text:
        msg = "a name holds NUL"
        raise ValueError(msg)
    return text.decode()


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return (prefix, name) as ustar's two fields take it, the longest prefix first; None when they cannot."""
    if len(name) <= _NAME_SIZE:
        return b"", name
    cut = name.rfind(b"/", 0, _PREFIX_SIZE + 1)
    if cut <= 0 or len(name) - cut - 1 > _NAME_SIZE:
        return None
    return name[:cut], name[cut + 1 :]


def _pax_record(key: bytes, value: bytes) -> bytes:
    r"""Return ``<length> <key>=<value>\n``, whose length counts its own digits (POSIX pax)."""
    body = b" " + key + b"=" + value + b"\n"
    size = len(body) + len(str(len(body)))
    while len(str(size)) + len(body) != size:
        size += 1
    return str(size).encode() + body


def _parse_pax(data: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or len(length) > 6 or int(length) > len(data):  # noqa: PLR2004
            msg = "a pax record has no fitting length"
            raise MalformedError(msg)
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, equals, value = record.partition(b"=")
        if key not in {b"path", b"linkpath"} or not equals or not value.endswith(b"\n") or key.decode() in records:
            msg = f"a pax record sets {key!r}"
            raise MalformedError(msg)
        try:
            records[key.decode()] = value[:-1].decode()
        except UnicodeDecodeError:
            msg = "a pax record is not UTF-8"
            raise MalformedError(msg) from None
    return records


def _stays_inside(path: str, target: str) -> bool:
    """Whether a link's target is relative and inside, whatever other links its components pass through.

    ``..`` counts only at the start: after a component that is itself a link it would lead elsewhere.
    """
    if not target or target.startswith("/") or _CONTROL.search(target):
        return False
    components = target.split("/")
    ups = next((index for index, component in enumerate(components) if component != ".."), len(components))
    return ups <= path.count("/") and ".." not in components[ups:]

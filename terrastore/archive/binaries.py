"""How the staging prefix is taken out of files that are not text, and where one may be put in again.

Nothing is inserted or removed: other bytes, and tables elsewhere, count on where things are. What a kind of file
guards by a checksum, an order or a signature cannot be changed so, and is refused.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore.archive import elf
from terrastore.archive.relocate import PLACEHOLDER, PLACEHOLDER_NAME, NotRelocatableError
from terrastore.archive.staging import strangers

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator, Mapping

    from terrastore.archive.staging import StagingPrefix

_AR: Final = b"!<arch>\n"
_PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")
_GUARDED: Final[Mapping[bytes, str]] = {
    b"SQLite format 3\0": "it is an SQLite database, whose indexes are sorted",
    b"\xde\x12\x04\x95": "it is a catalogue of messages, whose keys are sorted",
    b"\x95\x04\x12\xde": "it is a catalogue of messages, whose keys are sorted",
    b"PK\x03\x04": "it is a zip file, whose members have checksums",
    b"MZ": "it is a program for Windows",
}
_SIGNED: Final = 0x1D  # LC_CODE_SIGNATURE
_MACH_O: Final[Mapping[bytes, tuple[str, int]]] = {
    b"\xcf\xfa\xed\xfe": ("<", 32),
    b"\xce\xfa\xed\xfe": ("<", 28),
    b"\xfe\xed\xfa\xcf": (">", 32),
    b"\xfe\xed\xfa\xce": (">", 28),
}
_COMMAND_HEADER: Final = 8
_FAT: Final = b"\xca\xfe\xba\xbe"
_JAVA: Final = struct.pack(">I", 43)  # classes for Java have the same magic, and then a version of at least 45


@dataclass(frozen=True, slots=True)
class Canonical:
    """What makes a file canonical: ``patches`` (offset, bytes), in order, each as long as what it replaces.

    ``offsets`` are where the placeholder then stands that is to be replaced where the environment will stand;
    ``strangers`` as in :class:`terrastore.archive.staging.Canonical`.
    """

    patches: tuple[tuple[int, bytes], ...]
    offsets: tuple[int, ...]
    strangers: tuple[str, ...]


def canonicalise(path: str, content: mmap.mmap, prefix: StagingPrefix) -> Canonical:
    """Take ``prefix`` out of a file that is not text; ``path`` is relative to the environment.

    Search paths of ELF files are written relative to the file itself, so that they need no replacing. What a
    process does not see of such a file, such as debug information, names the placeholder and stays so.

    :raises NotRelocatableError: when that would break the file
    """
    found = list(prefix.spellings().finditer(content))
    program = elf.read(content) if content[:4] == elf.MAGIC else None
    patches: dict[int, bytes] = {}
    for match in found:
        whole = match["root"] is not None
        patches[match.start()] = PLACEHOLDER if whole else PLACEHOLDER_NAME.ljust(len(match.group()), b"_")
    counted = {match.start(): match["root"] is not None for match in found}
    if program is not None:
        for tag in program.search_paths.values():
            text = prefix.spellings().sub(PLACEHOLDER, tag.text)
            for offset, relative in origin_relative(path, elf.SearchPath(text, tag.offset), PLACEHOLDER):
                del counted[offset]
                patches[offset] = relative
        counted = {offset: whole for offset, whole in counted.items() if _is_seen(program, offset)}
    elif found:
        _refuse_guarded(content)
    if not all(counted.values()):
        reason = "it holds the name of the environment's directory alone, which has no room to change"
        raise NotRelocatableError(reason)
    return Canonical(tuple(sorted(patches.items())), tuple(sorted(counted)), strangers(content, prefix))


def origin_relative(path: str, tag: elf.SearchPath, root: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) for the directories in a search path that ``root`` begins: relative to the file itself.

    ``root`` is to be the environment's directory, and what follows it stays where it is. Directories that have no room
    are passed over.
    """
    upwards = b"$ORIGIN" + b"/.." * path.count("/")
    for start, entry in tag.entries():
        if (entry == root or entry.startswith(root + b"/")) and len(upwards) <= len(root):
            yield start, upwards.ljust(len(root), b"/")


def _is_seen(program: elf.Elf, offset: int) -> bool:
    """Whether a process sees what stands at ``offset``.

    :raises NotRelocatableError: when it stands behind the program, in what only the program itself can read
    """
    if any(offset in each for each in program.loaded):
        return True
    if not any(offset in each for each in program.described):
        reason = "it holds the prefix in data behind the program, whose form only the program knows"
        raise NotRelocatableError(reason)
    return False


def _refuse_guarded(content: mmap.mmap) -> None:
    """Refuse files that would no longer be sound, and those of which nobody knows.

    :raises NotRelocatableError: for these
    """
    head = content[:16]
    for magic, reason in _GUARDED.items():
        if head.startswith(magic):
            raise NotRelocatableError(reason)
    if head[:4] in _MACH_O or (head[:4] == _FAT and head[4:8] < _JAVA):
        if _is_signed(content):
            reason = "it is a signed Mach-O file, whose signature would no longer hold"
            raise NotRelocatableError(reason)
        return
    # Members of ar archives have no checksums; strings in a pickle have their lengths, which stay.
    if head.startswith(_AR) or (_PICKLE.match(head) and content[-1:] == b"."):
        return
    reason = "it is a binary file of an unknown kind"
    raise NotRelocatableError(reason)


def _is_signed(content: mmap.mmap) -> bool:
    """Whether a Mach-O file, or one of the parts of a fat one, has a code signature; true for a damaged one."""
    try:
        starts = [0]
        if content[:4] == _FAT:
            (count,) = struct.unpack_from(">I", content, 4)
            starts = [struct.unpack_from(">5I", content, 8 + 20 * number)[2] for number in range(count)]
        return any(_SIGNED in _load_commands(content, start) for start in starts)
    except (struct.error, KeyError):
        return True


def _load_commands(content: mmap.mmap, start: int) -> set[int]:
    order, header = _MACH_O[content[start : start + 4]]
    (count,) = struct.unpack_from(f"{order}I", content, start + 16)
    found, position = set(), start + header
    for _ in range(count):
        command, size = struct.unpack_from(f"{order}2I", content, position)
        if size < _COMMAND_HEADER:
            msg = "a load command is shorter than its header"
            raise struct.error(msg)
        found.add(command)
        position += size
    return found

"""What an ELF file says of itself (System V gABI, LSB, glibc's symbol versions): read by pyelftools, kept as values."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from terrastore import processor

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable, Iterator, Mapping

MAGIC: Final = b"\x7fELF"
_WEAK: Final = 2  # VER_FLG_WEAK
_ALLOC: Final = 2  # SHF_ALLOC
_ISA_NEEDED: Final = (0xC0008002, "GNU_PROPERTY_X86_ISA_1_NEEDED")
_ISA_LEVELS: Final = {1: "x86-64-v2", 2: "x86-64-v3", 3: "x86-64-v4"}
_COMMAND_LINES: Final = ".GCC.command.line"


@dataclass(frozen=True, slots=True)
class SearchPath:
    """A DT_RPATH or DT_RUNPATH: its text, and where in the file that begins."""

    text: bytes
    offset: int

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset in the file, directory as it is written)."""
        start = self.offset
        for entry in self.text.split(b":"):
            yield start, entry
            start += len(entry) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """An ELF file.

    ``machine`` as in ``elf.h`` without ``EM_``, ``bits`` 32 or 64; ``soname`` "" when it has none; ``needed`` the
    libraries that it names (DT_NEEDED); ``versions`` what it needs of them, by library (``libc.so.6`` →
    ``GLIBC_2.34``), but for weak references; ``search_paths`` by tag: where DT_RUNPATH is, DT_RPATH does not count.
    ``loaded`` are the ranges of the file that a process sees, ``described`` those that only tools do, such as debug
    information. ``level`` is the x86-64 level that it is marked to need, "" for none.
    """

    machine: str
    bits: int
    soname: str
    needed: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    search_paths: Mapping[str, SearchPath]
    loaded: tuple[range, ...]
    described: tuple[range, ...]
    level: str


def read(file: BinaryIO | mmap.mmap) -> Elf | None:
    """Return what an ELF file says, None when a loader could not read it either."""
    with _damage_ignored():
        return _read(_opened(file))
    return None


def flags(file: BinaryIO | mmap.mmap) -> tuple[str, ...]:
    """Return the options for a processor that compilers noted in an ELF file, such as in debug information."""
    found: set[str] = set()
    with _damage_ignored():
        found.update(_flags(_opened(file)))
    return tuple(sorted(found))


@contextmanager
def _damage_ignored() -> Iterator[None]:
    from elftools.common.exceptions import DWARFError, ELFError  # noqa: PLC0415 -- only builds need it
    from elftools.construct import ConstructError  # noqa: PLC0415

    # It is a damaged file, or some test's; pyelftools fails in all these ways.
    with suppress(
        *(ELFError, DWARFError, ConstructError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
    ):
        yield


def _opened(file: BinaryIO | mmap.mmap) -> Any:
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415 -- only builds need it

    stream: Any = file  # a mapped file will do
    return ELFFile(stream)


def _read(file: Any) -> Elf:
    sections = list(file.iter_sections())
    dynamic = next((each for each in sections if each["sh_type"] == "SHT_DYNAMIC"), None)
    tags = list(dynamic.iter_tags()) if dynamic is not None else []
    segments = [each for each in file.iter_segments() if each["p_type"] == "PT_LOAD"]
    stored = [each for each in sections if each["sh_type"] not in {"SHT_NOBITS", "SHT_NULL"}]
    return Elf(
        machine=file["e_machine"].removeprefix("EM_"),
        bits=file.elfclass,
        soname=next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), ""),
        needed=tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        versions=_versions(sections),
        search_paths=_search_paths(sections[dynamic["sh_link"]] if dynamic is not None else None, tags),
        # An object file has no segments.
        loaded=tuple(range(each["p_offset"], each["p_offset"] + each["p_filesz"]) for each in segments)
        or _extents(each for each in stored if each["sh_flags"] & _ALLOC),
        described=_extents(each for each in stored if not each["sh_flags"] & _ALLOC),
        level=_level(sections),
    )


def _extents(sections: Iterable[Any]) -> tuple[range, ...]:
    return tuple(range(each["sh_offset"], each["sh_offset"] + each["sh_size"]) for each in sections)


def _versions(sections: list[Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for section in sections:
        if section["sh_type"] == "SHT_GNU_verneed":
            for library, needs in section.iter_versions():
                strong = [each.name for each in needs if not each["vna_flags"] & _WEAK]
                found[library.name] = (*found.get(library.name, ()), *strong)
    return found


def _search_paths(strings: Any, tags: list[Any]) -> dict[str, SearchPath]:
    found = {}
    for tag in tags:
        name = tag.entry.d_tag
        if name in {"DT_RPATH", "DT_RUNPATH"}:
            text = getattr(tag, name[len("DT_") :].lower())
            found[name] = SearchPath(text.encode(), strings["sh_offset"] + tag.entry.d_val)
    return found


def _level(sections: list[Any]) -> str:
    """Return the x86-64 level that the linker noted as needed (x86-64 psABI, ``-z x86-64-v2`` and its like)."""
    needed = 0
    for section in (each for each in sections if each.name == ".note.gnu.property"):
        for note in section.iter_notes():
            for each in note["n_desc"] if note["n_type"] == "NT_GNU_PROPERTY_TYPE_0" else ():
                if each["pr_type"] in _ISA_NEEDED:
                    needed |= each["pr_data"]
    return _ISA_LEVELS.get(needed.bit_length() - 1, "")


def _flags(file: Any) -> Iterator[str]:
    """Yield the options that compilers noted (DW_AT_producer, -frecord-gcc-switches), where they did."""
    if (section := file.get_section_by_name(_COMMAND_LINES)) is not None:
        for line in section.data().split(b"\0"):
            yield from processor.options(line.decode(errors="replace"))
    if file.has_dwarf_info():
        for unit in file.get_dwarf_info().iter_CUs():
            if (producer := unit.get_top_DIE().attributes.get("DW_AT_producer")) is not None:
                yield from processor.options(producer.value.decode(errors="replace"))

"""What a host must offer to the compiled files of an environment, as these tell: libc, libraries, processor."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from terrastore import processor
from terrastore.archive import binaries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from terrastore.archive.elf import Elf
    from terrastore.loader import Loader

_GLIBC: Final = re.compile(r"GLIBC_(\d+)\.(\d+)(\.\d+)?")
_GLIBC_BY_NAME: Final = {"GLIBC_ABI_DT_RELR": (2, 36)}
# Parts of libc itself, whose version says all.
_LIBC: Final = re.compile(
    r"(libc|libm|libmvec|libpthread|libdl|librt|libutil|libresolv|libanl|libthread_db|libBrokenLocale)\.so\.\d+"
    r"|ld-.*\.so(\.\d+)?|libc\.musl-.*|ld64\.so\.\d+"
)
_ORIGIN: Final = re.compile(r"\$ORIGIN|\$\{ORIGIN\}")
_NOWHERE: Final = b"$ORIGIN"
_MACHINES: Final = {
    "x86_64": "X86_64",
    "aarch64": "AARCH64",
    "i686": "386",
    "i386": "386",
    "armv7l": "ARM",
    "ppc64le": "PPC64",
    "s390x": "S390",
    "riscv64": "RISCV",
    "loongarch64": "LOONGARCH",
}


@dataclass(slots=True)
class Library:
    """A library from outside of the environment: the ``versions`` of its symbols that are needed, and who needs it.

    ``of_base``: it is the interpreter's own, found beside that. ``directory``: found there, and not by the loader
    itself.
    """

    name: str
    of_base: bool = False
    directory: str = ""
    versions: set[str] = field(default_factory=set)
    wanted_by: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """Return it as the manifest has it, without what goes without saying."""
        document = {
            "name": self.name,
            "versions": highest(self.versions),
            "base": self.of_base,
            "directory": self.directory,
            "for": sorted(self.wanted_by),
        }
        return {name: value for name, value in document.items() if value}


def native(programs: Mapping[str, Elf], *, machine: str, bits: int) -> dict[str, Elf]:
    """Return those of ``programs`` that are for this machine: packages bring files for others along."""
    name = _MACHINES.get(machine)
    return {path: each for path, each in programs.items() if (each.machine, each.bits) == (name, bits)}


def glibc_needed(programs: Iterable[Elf]) -> tuple[int, int] | None:
    """Return the oldest glibc that has every symbol version that is needed, None when none is."""
    found = []
    for program in programs:
        for version in (each for versions in program.versions.values() for each in versions):
            if match := _GLIBC.fullmatch(version):
                found.append((int(match[1]), int(match[2])))
            elif version in _GLIBC_BY_NAME:
                found.append(_GLIBC_BY_NAME[version])
    return max(found, default=None)


def libraries_needed(
    programs: Mapping[str, Elf], owners: Mapping[str, str], *, base: str, tree: str, loader: Loader
) -> list[dict[str, Any]]:
    """Return the libraries from outside that are needed and are here, sorted; FORMAT.md section 5 has the fields.

    ``owners`` are the packages by path; ``base`` is the interpreter's prefix. What is not here either is not needed:
    wheels bring parts along that hardly anybody uses. For what was compiled here see :func:`libraries_missing`.
    """
    found: dict[str, Library] = {}
    for path, program, name in _not_inside(programs):
        folder = _folder_of(name, path, program, tree=tree, loader=loader)
        if folder is None or f"{folder}/".startswith(f"{tree}/"):
            continue
        is_of_base = folder != "" and f"{folder}/".startswith(f"{base}/")
        library = Library(name, of_base=is_of_base, directory="" if is_of_base else folder)
        known = found.setdefault(name, library)
        known.versions.update(program.versions.get(name, ()))
        known.wanted_by.add(owners.get(path, path))
    return [found[name].as_json() for name in sorted(found)]


def libraries_missing(
    programs: Mapping[str, Elf], made: Collection[str], *, base: str, tree: str, loader: Loader
) -> dict[str, tuple[str, ...]]:
    """Return the libraries that files in ``made``, which were compiled here, need and that are nowhere, by path.

    Where one file finds a library, it is loaded for all others too; so is what lies beside the interpreter's own.
    """
    missing, found = dict[str, list[str]](), set[str]()
    for path, program, name in _not_inside(programs):
        folder = _folder_of(name, path, program, tree=tree, loader=loader)
        if folder is not None or loader.find_in(f"{base}/lib", name) is not None:
            found.add(name)
        elif path in made:
            missing.setdefault(path, []).append(name)
    nowhere = {path: tuple(name for name in names if name not in found) for path, names in missing.items()}
    return {path: names for path, names in nowhere.items() if names}


def processor_needed(
    flags: Mapping[str, Collection[str]], programs: Mapping[str, Elf], owners: Mapping[str, str], here: frozenset[str]
) -> dict[str, Any] | None:
    """Return what the processor must be able to do, None when any will do.

    ``flags`` are the compilers' options by package, ``here`` what this processor can do. Levels that a linker noted
    count too.
    """
    demanded: dict[str, set[str]] = {name: set(processor.demanded(each, here)) for name, each in flags.items()}
    for path, program in programs.items():
        if program.level:
            demanded.setdefault(owners.get(path, path), set()).update(processor.LEVELS[program.level])
    wanted_by = sorted(name for name, each in demanded.items() if each)
    if not wanted_by:
        return None
    return {"features": sorted(set().union(*demanded.values())), "for": wanted_by}


def highest(versions: Iterable[str]) -> list[str]:
    """Return of versions that differ in their numbers alone the highest, sorted: that one includes the others."""
    best: dict[str, tuple[tuple[int, ...], str]] = {}
    for version in versions:
        match = re.fullmatch(r"(?P<name>.*?)(?P<numbers>\d+(\.\d+)*)", version)
        name = match["name"] if match else version
        numbers = tuple(map(int, match["numbers"].split("."))) if match else ()
        best[name] = max(best.get(name, ((), "")), (numbers, version))
    return sorted(version for _, version in best.values())


def bound_to_base(path: str, program: Elf, *, base: str, loader: Loader) -> tuple[list[tuple[int, bytes]], str]:
    """Return patches for the search paths of a file that was compiled here, and why it cannot be moved, "" if it can.

    Directories of the interpreter become the environment's own ``lib``, where a link leads to the interpreter's library
    wherever that is. Where there is no room for that, and nothing to be found there, the place is one that is not.
    """
    patches, problem, root = [], "", base.encode()
    for tag in program.search_paths.values():
        roomy = dict(binaries.origin_relative(path, tag, root))
        for start, entry in tag.entries():
            folder = os.fsdecode(entry)
            if not f"{folder}/".startswith(f"{base}/") or folder in loader.directories:
                continue
            if start in roomy and entry == root + b"/lib":
                patches.append((start, roomy[start]))
            elif wanted := [name for name in program.needed if os.path.exists(f"{folder}/{name}")]:
                problem = f"its search path has no room to say where {wanted[0]} of the interpreter is"
            elif len(root) >= len(_NOWHERE):
                patches.append((start, _NOWHERE.ljust(len(root), b"/")))
    return patches, problem


def _not_inside(programs: Mapping[str, Elf]) -> Iterator[tuple[str, Elf, str]]:
    """Yield (path, program, library that it needs) for libraries that no file of the environment is, nor libc."""
    inside = {each.soname for each in programs.values()} | {path.rpartition("/")[2] for path in programs}
    for path, program in programs.items():
        for name in program.needed:
            if name not in inside and not _LIBC.fullmatch(name) and "/" not in name:
                yield path, program, name


def _folder_of(name: str, path: str, program: Elf, *, tree: str, loader: Loader) -> str | None:
    """Return the directory of its own search path where ``program`` finds a library.

    It is "" when the loader finds it by itself, None when it is nowhere.
    """
    for folder in _searched(path, program, tree):
        if loader.find_in(folder, name) is not None:
            return "" if folder in loader.directories else folder
    return "" if loader.find(name) is not None else None


def _searched(path: str, program: Elf, tree: str) -> Iterator[str]:
    """Yield the directories of a file's own search path; a DT_RPATH does not count where DT_RUNPATH is."""
    tags = program.search_paths
    tag = tags.get("DT_RUNPATH") or tags.get("DT_RPATH")
    own = os.path.dirname(f"{tree}/{path}")
    for _, entry in tag.entries() if tag else ():
        if folder := os.fsdecode(entry):
            yield os.path.normpath(_ORIGIN.sub(lambda _: own, folder))

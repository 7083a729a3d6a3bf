"""The compiled files of a built environment, looked at together: bound to no interpreter's place, and their needs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from terrastore import processor
from terrastore.archive import elf, needs, record
from terrastore.archive.installed import libc_needed, read
from terrastore.loader import Loader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from terrastore.archive.elf import Elf
    from terrastore.archive.layers import Distribution, LayerPlan
    from terrastore.archive.origin import Origin
    from terrastore.archive.survey import Survey


_EVERYWHERE: Final = ("", "/usr", "/usr/local")


@dataclass(frozen=True, slots=True)
class Compiled:
    """ELF files for this machine by path, and compilers' options for the processor by package.

    ``naming_base`` are texts that came of compiling and name the interpreter's directory on this machine; ``missing``
    are libraries that are nowhere here, by the files that were compiled here and need them.
    """

    programs: Mapping[str, Elf]
    flags: Mapping[str, tuple[str, ...]]
    naming_base: tuple[str, ...]
    missing: Mapping[str, tuple[str, ...]]

    def needs(
        self, tree: str, distributions: Iterable[Distribution], plans: Iterable[LayerPlan], origin: Origin
    ) -> dict[str, Any]:
        """Return what a host must offer, as the manifest has it."""
        owners = {path: plan.name for plan in plans if plan.version is not None for path in plan.paths}
        loader = Loader.here()
        symbols = needs.glibc_needed(self.programs.values())
        found = {
            "libc": libc_needed(tree, distributions, origin.libc, symbols),
            "libraries": needs.libraries_needed(
                self.programs, owners, base=origin.base_prefix, tree=tree, loader=loader
            ),
            "processor": needs.processor_needed(self.flags, self.programs, owners, processor.features()),
        }
        return {name: value for name, value in found.items() if value or name == "libc"}


def look(tree: str, found: Survey, distributions: Sequence[Distribution], origin: Origin) -> Compiled:
    """Take the base interpreter's place out of what was compiled here, and return what there is.

    What wheels bring along is left as it is: a search path in them that looks like the interpreter's is another's.
    """
    machine, bits = origin.host.get("machine", ""), origin.interpreter.get("pointer_bits", 0)
    programs = needs.native(found.programs, machine=machine, bits=bits)
    naming_base, made = [], _made_here(distributions, origin.compiled)
    flags = {name: set(options) for name, options in origin.flags.items() if name in origin.compiled}
    for path, name in made.items():
        if (program := programs.get(path)) is None:
            if path in found.members and _names(tree, path, origin.base_prefix):
                naming_base.append(path)
            continue
        with open(f"{tree}/{path}", "rb") as file:
            flags.setdefault(name, set()).update(elf.flags(file))
        if origin.base_prefix:
            patches, problem = needs.bound_to_base(path, program, base=origin.base_prefix, loader=Loader.here())
            if problem:
                found.problems[path] = problem
            if patches:
                found.patches[path] = tuple(sorted((*found.patches.get(path, ()), *patches)))
    known = {name: tuple(sorted(options)) for name, options in flags.items() if options}
    missing = needs.libraries_missing(programs, made, base=origin.base_prefix, tree=tree, loader=Loader.here())
    return Compiled(programs, known, tuple(sorted(naming_base)), missing)


def _names(tree: str, path: str, base: str) -> bool:
    """Whether a text names the directory ``base``, which is not one that every system has."""
    if base in _EVERYWHERE or ".dist-info/" in path:
        return False
    data = read(tree, path)
    return b"\0" not in data and re.search(re.escape(os.fsencode(base)) + rb"(?![\w.-])", data) is not None


def _made_here(distributions: Sequence[Distribution], compiled: Collection[str]) -> dict[str, str]:
    """Return the names of the packages that were made from source, by the paths of their files."""
    return {
        record.location(each.record, row): each.name
        for each in distributions
        if each.name in compiled
        for row in each.rows
    }

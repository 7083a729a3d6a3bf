"""How compilers are called while packages are made from source: options that bind what comes of it to a processor.

GCC tells the assembler that it starts how it was called itself, and looks for it in ``COMPILER_PATH`` first, whatever
the build system: there stands one that takes notes. Other compilers' options are known from the variables alone that
say them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terrastore import processor
from terrastore.names import normalised

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASSEMBLER: Final = """\
#!/bin/sh
printf '%s\\n' "$COLLECT_GCC_OPTIONS" >>"${0%/*}/called"
unset COMPILER_PATH
[ -n "$COLLECT_GCC" ] || exec as "$@"
exec "$("$COLLECT_GCC" -print-prog-name=as)" "$@"
"""
_VARIABLE: Final = "COMPILER_PATH"
_SAID_BY: Final = ("CFLAGS", "CXXFLAGS", "CPPFLAGS", "FFLAGS", "RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS")
_BEGINS: Final = re.compile(r"\s*Building wheel for (?P<name>\S+) \(.*\): started")
_ENDS: Final = re.compile(r"\s*Building wheel for \S+ \(.*\): finished")


class Compilers:
    """Listens to compilers.

    ``work`` is a directory of the build, ``cache`` keeps what was heard with the wheels that came of it.
    """

    def __init__(self, cache: Path, work: str) -> None:
        self._folder = Path(work, "compilers")
        self._kept = cache / "compiled"
        self._said = frozenset(processor.options(" ".join(os.environ.get(name, "") for name in _SAID_BY)))
        self._heard: dict[str, set[str]] = {}
        self._building = ""
        self._position = 0

    def variables(self) -> dict[str, str]:
        """Return what makes compilers tell; nothing where somebody leads them elsewhere, or there is none."""
        if _VARIABLE in os.environ or shutil.which("as") is None:
            return {}
        self._folder.mkdir(parents=True, exist_ok=True)
        assembler = self._folder / "as"
        assembler.write_text(_ASSEMBLER)
        assembler.chmod(0o755)
        return {_VARIABLE: str(self._folder)}

    def hear(self, line: str) -> None:
        """Take note of a line of pip's output, which says what is being built."""
        if match := _BEGINS.match(line):
            self._new()
            self._building = normalised(match["name"])
            self._heard[self._building] = set()
        elif _ENDS.match(line) and self._building:
            self._heard[self._building] |= self._new()
            self._building = ""

    def flags(self, versions: Mapping[str, str]) -> dict[str, frozenset[str]]:
        """Return options by package for those in ``versions`` (name → version), which were made from source.

        Where nothing tells which one was built when, any of them may have been. What was heard when a cached wheel was
        made counts too.
        """
        rest, heard, found = self._new(), self._heard, {}
        for name, version in versions.items():
            place = self._kept / f"{name}-{version}.json"
            options = heard.get(name)
            if options is None:
                options = self._read(place) | (set() if heard else rest)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(sorted(options)))
            found[name] = self._said | options
        return {name: options for name, options in found.items() if options}

    def _new(self) -> set[str]:
        """Return the options of the calls since it was asked before."""
        try:
            with (self._folder / "called").open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return set()
        self._position += len(data)
        return set(processor.options(data.decode(errors="replace")))

    @staticmethod
    def _read(place: Path) -> set[str]:
        try:
            return set(map(str, json.loads(place.read_bytes())))
        except (OSError, ValueError, TypeError):
            return set()

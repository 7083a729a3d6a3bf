"""What pip is told: flat files of what the user's files come to, so that it reads what the key was made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from terrastore.errors import UsageError, reason
from terrastore.requirements.lines import Editable, LineError, Option, Wanted, as_path, is_url
from terrastore.requirements.pip import shaping
from terrastore.requirements.resolution import ADDED_UP, SETTINGS, Resolution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from terrastore.requirements.files import Said
    from terrastore.requirements.reader import Reader

_FOLLOWED: Final = frozenset({"--requirement", "--constraint"})
_FILES: Final = ("requirement", "constraint")
_STRONG: Final = r"--hash=sha(?:256|384|512):"
_OF_INDEXES: Final = ("index-url", "find-links", "no-index", "prefer-binary")


class ForPip:
    """Hears options and the lines of requirements files, and says them to pip.

    ``requirements`` and ``constraints`` are lines of the files that pip is to read, and may hold credentials;
    ``no_deps``: they list all that is to be installed. ``origins`` tells where each of them was said, by (whether it is
    a constraint, the line); ``projects`` are those on this machine that are to be edited, by their lines.
    ``settings`` are those of the machine that say something else than where and how to look; ``files`` and
    ``constraint_files`` are what it names to be read besides.
    """

    def __init__(self, reader: Reader, settings: Iterable[tuple[str, str]]) -> None:
        self._reader = reader
        self.resolution = Resolution()
        in_effect = dict(settings)
        self.settings = {name: value for name, value in in_effect.items() if name not in {*SETTINGS, *_FILES}}
        self.files, self.constraint_files = (tuple(in_effect.get(name, "").split()) for name in _FILES)
        added_up = [(name, value) for name, value in settings if name in ADDED_UP]
        others = [(name, in_effect[name]) for name in SETTINGS if name in in_effect and name not in ADDED_UP]
        for name, value in (*added_up, *others):
            try:
                self.resolution.hear_setting(name, value)
            except LineError as error:
                raise UsageError(f"pip's setting {name} cannot be used: {error}", hint=error.hint) from None
        self.requirements: list[str] = []
        self.constraints: list[str] = []
        self.no_deps = False
        self.origins: dict[tuple[bool, str], str] = {}
        self.projects: dict[str, Editable] = {}
        self._has_hashes = False

    def hear(self, said: Said) -> None:
        """Take a line.

        :raises LineError: when it cannot be said to pip
        """
        if isinstance(said.entry, Option):
            if said.entry.name not in _FOLLOWED:
                self.resolution.hear(said.entry, said.shown)
            return
        if isinstance(said.entry, Wanted) and (odd := next(filter(_is_odd, said.entry.options), None)):
            msg = f"pip takes no {odd}"
            raise LineError(msg, hint="say the file's hash by sha256, sha384 or sha512")
        lines = self.constraints if said.constraint else self.requirements
        lines.append(said.text)
        self.origins.setdefault((said.constraint, said.text), said.where)
        self._has_hashes |= isinstance(said.entry, Wanted) and said.entry.has_hash
        if isinstance(said.entry, Editable) and said.entry.local is not None:
            self.projects[said.text] = said.entry

    def option(self, option: Option) -> None:
        """Take an option of the command line, before any line.

        :raises LineError: when it contradicts another
        """
        if option.name == "--index-url":
            self.resolution.replace_index(option.value)
        else:
            self.resolution.hear(option)

    @property
    def demands_hashes(self) -> bool:
        """Whether nothing is installed that no hash fixes: one hash demands all, unless that is said otherwise."""
        flags = self.resolution.flags
        return "--require-hashes" in flags or (self._has_hashes and "--no-require-hashes" not in flags)

    def canonical(self, index: Callable[[str], str]) -> dict[str, Any]:
        """Return what a key says of where and how pip looks; ``index`` names one without credentials.

        When every artefact is fixed by its hash, it does not matter where that is found.

        :raises UsageError: when a setting names a file that cannot be read
        :raises LineError: when a folder of distributions cannot be read
        """
        said = self.resolution.canonical(index=index, links=lambda place: links_identity(self._reader, place, index))
        said |= shaping(self.settings, reader=self._reader)
        if self.no_deps:
            said["no-deps"] = True
        if self.demands_hashes:
            said = {name: value for name, value in said.items() if name not in _OF_INDEXES}
            said["require-hashes"] = True
        return said

    @property
    def resolved(self) -> list[str]:
        """Lines of requirements that pip resolves: no hash can fix a project, so where all must have one it waits."""
        return [line for line in self.requirements if not self.demands_hashes or line not in self.projects]

    @property
    def has_index(self) -> bool:
        """Whether somebody said which indexes are to be asked, or that none is."""
        return self.resolution.indexes is not None

    def options(self) -> list[str]:
        """Return lines that say where and how to look; they may hold credentials."""
        return [str(option) for option in self.resolution.options()]


def _is_odd(option: str) -> bool:
    return option.startswith("--hash=") and not re.match(_STRONG, option)


def links_identity(reader: Reader, place: str, index: Callable[[str], str]) -> str:
    """Return what tells one place of distributions from another: its content when it is on this machine.

    :raises LineError: when it cannot be read
    """
    if is_url(place):
        return index(place)
    path = as_path(place)
    # pip only warns of a folder that is not there.
    if not reader.exists(path):
        return "absent"
    try:
        return f"sha256:{reader.links(path)}"
    except (OSError, ValueError) as error:
        msg = f"{path}: {reason(error)}"
        raise LineError(msg, hint="check the path") from None

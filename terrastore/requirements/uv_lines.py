"""Requirements files for uv: what becomes of every line and option that such a file may hold.

uv reads these files in another way than pip, whose format they are: it warns of options that it does not know and goes
on, ends a value at any ``#``, splits no list of names, and lets the machine's index beat the file's. So it gets plain
files of requirements alone, options as its own command takes them, and what cannot be said to it is refused with file
and line before anything is built. The tables below are the whole of it.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from terrastore.requirements.files import Said, as_path
from terrastore.requirements.lines import LineError, Option, Wanted, is_url
from terrastore.requirements.uv_projects import is_project, pyproject, settings_of, workspace_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from terrastore.requirements.files import Reader

_SETTINGS_HINT: Final = "say it in uv's own settings: prerelease or prerelease-package in uv.toml"
_SOURCES_HINT: Final = "name what it needs with lines of their own, and set UV_NO_SOURCES=1"
_VCS: Final = re.compile(r"(?:^|@\s*)(hg|svn|bzr)\+", re.IGNORECASE)
_PINNED: Final = re.compile(r"^[^\s;]+===?[^*,;\s]+(\s|$)| @ |^[^\s;]*[/:]")
_OWN_OPTION: Final = re.compile(r"\s(--(?:config-settings|global-option))=")
_NOTHING: Final = ":none:"


def _names(option: str) -> Callable[[str], Iterable[str]]:
    """Return an argument for each name; pip separates them by commas."""

    def arguments(value: str) -> Iterable[str]:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if _NOTHING in names:
            msg = f"{_NOTHING} takes back what was said before, and uv knows no before"
            raise LineError(msg, hint="leave it out, and what it takes back")
        return [f"{option}={name}" for name in names]

    return arguments


ARGUMENTS: Final[dict[str, Callable[[str], Iterable[str]]]] = {
    "--no-index": lambda _: ["--no-index"],
    "--no-binary": _names("--no-binary"),
    "--only-binary": _names("--only-binary"),
    "--pre": lambda _: ["--prerelease=allow"],
    "--require-hashes": lambda _: ["--require-hashes"],
    "--no-require-hashes": lambda _: ["--no-require-hashes"],
    "--trusted-host": lambda value: [f"--allow-insecure-host={value}"],
}
"""Options that become arguments of uv's command, and which."""

PLACES: Final = {
    "--index-url": "UV_INDEX_URL",
    "--extra-index-url": "UV_EXTRA_INDEX_URL",
    "--find-links": "UV_FIND_LINKS",
}
"""Options that may hold credentials and become variables, which no list of processes shows."""

REFUSED: Final = {
    "--editable": (
        "uv installs nothing editable but directories, and these are not for other machines",
        "leave out -e: the project is then installed as it is now",
    ),
    "--prefer-binary": ("uv has nothing like it", "leave it out, or say --only-binary"),
    "--use-feature": ("it is of pip alone", "leave it out"),
    "--all-releases": ("uv has it in another form", _SETTINGS_HINT),
    "--only-final": ("uv has it in another form", _SETTINGS_HINT),
}
"""Options that cannot be said to uv: why, and what to do."""

FOLLOWED: Final = frozenset({"--requirement", "--constraint"})
"""Options whose files are read, so that uv need not."""


class ForUv:
    """Hears options and the lines of requirements files and says them to uv, or raises LineError.

    ``requirements`` and ``constraints`` are lines of the files that uv is to read; they may hold credentials, as may
    ``places``, values by the variables of :data:`PLACES`. ``arguments`` are those of its command. ``directories`` are
    the projects to be built from where they are, by the names that their lines or their metadata tell, None for one
    that tells none. ``sources``: whether uv obeys what projects say in ``tool.uv.sources``.
    """

    def __init__(self, reader: Reader, *, sources: bool = True) -> None:
        self._reader = reader
        self._sources = sources
        self.requirements: list[str] = []
        self.constraints: list[str] = []
        self.places: dict[str, list[str]] = {}
        self.arguments: list[str] = []
        self.directories: list[str | None] = []

    def hear(self, said: Said) -> None:
        """Take a line.

        :raises LineError: when it cannot be said to uv
        """
        if isinstance(said.entry, Wanted):
            self._wanted(said.entry, said.text, constraint=said.constraint)
        elif said.entry.name not in FOLLOWED:
            self.option(said.entry)
        elif said.constraint and said.entry.name == "--requirement":
            msg = "pip takes -r in a file of constraints for requirements, uv for constraints"
            raise LineError(msg, hint="write -c for constraints; name requirements in another file")

    def option(self, option: Option) -> None:
        """Take an option.

        :raises LineError: when it cannot be said to uv
        """
        if option.name in PLACES:
            self._place(option)
        elif option.name in ARGUMENTS:
            self.arguments += (each for each in ARGUMENTS[option.name](option.value) if each not in self.arguments)
        else:
            why, hint = REFUSED[option.name]
            raise LineError(why, hint=hint)
        if {"--require-hashes", "--no-require-hashes"} <= set(self.arguments):
            msg = "--require-hashes and --no-require-hashes contradict each other"
            raise LineError(msg, hint="leave one out")

    def _place(self, option: Option) -> None:
        places = self.places.setdefault(PLACES[option.name], [])
        place = option.value.partition("#")[0]
        if option.name == "--find-links" and not is_url(option.value):
            # A URL, for uv separates paths by commas.
            place = PurePosixPath(os.path.abspath(as_path(option.value))).as_uri().replace(",", "%2C")
        if option.name == "--index-url" and places not in ([], [place]):
            msg = "uv takes one --index-url, and another one was named before"
            raise LineError(msg, hint="name all but one by --extra-index-url; uv asks these first")
        if place not in places:
            places.append(place)

    def _wanted(self, wanted: Wanted, text: str, *, constraint: bool) -> None:
        if match := _OWN_OPTION.search(wanted.text):
            msg = f"uv takes no {match[1]} with a requirement"
            raise LineError(msg, hint="say it in uv's own settings: config-settings-package in uv.toml")
        if "--hash=" in wanted.text and not _PINNED.search(wanted.text):
            msg = "uv does not look at the hash of a requirement that is not pinned"
            raise LineError(msg, hint="write NAME==VERSION or NAME @ URL before the hash")
        if match := _VCS.search(wanted.text):
            msg = f"uv cannot fetch from {match[1]}"
            raise LineError(msg, hint="use git, or install it by --installer pip")
        if wanted.local is None and (place := wanted.text.partition(" @ ")[2]) and not is_url(place):
            msg = "uv would follow that path, and no key would know what is there"
            raise LineError(msg, hint="write NAME @ file:///…, or the path alone")
        if constraint and _is_unnamed(wanted):
            msg = "a constraint needs a name for uv"
            raise LineError(msg, hint="write NAME @ URL")
        if wanted.local is not None:
            self._local(wanted)
        if text.startswith("~"):
            text = os.path.expanduser(text)
        (self.constraints if constraint else self.requirements).append(text)

    def _local(self, wanted: Wanted) -> None:
        path = os.path.abspath(as_path(wanted.local or ""))
        if not is_project(self._reader, path):
            return
        document = pyproject(self._reader, path) or {}
        self.directories.append(_name(wanted, document))
        root = workspace_root(self._reader, path) or path
        if not self._sources:
            return
        if outside := _leading_out(settings_of(document) or {}):
            msg = f"{outside} in its tool.uv.sources leads out of {wanted.local}, and no key would know what is there"
            raise LineError(msg, hint=_SOURCES_HINT)
        if root != path and (settings_of(pyproject(self._reader, root)) or {}).get("sources"):
            msg = f"it is in the workspace of {root}, and no key would know the tool.uv.sources of that"
            raise LineError(msg, hint=_SOURCES_HINT)


def _is_unnamed(wanted: Wanted) -> bool:
    return " @ " not in wanted.text and (wanted.local is not None or is_url(wanted.text.split(";")[0]))


def _name(wanted: Wanted, document: dict[str, Any]) -> str | None:
    """Return the name that a line or a project's metadata gives it."""
    if not _is_unnamed(wanted):
        return wanted.text.partition(" @ ")[0].partition("[")[0]
    project = document.get("project")
    name = project.get("name") if isinstance(project, dict) else None
    return name if isinstance(name, str) else None


def _leading_out(settings: dict[str, Any]) -> str | None:
    """Return the first package whose source is another directory of this machine."""
    sources = settings.get("sources")
    for name, said in sources.items() if isinstance(sources, dict) else ():
        for source in said if isinstance(said, list) else [said]:
            if isinstance(source, dict) and source.keys() & {"path", "workspace"}:
                return str(name)
    return None

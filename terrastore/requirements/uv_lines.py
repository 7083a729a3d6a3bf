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

from packaging.utils import canonicalize_name

from terrastore.requirements.lines import Editable, LineError, Option, Wanted, as_path, is_url
from terrastore.requirements.pip_lines import links_identity
from terrastore.requirements.resolution import Resolution
from terrastore.requirements.uv import OF_INDEXES, uv_settings
from terrastore.requirements.uv_projects import is_project, pyproject, settings_of, workspace_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from terrastore.requirements.files import Said
    from terrastore.requirements.reader import Reader
    from terrastore.requirements.uv import Settings

_SETTINGS_HINT: Final = "say it in uv's own settings: prerelease or prerelease-package in uv.toml"
_SOURCES_HINT: Final = "name what it needs with lines of their own, and set UV_NO_SOURCES=1"
_VCS: Final = re.compile(r"(hg|svn|bzr)\+", re.IGNORECASE)
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
    that tells none; ``projects`` those on this machine that are to be edited, by their lines. ``no_deps``: the lines
    list all that is to be installed. ``settings`` are those of the machine, which name no files to be read besides.
    """

    def __init__(self, reader: Reader, settings: Settings) -> None:
        self._reader = reader
        self.settings = settings
        self.files: tuple[str, ...] = ()
        self.constraint_files: tuple[str, ...] = ()
        self._resolution = Resolution()
        self.requirements: list[str] = []
        self.constraints: list[str] = []
        self.places: dict[str, list[str]] = {}
        self.arguments: list[str] = []
        self.directories: list[str | None] = []
        self.projects: dict[str, Editable] = {}
        self.no_deps = False
        self._is_hashed = True

    def hear(self, said: Said) -> None:
        """Take a line.

        :raises LineError: when it cannot be said to uv
        """
        if said.entry is None:
            msg = "uv does not know its options"
            raise LineError(msg, hint="leave them out, or install by --installer pip")
        if isinstance(said.entry, Wanted):
            self._wanted(said.entry, said.text, constraint=said.constraint)
        elif isinstance(said.entry, Editable):
            self._editable(said.entry)
        elif said.entry.name not in FOLLOWED:
            self.option(said.entry, said.shown)
        elif said.constraint and said.entry.name == "--requirement":
            msg = "pip takes -r in a file of constraints for requirements, uv for constraints"
            raise LineError(msg, hint="write -c for constraints; name requirements in another file")

    def option(self, option: Option, shown: str = "") -> None:
        """Take an option, with a value that may be ``shown`` where that is another.

        :raises LineError: when it cannot be said to uv
        """
        self._resolution.hear(option, shown)
        if option.name in PLACES:
            self._place(option)
        elif option.name in ARGUMENTS:
            self.arguments += (each for each in ARGUMENTS[option.name](option.value) if each not in self.arguments)
        else:
            why, hint = REFUSED[option.name]
            raise LineError(why, hint=hint)

    @property
    def demands_hashes(self) -> bool:
        """Whether nothing is installed that no hash fixes; of a lock that has them all they are demanded."""
        is_locked = self.no_deps and self._is_hashed and bool(self.requirements)
        return is_locked or "--require-hashes" in self.arguments or self.settings.demands_hashes

    @property
    def resolved(self) -> list[str]:
        """Lines of requirements that uv resolves: no hash can fix a project, so where all must have one it waits."""
        return [line for line in self.requirements if not self.demands_hashes or line not in self.projects]

    def canonical(self, index: Callable[[str], str]) -> dict[str, Any]:
        """Return what a key says of where and how uv looks; ``index`` names one without credentials.

        The machine's settings are named as uv does, behind ``uv.``. When every artefact is fixed by its hash, it does
        not matter where that is found.

        :raises UsageError: when a setting names a file that cannot be read
        :raises LineError: when a folder of distributions cannot be read
        """
        said = self._resolution.canonical(index=index, links=lambda place: links_identity(self._reader, place, index))
        said |= {f"uv.{name}": value for name, value in uv_settings(self.settings, reader=self._reader).items()}
        if self.no_deps:
            said["no-deps"] = True
        if self.demands_hashes:
            said = {name: value for name, value in said.items() if name.removeprefix("uv.") not in OF_INDEXES}
            said["require-hashes"] = True
        return said

    @property
    def has_index(self) -> bool:
        """Whether somebody said which index is to be asked, or that none is."""
        return "UV_INDEX_URL" in self.places or "--no-index" in self.arguments or self.settings.has_index

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

    def _editable(self, editable: Editable) -> None:
        if editable.local is None:
            why, hint = REFUSED["--editable"]
            raise LineError(why, hint=hint)
        if editable.options:
            raise LineError(*_no_option(editable.options[0]))
        self._local(Wanted(local=editable.local, extras=editable.extras))
        # uv takes no quotes away.
        line = f"-e {editable.text}"
        self.projects[line] = editable
        self.requirements.append(line)

    def _wanted(self, wanted: Wanted, text: str, *, constraint: bool) -> None:
        if other := next((each for each in wanted.options if not each.startswith("--hash=")), None):
            raise LineError(*_no_option(other))
        if wanted.has_hash and not (wanted.is_pinned or wanted.url):
            msg = "uv does not look at the hash of a requirement that is not pinned"
            raise LineError(msg, hint="write NAME==VERSION or NAME @ URL before the hash")
        if match := _VCS.match(wanted.url):
            msg = f"uv cannot fetch from {match[1]}"
            raise LineError(msg, hint="use git, or install it by --installer pip")
        if constraint and _is_unnamed(wanted, text):
            msg = "a constraint needs a name for uv"
            raise LineError(msg, hint="write NAME @ URL")
        if wanted.local is not None:
            self._local(wanted)
        self._is_hashed &= constraint or wanted.has_hash
        (self.constraints if constraint else self.requirements).append(text)

    def _local(self, wanted: Wanted) -> None:
        path = os.path.abspath(as_path(wanted.local or ""))
        if not is_project(self._reader, path):
            return
        document = pyproject(self._reader, path) or {}
        self.directories.append(wanted.name or _name(document))
        root = workspace_root(self._reader, path) or path
        if not self.settings.sources:
            return
        # A lock has told where dependencies are from; what a build needs is asked for all the same.
        asked = _build_requires(document) if self.no_deps else None
        if outside := _leading_out(_sources(document, asked)):
            msg = f"{outside} in its tool.uv.sources leads out of {wanted.local}, and no key would know what is there"
            raise LineError(msg, hint=_SOURCES_HINT)
        if root != path and _sources(pyproject(self._reader, root), asked):
            msg = f"it is in the workspace of {root}, and no key would know the tool.uv.sources of that"
            raise LineError(msg, hint=_SOURCES_HINT)


def _is_unnamed(wanted: Wanted, text: str) -> bool:
    return (wanted.local is not None or bool(wanted.url)) and not re.match(r"[\w.-]+\s*(?:\[[^\]]*\])?\s*@", text)


def _no_option(option: str) -> tuple[str, str]:
    name = option.partition("=")[0]
    return (
        f"uv takes no {name} with a requirement",
        "say it in uv's own settings: config-settings-package in uv.toml",
    )


def _name(document: dict[str, Any]) -> str | None:
    """Return the name that a project's metadata gives it."""
    project = document.get("project")
    name = project.get("name") if isinstance(project, dict) else None
    return name if isinstance(name, str) else None


def _build_requires(document: dict[str, Any]) -> frozenset[str]:
    """Return the normalised names of what a project's build needs."""
    build = document.get("build-system")
    requires = build.get("requires") if isinstance(build, dict) else None
    names = (re.match(r"[\w.-]*", each) for each in requires or () if isinstance(each, str))
    return frozenset(str(canonicalize_name(name[0])) for name in names if name)


def _sources(document: dict[str, Any] | None, asked: frozenset[str] | None) -> dict[str, Any]:
    """Return where a project says that packages are from, of those that are ``asked`` for, None for all."""
    said = (settings_of(document) or {}).get("sources")
    sources = said if isinstance(said, dict) else {}
    return {name: source for name, source in sources.items() if asked is None or canonicalize_name(name) in asked}


def _leading_out(sources: dict[str, Any]) -> str | None:
    """Return the first package whose source is another directory of this machine."""
    for name, said in sources.items():
        for source in said if isinstance(said, list) else [said]:
            if isinstance(source, dict) and source.keys() & {"path", "workspace"}:
                return str(name)
    return None

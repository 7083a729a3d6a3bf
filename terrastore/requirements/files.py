"""Requirements files followed to the end: what they ask for, and every file that says so."""

from __future__ import annotations

import os
import posixpath
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.errors import RequirementsError, reason
from terrastore.redaction import without_secrets
from terrastore.requirements.documents import Choice, is_document, project_beside, project_line, requirement_lines
from terrastore.requirements.lines import (
    Editable,
    LineError,
    Option,
    Wanted,
    as_path,
    index_identity,
    is_file_url,
    is_url,
    parse,
)
from terrastore.requirements.text import decode, expand, expand_for_show, is_one_line, logical_lines
from terrastore.sha256 import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from terrastore.requirements.lines import Line
    from terrastore.requirements.reader import Reader
    from terrastore.requirements.target import Target

_DEPTH_LIMIT: Final = 50
_LOGIN: Final = r"(?<=:/)[^/?#\s]*@"
OPAQUE: Final = "opaque: "
"""What the canonical form of a line begins with that nobody here understands."""


class Source(NamedTuple):
    """A file that was read, or an http URL without secrets, and the SHA-256 of its content."""

    path: str
    sha256: str


class Said(NamedTuple):
    """What one line says to an installer: every variable expanded, credentials and all.

    ``entry`` is what it comes to, None when only the installer knows; paths of options mean the same in every
    directory. ``text`` is the line without what pip ignores of it; ``constraint`` whether it stands in a file of
    constraints; ``where`` it stands; ``shown`` an option's value with variables in a URL by their names.
    """

    entry: Option | Wanted | Editable | None
    text: str
    constraint: bool
    where: str
    shown: str = ""


class RequirementSet(NamedTuple):
    """What a project asks for, canonical: sorted, without duplicates, without secrets.

    ``requirements`` and ``constraints`` hold one line each, without those whose markers are false; ``local`` the
    digests of files and directories by path; ``sources`` what was read; ``url_variables`` the names of variables in
    URLs, whose values may be secrets; ``projects`` the directories on this machine that are to be edited, with what
    identifies how they are installed; ``unpinned`` the requirements that name neither a version nor a commit nor a
    content, and ``pinned`` the names of those that do; ``has_hashes`` whether one has a hash; ``ignored`` what pip
    reads and does nothing with, and where.
    """

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    local: Mapping[str, str] = MappingProxyType({})
    sources: tuple[Source, ...] = ()
    url_variables: frozenset[str] = frozenset()
    projects: Mapping[str, str] = MappingProxyType({})
    unpinned: tuple[str, ...] = ()
    pinned: frozenset[str] = frozenset()
    has_hashes: bool = False
    ignored: tuple[str, ...] = ()


def read_requirements(
    files: Sequence[str],
    constraints: Sequence[str],
    *,
    reader: Reader,
    target: Target,
    variables: Mapping[str, str],
    choice: Choice | None = None,
    hear: Callable[[Said], None] | None = None,
) -> RequirementSet:
    """Read ``constraints`` and ``files`` with everything they include, in the order in which pip does.

    ``variables`` expand ``${NAME}``, in upper case, as pip does: an unset or empty one stays as it is. ``choice``
    is what is wanted of lock files and projects. ``hear`` gets every line in its order, and raises LineError for what
    it cannot use.

    :raises RequirementsError: for a file that cannot be read and a line that cannot be used; both are named
    """
    choice = choice or Choice()
    walk = _Walk(reader, target, variables, choice, hear)
    for path in constraints:
        walk.follow(path, constraint=True, trail=())
    for path in files:
        walk.follow(path, constraint=False, trail=())
    if choice.project:
        walk.add_project(project_beside(files))
    pinned = frozenset(name for name, is_pinned in walk.pins.items() if is_pinned)
    return RequirementSet(
        requirements=tuple(sorted(walk.requirements)),
        constraints=tuple(sorted(walk.constraints)),
        local=dict(sorted(walk.local.items())),
        sources=tuple(walk.sources.values()),
        url_variables=frozenset(walk.url_variables),
        projects=walk.projects,
        unpinned=tuple(sorted(line for line, name in walk.unpinned.items() if name not in pinned)),
        pinned=pinned,
        has_hashes=walk.has_hashes,
        ignored=tuple(walk.ignored),
    )


class _Walk:
    def __init__(
        self,
        reader: Reader,
        target: Target,
        variables: Mapping[str, str],
        choice: Choice,
        hear: Callable[[Said], None] | None,
    ) -> None:
        self._reader = reader
        self._target = target
        self._variables = variables
        self._choice = choice
        self._hear = hear
        self.requirements: set[str] = set()
        self.constraints: set[str] = set()
        self.local: dict[str, str] = {}
        self.sources: dict[str, Source] = {}
        self.url_variables: set[str] = set()
        self.projects: dict[str, str] = {}
        self.unpinned: dict[str, str] = {}
        self.pins: dict[str, bool] = {}
        self.has_hashes = False
        self.ignored: list[str] = []

    def follow(self, path: str, *, constraint: bool, trail: tuple[str, ...], where: str = "") -> None:
        """Read a file; ``where`` is what includes it."""
        shown = _shown(path)
        if len(trail) > _DEPTH_LIMIT:
            raise RequirementsError(
                f"{where}: includes are nested more than {_DEPTH_LIMIT} deep, at {shown}", hint="nest them less"
            )
        if path in trail:
            again = "itself" if path == trail[-1] else f"{shown}, which includes it in turn"
            raise RequirementsError(f"{where} includes {again}", hint="remove one include")
        for place, line in self._lines(path, constraint=constraint, where=where):
            self._take(path, place, line, constraint=constraint, trail=(*trail, path))

    def add_project(self, path: str) -> None:
        if self.has_hashes:
            # A directory has none; those that stand there are looked at all the same.
            self._take(path, "--project", "--no-require-hashes")
        line = project_line(path, reader=_Noting(self._reader, self.sources), choice=self._choice)
        self._take(path, "--project", line)

    def _take(self, path: str, where: str, line: str, *, constraint: bool = False, trail: tuple[str, ...] = ()) -> None:
        try:
            self._line(path, where, line, constraint=constraint, trail=trail)
        except LineError as error:
            shown = without_secrets(line)
            raise RequirementsError(f"{where}: {shown!r} cannot be used: {error}", hint=error.hint) from None

    def _lines(self, path: str, *, constraint: bool, where: str) -> Iterable[tuple[str, str]]:
        """Return (where it stands, logical line) for all of a file, a lock or a project."""
        place, data = self._read(path, where)
        shown = _shown(path)
        if constraint and is_document(place):
            raise RequirementsError(f"{shown} is no file of constraints", hint="name it with -r")
        lines = requirement_lines(
            place, data, reader=_Noting(self._reader, self.sources), target=self._target, choice=self._choice
        )
        if lines is not None:
            return [(shown, line) for line in lines]
        try:
            text = decode(data)
        except ValueError as error:
            raise RequirementsError(f"{shown}: {error}", hint="save the file as UTF-8") from None
        return ((f"{shown}, line {number}", line) for number, line in logical_lines(text))

    def _read(self, path: str, where: str) -> tuple[str, bytes]:
        """Return where a file is, and its content."""
        shown = _shown(path)
        try:
            place = as_path(path) if is_file_url(path) else path
            data = self._reader.read(place)
        except (OSError, ValueError) as error:
            included = f" (included by {where})" if where else ""
            beside = "file that includes it" if where else "directory you are in"
            raise RequirementsError(
                f"{shown}{included} cannot be read: {without_secrets(reason(error))}",
                hint="check the URL, and that it can be reached from here"
                if is_url(path)
                else f"check the path; it is relative to the {beside}",
            ) from None
        self.sources[path] = Source(_shown(place), sha256(data).hexdigest())
        return place, data

    def _line(self, path: str, where: str, text: str, *, constraint: bool, trail: tuple[str, ...]) -> None:
        shown, hidden = expand_for_show(text, self._variables)
        self.url_variables |= hidden
        line = parse(shown)
        # What an installer gets has every variable expanded.
        said = parse(expand(text, self._variables)) if "${" in text else line
        if said.own and said is not line and not is_one_line(said.own):
            msg = "the value of a variable in it is more than part of a line"
            raise LineError(msg, hint="look for white space and # in the value")
        self.ignored += (f"{where}: pip ignores {without_secrets(each)} here" for each in line.ignored)
        if line.is_opaque:
            (self.constraints if constraint else self.requirements).add(OPAQUE + without_secrets(line.own))
            self._tell(None, said.own, constraint=constraint, where=where)
        for option, named in zip(said.options, _named(line.options, said.options), strict=True):
            self._option(path, option, named.value, constraint=constraint, where=where, trail=trail)
        if line.wanted is not None:
            self._requirement(line, said, constraint=constraint, where=where)

    def _requirement(self, line: Line, said: Line, *, constraint: bool, where: str) -> None:
        wanted = line.wanted
        self.has_hashes |= isinstance(wanted, Wanted) and wanted.has_hash
        if isinstance(wanted, Editable):
            self._editable(wanted, constraint=constraint)
        elif wanted is not None and wanted.applies(self._target.markers):
            digest = None if wanted.local is None else self._digest(wanted.local)
            canonical = wanted.canonical(digest)
            if wanted.name:
                self.pins[wanted.name] = wanted.is_pinned or self.pins.get(wanted.name, False)
            if not wanted.is_pinned and not constraint:
                self.unpinned[canonical] = wanted.name
            (self.constraints if constraint else self.requirements).add(canonical)
        self._tell(said.wanted, said.own, constraint=constraint, where=where)

    def _editable(self, editable: Editable, *, constraint: bool) -> None:
        if constraint:
            msg = "a constraint cannot be editable"
            raise LineError(msg, hint="write NAME==VERSION, or NAME @ URL")
        if editable.local is None:
            canonical = " ".join((f"-e {editable.text}", *editable.options))
            self.requirements.add(canonical)
            if not editable.is_pinned:
                self.unpinned[canonical] = ""
            return
        from terrastore.requirements.editables import (  # noqa: PLC0415 -- few projects are edited
            NEEDS,
            identity_of_project,
            installation_of_project,
            pins_of_project,
        )

        path = as_path(editable.local)
        if not self._reader.exists(path):
            msg = f"there is no {path}"
            raise LineError(msg, hint="check the path; it is relative to the directory you are in")
        name, identity = identity_of_project(self._reader, path, editable.extras)
        if not identity.startswith(NEEDS):  # no build writes what these are read from
            self.local[path] = identity
        extras = f"[{','.join(editable.extras)}]" if editable.extras else ""
        self.requirements.add(" ".join((f"-e {name}{extras} @ {identity}", *editable.options)))
        self.pins |= dict.fromkeys(pins_of_project(self._reader, path, editable.extras), True)
        self.projects[os.path.abspath(path)] = installation_of_project(self._reader, path, editable.extras)

    def _option(
        self, path: str, option: Option, shown: str, *, constraint: bool, where: str, trail: tuple[str, ...]
    ) -> None:
        if option.name in {"--requirement", "--constraint"}:
            # Requirements even in a file of constraints, as pip has it.
            is_constraint = option.name == "--constraint"
            self._tell(option, str(option), constraint=constraint, where=where)
            self.follow(_beside(path, option.value), constraint=is_constraint, trail=trail, where=where)
            return
        if option.name == "--find-links" and not is_url(option.value):
            option = Option(option.name, self._links(path, option.value))
            shown = option.value
        self._tell(option, str(option), constraint=constraint, where=where, shown=shown)

    def _tell(
        self, entry: Option | Wanted | Editable | None, text: str, *, constraint: bool, where: str, shown: str = ""
    ) -> None:
        if self._hear is not None:
            self._hear(Said(entry=entry, text=text, constraint=constraint, where=where, shown=shown))

    def _links(self, path: str, value: str) -> str:
        """Return where a folder of distributions is: beside the file that names it, else where it says."""
        beside = _beside(path, value)
        return os.path.abspath(as_path(beside if self._reader.exists(as_path(beside)) else value))

    def _digest(self, local: str) -> str:
        path = as_path(local)
        try:
            self.local[path] = f"sha256:{self._reader.digest(path)}"
        except (OSError, ValueError) as error:
            msg = f"{path}: {reason(error)}"
            raise LineError(msg, hint="check the path; it is relative to the directory you are in") from None
        return self.local[path]


class _Noting:
    """A reader that notes in ``sources`` what it reads."""

    def __init__(self, reader: Reader, sources: dict[str, Source]) -> None:
        self._reader = reader
        self._sources = sources
        self.exists, self.digest, self.links = reader.exists, reader.digest, reader.links

    def read(self, path: str) -> bytes:
        data = self._reader.read(path)
        self._sources[path] = Source(without_secrets(path), sha256(data).hexdigest())
        return data


def _named(shown: Sequence[Option], said: Sequence[Option]) -> Sequence[Option]:
    """Return options with variables in URLs by their names, unless a variable says more than one word of them."""
    return shown if [each.name for each in shown] == [each.name for each in said] else said


def _shown(path: str) -> str:
    """Return a file's name as it may be shown: of a URL without login and query, even where it was made a path."""
    return index_identity(path) if is_url(path) else re.sub(_LOGIN, "", without_secrets(path))


def _beside(including: str, included: str) -> str:
    if is_url(included) or is_file_url(included):
        return included
    if is_url(including):
        from urllib.parse import urljoin  # noqa: PLC0415 -- few files are not here

        return urljoin(including, included)
    return posixpath.normpath(posixpath.join(posixpath.dirname(including), included))

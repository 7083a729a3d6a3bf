"""Requirements files followed to the end: what they ask for, and every file that says so."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from terrastore.errors import RequirementsError, reason
from terrastore.requirements.lines import (
    LineError,
    Option,
    Wanted,
    index_identity,
    is_file_url,
    is_url,
    logical_lines,
    parse,
    without_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_VARIABLE: Final = re.compile(r"\$\{([A-Z0-9_]+)\}")
_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# They decide how an index is reached, not what is found there.
_WITHOUT_EFFECT: Final = frozenset({"--trusted-host"})
_REMOTE: Final = re.compile(r"(?<!file)://", re.IGNORECASE)
_DEPTH_LIMIT: Final = 50


class Reader(Protocol):
    """Where files come from; paths are as written, relative ones to the working directory."""

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise OSError."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or a directory."""

    def digest(self, path: str) -> str:
        """Return what identifies the content of a local file or directory that is to be installed, or raise OSError."""

    def links(self, path: str) -> str:
        """Return what identifies the distributions that ``--find-links`` offers at ``path``, or raise OSError."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read, and the SHA-256 of its content."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one line says to an installer: every variable expanded, credentials and all.

    ``entry`` is what it comes to, paths of options relative to the working directory; ``text`` the line itself;
    ``constraint`` whether it stands in a file of constraints.
    """

    entry: Option | Wanted
    text: str
    constraint: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementSet:
    """What a project asks for, canonical: sorted, without duplicates, without secrets.

    ``requirements`` and ``constraints`` hold one line each; ``options`` what files say about where and how to look,
    in their order; ``local`` the digests of files and directories named by path; ``sources`` what was read;
    ``url_variables`` the names of variables in URLs, whose values may be secrets.
    """

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    local: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    url_variables: frozenset[str] = frozenset()


def read_requirements(
    files: Sequence[str],
    constraints: Sequence[str],
    *,
    reader: Reader,
    variables: Mapping[str, str],
    hear: Callable[[Said], None] | None = None,
) -> RequirementSet:
    """Read ``files`` and ``constraints`` with everything they include.

    ``variables`` expand ``${NAME}``, in upper case, as pip does: an unset or empty one stays as it is. ``hear`` gets
    every line in its order, and raises LineError for what it cannot use.

    :raises RequirementsError: for a file that cannot be read and a line that cannot be used; both are named
    """
    walk = _Walk(reader, variables, hear)
    for path in files:
        walk.follow(path, constraint=False, trail=())
    for path in constraints:
        walk.follow(path, constraint=True, trail=())
    return RequirementSet(
        requirements=tuple(sorted(walk.requirements)),
        constraints=tuple(sorted(walk.constraints)),
        options=tuple(walk.options),
        local=dict(sorted(walk.local.items())),
        sources=tuple(walk.sources.values()),
        url_variables=frozenset(walk.url_variables),
    )


class _Walk:
    def __init__(self, reader: Reader, variables: Mapping[str, str], hear: Callable[[Said], None] | None) -> None:
        self._reader = reader
        self._variables = variables
        self._hear = hear
        self.requirements: set[str] = set()
        self.constraints: set[str] = set()
        self.options: list[str] = []
        self.local: dict[str, str] = {}
        self.sources: dict[str, Source] = {}
        self.url_variables: set[str] = set()

    def follow(self, path: str, *, constraint: bool, trail: tuple[str, ...]) -> None:
        if len(trail) > _DEPTH_LIMIT:
            raise RequirementsError(f"{path}: includes are nested more than {_DEPTH_LIMIT} deep", hint="nest them less")
        if path in trail:
            raise RequirementsError(
                f"{trail[-1]} includes {path}, which includes it in turn", hint="remove one include"
            )
        if is_url(path):
            raise RequirementsError(f"{without_secrets(path)} is a URL", hint="download the file and name the copy")
        for number, line in logical_lines(self._text(path, trail)):
            self._line(path, number, line, constraint=constraint, trail=(*trail, path))

    def _text(self, path: str, trail: tuple[str, ...]) -> str:
        try:
            place = as_path(path) if is_file_url(path) else path
            data = self._reader.read(place)
        except (OSError, ValueError) as error:
            where = f" (included by {trail[-1]})" if trail else ""
            raise RequirementsError(
                f"{path}{where} cannot be read: {reason(error)}",
                hint="check the path; it is relative to the "
                + ("file that includes it" if trail else "directory you are in"),
            ) from None
        self.sources[path] = Source(place, hashlib.sha256(data).hexdigest())
        encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise RequirementsError(
                f"{path} is not {encoding.upper()} text: {error.reason} at byte {error.start}",
                hint="save the file as UTF-8",
            ) from None

    def _line(self, path: str, number: int, line: str, *, constraint: bool, trail: tuple[str, ...]) -> None:
        try:
            entry = parse(self._expand(line))
            if isinstance(entry, Wanted):
                if entry.local is not None:
                    self._digest(entry.local)
                (self.constraints if constraint else self.requirements).add(entry.text)
                self._tell(path, line, constraint=constraint)
                return
            for option in entry:
                self._option(path, option, trail=trail)
            self._tell(path, line, constraint=constraint)
        except LineError as error:
            raise RequirementsError(
                f"{path}, line {number}: {without_secrets(line)!r} cannot be used: {error}",
                hint=error.hint,
            ) from None

    def _tell(self, path: str, line: str, *, constraint: bool) -> None:
        if self._hear is None:
            return
        text = self._expand_word(line)
        parsed = parse(text)
        for entry in (parsed,) if isinstance(parsed, Wanted) else parsed:
            if isinstance(entry, Option) and entry.name == "--find-links" and not is_url(entry.value):
                entry = Option(entry.name, self._links(path, entry.value))  # noqa: PLW2901
            self._hear(Said(entry=entry, text=text, constraint=constraint))

    def _links(self, path: str, value: str) -> str:
        """Return where a folder of distributions is: beside the file that names it, else where it says."""
        beside = _beside(path, value)
        return beside if self._reader.exists(as_path(beside)) else value

    def _option(self, path: str, option: Option, *, trail: tuple[str, ...]) -> None:
        if option.name == "--requirement":
            # Requirements even in a file of constraints, as pip has it.
            self.follow(_beside(path, option.value), constraint=False, trail=trail)
        elif option.name == "--constraint":
            self.follow(_beside(path, option.value), constraint=True, trail=trail)
        elif option.name == "--editable":
            if not re.match(r"(git|hg|svn|bzr)\+", option.value):
                msg = "an editable install points outside of the environment, so it would not work elsewhere"
                raise LineError(msg, hint="leave out -e: the project is then installed as it is now")
            self.requirements.add(f"-e {without_secrets(option.value)}")
        elif option.name == "--find-links" and not is_url(option.value):
            value = without_secrets(self._links(path, option.value))
            self._digest(value)
            self.options.append(f"{option.name} {value}")
        elif option.name in {"--index-url", "--extra-index-url", "--find-links"}:
            self.options.append(f"{option.name} {index_identity(option.value)}")
        elif option.name not in _WITHOUT_EFFECT:
            self.options.append(f"{option.name} {option.value}".strip())

    def _digest(self, local: str) -> None:
        path = as_path(local)
        try:
            self.local[path] = self._reader.digest(path)
        except (OSError, ValueError) as error:
            msg = f"{path}: {reason(error)}"
            raise LineError(msg, hint="check the path; it is relative to the directory you are in") from None

    def _expand(self, line: str) -> str:
        """Expand variables, but in a URL of another machine: there they may hold credentials, and enter by name."""
        words = re.split(r"(\s+)", line)
        self.url_variables |= {name for word in words if _REMOTE.search(word) for name in _VARIABLE.findall(word)}
        return "".join(word if _REMOTE.search(word) else self._expand_word(word) for word in words)

    def _expand_word(self, word: str) -> str:
        return _VARIABLE.sub(lambda match: self._variables.get(match[1]) or match[0], word)


def _beside(including: str, included: str) -> str:
    if is_url(included) or is_file_url(included):
        return included
    return posixpath.normpath(posixpath.join(posixpath.dirname(including), included))


def as_path(local: str) -> str:
    """Return the path that a ``file:`` URL or a path names.

    :raises LineError: when it is neither
    """
    if not is_file_url(local):
        return os.path.expanduser(local)
    try:
        return unquote(urlsplit(local).path)
    except ValueError:
        msg = f"{without_secrets(local)} is no URL"
        raise LineError(msg) from None

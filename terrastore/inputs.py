"""From what a person says on the command line to the request that has a key, and to the recipe that builds it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from terrastore import interpreter
from terrastore.errors import RequirementsError, UsageError
from terrastore.host import Host
from terrastore.key import Request
from terrastore.redaction import without_secrets
from terrastore.report import listed
from terrastore.requirements import Disk, documents, pip, read_requirements
from terrastore.requirements.lines import LineError, Option, as_path, index_identity, is_url
from terrastore.requirements.pip_lines import ForPip
from terrastore.requirements.resolution import absolute
from terrastore.requirements.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from terrastore.build import Recipe
    from terrastore.interpreter import Interpreter
    from terrastore.requirements.reader import Reader
    from terrastore.requirements.uv_lines import ForUv

DEFAULTS: Final = ("requirements.txt", *documents.DEFAULTS)
"""What is taken when no file is named: the first that is there."""
PIP: Final = "pip"
UV: Final = "uv"
_FIXED: Final = r" --hash=|#(?:.*&)?sha(?:256|384|512)=| @ (?:sha256|needs):"
_PORTS: Final = {"https": 443, "http": 80}


class Inputs(NamedTuple):
    """What is asked for, as it was written: files, an interpreter, options of pip's names.

    ``cache`` is the directory where digests of local files are remembered, None for nowhere; it asks for nothing.
    """

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    python: str | None = None
    installer: str = PIP
    index_url: str | None = None
    extra_index_url: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    pre: bool = False
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    require_hashes: bool = False
    index_alias: tuple[str, ...] = ()
    salt: str = ""
    key_env: tuple[str, ...] = ()
    seed: bool = True
    any_patch: bool = False
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    project: bool = False
    require_locked: bool = False
    cache: str | os.PathLike[str] | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The requirements files, locks and projects; of those here the first of :data:`DEFAULTS` when none is named.

        With extras, groups or the project itself ``requirements.txt`` is the last of them: it has none.

        :raises RequirementsError: when none of them is there
        """
        if self.requirements:
            return self.requirements
        names = (*DEFAULTS[1:], DEFAULTS[0]) if self.extras or self.groups or self.project else DEFAULTS
        for name in names:
            if os.path.exists(name):
                return (name,)
        raise RequirementsError(
            f"there is no {DEFAULTS[0]} here, and no other file is named",
            hint="name one with -r FILE: a requirements file, pylock.toml, uv.lock or pyproject.toml",
        )

    def request(self) -> Request:
        """Return what these inputs ask for; see :meth:`read`."""
        return self.read()[0]

    def read(self) -> tuple[Request, ForPip | ForUv]:
        """Read the files, look at the interpreter, the host and the installer's own settings; return what they come to.

        That is the request, which holds no secret, and what the installer is to hear, which may.

        :raises RequirementsError: for a file or a line that cannot be used
        :raises UsageError: for an option or a setting that cannot be used
        :raises HostError: when no interpreter fits
        """
        with Disk(self.cache) as reader:
            return self._read(reader)

    def _read(self, reader: Disk) -> tuple[Request, ForPip | ForUv]:
        python = interpreter.find(self.python)
        said = self._installation(reader)
        _require(reader, {"requirement": said.files, "constraint": said.constraint_files})
        files = (*said.files, *self.files)
        # A lock has resolved everything.
        said.no_deps = all(map(documents.is_lock, files))
        requirements = read_requirements(
            files,
            (*said.constraint_files, *self.constraints),
            reader=reader,
            target=Target(markers=python.markers, tags=python.tags),
            variables=os.environ,
            choice=self._choice(files, own_index=not said.has_index),
            hear=said.hear,
        )
        if requirements.projects and self.installer == PIP and not self.seed:
            raise UsageError(
                "-e needs pip in the environment, and --no-seed leaves it out", hint="leave --no-seed out, or -e"
            )
        if self.require_locked:
            _refuse_unlocked(requirements.requirements, is_complete=said.demands_hashes or said.no_deps)
        if self.any_patch:
            self._refuse_patch_dependent((*said.requirements, *said.constraints), python)
        request = Request(
            requirements=requirements,
            interpreter=python,
            host=Host.here(),
            resolution=self._resolution(said),
            variables={name: os.environ.get(name) for name in sorted(self.key_env)},
            installer=self.installer,
            seed=self.seed,
            salt=self.salt,
            any_patch=self.any_patch,
        )
        return request, said

    def recipe(self, request: Request, said: ForPip | ForUv) -> Recipe:
        """Return how to build what ``request`` asks for."""
        from terrastore.build import Recipe  # noqa: PLC0415 -- only a miss needs the modules of building

        return Recipe(
            interpreter=request.interpreter,
            installer=self.installer,
            said=said,
            secrets=tuple(filter(None, map(os.environ.get, sorted(request.requirements.url_variables)))),
            seed=self.seed,
        )

    def _choice(self, files: Iterable[str], *, own_index: bool) -> documents.Choice:
        """Return what is wanted of locks and projects.

        :raises UsageError: when there are none
        """
        for option, names in (("extra", self.extras), ("group", self.groups)):
            if names and not any(map(documents.is_document, files)):
                raise UsageError(
                    f"--{option} {names[0]}: a requirements file has no {option}s",
                    hint="name a pylock.toml, uv.lock or pyproject.toml with -r",
                )
        return documents.Choice(extras=self.extras, groups=self.groups, project=self.project, own_index=own_index)

    def _installation(self, reader: Reader) -> ForPip | ForUv:
        """Return what the installer is to hear, the machine's settings and the command line's options so far."""
        said: ForPip | ForUv
        if self.installer == UV:
            # Who builds by pip needs none of this.
            from terrastore.requirements.uv import effective_settings  # noqa: PLC0415
            from terrastore.requirements.uv_lines import ForUv  # noqa: PLC0415

            said = ForUv(reader, effective_settings(os.environ, os.getcwd(), reader=reader))
        else:
            said = ForPip(reader, pip.effective_settings(os.environ, pip.configuration_files(os.environ)))
        for option in self._options():
            try:
                said.option(_anywhere(option))
            except LineError as error:
                shown = without_secrets(str(option))
                raise UsageError(f"{shown} cannot be used: {error}", hint=error.hint) from None
        return said

    def _resolution(self, said: ForPip | ForUv) -> dict[str, Any]:
        """Return where and how the installer looks, as the key takes it: mirrors by what they stand for."""
        aliases = dict(map(self._alias, self.index_alias))

        def identity(url: str) -> str:
            bare = _bare(url)
            return aliases.get(bare, bare)

        try:
            return said.canonical(identity)
        except LineError as error:
            raise RequirementsError(f"--find-links cannot be used: {error}", hint=error.hint) from None

    def _alias(self, text: str) -> tuple[str, str]:
        mirror, equals, stands_for = text.rpartition("=")
        if not equals or not is_url(mirror) or not is_url(stands_for):
            raise UsageError(
                f"{without_secrets(text)!r} is no alias of an index",
                hint="write --index-alias MIRROR=URL, both with https://",
            )
        return _bare(mirror), _bare(stands_for)

    def _refuse_patch_dependent(self, lines: Iterable[str], python: Interpreter) -> None:
        from terrastore.requirements.patches import dependent_lines  # noqa: PLC0415 -- few ask for it

        series = python.version[:2]
        if found := list(dependent_lines(lines, series)):
            raise RequirementsError(
                f"not every patch version of Python {'.'.join(map(str, series))} reads this alike: {found[0]}",
                hint="leave --any-patch out, or write the marker with python_version",
            )

    def _options(self) -> Iterator[Option]:
        """Yield what the command line says of where and how to look; values may hold credentials."""
        if self.index_url is not None:
            yield Option("--index-url", self.index_url)
        if self.no_index:
            yield Option("--no-index")
        yield from (Option("--extra-index-url", url) for url in self.extra_index_url)
        yield from (Option("--find-links", place) for place in self.find_links)
        if self.pre:
            yield Option("--pre")
        yield from (Option("--only-binary", names) for names in self.only_binary)
        yield from (Option("--no-binary", names) for names in self.no_binary)
        if self.require_hashes:
            yield Option("--require-hashes")


def _anywhere(option: Option) -> Option:
    """Return an option of the command line that means the same in every directory."""
    return Option(option.name, absolute(option.value)) if option.name == "--find-links" else option


def _refuse_unlocked(lines: Sequence[str], *, is_complete: bool) -> None:
    """Refuse requirements that are not fixed, each and all they need, by hashes or by content."""
    if without := [line.partition(" @ needs:")[0] for line in lines if not re.search(_FIXED, line)]:
        raise RequirementsError(
            f"not locked: no hash fixes {listed(without)}",
            hint="pin everything with hashes, as uv pip compile --generate-hashes does",
        )
    if lines and not is_complete:
        raise RequirementsError(
            "not locked: what else these requirements need is not fixed", hint="say --require-hashes, or name a lock"
        )


def _bare(url: str) -> str:
    """Return what tells an index from others: scheme and host in lower case, without the port that need not be said."""
    bare = index_identity(url).rstrip("/")
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    scheme, host = scheme.lower(), host if "${" in host else host.lower()
    return f"{scheme}{separator}{host.removesuffix(f':{_PORTS.get(scheme)}')}{slash}{path}" if separator else bare


def _require(reader: Reader, named: Mapping[str, Sequence[str]]) -> None:
    """Refuse files that pip's settings name and that are not there."""
    for setting, paths in named.items():
        for path in paths:
            if not is_url(path) and not reader.exists(as_path(path)):
                raise UsageError(
                    f"pip's setting {setting}: {without_secrets(path)} is not there", hint="correct it, or take it away"
                )

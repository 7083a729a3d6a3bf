"""uv as the installer: a program of its own, that installs from outside."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from terrastore.build.compilers import Compilers
from terrastore.build.logins import redactor_for, without_git_logins
from terrastore.build.process import Tools
from terrastore.build.resolved import Resolved
from terrastore.build.staging import NAME
from terrastore.errors import UsageError
from terrastore.names import normalised
from terrastore.requirements.uv_lines import ForUv
from terrastore.requirements.uv_program import HINT, found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from terrastore.build import Origins, Recipe
    from terrastore.build.wheels import Kept
    from terrastore.report import Phase
    from terrastore.requirements.uv import Settings

_STATUS: Final = re.compile(
    r"\s*(Resolved|Building|Built|Downloading|Downloaded|Prepared|Installed|Updating|Updated) (?P<what>.+)"
)
# Of what it has not built yet it tells no version.
_PLANNED: Final = re.compile(
    r" \+ (?P<name>[^\s=]+)(?:==(?P<version>\S+))?"
    r"(?: (?:\(from|@) (?P<place>\S*?)(?:@(?P<commit>[0-9a-f]{40}))?(?:#\S*)?\)?)?"
)
_NOISE: Final = ("Using Python ",)
_MADE_HERE: Final = "uv_build.json"
# uv compiles in its cache: with the marker in that path, packages that note where that was are told of.
_CACHE: Final = f"uv/{NAME}work-{'0' * 16}"


class Uv:
    """An installer; see :class:`terrastore.build.Installer`."""

    name: ClassVar[str] = "uv"
    needs_pip: ClassVar[bool] = False
    notes: ClassVar[re.Pattern[str]] = re.compile(r".*\.(rkyv|http|rev|msgpack)|git-v\d+/.*/(config|FETCH_HEAD)")

    def __init__(self, recipe: Recipe, cache: Path, work: str) -> None:
        if not isinstance(recipe.said, ForUv):
            msg = "what is said to uv must be said for uv"
            raise TypeError(msg)
        self._said = recipe.said
        self._work = Path(work)
        self.cache = cache / _CACHE
        self._binary, self._version = found()
        # uv gets the settings that the key was made of, and reads none by itself.
        self._settings = self._said.settings
        redactor = redactor_for(
            (*self._said.requirements, *self._said.constraints, *self._settings.texts),
            places=(*self._settings.places, *(place for said in self._said.places.values() for place in said)),
            secrets=self._settings.secrets,
            doubtful=recipe.secrets,
            variables=os.environ,
        )
        said = (self._said.resolved, self._said.constraints)
        (self._requirements, self._constrained), for_git = without_git_logins(said, self._work, os.environ)
        self.compilers = Compilers(cache, work)
        variables = _variables(self._settings, self._said.places) | self.compilers.variables() | for_git
        self.tools = Tools(cache, work, redactor=redactor, variables=variables)

    def install(self, python: str, phase: Phase) -> str:
        if self._said.resolved:
            self._install(python, list(self._arguments()), self._requirements, self._constraints(), phase)
        return str(self._version)

    def resolve(self, python: str, phase: Phase) -> Resolved:
        said = ""
        if self._said.resolved:
            # Else it takes an index for what it was ten minutes ago.
            arguments = ["--dry-run", "--refresh", *self._arguments()]
            said = self._install(python, arguments, self._requirements, self._constraints(), phase)
        found = [(normalised(match["name"]), match) for match in map(_PLANNED.fullmatch, said.splitlines()) if match]
        projects = {Path(each.directory).as_uri() for each in self._said.projects.values()}
        return Resolved(
            versions={name: match["version"] or "" for name, match in found},
            commits={name: match["commit"] for name, match in found if match["commit"]},
            edited=frozenset(name for name, match in found if match["place"] in projects),
        )

    def edit(self, python: str, lines: Sequence[str], phase: Phase, *, isolated: bool) -> None:
        arguments = [each for each in self._said.arguments if each != "--require-hashes"]
        arguments += ("--no-deps", "--no-require-hashes", *(() if isolated else ("--no-build-isolation",)))
        self._install(python, arguments, lines, (), phase)

    def remove(self, python: str, names: Sequence[str], phase: Phase) -> None:
        command = [self._binary, "pip", "uninstall", "--python", python, *self._common(), *names]
        self.tools.run(command, "uv pip uninstall", phase, noise=_NOISE)

    def origins(self, tree: str) -> Origins:
        """Return what uv made from source; what it was all installed from it does not tell."""
        made = Path(tree).glob(f"lib/*/site-packages/*.dist-info/{_MADE_HERE}")
        return frozenset(
            normalised(each.parent.name.removesuffix(".dist-info").rpartition("-")[0]) for each in made
        ), {}

    def kept(self) -> Kept | None:
        """Return None: uv unpacks what it downloads, and keeps no wheels."""
        return None

    def _install(
        self, python: str, arguments: Sequence[str], lines: Sequence[str], constraints: Iterable[str], phase: Phase
    ) -> str:
        """Run ``uv pip install`` and return its output; what may hold credentials goes through files and variables."""
        command = [self._binary, "pip", "install", "--python", python, *self._common()]
        # Copied, so that whoever edits the environment does not edit the cache.
        command += ("--link-mode", "copy", "--no-compile-bytecode", *self._refreshing(), *arguments)
        command += ("--requirements", self._written("requirements.txt", _lines(lines)))
        for path in constraints:
            command += ("--constraints", path)
        return self.tools.run(command, "uv pip install", phase, status=_status, noise=_NOISE)

    def _arguments(self) -> Iterator[str]:
        yield from self._said.arguments
        if self._said.no_deps:
            yield "--no-deps"
        if self._said.demands_hashes and "--require-hashes" not in self._said.arguments:
            yield "--require-hashes"

    def _common(self) -> Iterator[str]:
        yield from ("--cache-dir", str(self.cache), "--config-file", self._written("uv.toml", _toml(self._settings)))
        yield from ("--no-python-downloads", "--no-progress", "--color", "never")

    def _constraints(self) -> Iterator[str]:
        yield from self._settings.variables.get("UV_CONSTRAINT", "").split()
        if self._constrained:
            yield self._written("constraints.txt", _lines(self._constrained))

    def _refreshing(self) -> Iterator[str]:
        """Yield what makes uv look at projects again: it takes one for unchanged while its metadata files are."""
        if None in self._said.directories:
            yield "--refresh"
        else:
            yield from (f"--refresh-package={name}" for name in self._said.directories)

    def _written(self, name: str, content: bytes) -> str:
        path = self._work / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return str(path)


def _variables(settings: Settings, places: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return uv's variables: those of the machine, and where to look, what is said here first."""
    variables = {**settings.variables, "UV_NO_WRAP": "1"}
    if index := places.get("UV_INDEX_URL"):
        # Both of uv's names for it, or the machine's would win.
        variables.pop("UV_DEFAULT_INDEX", None)
        variables["UV_INDEX_URL"] = index[0]
    for name, separator in (("UV_EXTRA_INDEX_URL", " "), ("UV_FIND_LINKS", ",")):
        if said := [*places.get(name, ()), *filter(None, [variables.get(name)])]:
            variables[name] = separator.join(said)
    # The arguments have them, beside ours.
    variables.pop("UV_CONSTRAINT", None)
    return variables


def _toml(settings: Settings) -> bytes:
    if not settings.document:
        return b""
    try:
        import tomli_w  # noqa: PLC0415 -- comes with the extra, and only settings in files need it
    except ImportError:
        raise UsageError("uv's configuration files need tomli-w, which is not installed", hint=HINT) from None
    document: Any = settings.document
    return tomli_w.dumps(document).encode()


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")


def _status(line: str) -> str:
    """Return what a line of uv's output says of what it is doing, "" for other lines."""
    match = _STATUS.fullmatch(line)
    return f"{match[1]} {match['what'].partition(' in ')[0]}" if match else ""

"""pip as the installer: the one that is seeded into the environment."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import unquote, urlsplit

from terrastore.archive.installed import head
from terrastore.build.compilers import Compilers
from terrastore.build.logins import demanded, demands_login, redactor_for, without_git_logins
from terrastore.build.process import Tools
from terrastore.build.resolved import Resolved
from terrastore.build.wheels import WithShelf
from terrastore.names import normalised
from terrastore.requirements.pip_lines import ForPip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from terrastore.build import Origins, Recipe
    from terrastore.build.wheels import Kept
    from terrastore.report import Phase

_STATUS: Final = ("Collecting", "Downloading", "Using cached", "Building wheel", "Installing", "Preparing metadata")
_KEEP_WHEELS: Final = Path(__file__).with_name("_keep_wheels.py")
_PROBING: Final = ("-vv", "--retries=1", "--timeout=15")
_WHERE: Final = {
    "--index-url": "PIP_INDEX_URL",
    "--extra-index-url": "PIP_EXTRA_INDEX_URL",
    "--trusted-host": "PIP_TRUSTED_HOST",
}
_REQUIREMENTS: Final = "requirements.txt"
_CONSTRAINTS: Final = "constraints.txt"
_PROJECTS: Final = "projects.txt"
_LISTING: Final = "Installing collected packages: "
_NOWHERE: Final = re.compile(r"ERROR: No matching distribution found for (?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")


class Pip:
    """An installer; see :class:`terrastore.build.Installer`."""

    name: ClassVar[str] = "pip"
    needs_pip: ClassVar[bool] = True
    notes: ClassVar[re.Pattern[str]] = re.compile(r"http[^/]*/(.*/)?[^./]+|wheels/.*/origin\.json")

    def __init__(self, recipe: Recipe, cache: Path, work: str) -> None:
        if not isinstance(recipe.said, ForPip):
            msg = "what is said to pip must be said for pip"
            raise TypeError(msg)
        self._recipe = recipe
        self._said = recipe.said
        self._work = work
        self.cache = cache / "pip"
        self._urls = [url for url in recipe.said.resolution.indexes or () if url]
        places = [*self._urls, *recipe.said.resolution.find_links, *recipe.said.settings.values()]
        lines = [*recipe.said.requirements, *recipe.said.constraints]
        redactor = redactor_for(lines, places=places, doubtful=recipe.secrets, variables=os.environ)
        self._places_are_secret = any(redactor.redacted(place) != place for place in places)
        said = (recipe.said.resolved, recipe.said.constraints)
        (self._requirements, self._constraints), for_git = without_git_logins(said, Path(work), os.environ)
        # pip gets the settings that the key was made of, and reads none by itself.
        variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in self._said.settings.items()} | {
            "PIP_CACHE_DIR": str(self.cache),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COLOR": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
        }
        self.compilers = Compilers(cache, work)
        variables |= self.compilers.variables() | for_git
        self._kept = f"{work}/wheels"
        self._named = re.compile(rf"-(?P<kind>[rc]) {re.escape(work)}/[a-z]+\.txt \(line (?P<number>\d+)\)")
        self._shelved = WithShelf(recipe.shelf, work) if recipe.shelf else None
        self.tools = Tools(cache, work, redactor=redactor, variables=variables)

    def install(self, python: str, phase: Phase) -> str:
        if self._said.resolved:
            self._install(python, phase)
        version = self._pip(python, ["--version"], phase).split()[1]
        if not self._recipe.seed:
            self._pip(python, ["uninstall", "--yes", "pip"], phase)
        return version

    def resolve(self, python: str, phase: Phase) -> Resolved:
        if self._said.resolved:
            self._pip(python, ["install", "--dry-run", "--ignore-installed", *self._arguments()], phase)
        found = {normalised(each["metadata"]["name"]): each for each in _installed(self._outcome)}
        if not self._recipe.seed:
            found.pop(self.name, None)  # not even a requirement makes it stay
        commits = {name: _commit(each["download_info"]) for name, each in found.items()}
        projects = {os.path.realpath(each.directory) for each in self._said.projects.values()}
        return Resolved(
            versions={name: each["metadata"]["version"] for name, each in found.items()},
            commits={name: commit for name, commit in commits.items() if commit},
            edited=frozenset(name for name, each in found.items() if _edited_at(each["download_info"]) in projects),
        )

    def edit(self, python: str, lines: Sequence[str], phase: Phase, *, isolated: bool) -> None:
        options = [each for each in self._said.options() if each != "--require-hashes"]
        flags = ["--no-compile", "--no-warn-script-location", "--no-deps", *self._in_process()]
        flags += () if isolated else ("--no-build-isolation",)
        self._pip(python, ["install", *flags, f"--requirement={self._written(_PROJECTS, [*options, *lines])}"], phase)

    def remove(self, python: str, names: Sequence[str], phase: Phase) -> None:
        self._pip(python, ["uninstall", "--yes", *names], phase)

    def origins(self, tree: str) -> Origins:  # noqa: ARG002 -- pip's report says all
        return _origins(self._outcome)

    def kept(self) -> Kept | None:
        return self._shelved.kept(self._kept, _installed(self._outcome)) if self._shelved else None

    def _install(self, python: str, phase: Phase) -> None:
        if self._shelved is None:
            self._pip(python, ["install", *self._arguments()], phase)
            return
        self._shelved.install(
            lambda more: self._pip_kept(python, more, phase),
            lambda project: self._pip(
                python, ("index", "versions", project, *_PROBING), phase, variables=self._indexes(), may_fail=True
            ),
        )

    def _pip_kept(self, python: str, more: Sequence[str], phase: Phase) -> str:
        shutil.rmtree(self._kept, ignore_errors=True)
        # In pip's own process what packages are built with is seen too.
        arguments = ("install", *self._arguments(), *more, "--use-feature=inprocess-build-deps")
        return self._pip(python, arguments, phase, program=(str(_KEEP_WHEELS), self._kept))

    def _indexes(self) -> dict[str, str]:
        """Return as variables where the recipe says to look: arguments would show credentials."""
        said = list(self._said.resolution.options())
        values = {name: [each.value for each in said if each.name == name] for name in _WHERE}
        return {_WHERE[name]: " ".join(found) for name, found in values.items() if found}

    @property
    def _outcome(self) -> Path:
        return Path(self._work, "report.json")

    def _pip(
        self,
        python: str,
        arguments: Sequence[str],
        phase: Phase,
        *,
        program: Sequence[str] = ("-m", "pip"),
        variables: Mapping[str, str] = MappingProxyType({}),
        may_fail: bool = False,
    ) -> str:
        # Isolated: a json.py in the directory we are in is not pip's.
        command = [python, "-I", "-B", "-u", "-X", "utf8", *program, *arguments]
        return self.tools.run(
            command,
            f"pip {arguments[0]}",
            phase,
            status=self._heed,
            variables=variables,
            may_fail=may_fail,
            refused=self._refused,
            reworded=self._reworded,
        )

    def _reworded(self, line: str) -> str:
        """Return a line of pip's that names a line of what it was told, with where that was said instead."""
        return self._named.sub(lambda match: f"-{match['kind']} {self._origin(match)}", line)

    def _origin(self, match: re.Match[str]) -> str:
        is_constraint, number = match["kind"] == "c", int(match["number"])
        # Options come before them.
        lines = self._said.constraints if is_constraint else [*self._said.options(), *self._said.resolved]
        text = lines[number - 1] if number <= len(lines) else ""
        where = self._said.origins.get((is_constraint, text), "the command line")
        return re.sub(r", line (\d+)$", r" (line \1)", where)

    def _refused(self, output: Sequence[str]) -> str | None:
        """Return the URL that demands a login; pip does not say so when it has none at all, so it is asked again."""
        if (place := demanded(output)) is not None:
            return place
        names = [normalised(match["name"]) for match in map(_NOWHERE.match, output) if match]
        pages = (f"{url.rstrip('/')}/{name}/" for name in names for url in self._urls)
        return next(filter(demands_login, pages), None)

    def _heed(self, line: str) -> str:
        self.compilers.hear(line)
        return _status(line)

    def _arguments(self) -> Iterator[str]:
        """Yield the arguments of ``pip install``; options go through a file, for they may hold credentials."""
        yield from ("--no-compile", "--no-warn-script-location", f"--report={self._outcome}")
        if self._said.no_deps:
            yield "--no-deps"
        if self._shelved is None:
            yield from self._in_process()
        lines = self._requirements
        if self._shelved:
            lines = list(map(self._shelved.admitting, lines))
        yield f"--requirement={self._written(_REQUIREMENTS, [*self._said.options(), *lines])}"
        if self._constraints:
            yield f"--constraint={self._written(_CONSTRAINTS, self._constraints)}"

    def _in_process(self) -> Iterator[str]:
        """Yield what keeps pip from starting another one, with every place it looks at among its arguments, for builds.

        Everybody on the machine could read these.
        """
        if self._places_are_secret:
            yield "--use-feature=inprocess-build-deps"

    def _written(self, name: str, lines: Sequence[str]) -> Path:
        path = Path(self._work, name)
        path.touch(mode=0o600)
        # Whatever the locale, and bytes of variables and paths as they are.
        path.write_bytes("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
        return path


def _status(line: str) -> str:
    """Return what a line of pip's output says of what it is doing, "" for other lines."""
    if line.startswith(_LISTING):
        return f"Installing {line.count(',') + 1} packages"
    return line.strip().partition(" (from ")[0] if line.lstrip().startswith(_STATUS) else ""


def _origins(report: Path) -> Origins:
    """Return (what was made from source, SHA-256 of downloads by name) from pip's installation report, version 1."""
    compiled, downloads = set(), {}
    for item in _installed(report):
        name, origin = normalised(item["metadata"]["name"]), item["download_info"]
        if not origin["url"].partition("#")[0].endswith(".whl"):
            compiled.add(name)
        if digest := origin.get("archive_info", {}).get("hashes", {}).get("sha256"):
            downloads[name] = digest
    return frozenset(compiled), downloads


def _edited_at(origin: dict[str, Any]) -> str:
    """Return the directory of what is to be edited, "" for anything else (PEP 610)."""
    is_edited = origin.get("dir_info", {}).get("editable")
    return os.path.realpath(unquote(urlsplit(origin["url"]).path)) if is_edited else ""


def _commit(origin: dict[str, Any]) -> str | None:
    """Return the commit of what is from a repository; pip tells none of what is to be edited, but it is checked out."""
    return origin["vcs_info"]["commit_id"] if "vcs_info" in origin else head(_edited_at(origin))


def _installed(report: Path) -> list[dict[str, Any]]:
    """Return what pip's installation report lists, version 1; nothing when there is none."""
    found: list[dict[str, Any]] = json.loads(report.read_bytes())["install"] if report.exists() else []
    return found

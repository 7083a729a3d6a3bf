"""pip as the installer: the one that is seeded into the environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from terrastore.archive.layers import normalised
from terrastore.build.compilers import Compilers
from terrastore.build.process import Tools
from terrastore.build.resolved import Resolved
from terrastore.requirements.pip_lines import ForPip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from terrastore.build import Origins, Recipe
    from terrastore.report import Phase

_STATUS: Final = ("Collecting", "Downloading", "Using cached", "Building wheel", "Installing", "Preparing metadata")
_REQUIREMENTS: Final = "requirements.txt"
_CONSTRAINTS: Final = "constraints.txt"
_PROJECTS: Final = "projects.txt"
_LISTING: Final = "Installing collected packages: "


class Pip:
    """An installer; see :class:`terrastore.build.Installer`."""

    name: ClassVar[str] = "pip"
    needs_pip: ClassVar[bool] = True

    def __init__(self, recipe: Recipe, cache: Path, work: str) -> None:
        if not isinstance(recipe.said, ForPip):
            msg = "what is said to pip must be said for pip"
            raise TypeError(msg)
        self._recipe = recipe
        self._said = recipe.said
        self._work = work
        # pip gets the settings that the key was made of, and reads none by itself.
        variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in self._said.settings.items()} | {
            "PIP_CACHE_DIR": str(cache / "pip"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COLOR": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
        }
        self.compilers = Compilers(cache, work)
        variables |= self.compilers.variables()
        self.tools = Tools(cache, work, hidden=recipe.secrets, variables=variables)

    def install(self, python: str, phase: Phase) -> str:
        if self._said.requirements:
            self._pip(python, ["install", *self._arguments()], phase)
        version = self._pip(python, ["--version"], phase).split()[1]
        if not self._recipe.seed:
            self._pip(python, ["uninstall", "--yes", "pip"], phase)
        return version

    def resolve(self, python: str, phase: Phase) -> Resolved:
        if self._said.requirements:
            self._pip(python, ["install", "--dry-run", "--ignore-installed", *self._arguments()], phase)
        found = [(normalised(each["metadata"]["name"]), each) for each in _installed(self._outcome)]
        origins = {name: each["download_info"] for name, each in found}
        return Resolved(
            versions={name: each["metadata"]["version"] for name, each in found},
            commits={name: each["vcs_info"]["commit_id"] for name, each in origins.items() if "vcs_info" in each},
            edited=frozenset(n for n, each in origins.items() if each.get("dir_info", {}).get("editable")),
        )

    def edit(self, python: str, lines: Sequence[str], phase: Phase) -> None:
        written = self._written(_PROJECTS, [*self._said.options(), "--no-require-hashes", *lines])
        flags = ("--no-compile", "--no-warn-script-location", "--no-deps")
        self._pip(python, ["install", *flags, f"--requirement={written}"], phase)

    def remove(self, python: str, names: Sequence[str], phase: Phase) -> None:
        self._pip(python, ["uninstall", "--yes", *names], phase)

    def origins(self, tree: str) -> Origins:  # noqa: ARG002 -- pip's report says all
        return _origins(self._outcome)

    @property
    def _outcome(self) -> Path:
        return Path(self._work, "report.json")

    def _pip(self, python: str, arguments: Sequence[str], phase: Phase) -> str:
        # Isolated: a json.py in the directory we are in is not pip's.
        command = [python, "-I", "-B", "-u", "-X", "utf8", "-m", "pip", *arguments]
        return self.tools.run(command, f"pip {arguments[0]}", phase, status=self._heed)

    def _heed(self, line: str) -> str:
        self.compilers.hear(line)
        return _status(line)

    def _arguments(self) -> Iterator[str]:
        """Yield the arguments of ``pip install``; options go through a file, for they may hold credentials."""
        yield from ("--no-compile", "--no-warn-script-location", f"--report={self._outcome}")
        if self._said.no_deps:
            yield "--no-deps"
        yield f"--requirement={self._written(_REQUIREMENTS, [*self._said.options(), *self._said.requirements])}"
        if self._said.constraints:
            yield f"--constraint={self._written(_CONSTRAINTS, self._said.constraints)}"

    def _written(self, name: str, lines: Sequence[str]) -> Path:
        path = Path(self._work, name)
        path.touch(mode=0o600)
        path.write_text("".join(f"{line}\n" for line in lines))
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


def _installed(report: Path) -> list[dict[str, Any]]:
    """Return what pip's installation report lists, version 1; nothing when there is none."""
    found: list[dict[str, Any]] = json.loads(report.read_bytes())["install"] if report.exists() else []
    return found

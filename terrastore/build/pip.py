"""pip as the installer: the one that is seeded into the environment."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from terrastore.archive.layers import normalised
from terrastore.build.compilers import Compilers
from terrastore.build.logins import redactor_for
from terrastore.build.process import Tools
from terrastore.requirements import Disk, read_requirements
from terrastore.requirements.pip import configuration_files, effective_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from terrastore.build import Origins, Recipe
    from terrastore.report import Phase

_STATUS: Final = ("Collecting", "Downloading", "Using cached", "Building wheel", "Installing", "Preparing metadata")
_LISTING: Final = "Installing collected packages: "
_NAMING_PLACES: Final = ("--index-url ", "--extra-index-url ", "--find-links ", "--proxy ", "-i ", "-f ")


class Pip:
    """An installer; see :class:`terrastore.build.Installer`."""

    name: ClassVar[str] = "pip"
    needs_pip: ClassVar[bool] = True
    notes: ClassVar[re.Pattern[str]] = re.compile(r"http[^/]*/(.*/)?[^./]+|wheels/.*/origin\.json")

    def __init__(self, recipe: Recipe, cache: Path, work: str) -> None:
        self._recipe = recipe
        self._work = work
        self.cache = cache / "pip"
        # pip gets the settings that the key was made of, and reads none by itself.
        settings = effective_settings(os.environ, configuration_files(os.environ))
        lines = [*recipe.options, *_said(recipe), *(f"--{name} {value}" for name, value in settings.items())]
        places = [line for line in lines if line.startswith(_NAMING_PLACES)]
        redactor = redactor_for(lines, places=places, doubtful=recipe.secrets, variables=os.environ)
        self._places_are_secret = any(redactor.redacted(place) != place for place in places)
        variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()} | {
            "PIP_CACHE_DIR": str(self.cache),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COLOR": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
        }
        self.compilers = Compilers(cache, work)
        variables |= self.compilers.variables()
        self.tools = Tools(cache, work, redactor=redactor, variables=variables)

    def install(self, python: str, phase: Phase) -> str:
        if self._recipe.files:
            self._pip(python, ["install", *self._arguments()], phase)
        version = self._pip(python, ["--version"], phase).split()[1]
        if not self._recipe.seed:
            self._pip(python, ["uninstall", "--yes", "pip"], phase)
        return version

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
        if self._places_are_secret:
            # Else another pip installs what builds need, with these places among its arguments, for all to read.
            yield "--use-feature=inprocess-build-deps"
        if self._recipe.options:
            options = Path(self._work, "options.txt")
            options.touch(mode=0o600)
            options.write_text("".join(f"{line}\n" for line in self._recipe.options))
            yield f"--requirement={options}"
        yield from (f"--requirement={path}" for path in self._recipe.files)
        yield from (f"--constraint={path}" for path in self._recipe.constraints)


def _said(recipe: Recipe) -> list[str]:
    """Return what the recipe's files say, line by line, every variable expanded."""
    texts: list[str] = []
    read_requirements(
        recipe.files,
        recipe.constraints,
        reader=Disk(),
        variables=os.environ,
        hear=lambda said: texts.append(said.text),
    )
    return texts


def _status(line: str) -> str:
    """Return what a line of pip's output says of what it is doing, "" for other lines."""
    if line.startswith(_LISTING):
        return f"Installing {line.count(',') + 1} packages"
    return line.strip().partition(" (from ")[0] if line.lstrip().startswith(_STATUS) else ""


def _origins(report: Path) -> Origins:
    """Return (what was made from source, SHA-256 of downloads by name) from pip's installation report, version 1."""
    compiled, downloads = set(), {}
    for item in json.loads(report.read_bytes())["install"] if report.exists() else ():
        name, origin = normalised(item["metadata"]["name"]), item["download_info"]
        if not origin["url"].partition("#")[0].endswith(".whl"):
            compiled.add(name)
        if digest := origin.get("archive_info", {}).get("hashes", {}).get("sha256"):
            downloads[name] = digest
    return frozenset(compiled), downloads

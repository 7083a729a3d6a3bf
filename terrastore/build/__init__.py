"""Building an environment: virtualenv and an installer, as subprocesses, into a staging prefix."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, TypeAlias

from terrastore import room
from terrastore.archive.installed import names
from terrastore.archive.projects import projects
from terrastore.archive.staging import StagingPrefix
from terrastore.build import staging
from terrastore.build.caches import kept_clean
from terrastore.build.editing import Installed, build_requirements
from terrastore.build.pip import Pip
from terrastore.build.provenance import redact_checkouts, redact_direct_urls
from terrastore.build.uv import Uv
from terrastore.errors import BuildError
from terrastore.redaction import Redactor
from terrastore.report import listed

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from terrastore.archive.manifest import WheelFile
    from terrastore.build.compilers import Compilers
    from terrastore.build.process import Tools
    from terrastore.build.resolved import Resolved
    from terrastore.build.wheels import Kept, Shelf
    from terrastore.interpreter import Interpreter
    from terrastore.report import Phase, Report
    from terrastore.requirements.pip_lines import ForPip
    from terrastore.requirements.uv_lines import ForUv

Origins: TypeAlias = "tuple[frozenset[str], Mapping[str, str]]"
"""Normalised names of what was made from source, and SHA-256 by name of what was installed from an archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be installed and how.

    ``installer`` is ``pip`` or ``uv``, and ``said`` what that one is to be told, which may hold credentials;
    ``secrets`` are texts that must not be written anywhere. Without requirements nothing is installed; without
    ``seed`` not even pip stays. ``shelf`` has wheels that may be used; with one, those that are used are kept.
    """

    interpreter: Interpreter
    installer: str = Pip.name
    said: ForPip | ForUv
    secrets: Sequence[str] = ()
    seed: bool = True
    shelf: Shelf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An environment at a staging prefix.

    ``skeleton``: paths that were there before anything was installed. ``work``: a directory for what goes with the
    build, removed with it. ``compiled``: normalised names of distributions made from source; ``downloads``: SHA-256
    of what distributions were installed from, by name. ``installer``: its name and version. ``flags``: compilers'
    options for the processor, by name of what was made from source. ``kept``: its wheels, when they were to be kept.
    ``redactor`` knows the secrets of the build.
    """

    prefix: StagingPrefix
    python: str
    skeleton: frozenset[str]
    work: str
    compiled: frozenset[str]
    downloads: Mapping[str, str]
    installer: Mapping[str, str]
    flags: Mapping[str, frozenset[str]] = field(default_factory=dict)
    kept: Kept | None = None
    redactor: Redactor = field(default_factory=Redactor)

    @property
    def wheel_files(self) -> dict[str, WheelFile]:
        """The wheels of what was installed, by name, as a manifest has them."""
        return {name: each.as_kept for name, each in self.kept.installed.items()} if self.kept else {}

    @property
    def tool_files(self) -> tuple[WheelFile, ...]:
        """The wheels of what that was built with, as a manifest has them."""
        return tuple(each.as_kept for each in self.kept.tools) if self.kept else ()


class Installer(Protocol):
    """What puts packages into an environment."""

    name: ClassVar[str]
    needs_pip: ClassVar[bool]
    """Whether the skeleton needs pip, wanted or not."""
    notes: ClassVar[re.Pattern[str]]
    """Files of its cache, by path there, in which it notes logins; they hold no part of a package."""
    cache: Path
    tools: Tools
    compilers: Compilers

    def install(self, python: str, phase: Phase) -> str:
        """Install what the recipe asks for into the environment of ``python``; return the installer's version."""

    def resolve(self, python: str, phase: Phase) -> Resolved:
        """Return what would be installed into the empty environment of ``python``."""

    def edit(self, python: str, lines: Sequence[str], phase: Phase, *, isolated: bool) -> None:
        """Install the projects that ``lines`` name, to be edited, and nothing that they need.

        What builds them comes from an index where they are ``isolated``, else from the environment of ``python``.
        """

    def remove(self, python: str, names: Sequence[str], phase: Phase) -> None:
        """Remove distributions from the environment of ``python``."""

    def origins(self, tree: str) -> Origins:
        """Return where what was installed below ``tree`` came from."""

    def kept(self) -> Kept | None:
        """Return the wheels of what was installed, None when none were to be kept."""


_INSTALLERS: Final[Mapping[str, Callable[[Recipe, Path, str], Installer]]] = {Pip.name: Pip, Uv.name: Uv}


@contextmanager
def built(recipe: Recipe, *, cache: Path, report: Report) -> Iterator[Built]:
    """Build an environment, and remove it when the body ends.

    ``cache`` keeps the installer's downloads and wheels between builds, and the logs.

    :raises UsageError: when the installer is not there
    :raises BuildError: when virtualenv or the installer fails; its last lines and the log's path are in the message
    :raises HostError: when no directory can hold a staging prefix, or a disk takes no more
    """
    root = staging.staging_root(cache)
    staging.sweep(root)
    prefix = StagingPrefix.under(root, secrets.token_hex(16))
    # The marker is in the work directory's name too: what a package notes of where it was compiled is found.
    work = f"{root}/{staging.NAME}work-{secrets.token_hex(8)}"
    otherwise = f"name a directory elsewhere with --cache-dir; what the tools said is in {cache / 'logs'}"
    with (
        room.writing(root, str(cache), what="the build", otherwise=otherwise),
        staging.held(prefix.path, report),
        staging.held(work, report),
    ):
        installer = _INSTALLERS[recipe.installer](recipe, cache, work)
        python = f"{prefix.path}/bin/python"
        with report.phase("virtualenv", unit="steps") as phase:
            _make_skeleton(prefix.path, recipe, installer, cache, phase)
            skeleton = frozenset(_paths(prefix.path))
        redactor = installer.tools.redactor
        with kept_clean(installer.cache, installer.notes, redactor):
            with report.phase("install", unit="steps") as phase:
                version = installer.install(python, phase)
                # What they need stays: that is what the archive is for.
                if edited := [project.name for project in projects(prefix.path)]:
                    installer.remove(python, edited, phase)
            compiled, downloads = installer.origins(prefix.path)
            # What was compiled elsewhere, for every processor, was none of our compilers' business.
            versions = {each.name: each.version for each in names(prefix.path) if each.name in compiled}
            if kept := installer.kept():
                made = {name: each for name, each in kept.installed.items() if each.built}
                compiled |= made.keys()
                sources = {name: each.source for name, each in made.items() if each.source}
                downloads = {name: digest for name, digest in downloads.items() if name not in made} | sources
            redact_direct_urls(prefix.path, redactor.redacted)
            redact_checkouts(prefix.path, redactor.redacted)
            yield Built(
                prefix=prefix,
                python=python,
                skeleton=skeleton,
                work=work,
                compiled=compiled,
                downloads=downloads,
                installer={"name": installer.name, "version": version},
                flags=installer.compilers.flags(versions),
                kept=kept,
                redactor=redactor,
            )


def resolve(recipe: Recipe, *, cache: Path, report: Report) -> Resolved:
    """Return what the installer would install now; nothing is.

    :raises UsageError: when the installer is not there
    :raises BuildError: when it fails; its last lines and the log's path are in the message
    :raises HostError: when no directory can hold what it makes meanwhile
    """
    with _working(recipe, cache, report) as (installer, work), report.phase("resolve", unit="steps") as phase:
        _make_skeleton(f"{work}/environment", recipe, installer, cache, phase)
        with kept_clean(installer.cache, installer.notes, installer.tools.redactor):
            return installer.resolve(f"{work}/environment/bin/python", phase)


def edit(recipe: Recipe, tree: str, *, cache: Path, report: Report) -> None:
    """Install the recipe's projects to be edited into the environment at ``tree``, whose interpreter runs.

    What they need must be there. Where what builds them is there too, no index is asked for it.

    :raises UsageError: when the installer is not there
    :raises BuildError: when it fails, or what they need is not there; its last lines and the log's path are in the
        message
    :raises HostError: when no directory can hold what it makes meanwhile, or a disk takes no more
    """
    markers, here, python = recipe.interpreter.markers, Installed.of(tree), f"{tree}/bin/python"
    there, absent = list[str](), list[str]()
    for line, project in recipe.said.projects.items():
        requirements = build_requirements(project.directory)
        is_there = requirements is not None and not here.lacks(requirements, markers)
        (there if is_there else absent).append(line)
    with (
        _working(recipe, cache, report) as (installer, _),
        report.phase("projects", unit="steps") as phase,
        kept_clean(installer.cache, installer.notes, installer.tools.redactor),
    ):
        if there:
            try:
                installer.edit(python, there, phase, isolated=False)
            except BuildError:
                # What a backend wants besides is known to nobody before it runs (PEP 660).
                absent += there
        if absent:
            try:
                installer.edit(python, absent, phase, isolated=True)
            except BuildError as error:
                named = listed([recipe.said.projects[line].directory for line in absent])
                raise BuildError(
                    f"{named} cannot be installed to be edited: {error.message}", hint=error.hint, here=True
                ) from None
    if recipe.said.demands_hashes:
        _refuse_lacking(tree, recipe)


def _refuse_lacking(tree: str, recipe: Recipe) -> None:
    """Refuse projects whose needs are not among what hashes fix, which no installer has compared with them.

    :raises BuildError: when something is not there, or in another version
    """
    names, here = {os.path.realpath(each.path): each.name for each in projects(tree)}, Installed.of(tree)
    for project in recipe.said.projects.values():
        wanted = f"{names[os.path.realpath(project.directory)]}[{','.join(project.extras)}]"
        if lacking := here.lacks([wanted], recipe.interpreter.markers):
            raise BuildError(
                f"{project.directory} needs {listed(lacking)}, and no requirement with a hash brings that",
                hint="pin what it needs with hashes too, as uv pip compile --generate-hashes pyproject.toml does",
                here=True,
            )


@contextmanager
def _working(recipe: Recipe, cache: Path, report: Report) -> Iterator[tuple[Installer, str]]:
    """Yield an installer, and a directory of its own, which is removed when the body ends."""
    root = staging.staging_root(cache)
    work = f"{root}/{staging.NAME}work-{secrets.token_hex(8)}"
    otherwise = f"name a directory elsewhere with --cache-dir; what the tools said is in {cache / 'logs'}"
    with (
        room.writing(root, str(cache), what="what the installer writes", otherwise=otherwise),
        staging.held(work, report),
    ):
        yield _INSTALLERS[recipe.installer](recipe, cache, work), work


def _make_skeleton(path: str, recipe: Recipe, installer: Installer, cache: Path, phase: Phase) -> None:
    command = [
        *(sys.executable, "-P", "-m", "virtualenv", "--python", recipe.interpreter.executable),
        *("--app-data", str(cache / "virtualenv"), "--no-download", "--no-periodic-update"),
        *("--no-setuptools", *(() if recipe.seed or installer.needs_pip else ("--no-pip",)), path),
    ]
    installer.tools.run(command, "virtualenv", phase)


def _paths(tree: str) -> Iterator[str]:
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            yield os.path.relpath(os.path.join(folder, name), tree)

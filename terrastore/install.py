"""From an archive to a working environment in its place."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from terrastore import environment
from terrastore.archive import projects
from terrastore.archive.pieces import LostError
from terrastore.archive.reading import find_manifest
from terrastore.archive.unpack import unpack
from terrastore.environment import State
from terrastore.errors import UsageError, reason
from terrastore.interpreter import Fingerprint
from terrastore.relocation import compile_rewritten, fitting, require_fit, require_host
from terrastore.report import listed
from terrastore.room import Files

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.archive.laying import Layers
    from terrastore.archive.manifest import Manifest
    from terrastore.archive.reading import Archive
    from terrastore.archive.unpack import Taken
    from terrastore.interpreter import Interpreter
    from terrastore.place import Target
    from terrastore.report import Report


_TRIES: Final = 2


class Installed(NamedTuple):
    """What came of it: the environment that was replaced, to be removed, and what was read of the archive."""

    retired: str | None
    taken: Taken


def install(
    manifest: Manifest,
    archive: Archive,
    target: Target,
    *,
    python: Interpreter,
    state: State,
    backup: bool,
    report: Report,
    finish: Callable[[str], None] | None = None,
    layers: Layers | None = None,
) -> Installed:
    """Stage the archive's environment, check it and swap it in.

    The target must be locked. ``finish`` adds what no archive holds to the staged environment, which then knows its
    target. ``state`` is written last, so an environment that has one is whole. ``layers`` are kept on this machine.

    :raises ArchiveRefusedError: when the archive is not as its manifest says
    :raises UsageError: when a file cannot take the target's path
    :raises HostError: when the environment's interpreter does not run as it should, or there is no room
    """
    if target.foreign and not backup:
        report.warn(f"{target.path} was not made by terrastore, and is replaced; --backup keeps such an environment")
    totals = manifest.totals

    def once(kept: Layers | None) -> Installed:
        with target.writing(Files(size=totals.size, count=totals.members)), target.stage() as staged:
            taken = unpack(archive, manifest, staged, prefix=target.path, workers=cores(), report=report, layers=kept)
            libraries = environment.bind(staged, python, manifest.needs)
            with report.phase("check", unit="steps"):
                environment.check(staged, python, libraries)
            compile_rewritten(staged, manifest, report)
            if finish is not None:
                finish(staged)
                if stuck := projects.move(staged, staged, target.path):
                    raise UsageError(
                        f"{listed(stuck)} of a project that is to be edited cannot be made to work at {target.path}",
                        hint="choose a shorter target without special characters",
                    )
            state.write(staged)
            return Installed(target.swap(staged, backup=backup), taken)

    # What is kept may be removed, or found to be damaged, while it is used; without it nothing can be lost.
    for _ in range(_TRIES):
        with suppress(LostError):
            return once(layers)
    return once(None)


def install_file(
    path: str, target: Target, *, python: Interpreter | None, backup: bool, wait: float, report: Report
) -> tuple[State, Manifest, str | None]:
    """Install the archive in the file at ``path``; return its state, its manifest and what it replaced.

    :raises UsageError: when the file cannot be read
    :raises ArchiveRefusedError: when it is no sound archive
    :raises HostError: when no interpreter here fits it, or the host lacks what it needs
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 -- closed below
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}", hint="name an archive, a .tar.zst file") from None
    with file:
        archive = ArchiveFile(file)
        manifest = find_manifest(archive.read, os.fstat(file.fileno()).st_size)
        python = python or fitting(manifest)
        require_fit(manifest, python)
        require_host(path, manifest, python)
        state = State(
            key=manifest.key,
            archive=hashlib.file_digest(file, "sha256").hexdigest(),
            prefix=target.path,
            packages=len(manifest.packages),
            inputs=(),
            interpreter=Fingerprint.of(python.executable),
        )
        with target.locked(report, wait=wait):
            installed = install(manifest, archive, target, python=python, state=state, backup=backup, report=report)
    return state, manifest, installed.retired


class ArchiveFile:
    """Random access to an archive in an open file."""

    readers = 2
    is_near = True

    def __init__(self, file: BinaryIO) -> None:
        self.file = os.path.abspath(file.name)
        self._fd = file.fileno()

    def read(self, offset: int, size: int, /) -> bytes:
        """Return ``size`` bytes from ``offset``, fewer where the file ends."""
        return os.pread(self._fd, size, offset)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

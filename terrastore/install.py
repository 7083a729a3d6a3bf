"""From an archive to a working environment in its place."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO

from terrastore import environment
from terrastore.archive import projects
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

    from terrastore.archive.manifest import Manifest
    from terrastore.archive.reading import ReadRange
    from terrastore.interpreter import Interpreter
    from terrastore.place import Target
    from terrastore.report import Report


def install(
    manifest: Manifest,
    read: ReadRange,
    target: Target,
    *,
    python: Interpreter,
    state: State,
    backup: bool,
    report: Report,
    finish: Callable[[str], None] | None = None,
) -> str | None:
    """Stage the archive's environment, check it and swap it in; return what it replaced, to be removed.

    The target must be locked. ``finish`` adds what no archive holds to the staged environment, which then knows its
    target. ``state`` is written last, so an environment that has one is whole.

    :raises ArchiveRefusedError: when the archive is not as its manifest says
    :raises UsageError: when a file cannot take the target's path
    :raises HostError: when the environment's interpreter does not run as it should, or there is no room
    """
    if target.foreign and not backup:
        report.warn(f"{target.path} was not made by terrastore, and is replaced; --backup keeps such an environment")
    totals = manifest.totals
    with target.writing(Files(size=totals.size, count=totals.members)), target.stage() as staged:
        unpack(read, manifest, staged, prefix=target.path, workers=cores(), report=report)
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
        return target.swap(staged, backup=backup)


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
        manifest = find_manifest(read_file(file), os.fstat(file.fileno()).st_size)
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
            retired = install(
                manifest, read_file(file), target, python=python, state=state, backup=backup, report=report
            )
    return state, manifest, retired


def read_file(file: BinaryIO) -> ReadRange:
    """Return random access to an archive in an open file."""
    fd = file.fileno()
    return lambda offset, size: os.pread(fd, size, offset)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

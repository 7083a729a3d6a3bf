"""From an archive to a working environment in its place; and making one work again that was moved."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from terrastore import environment, interpreter
from terrastore.archive import originals
from terrastore.archive.unpack import find_manifest, unpack
from terrastore.environment import State
from terrastore.errors import HostError, UsageError, reason
from terrastore.host import REMEDY, Host
from terrastore.interpreter import Fingerprint, Interpreter
from terrastore.place import Target
from terrastore.room import Files

if TYPE_CHECKING:
    from terrastore.archive.manifest import Manifest
    from terrastore.archive.unpack import ReadRange
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
) -> str | None:
    """Stage the archive's environment, check it and swap it in; return what it replaced, to be removed.

    The target must be locked. ``state`` is written last, so an environment that has one is whole.

    :raises ArchiveRefusedError: when the archive is not as its manifest says
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
        _require_host(path, manifest, python)
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


def relocate(path: str, *, python: Interpreter | None, wait: float, report: Report) -> tuple[State, int]:
    """Make the environment at ``path`` work where it stands; return its new state and how many files were rewritten.

    It may have been moved, copied, or unpacked by plain tar. Without ``python`` it is bound to the interpreter it
    had, or to another of the same version.

    :raises UsageError: when terrastore did not make it, or a file cannot take its path
    :raises HostError: when no interpreter of its version is here
    """
    target = Target.at(path)
    target.check_usable()
    manifest = originals.read_environment_manifest(target.path)
    before = State.read(target.path)
    python = python or fitting(manifest, before)
    require_fit(manifest, python)
    _require_host(target.path, manifest, python)
    with target.locked(report, wait=wait), target.writing():
        kept = originals.read_originals(target.path, manifest)
        there = {member: data for member, data in kept.items() if os.path.lexists(f"{target.path}/{member.path}")}
        originals.write_relocated(target.path, manifest, there, target.path, report)
        libraries = environment.bind(target.path, python, manifest.needs)
        environment.check(target.path, python, libraries)
        here = Fingerprint.of(python.executable)
        state = (
            replace(before, prefix=target.path, interpreter=here)
            if before is not None
            else State(
                key=manifest.key,
                archive="",
                prefix=target.path,
                packages=len(manifest.packages),
                inputs=(),
                interpreter=here,
            )
        )
        state.write(target.path)
    return state, len(there)


def fitting(manifest: Manifest, state: State | None = None) -> Interpreter:
    """Return the interpreter that an environment had, else one of its version.

    :raises HostError: when there is none
    """
    if state is not None and os.path.exists(state.interpreter.path):
        return interpreter.probe(state.interpreter.path)
    own = interpreter.find(None)
    return own if _fits(manifest.interpreter, own) else interpreter.find(str(manifest.interpreter.get("version")))


def require_fit(manifest: Manifest, python: Interpreter) -> None:
    """Refuse an interpreter that compiled code of the environment would not work with.

    :raises HostError: when version or ABI differ
    """
    wanted = manifest.interpreter
    if not _fits(wanted, python):
        raise HostError(
            f"the environment is for Python {wanted.get('version')} ({wanted.get('soabi')}), "
            f"not for {python.executable}, {python.version_text} ({python.soabi})",
            hint="choose a fitting interpreter with --python",
        )


def _require_host(path: str, manifest: Manifest, python: Interpreter) -> None:
    """Refuse a host on which compiled files of the environment would not run.

    :raises HostError: when it lacks something; all of that is named
    """
    if lack := Host.here().lacks(manifest.needs, python.base_prefix):
        raise HostError(f"{path} needs {lack}", hint=REMEDY)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fits(wanted: Any, python: Interpreter) -> bool:
    return bool(wanted == python.identity())

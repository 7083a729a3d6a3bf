"""Making an environment work where it stands; needs the standard library alone, all the way down."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from terrastore import environment, interpreter
from terrastore.archive import originals, projects
from terrastore.archive.strays import replaced, strays
from terrastore.environment import State
from terrastore.errors import BuildError, HostError, UsageError
from terrastore.host import REMEDY, Host
from terrastore.interpreter import Fingerprint, Interpreter
from terrastore.place import Target
from terrastore.report import listed

if TYPE_CHECKING:
    from collections.abc import Collection

    from terrastore.archive.manifest import Manifest
    from terrastore.report import Report

_LISTED: Final = 12


def move(
    path: str, into: str, *, force: bool, python: Interpreter | None, wait: float, report: Report
) -> tuple[State, int, str | None]:
    """Make the environment at ``path`` work at ``into``, and put it there in one step, in place of what is there.

    Return what :func:`relocate` does, and where the environment is now that was there, to be removed, if any was.

    :raises UsageError: when ``into`` is on another filesystem, or must not be replaced; else as :func:`relocate`
    """
    staged, target = Target.at(path), Target.at(into)
    target.check_replaceable(force=force, needed=[staged.path])
    with target.locked(report, wait=wait):
        if os.path.isdir(staged.path) and os.stat(staged.path).st_dev != os.stat(target.parent).st_dev:
            raise UsageError(
                f"{staged.path} and {target.parent} are on different filesystems", hint="unpack it beside its target"
            )
        state, count = relocate(staged.path, prefix=target.path, python=python, wait=wait, report=report)
        return state, count, target.swap(staged.path, backup=False)


def relocate(
    path: str, *, python: Interpreter | None, wait: float, report: Report, prefix: str | None = None
) -> tuple[State, int]:
    """Make the environment at ``path`` work where it stands; return its new state and how many files were rewritten.

    It may have been moved, copied, or unpacked by plain tar. Without ``python`` it is bound to the interpreter it
    had, or to another of the same version. With ``prefix`` it works there, once it was moved. Killed at any moment,
    it is no environment that ``ensure`` keeps until it was relocated again.

    :raises UsageError: when terrastore did not make it, or a file cannot take its path
    :raises ArchiveRefusedError: when a later version made it
    :raises HostError: when no interpreter of its version is here, or the host lacks what it needs
    """
    target = Target.at(path)
    prefix = target.path if prefix is None else prefix
    target.check_usable()
    manifest = originals.read_environment_manifest(target.path)
    originals.check_kinds(manifest)
    before = State.read(target.path)
    python = python or fitting(manifest, before)
    require_fit(manifest, python)
    require_host(target.path, manifest, python)
    with target.locked(report, wait=wait), target.writing():
        kept = originals.read_originals(target.path, manifest)
        others = replaced(target.path)
        there = {
            member: data
            for member, data in kept.items()
            if member.path not in others and os.path.lexists(f"{target.path}/{member.path}")
        }
        contents = originals.relocated(manifest, there, prefix, report)
        state = State(
            key=manifest.key,
            archive="",
            prefix=prefix,
            packages=len(manifest.packages),
            inputs=(),
            interpreter=Fingerprint.of(python.executable),
        )
        had = (before.prefix or before.moving_from) if before is not None else ""
        originals.keep_edited(target.path, manifest, there, had, contents, report)
        if before is not None:
            state = before._replace(prefix=prefix, interpreter=state.interpreter, moving_from="")
            # Not even at the place it had before is it whole again until the end.
            before._replace(prefix="", moving_from=had).write(target.path)
            _move_projects(target.path, had, prefix, report)
            rewritten = {entry.path for entry in manifest.relocations} - others
            _tell_strays(target.path, had, prefix, rewritten, report)
        originals.write_relocated(target.path, manifest, there, contents, prefix, report)
        libraries = environment.bind(target.path, python, manifest.needs)
        environment.check(target.path, python, libraries)
        compile_rewritten(target.path, manifest, report)
        state.write(target.path)
    return state, len(there)


def compile_rewritten(path: str, manifest: Manifest, report: Report) -> None:
    """Give the modules that hold paths the bytecode that no archive can have; without it they work too, later."""
    rewritten = (entry.path for entry in manifest.relocations if re.fullmatch(r"lib/.*\.py", entry.path))
    modules = [module for module in rewritten if os.path.isfile(f"{path}/{module}")]
    if modules:
        from terrastore.archive import bytecode  # noqa: PLC0415 -- most environments have none

        with suppress(BuildError), report.phase("bytecode", total=len(modules), unit="modules") as phase:
            bytecode.compile_modules(path, modules, python=f"{path}/bin/python", workers=1, phase=phase)


def fitting(manifest: Manifest, state: State | None = None) -> Interpreter:
    """Return the interpreter that an environment had, when it still fits, else one of its version.

    :raises HostError: when there is none
    """
    if state is not None and os.path.exists(state.interpreter.path):
        had = interpreter.probe(state.interpreter.path)
        if fits(manifest.interpreter, had):
            return had
    own = interpreter.find(None)
    return own if fits(manifest.interpreter, own) else interpreter.find(str(manifest.interpreter.get("version")))


def require_fit(manifest: Manifest, python: Interpreter) -> None:
    """Refuse an interpreter that compiled code of the environment would not work with.

    :raises HostError: when version or ABI differ
    """
    wanted = manifest.interpreter
    if not fits(wanted, python):
        raise HostError(
            f"the environment is for Python {wanted.get('version')} ({wanted.get('soabi')}), "
            f"not for {python.executable}, {python.version_text} ({python.soabi})",
            hint="choose a fitting interpreter with --python",
        )


def require_host(path: str, manifest: Manifest, python: Interpreter) -> None:
    """Refuse a host on which compiled files of the environment or archive at ``path`` would not run.

    :raises HostError: when it lacks something; all of that is named
    """
    if lack := Host.here().lacks(manifest.needs, python.base_prefix):
        raise HostError(f"{path} needs {lack}", hint=REMEDY)


def fits(wanted: Any, python: Interpreter) -> bool:
    """Whether an environment for an interpreter that a manifest describes as ``wanted`` works with this one."""
    return bool(wanted in (python.identity(), python.identity(any_patch=True)))


def _move_projects(path: str, before: str, prefix: str, report: Report) -> None:
    """Make the scripts of projects to be edited work at ``prefix``, else they are strays; tell which are gone."""
    if before:
        projects.move(path, before, prefix)
    if gone := [each.path for each in projects.projects(path) if not os.path.isdir(each.path)]:
        report.warn(
            f"installed to be edited, and not there any more: {listed(gone)}; install them again, or run ensure"
        )


def _tell_strays(path: str, before: str, prefix: str, relocated: Collection[str], report: Report) -> None:
    if before not in {"", prefix} and (found := strays(path, before, relocated)):
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        named = ", ".join(found[:_LISTED]) + more
        report.warn(f"added since it was made, and still for {before}: {named}; edit them, or install them again")

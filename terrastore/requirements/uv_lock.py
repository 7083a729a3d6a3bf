"""Lock files of uv, ``uv.lock``: uv exports them as what PEP 751 specifies."""

from __future__ import annotations

import os
import posixpath
import subprocess
from typing import TYPE_CHECKING, Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from terrastore.errors import RequirementsError, UsageError, reason
from terrastore.redaction import without_secrets
from terrastore.requirements.lines import is_url
from terrastore.requirements.project import declared, group_requirements, optional
from terrastore.requirements.pylock import pylock_lines
from terrastore.requirements.toml import parsed, table
from terrastore.requirements.uv_program import HINT, found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from packaging.requirements import Requirement

    from terrastore.requirements.reader import Reader
    from terrastore.requirements.target import Target

_TIMEOUT: Final = 60
_HINT: Final = f"{HINT}, or export it where uv is: uv export --frozen --format pylock.toml -o pylock.toml"
_LOCK: Final = "run uv lock"
# What a lock does not tell the version of: it comes from one place.
_SOURCES: Final = frozenset({"directory", "editable", "git", "path", "url", "virtual"})


def uv_lock_lines(
    path: str,
    data: bytes,
    *,
    reader: Reader,
    target: Target,
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    own_index: bool = False,
) -> list[str]:
    """Return a line for each file, directory and commit that a lock selects for ``target``.

    Without the project itself, and of its dependency groups those alone that are named; uv's ``default-groups`` are for
    those who develop. ``own_index`` as for :func:`~terrastore.requirements.pylock.pylock_lines`.

    :raises RequirementsError: for a lock that is broken, not of the ``pyproject.toml`` beside it, or for another target
    :raises UsageError: when uv is not there
    """
    if is_url(path):
        raise RequirementsError(f"{without_secrets(path)} is not on this machine", hint="clone its project")
    project = posixpath.join(posixpath.dirname(path), "pyproject.toml")
    lock = parsed(path, data)
    try:
        document = parsed(project, reader.read(project))
    except OSError as error:
        raise RequirementsError(
            f"{project}, the project of {path}, cannot be read: {reason(error)}", hint="keep it beside its lock"
        ) from None
    root = _root(path, lock)
    if root is not None:
        _check_fresh(path, root, project, document, groups)
    exported = _exported(path, _known(path, lock, root), extras, groups)
    return pylock_lines(path, exported, target=target, own_index=own_index)


def _root(path: str, lock: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a lock says of the project beside it; None when that is a workspace without a project."""
    packages = lock.get("package", [])
    if not isinstance(packages, list) or not all(isinstance(each, dict) for each in packages):
        raise RequirementsError(f"{path} is no lock of uv: package is no list of tables", hint=_LOCK)
    for package in packages:
        source = package.get("source")
        if isinstance(source, dict) and "." in (source.get("editable"), source.get("virtual"), source.get("directory")):
            return dict(package)
    return None


def _check_fresh(
    path: str, root: dict[str, Any], project: str, document: dict[str, Any], groups: Sequence[str]
) -> None:
    """See that a lock is of what the project asks for now; uv says so only after it resolved all anew.

    Names and versions are compared, of groups those that are wanted; markers, which uv rewrites, are not.
    """
    said = table(project, document, "project")
    pairs = []
    if not {"dependencies", "optional-dependencies"} & set(said.get("dynamic", ())):
        asked = [*declared(project, said), *(each for some in optional(project, said).values() for each in some)]
        pairs.append((asked, table(path, root, "metadata").get("requires-dist", [])))
    known = set(map(canonicalize_name, table(project, document, "dependency-groups")))
    locked = table(path, root, "metadata", "requires-dev")
    # What older settings of uv list comes on top, and is not in this table.
    compared = [] if "dev-dependencies" in table(project, document, "tool", "uv") else groups
    pairs += [
        (group_requirements(project, document, [group]), locked.get(group, []))
        for group in map(canonicalize_name, compared)
        if group in known
    ]
    for wanted, there in pairs:
        if changed := sorted(_locked(path, there) ^ _asked(wanted, there)):
            raise RequirementsError(
                f"{path} is not of this {posixpath.basename(project)}: {changed[0][0]} was changed after it was locked",
                hint=_LOCK,
            )


def _asked(wanted: Iterable[Requirement], there: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
    sourced = {each.get("name") for each in there if isinstance(each, dict) and _SOURCES & each.keys()}
    return {
        (name, "" if name in sourced else _canonical(each.specifier))
        for each in wanted
        for name in (str(canonicalize_name(each.name)),)
    }


def _locked(path: str, there: Any) -> set[tuple[str, str]]:
    try:
        return {
            (each["name"], "" if _SOURCES & each.keys() else _canonical(SpecifierSet(each.get("specifier", ""))))
            for each in there
        }
    except (LookupError, TypeError, AttributeError, InvalidSpecifier):
        raise RequirementsError(
            f"{path} is no lock of uv: what it says of its project makes no sense", hint=_LOCK
        ) from None


def _canonical(specifiers: SpecifierSet) -> str:
    return ",".join(sorted(str(each) for each in specifiers))


def _known(path: str, lock: dict[str, Any], root: dict[str, Any] | None) -> str:
    """Return which extras and groups there are."""
    extras = table(path, root or {}, "metadata").get("provides-extras", ())
    groups = {
        **table(path, root or {}, "metadata", "requires-dev"),
        **table(path, lock, "manifest", "dependency-groups"),
    }
    there = {"extras": extras, "groups": groups}
    return " and ".join(f"{what} {', '.join(sorted(names))}" for what, names in there.items() if names)


def _exported(path: str, known: str, extras: Sequence[str], groups: Sequence[str]) -> bytes:
    """Let uv write what PEP 751 specifies; neither what it is told by settings nor a network has a say."""
    binary, _ = found(_HINT)
    command = [
        *(binary, "export", "--quiet", "--frozen", "--offline", "--no-config", "--no-cache", "--no-python-downloads"),
        *("--color", "never", "--no-header", "--no-default-groups", "--no-emit-project", "--format", "pylock.toml"),
        *(f"--extra={name}" for name in extras),
        *(f"--group={name}" for name in groups),
    ]
    try:
        return subprocess.run(
            command,
            cwd=os.path.dirname(os.path.abspath(path)),
            env={name: value for name, value in os.environ.items() if not name.startswith("UV_")} | {"UV_NO_WRAP": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_TIMEOUT,
        ).stdout
    except subprocess.CalledProcessError as error:
        told = without_secrets(error.stderr.decode(errors="replace")).strip().removeprefix("error: ")
        hint = f"it has {known}" if known and (extras or groups) else _LOCK
        if "missing hashes" in told:
            hint = "where its index can be reached, run uv export --format pylock.toml -o pylock.toml"
        problem = " ".join((told[:1].lower() + told[1:]).split())
        raise RequirementsError(f"{path} cannot be exported by uv: {problem}", hint=hint) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = reason(error) if isinstance(error, OSError) else f"it does not end within {_TIMEOUT} s"
        raise UsageError(f"{binary} cannot export {path}: {problem}", hint=_HINT) from None

"""What ``-r`` takes besides requirements files: lock files and projects, known by their names."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.errors import RequirementsError, reason
from terrastore.redaction import without_secrets
from terrastore.requirements.lines import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terrastore.requirements.reader import Reader
    from terrastore.requirements.target import Target

PYLOCK: Final = "pylock.toml"
UV_LOCK: Final = "uv.lock"
PYPROJECT: Final = "pyproject.toml"
DEFAULTS: Final = (PYLOCK, UV_LOCK, PYPROJECT)
"""Those that are taken when no file is named, the first that is there."""

_PYLOCK: Final = re.compile(r"pylock(\.[^.]+)?\.toml")
_CONDA: Final = "conda's packages are none of an index: list what pip installs in a requirements file"
_PIPENV: Final = "run pipenv requirements --hash > requirements.txt"
_PROJECT: Final = "name its requirements in a requirements file; --project installs the project itself"
_HINTS: Final = {
    "poetry.lock": "run poetry export -f requirements.txt -o requirements.txt, of poetry-plugin-export",
    "Pipfile.lock": _PIPENV,
    "Pipfile": _PIPENV,
    "pdm.lock": "run pdm export -f pylock -o pylock.toml",
    "pixi.lock": _CONDA,
    "pixi.toml": _CONDA,
    **{f"{name}.{suffix}": _CONDA for name in ("conda-lock", "environment") for suffix in ("yml", "yaml")},
    "setup.py": _PROJECT,
    "setup.cfg": _PROJECT,
}


class Choice(NamedTuple):
    """What is wanted of lock files and projects.

    ``extras`` and dependency ``groups`` come besides what is asked for anyway; ``project``: the project itself too.
    ``own_index``: nobody says which index is asked, so that a lock is to.
    """

    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    project: bool = False
    own_index: bool = False


def is_lock(path: str) -> bool:
    """Whether a file is one that lists everything that is to be installed, so that nothing is resolved."""
    name = posixpath.basename(path)
    return name == UV_LOCK or bool(_PYLOCK.fullmatch(name))


def is_document(path: str) -> bool:
    """Whether a file is one that can have extras and dependency groups."""
    return is_lock(path) or posixpath.basename(path) == PYPROJECT


def requirement_lines(
    path: str,
    data: bytes,
    *,
    reader: Reader,
    target: Target,
    choice: Choice,
) -> Sequence[str] | None:
    """Return what a lock file or a project asks for, as lines of a requirements file; None for any other file.

    They are for ``target``, may hold credentials of URLs, and name what is on this disk by absolute path.

    :raises RequirementsError: for a file that is broken, is for another target, has no such extra or group, or is a
        lock that only its own tool reads
    :raises UsageError: when uv is needed and not there
    """
    name, extras, groups = posixpath.basename(path), choice.extras, choice.groups
    if name in _HINTS:
        raise RequirementsError(f"{path} cannot be read: it is no requirements file", hint=_HINTS[name])
    if name == PYPROJECT:
        from terrastore.requirements.project import project_lines  # noqa: PLC0415 -- so that who needs none loads none

        return project_lines(path, data, target=target, extras=extras, groups=groups)
    if name == UV_LOCK:
        from terrastore.requirements.uv_lock import uv_lock_lines  # noqa: PLC0415

        return uv_lock_lines(
            path, data, reader=reader, target=target, extras=extras, groups=groups, own_index=choice.own_index
        )
    if is_lock(path):
        from terrastore.requirements.pylock import pylock_lines  # noqa: PLC0415

        return pylock_lines(path, data, target=target, extras=extras, groups=groups, own_index=choice.own_index)
    return None


def project_beside(files: Sequence[str]) -> str:
    """Return the ``pyproject.toml`` of the project that is meant: beside the first lock or project, else here."""
    first = next(filter(is_document, files), PYPROJECT)
    return posixpath.join(posixpath.dirname(first), PYPROJECT)


def project_line(path: str, *, reader: Reader, choice: Choice) -> str:
    """Return the line that installs a project itself, with its extras.

    :param path: its ``pyproject.toml``, which old projects do without
    :raises RequirementsError: when there is no project here, or its file is broken
    """
    from terrastore.requirements.project import line_of  # noqa: PLC0415

    directory = posixpath.dirname(path)
    if is_url(path):
        raise RequirementsError(f"the project of {without_secrets(path)} is not on this machine", hint="clone it")
    try:
        if reader.exists(path):
            return line_of(path, reader.read(path), choice.extras)
    except OSError as error:
        raise RequirementsError(f"{path} cannot be read: {reason(error)}", hint="check who may read it") from None
    if reader.exists(posixpath.join(directory, "setup.py")):
        return line_of(path, b"", choice.extras)
    raise RequirementsError(f"there is no project in {directory or 'this directory'}", hint="leave --project out")

"""What ``-r`` takes besides requirements files: lock files and projects, known by their names."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from terrastore.errors import RequirementsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terrastore.requirements.files import Reader
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
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    own_index: bool = False,
) -> Sequence[str] | None:
    """Return what a lock file or a project asks for, as lines of a requirements file; None for any other file.

    They are resolved for ``target``, may hold credentials of URLs, and name what is on this disk by absolute path.
    ``extras`` and dependency ``groups`` come besides what is asked for anyway. ``own_index``: nobody says which index
    is asked, so that a lock is to.

    :raises RequirementsError: for a file that is broken, is for another target, has no such extra or group, or is a
        lock that only its own tool reads
    :raises UsageError: when uv is needed and not there
    """
    name = posixpath.basename(path)
    if name in _HINTS:
        raise RequirementsError(f"{path} cannot be read: it is no requirements file", hint=_HINTS[name])
    if name == PYPROJECT:
        from terrastore.requirements.project import project_lines  # noqa: PLC0415 -- so that who needs none loads none

        return project_lines(path, data, target=target, extras=extras, groups=groups)
    if name == UV_LOCK:
        from terrastore.requirements.uv_lock import uv_lock_lines  # noqa: PLC0415

        return uv_lock_lines(
            path, data, reader=reader, target=target, extras=extras, groups=groups, own_index=own_index
        )
    if is_lock(path):
        from terrastore.requirements.pylock import pylock_lines  # noqa: PLC0415

        return pylock_lines(path, data, target=target, extras=extras, groups=groups, own_index=own_index)
    return None

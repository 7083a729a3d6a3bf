"""What of a project that is to be edited counts: what it needs, not its code, which is not in any archive."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tomllib
from typing import TYPE_CHECKING, Any, Final

from packaging.utils import canonicalize_name

from terrastore.requirements.lines import LineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terrastore.requirements.files import Reader

_BUILD_FILES: Final = ("pyproject.toml", "setup.py", "setup.cfg")
_NEEDS: Final = ("requires-python", "dependencies", "optional-dependencies")
_DYNAMIC_NEEDS: Final = ("dependencies", "optional-dependencies")


def identity_of_project(reader: Reader, path: str, extras: Sequence[str]) -> tuple[str, str]:
    """Return the name and the identity of a project that is to be edited.

    Where its ``pyproject.toml`` says statically what it needs (PEP 621), that is its identity, and who edits its code
    keeps the environment; else all of its content is, for nobody knows without running its build backend.

    :raises LineError: when ``path`` is no project
    """
    if not any(reader.exists(posixpath.join(path, name)) for name in _BUILD_FILES):
        msg = f"{path} is no project: it has neither {', '.join(_BUILD_FILES[:-1])} nor {_BUILD_FILES[-1]}"
        raise LineError(msg, hint="name the directory of a project")
    project = _static(reader, path)
    if project is None:
        return "directory", f"sha256:{reader.digest(path)}"
    name = str(canonicalize_name(project["name"]))
    said = {field: project[field] for field in _NEEDS if field in project} | {"extras": list(extras)}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return name, f"needs:{hashlib.sha256(text.encode()).hexdigest()}"


def installation_of_project(reader: Reader, path: str, extras: Sequence[str]) -> str:
    """Return what identifies how a project is installed to be edited: who changes that installs it again."""
    total = hashlib.sha256("\0".join(extras).encode())
    for name in _BUILD_FILES:
        place = posixpath.join(path, name)
        content = reader.read(place) if reader.exists(place) else b""
        total.update(f"{name} {len(content)}\n".encode() + content)
    return f"sha256:{total.hexdigest()}"


def _static(reader: Reader, path: str) -> dict[str, Any] | None:
    """Return ``[project]`` when it says all that the project needs, else None."""
    try:
        document = tomllib.loads(reader.read(posixpath.join(path, "pyproject.toml")).decode())
    except (OSError, ValueError):
        return None
    project = document.get("project")
    if not isinstance(project, dict) or not isinstance(project.get("name"), str):
        return None
    dynamic = project.get("dynamic", [])
    return None if not isinstance(dynamic, list) or set(dynamic) & set(_DYNAMIC_NEEDS) else project

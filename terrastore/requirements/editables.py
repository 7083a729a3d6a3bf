"""What of a project that is to be edited counts: what it needs, not its code, which is not in any archive."""

from __future__ import annotations

import json
import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from terrastore.names import normalised
from terrastore.requirements.lines import LineError, Wanted, parse
from terrastore.sha256 import sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terrastore.requirements.reader import Reader

_BUILD_FILES: Final = ("pyproject.toml", "setup.py", "setup.cfg")
_NEEDS: Final = ("requires-python", "dependencies", "optional-dependencies")
_OF_UV: Final = ("sources", "index")
NEEDS: Final = "needs:"
"""What the identity of a project begins with whose content does not count."""
_DYNAMIC_NEEDS: Final = ("dependencies", "optional-dependencies")


def identity_of_project(reader: Reader, path: str, extras: Sequence[str]) -> tuple[str, str]:
    """Return the name and the identity of a project that is to be edited.

    Where its ``pyproject.toml`` says statically what it needs (PEP 621, or Poetry's own table), that is its identity,
    and who edits its code keeps the environment; else all of its content is, for nobody knows without running its
    build backend.

    :raises LineError: when ``path`` is no project
    """
    if not any(reader.exists(posixpath.join(path, name)) for name in _BUILD_FILES):
        msg = f"{path} is no project: it has neither {', '.join(_BUILD_FILES[:-1])} nor {_BUILD_FILES[-1]}"
        raise LineError(msg, hint="name the directory of a project")
    document = _document(reader, path)
    said = _of_project(document) or _of_poetry(document)
    if said is None:
        return "directory", f"sha256:{reader.digest(path)}"
    # uv takes what is needed from where these say.
    uv = _table(document, "tool", "uv")
    said |= {f"uv.{field}": uv[field] for field in _OF_UV if field in uv} | {"extras": list(extras)}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return said["name"], f"{NEEDS}{sha256(text.encode()).hexdigest()}"


def installation_of_project(reader: Reader, path: str, extras: Sequence[str]) -> str:
    """Return what identifies how a project is installed to be edited: who changes that installs it again."""
    total = sha256("\0".join(extras).encode())
    for name in _BUILD_FILES:
        place = posixpath.join(path, name)
        content = reader.read(place) if reader.exists(place) else b""
        total.update(f"{name} {len(content)}\n".encode() + content)
    return f"sha256:{total.hexdigest()}"


def pins_of_project(reader: Reader, path: str, extras: Sequence[str]) -> set[str]:
    """Return the names of what a project needs in one version alone, as far as it says so statically (PEP 621)."""
    said = _of_project(_document(reader, path)) or {}
    chosen = {normalised(name): lines for name, lines in _table(said, "optional-dependencies").items()}
    found = set()
    for lines in (said.get("dependencies"), *(chosen.get(extra) for extra in extras)):
        for line in lines if isinstance(lines, list) else ():
            with suppress(LineError):
                if isinstance(wanted := parse(str(line)).wanted, Wanted) and wanted.is_pinned:
                    found.add(wanted.name)
    return found


def _document(reader: Reader, path: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 -- few projects are edited

    try:
        return tomllib.loads(reader.read(posixpath.join(path, "pyproject.toml")).decode())
    except (OSError, ValueError):
        return {}


def _of_project(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return what ``[project]`` says of what it needs when it says all of that, else None."""
    project = _table(document, "project")
    dynamic = project.get("dynamic", [])
    if not isinstance(project.get("name"), str) or not isinstance(dynamic, list) or set(dynamic) & set(_DYNAMIC_NEEDS):
        return None
    return {field: project[field] for field in _NEEDS if field in project} | {"name": _name(project)}


def _of_poetry(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return what ``[tool.poetry]`` says of what it needs, None where it says nothing or names directories."""
    poetry, dependencies = _table(document, "tool", "poetry"), _table(document, "tool", "poetry", "dependencies")
    if "project" in document or not isinstance(poetry.get("name"), str):
        return None
    said = [one for each in dependencies.values() for one in (each if isinstance(each, list) else [each])]
    if any(isinstance(one, dict) and one.keys() & {"path", "develop"} for one in said):
        return None
    return {"name": _name(poetry), "dependencies": dependencies, "extras of poetry": poetry.get("extras", {})}


def _name(table: dict[str, Any]) -> str:
    return normalised(table["name"])


def _table(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a table of a document, an empty one where it is not there or none."""
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}

"""Projects as uv sees them: their ``pyproject.toml``, and the workspace that they are part of."""

from __future__ import annotations

import posixpath
import tomllib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.requirements.reader import Reader

_BUILD_FILES: Final = ("pyproject.toml", "setup.py", "setup.cfg")


def is_project(reader: Reader, path: str) -> bool:
    """Whether a directory holds what a build needs."""
    return any(reader.exists(f"{path}/{name}") for name in _BUILD_FILES)


def pyproject(reader: Reader, directory: str) -> dict[str, Any] | None:
    """Return what ``pyproject.toml`` in a directory says; None when there is none, or none that can be read."""
    try:
        return tomllib.loads(reader.read(posixpath.join(directory, "pyproject.toml")).decode())
    except (OSError, ValueError):
        return None


def settings_of(document: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return ``[tool.uv]`` of a ``pyproject.toml``; None when it has none."""
    tool = (document or {}).get("tool")
    settings = tool.get("uv") if isinstance(tool, dict) else None
    return settings if isinstance(settings, dict) else None


def upwards(directory: str) -> Iterator[str]:
    """Yield a directory and all above it."""
    yield directory
    while (parent := posixpath.dirname(directory)) != directory:
        directory = parent
        yield directory


def workspace_root(reader: Reader, directory: str) -> str | None:
    """Return where the workspace is that an absolute directory is in: a project alone is one; None for no project.

    As uv has it: the nearest ``pyproject.toml`` decides, and one that names no project is a root or nothing.
    """
    home = next((each for each in upwards(directory) if reader.exists(f"{each}/pyproject.toml")), None)
    document = None if home is None else pyproject(reader, home)
    settings = settings_of(document) or {}
    if home is None or document is None or settings.get("managed") is False:
        return None
    if "workspace" in settings:
        return home
    if "project" not in document:
        return None
    for above in upwards(posixpath.dirname(home)):
        if (other := pyproject(reader, above)) is None:
            continue
        settings = settings_of(other) or {}
        if "workspace" in settings:
            return above if _is_member(home, above, settings["workspace"]) else home
        break
    return home


def _is_member(home: str, root: str, workspace: Any) -> bool:
    relative = posixpath.relpath(home, root)

    def named(field: str) -> bool:
        patterns = workspace.get(field, ()) if isinstance(workspace, dict) else ()
        return any(_matches(relative, posixpath.normpath(pattern)) for pattern in patterns if isinstance(pattern, str))

    return named("members") and not named("exclude")


def _matches(path: str, pattern: str) -> bool:
    """Whether a glob names a path: ``*`` stays in its component, ``**`` is any number of them."""
    names, globs = path.split("/"), pattern.split("/")
    if "**" in globs:
        before = globs[: globs.index("**")]
        return len(names) >= len(before) and all(map(fnmatchcase, names, before))
    return len(names) == len(globs) and all(map(fnmatchcase, names, globs))

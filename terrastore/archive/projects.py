"""Projects on this machine that are installed so that they can be edited (PEP 660): no archive holds them.

Their few files in an environment, scripts and finders, are made where it stands, and are no drift of it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from terrastore.archive import record

if TYPE_CHECKING:
    from collections.abc import Iterator


class Project(NamedTuple):
    """A project: the name of its distribution, where it is, and its RECORD in the environment."""

    name: str
    path: str
    record: str


def projects(root: str) -> Iterator[Project]:
    """Yield the projects outside of the environment at ``root`` that are installed in it to be edited."""
    inside = os.path.realpath(root) + os.sep
    for info in _dist_infos(root):
        try:
            with open(os.path.join(root, info, "direct_url.json"), "rb") as file:
                origin = json.load(file)
            place = unquote(urlsplit(origin["url"]).path)
            is_edited = origin["dir_info"]["editable"] is True
        except (OSError, ValueError, LookupError, TypeError):
            continue  # of an index, of a repository, or broken
        if is_edited and not os.path.realpath(place).startswith(inside):
            name = os.path.basename(info).removesuffix(".dist-info").rpartition("-")[0]
            yield Project(name, place, f"{info}/RECORD")


def files(root: str, project: Project) -> Iterator[str]:
    """Yield the paths of a project's files in the environment, relative to it."""
    for row in _rows(root, project):
        path = record.location(project.record, row)
        if not path.startswith(("../", "/")):
            yield path


def move(root: str, before: str, after: str) -> None:
    """Make the files of all projects say ``after`` where they say ``before``, the prefix they were made at."""
    old, new = os.fsencode(before), os.fsencode(after)
    for project in projects(root):
        changed: dict[str, bytes] = {}
        for path in files(root, project):
            try:
                with open(os.path.join(root, path), "rb") as file:
                    content = file.read()
            except FileNotFoundError:
                continue
            if path != project.record and old in content:
                changed[path] = content.replace(old, new)
                _overwrite(os.path.join(root, path), changed[path])
        if changed:
            rows = record.updated(_rows(root, project), project.record, changed)
            _overwrite(os.path.join(root, project.record), record.write(rows))


def _rows(root: str, project: Project) -> tuple[record.Row, ...]:
    try:
        with open(os.path.join(root, project.record), "rb") as file:
            return record.parse(file.read())
    except (OSError, ValueError):
        return ()


def _dist_infos(root: str) -> Iterator[str]:
    lib = os.path.join(root, "lib")
    for folder in sorted(os.listdir(lib)) if os.path.isdir(lib) else ():
        packages = f"lib/{folder}/site-packages"
        if os.path.isdir(os.path.join(root, packages)):
            names = sorted(os.listdir(os.path.join(root, packages)))
            yield from (f"{packages}/{name}" for name in names if name.endswith(".dist-info"))


def _overwrite(place: str, content: bytes) -> None:
    mode = os.stat(place).st_mode
    temporary = f"{place}.new"
    with open(temporary, "wb") as file:
        file.write(content)
    os.chmod(temporary, mode)
    os.rename(temporary, place)

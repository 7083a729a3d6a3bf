"""Projects on this machine that are installed so that they can be edited (PEP 660): no archive holds them.

Their few files in an environment, scripts and finders, are made where it stands, and are no drift of it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from terrastore.archive import originals, record, relocate
from terrastore.archive.placeholder import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

_BIN: Final = "bin/"
# How installers and terrastore start a script whose interpreter no first line can name.
_BEHIND_SH: Final = re.compile(rb"#!/bin/sh\n'''exec' (?P<command>[^\n]+) \"\$0\" \"\$@\"\n' '''\n")


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
            place = unquote(urlsplit(str(origin["url"])).path)
            is_edited = origin["dir_info"]["editable"] is True
            is_inside = os.path.realpath(place).startswith(inside)
        except (OSError, ValueError, LookupError, TypeError):
            continue  # of an index, of a repository, or broken
        if is_edited and not is_inside:
            name = os.path.basename(info).removesuffix(".dist-info").rpartition("-")[0]
            yield Project(name, place, f"{info}/RECORD")


def files(root: str, project: Project) -> Iterator[str]:
    """Yield the paths of a project's files in the environment, relative to it."""
    for row in _rows(root, project):
        path = record.location(project.record, row)
        if not path.startswith(("../", "/")):
            yield path


def move(root: str, before: str, after: str) -> list[str]:
    """Make the scripts of all projects lead to ``after`` where they lead to ``before``, the prefix they were made at.

    Nothing else of a project names the environment. Return the paths of scripts that cannot lead to ``after``. Killed
    half-way, it is to be done again.
    """
    stuck = []
    for project in projects(root):
        scripts: dict[str, bytes] = {}
        for path in files(root, project):
            place = os.path.join(root, path)
            if not path.startswith(_BIN) or os.path.islink(place) or not os.path.isfile(place):
                continue
            with open(place, "rb") as file:
                content = file.read()
            try:
                scripts[path] = script_for(content, before, after)
            except relocate.NotRelocatableError:
                stuck.append(path)
                continue
            if scripts[path] != content:
                originals.write(root, place, scripts[path], os.stat(place).st_mode & 0o777)
        if scripts:
            rows = record.updated(_rows(root, project), project.record, scripts)
            originals.write(root, os.path.join(root, project.record), record.write(rows), 0o644)
    return stuck


def script_for(content: bytes, before: str, after: str) -> bytes:
    """Return a script of the environment at ``before`` as it must be at ``after``; any other stays as it is.

    :raises NotRelocatableError: when its syntax cannot take ``after``
    """
    plain = b"#!" + os.fsencode(before)
    if content.startswith(plain + b"/bin/"):
        return relocate.rewrite("script", b"#!" + PLACEHOLDER + content[len(plain) :], after)
    match = _BEHIND_SH.match(content)
    if match is None or not (command := _command(os.fsdecode(match["command"]), before)):
        return content
    return relocate.rewrite("script", b"#!" + PLACEHOLDER + command + b"\n" + content[match.end() :], after)


def _command(quoted: str, prefix: str) -> bytes:
    """Return a command, quoted for sh, without the prefix that its program is in; nothing when that is another."""
    try:
        program, *arguments = shlex.split(quoted)
    except ValueError:
        # pip puts quotes around a path whatever it holds.
        program, arguments = quoted.strip("\"'"), []
    if not program.startswith(f"{prefix}/{_BIN}"):
        return b""
    return os.fsencode(" ".join((program.removeprefix(prefix), *arguments)))


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

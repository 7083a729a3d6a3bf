"""Which files a project directory consists of: what a build of it may read, without what a build writes."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from functools import cache, partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    _File = tuple[str, os.stat_result]

# What version control, an interpreter, a test or a lint writes anywhere in a project.
_NOT_CONTENT: Final = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".bzr",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        ".tox",
        ".nox",
    }
)
# An environment (PEP 405), and what its maker says is a cache (https://bford.info/cachedir/), such as Cargo's target.
_NO_PART: Final = ("pyvenv.cfg", "CACHEDIR.TAG")
# Locks and stages beside a target that stands in the project.
_OURS: Final = re.compile(r"\..*\.terrastore-.*")
# A project that a repository knows has one of them there (PEP 517).
_DEFINITIONS: Final = frozenset({"pyproject.toml", "setup.py"})
# The same files make the same key whoever owns them, and no program that a project's configuration names is run.
_LIST: Final = (
    *("git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false"),
    *("ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard"),
)
_UNTRACKED: Final = "?"


def project_files(root: str) -> list[tuple[str, os.stat_result]]:
    """Return the files that the project in the directory ``root`` consists of: paths from there, sorted by their bytes.

    The facts beside each are of the file itself, of a link those of the link; there may be sockets and the like.

    In a git work tree they are the tracked files, as they are on disk, and the untracked ones that are not ignored,
    those of submodules and of repositories within too. Where there is no git, or git does not know the project, they
    are all files but those of version control, caches and environments, and the root's ``build``. A clean checkout of
    a project and an export of it have the same files.

    Never a part, even tracked, are ``*.egg-info`` and the caches of tools: the next build or test rewrites them.

    An ignored file is no part of a project, even if its build would put it into the wheel. Mostly it was made by a
    build from what is a part, such as an extension in place or a file with the version, and would make the key another
    one after every build. A file that is ignored and yet is a source must be tracked (``git add --force``).

    :raises OSError: when a directory cannot be read
    """
    found = dict(_of_work_tree(root, "") or ())
    if found.keys().isdisjoint(_DEFINITIONS):
        found = dict(_on_disk(root, ""))
    return sorted(found.items(), key=lambda each: os.fsencode(each[0]))


def _of_work_tree(root: str, folder: str) -> Iterator[_File] | None:
    """Return the files that git lists in ``folder``, "" for the root itself, else with "/" behind; None without git."""
    listed = _listed(os.path.join(root, folder))
    return None if listed is None else _parts(root, folder, listed)


def _listed(place: str) -> list[tuple[str, str]] | None:
    """Return (tag, path from ``place``) of what git lists there; None where it lists nothing or is not installed."""
    # A hook's variables lead to the repository that the hook is of.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            _LIST, cwd=place, env=variables, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return None
    if done.returncode:
        return None
    return [(line[0], line[2:]) for line in os.fsdecode(done.stdout).split("\0") if line]


def _parts(root: str, folder: str, listed: list[tuple[str, str]]) -> Iterator[_File]:
    is_no_part = cache(partial(_is_no_part, root))
    for tag, path in listed:
        name = folder + path.removesuffix("/")
        is_tracked = tag != _UNTRACKED
        if any(map(_is_noise, path.split("/"))) or (not is_tracked and any(map(is_no_part, _above(name)))):
            continue
        try:
            facts = os.lstat(os.path.join(root, name))
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(facts.st_mode):
            yield name, facts
        elif is_tracked or not is_no_part(name):
            yield from _of_repository(root, name)


def _above(name: str) -> Iterator[str]:
    """Yield the directories that a file is in."""
    end = name.find("/")
    while end > 0:
        yield name[:end]
        end = name.find("/", end + 1)


def _of_repository(root: str, name: str) -> Iterator[_File]:
    """Yield the files of a submodule, or of a repository that the one around it does not know."""
    inner = f"{name}/"
    # Without a repository of its own git would list what the one around it knows there: nothing.
    known = _of_work_tree(root, inner) if os.path.lexists(os.path.join(root, name, ".git")) else None
    yield from _on_disk(root, inner) if known is None else known


def _on_disk(root: str, folder: str) -> Iterator[_File]:
    pending = [folder]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder) if folder else root) as entries:
            for entry in entries:
                name = folder + entry.name
                if _is_noise(entry.name):
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    yield name, entry.stat(follow_symlinks=False)
                elif not _is_no_part(root, name):
                    pending.append(f"{name}/")


def _is_noise(name: str) -> bool:
    return name in _NOT_CONTENT or name.endswith(".egg-info") or _OURS.fullmatch(name) is not None


def _is_no_part(root: str, folder: str) -> bool:
    """Whether a directory is an environment, a cache, or where builds of this project work."""
    return folder == "build" or any(os.path.exists(os.path.join(root, folder, name)) for name in _NO_PART)

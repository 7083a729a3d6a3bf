"""Where environments are built: private directories with the marker in their names, held while they are used."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terrastore import atomic
from terrastore.archive.relocate import MARKER
from terrastore.archive.staging import StagingPrefix
from terrastore.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.report import Report

NAME: Final = MARKER.decode()
"""How the name of every directory begins whose path a package may note while it is compiled."""


def staging_root(cache: Path) -> str:
    """Return a private directory short enough for a staging prefix, on a filesystem that may execute.

    :raises HostError: when there is none
    """
    # In a directory that everybody may write to, ours is 0700, and is used only when it is ours.
    shared = (Path(folder, f"terrastore-{os.getuid()}") for folder in ("/var/tmp", "/tmp"))  # noqa: S108
    for place in (cache / "build", *shared):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            root = os.path.realpath(place)
            facts = os.lstat(place)
            StagingPrefix.under(root, "0" * 32)
            may_execute = not os.statvfs(root).f_flag & os.ST_NOEXEC
        except (OSError, ValueError):
            continue
        if may_execute and stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid():
            return root
    raise HostError(
        f"neither {cache} nor /var/tmp nor /tmp can hold a build: too long a path, not writable, or noexec",
        hint="set TERRASTORE_CACHE_DIR to a short path without spaces",
    )


@contextmanager
def held(path: str, report: Report) -> Iterator[None]:
    """Make a directory, lock it against being swept away by another build, and remove it afterwards."""
    fd = None
    while fd is None:
        os.makedirs(path, 0o755, exist_ok=True)
        fd = atomic.hold_directory(path)
    try:
        yield
    finally:
        with report.phase("clean", unit="steps"):
            shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def sweep(root: str) -> None:
    """Remove what builds that were killed left behind."""
    for name in os.listdir(root):
        if name.startswith(NAME) and (fd := atomic.hold_directory(f"{root}/{name}")) is not None:
            shutil.rmtree(f"{root}/{name}", ignore_errors=True)
            os.close(fd)

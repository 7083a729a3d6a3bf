"""A store's directory goes while a run uses it: the share is unmounted, or what was mounted there is gone.

A share that is unmounted leaves its mount point. A store in a directory of the share is then not there; one in the
mount point itself is an empty store.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.conftest import COMMAND, Result, command_with
from tests.end_to_end.disk import NEW, NOTHING, OLD, Project, Row, in_store, listed, own_project, said, version
from tests.mounts import bind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Takes the share away before it does something for the first time, or for a later one.
_VANISHING: Final = """
import ctypes, os, re, sys
def vanish(event, arguments, left=[{times}]):
    if left[0] and re.match({pattern!r}, " ".join(map(str, (event, *arguments)))):
        left[0] -= 1
        if not left[0] and ctypes.CDLL(None).umount2({share!r}, 2):
            os._exit(99)
sys.addaudithook(vanish)
"""


@dataclass(frozen=True)
class Moment:
    """Before what it happens, as an event of Python's audit table, and when that happens for which time."""

    event: str
    times: int = 1


POINTER, MANIFEST, ARCHIVE = "before the pointer is read", "before the manifest is read", "while the archive is read"
LEASE, UPLOAD, UPLOADED = "before the lease is taken", "before the archive is written", "when the archive is written"
POINT, POINTED = "before the pointer is written", "when the pointer is written"

MOMENTS: Final[Mapping[str, Moment]] = {
    POINTER: Moment(r"open \S+/v1/pointers/"),
    MANIFEST: Moment(r"open \S+/v1/archives/"),
    ARCHIVE: Moment(r"open \S+/v1/archives/", times=2),
    LEASE: Moment(r"os.mkdir \S+/v1/leases/"),
    UPLOAD: Moment(r"os.mkdir \S+/v1/archives/"),
    UPLOADED: Moment(r"os.link \S+ \S+/v1/archives/"),
    POINT: Moment(r"open \S+/v1/pointers/.tmp-"),
    POINTED: Moment(r"open \S+/v1/leases/\S+/.tmp-", times=2),
}


@dataclass(frozen=True)
class Fault:
    """Where below the mount point the store is, what a run may do, and whether the store has what it asks for."""

    store: str
    arguments: tuple[str, ...] = ()
    hit: bool = False


BELOW = "terrastore/envs"
FAULTS: Final[Mapping[str, Fault]] = {
    "a share is unmounted on a hit": Fault(BELOW, hit=True),
    "a share is unmounted on a hit, with --on-store-error build": Fault(BELOW, ("--on-store-error=build",), hit=True),
    "a share is unmounted on a miss": Fault(BELOW),
    "a share is unmounted on a miss, with --require-publish": Fault(BELOW, ("--require-publish",)),
    "a store is empty of a sudden on a hit": Fault(".", hit=True),
    "a store is empty of a sudden on a hit, with --no-build": Fault(".", ("--no-build",), hit=True),
    "a store is empty of a sudden on a miss": Fault("."),
    "a store is empty of a sudden on a miss, with --require-publish": Fault(".", ("--require-publish",)),
}

HIT, BUILD = "a share is unmounted on a hit", "a share is unmounted on a hit, with --on-store-error build"
MISS, MUST = "a share is unmounted on a miss", "a share is unmounted on a miss, with --require-publish"
EMPTY_HIT, NO_BUILD = "a store is empty of a sudden on a hit", "a store is empty of a sudden on a hit, with --no-build"
EMPTY_MISS = "a store is empty of a sudden on a miss"
EMPTY_MUST = "a store is empty of a sudden on a miss, with --require-publish"

GONE = "is not there"
UNPUBLISHED = "not published: the store {store} is not there"
REMOVED = "was removed from {store} before its pointer was there"
MISSING = "is missing from {store}, though its pointer is there"
THERE = "in the mount point "
ALL = "an archive, a lease, a pointer"

ROWS: Final = (
    *(Row(HIT, phase, 7, GONE) for phase in (POINTER, MANIFEST, ARCHIVE)),
    *(Row(BUILD, phase, 7, GONE) for phase in (POINTER, MANIFEST, ARCHIVE)),
    Row(MISS, LEASE, 7, GONE),
    Row(MISS, UPLOAD, 0, UNPUBLISHED, "a lease"),
    Row(MISS, UPLOADED, 0, UNPUBLISHED, "a lease, an unfinished file"),
    Row(MISS, POINT, 0, UNPUBLISHED, "an archive, a lease"),
    Row(MISS, POINTED, 0, "", ALL),
    Row(MUST, LEASE, 7, GONE),
    Row(MUST, UPLOAD, 7, GONE, "a lease"),
    Row(MUST, UPLOADED, 7, GONE, "a lease, an unfinished file"),
    Row(MUST, POINT, 7, GONE, "an archive, a lease"),
    Row(EMPTY_HIT, POINTER, 0, "", THERE + ALL),
    Row(EMPTY_HIT, MANIFEST, 0, MISSING, THERE + ALL),
    Row(EMPTY_HIT, ARCHIVE, 0, MISSING, THERE + ALL),
    Row(NO_BUILD, POINTER, 4, "{store} has no "),
    Row(NO_BUILD, MANIFEST, 8, MISSING),
    Row(NO_BUILD, ARCHIVE, 8, MISSING),
    Row(EMPTY_MISS, LEASE, 0, "", THERE + ALL),
    Row(EMPTY_MISS, UPLOAD, 0, "", "a lease, " + THERE + "an archive, a pointer"),
    Row(EMPTY_MISS, UPLOADED, 0, UNPUBLISHED, "a lease, an unfinished file"),
    Row(EMPTY_MISS, POINT, 0, REMOVED, "an archive, a lease, " + THERE + "an empty directory"),
    Row(EMPTY_MUST, UPLOADED, 7, GONE, "a lease, an unfinished file"),
)


class Share:
    """A share with a store in it, that is mounted below a project."""

    def __init__(self, project: Project, fault: Fault) -> None:
        self.project = project
        self.fault = fault
        home = project.cli.cwd
        self.backing, self.place = home / "backing", home / "share"
        self.store = self.place / fault.store
        self.target = home / "env"
        shutil.copytree(self.original, self.backing / fault.store)
        (self.backing / "mounted").touch()
        self.place.mkdir()

    @property
    def original(self) -> Path:
        return self.project.cli.store if self.fault.hit else self.project.old_store

    def mount(self) -> None:
        bind(self.backing, self.place)

    def ensure(self) -> Result:
        stores = ("--store", str(self.store), "--target", str(self.target))
        return self.project.cli("ensure", *stores, *self.fault.arguments)

    def left(self) -> str:
        """Return what was added to the share, and what is in its mount point; what was there before must be there."""
        behind = self.backing / self.fault.store
        for path in (path for path in self.original.rglob("*") if path.is_file()):
            assert path.read_bytes() == (behind / path.relative_to(self.original)).read_bytes()
        added = [*(Counter(in_store(behind)) - Counter(in_store(self.original))).elements()]
        here = in_store(self.store)
        told = [*([listed(added)] if added else []), *([THERE + listed(here)] if here else [])]
        return ", ".join(told) or NOTHING


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a project with a store that has both versions, and mounts that nobody else sees."""
    with own_project(tmp_path_factory) as project:
        yield project


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_store_that_vanishes(project: Project, row: Row) -> None:
    """One environment or the other stands whole, the store lost nothing, and once it is back the next run succeeds."""
    project = project.elsewhere(f"row{ROWS.index(row)}")
    share, moment = Share(project, FAULTS[row.fault]), MOMENTS[row.phase]
    project.stand(share.target)
    project.ask_for(NEW)
    share.mount()
    project.cli.command = command_with(
        _VANISHING.format(times=moment.times, pattern=moment.event, share=str(share.place).encode())
    )
    result = share.ensure()
    print(result.err)
    assert not (share.place / "mounted").exists()
    assert row.code == result.code
    assert row.message.format(store=share.store) in said(result)[0]
    assert (OLD if row.code else NEW) == version(share.target)
    assert [] == [name for name in os.listdir(project.cli.cwd) if "terrastore" in name]
    assert row.left == share.left()
    share.mount()
    project.cli.command = COMMAND
    shutil.rmtree(share.target)
    again = share.ensure()
    assert ("", 0) == (said(again)[0], again.code)
    assert NEW == version(share.target)
    assert "unfinished" not in share.left()

"""Killed before any system call that changes a directory store which has something already: nothing of it is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore import catalogue
from terrastore.errors import ArchiveRefusedError
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.directory import DirectoryStore
from terrastore.trust import Trust
from tests.end_to_end.test_crash_safety import Seen, chosen, finished, sound, unfinished
from tests.kill_points import Call, Killer
from tests.published import KEY, OTHER_KEY, copy_once, fill_once, publish_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from terrastore.catalogue import Published

pytestmark = pytest.mark.usefixtures("traced")

WHOLE, MISS, REFUSED = "the environment, whole", "no environment: a miss", "what is damaged, and is refused"
OLD, NEW = "the old one, whole", "the new one, whole"
IMPORTS = """
import os
from pathlib import Path
from tests.published import KEY, copy_once, fill_once, publish_once
store, locks = Path.cwd() / "store", Path.cwd() / "locks"
"""


class Place:
    """A directory with a store that is put back as often as needed; the directory of locks is the same all the time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store, self.locks, self._kept = root / "store", root / "locks", root / "kept"
        self._env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    def publish(self, *, overwrite: bool = False, refused: str | None = None) -> None:
        publish_once(self.store, self.locks, KEY, overwrite=overwrite, refused=refused)

    @property
    def found(self) -> Published | None:
        return catalogue.find(DirectoryStore(str(self.store)), KEY, Trust(), Report())

    def run(self, program: str) -> int:
        """Run a program to its end; return its exit code."""
        return subprocess.run(
            [sys.executable, "-c", IMPORTS + program], cwd=self.root, env=self._env, check=False
        ).returncode

    def kills(self, program: str, *, which: Callable[[Call], bool] = lambda _: True) -> Iterator[Call]:
        """Yield every call that changes something, with the store as it is once the program was killed before it."""
        if self.store.exists():
            shutil.copytree(self.store, self._kept)
        killer = Killer([sys.executable, "-c", IMPORTS + program], cwd=self.root, env=self._env)
        for call in chosen([call for call in killer.calls(self.store, self.locks) if which(call)]):
            shutil.rmtree(self.store, ignore_errors=True)
            if self._kept.exists():
                shutil.copytree(self._kept, self.store)
            killer.kill_before(call)
            yield call

    def check_tidy(self, *, archives: int) -> None:
        """Check that the environment is there, with no more archives than that, one lease, and nothing unfinished."""
        assert sound(self.store, KEY)
        assert [] == os.listdir(self.locks)
        assert 1 == len(finished(self.store / "v1/leases" / KEY.text))
        assert len(finished(self.store / "v1/archives" / KEY.text)) <= archives
        # A second name of what was published stays until the next publication.
        publish_once(self.store, self.locks, OTHER_KEY)
        assert [] == unfinished(self.store)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def spoil_pointer(place: Place) -> None:
    (place.store / layout.pointer(KEY.text)).write_bytes(b"nonsense")


def spoil_archive(place: Place) -> None:
    (archive,) = (place.store / layout.archives(KEY.text)).iterdir()
    archive.write_bytes(bytes(archive.stat().st_size))


def lose_archive(place: Place) -> None:
    (archive,) = (place.store / layout.archives(KEY.text)).iterdir()
    archive.unlink()


DAMAGES = {"a corrupt archive": spoil_archive, "a missing archive": lose_archive, "an invalid pointer": spoil_pointer}


@pytest.mark.parametrize("damage", DAMAGES)
def test_killed_while_something_damaged_is_replaced(place: Place, damage: str) -> None:
    """It is refused, as before, until the sound one is there; the next run replaces it, if that was not done."""
    place.publish()
    assert place.found is not None
    refused = place.found.pointer.archive.name
    DAMAGES[damage](place)
    all_of_them = damage == "a corrupt archive"
    seen = Seen("healed", place.root)
    for call in place.kills(
        f"publish_once(store, locks, KEY, refused={refused!r})",
        which=lambda call: all_of_them or "/pointers" in call.given,
    ):
        there = what_is_there(place)
        assert there in {WHOLE, REFUSED}, call
        seen.add(call, there)
        place.publish(refused=refused)
        place.check_tidy(archives=2 if there == WHOLE else 3)
    if all_of_them:
        seen.check()


def what_is_there(place: Place) -> str:
    try:
        return WHOLE if sound(place.store, KEY) else MISS
    except ArchiveRefusedError:
        return REFUSED


def test_killed_while_a_sound_one_is_replaced(place: Place) -> None:
    """With --rebuild the old one is there, or the new one, whole, at any instant."""
    place.publish()
    assert place.found is not None
    old = place.found.envelope
    seen = Seen("rebuilt", place.root)
    for call in place.kills("publish_once(store, locks, KEY, overwrite=True)"):
        assert sound(place.store, KEY), call
        is_old = place.found.envelope == old
        seen.add(call, OLD if is_old else NEW)
        place.publish(overwrite=True)
        assert old != place.found.envelope
        place.check_tidy(archives=3)
    seen.check()


def test_killed_while_a_lease_is_taken_over(place: Place) -> None:
    """A builder was killed, and then who takes over: the next takes over from either, and the generations before go."""
    killed = "from tests.published import leave_lease\nleave_lease(store, locks, KEY)"
    assert 9 == place.run(killed)
    seen = Seen("taken over", place.root)
    for call in place.kills("publish_once(store, locks, KEY)", which=lambda call: "/leases/" in call.given):
        there = what_is_there(place)
        seen.add(call, there)
        place.publish()
        place.check_tidy(archives=1 if there == WHOLE else 2)
    seen.check()


def test_killed_while_a_nearer_store_is_filled(place: Place) -> None:
    """It has the environment or has it not; then it has what the farther one has, and no more."""
    far = place.root / "far"
    publish_once(far, place.locks, KEY)
    seen = Seen("filled", place.root)
    for call in place.kills('fill_once(store, Path.cwd() / "far", KEY)'):
        seen.add(call, what_is_there(place))
        fill_once(place.store, far, KEY)
        assert sound(place.store, KEY), call
        for kind in ("pointers", f"archives/{KEY.text}"):
            assert finished(far / "v1" / kind) == finished(place.store / "v1" / kind), call
    seen.check()


def test_killed_while_an_environment_is_copied(place: Place) -> None:
    """The destination has it or has it not; then it has what the source has, and no more."""
    source = place.root / "source"
    publish_once(source, place.locks, KEY)
    seen = Seen("copied", place.root)
    for call in place.kills('copy_once(Path.cwd() / "source", store, KEY)'):
        seen.add(call, what_is_there(place))
        copy_once(source, place.store, KEY)
        assert sound(place.store, KEY), call
        for kind in ("pointers", f"archives/{KEY.text}"):
            assert finished(source / "v1" / kind) == finished(place.store / "v1" / kind), call
    seen.check()


def test_killed_while_an_environment_is_removed(place: Place) -> None:
    """It is there or it is not, never its pointer alone; then it can be published again."""
    place.publish()
    seen = Seen("removed", place.root)
    remove = "from terrastore import catalogue\nfrom terrastore.store.directory import DirectoryStore\n"
    for call in place.kills(remove + "catalogue.remove(DirectoryStore(str(store)), KEY)"):
        there = what_is_there(place)
        assert there in {WHOLE, MISS}, call
        seen.add(call, there)
        place.publish()
        place.check_tidy(archives=2)
    seen.check()

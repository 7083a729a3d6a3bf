"""Refusal holds by every road: through the layers that a machine keeps, from a file, when a store is looked at."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from terrastore import catalogue
from terrastore.archive.pieces import LostError
from terrastore.archive.unpack import unpack
from terrastore.archive.verify import verify_archive
from terrastore.cache import LayerCache
from terrastore.errors import ArchiveRefusedError
from terrastore.filling import filling
from terrastore.install import install_file
from terrastore.key import EnvKey
from terrastore.place import Target
from terrastore.publish import Publication
from terrastore.report import Report
from terrastore.store.memory import MemoryStore
from terrastore.trust import Trust
from tests.archive.shared_layers import contents
from tests.hostile.attacks import ATTACKS, FRAMES, META, POINTER, Attack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from terrastore.catalogue import Published
    from tests.hostile.conftest import Victim

attacks = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())


class Shelf:
    """A store in memory with an attack in it, or with the sound archive."""

    def __init__(self, victim: Victim, attack: Attack | None = None) -> None:
        self.key = EnvKey.parse(victim.key)
        draft = victim.draft()
        if attack is not None:
            attack.apply(draft)
        self.archive, envelope = draft.seal() if attack is not None else victim.sound
        self.store = MemoryStore()
        self.store.create(f"v1/pointers/{victim.key}.json", envelope)
        self.store.create(f"v1/archives/{victim.key}/{victim.archive.name}", self.archive)

    def found(self) -> Published:
        """Return what is there once its pointer is read."""
        found = catalogue.find(self.store, self.key, Trust(), Report())
        assert found is not None
        return found

    def fetch(self, folder: Path, cache: LayerCache | None, found: Published | None = None) -> Path:
        """Unpack it as install does, with the layers that are kept, and without when those are damaged."""
        found, manifest = (found or self.found()).with_manifest()
        for layers in (cache, cache, None):
            staged = folder / f"staged-{len(os.listdir(folder))}"
            staged.mkdir()
            try:
                unpack(found, manifest, str(staged), prefix="/srv/env", workers=1, report=Report(), layers=layers)
            except LostError:
                shutil.rmtree(staged)
            else:
                return staged
        raise AssertionError("what is lost without a cache?")


def refused(attack: Attack, road: Callable[[], object]) -> None:
    with pytest.raises(ArchiveRefusedError) as caught:
        road()
    assert re.search(attack.message, caught.value.message), caught.value.message


@pytest.mark.parametrize("sharing", [None, "hardlink"], ids=["copies", "hard links"])
@attacks
def test_through_layers_that_are_kept(victim: Victim, attack: Attack, sharing: str | None, tmp_path: Path) -> None:
    """What is kept of a sound archive stays as it was, and what is new there is what its digest names."""
    cache = LayerCache(tmp_path / "layers", Report(), sharing=sharing, limit=10**12)
    environment = Shelf(victim).fetch(tmp_path, cache)
    if attack.part == FRAMES:
        # Frames of what is kept are not read.
        shutil.rmtree(tmp_path / "layers")
        (tmp_path / "layers").mkdir()
    kept = contents(tmp_path / "layers")
    before = contents(environment)
    again = LayerCache(tmp_path / "layers", Report(), sharing=sharing, limit=10**12)
    refused(attack, lambda: Shelf(victim, attack).fetch(tmp_path, again))
    assert kept.items() <= contents(tmp_path / "layers").items()
    assert before == contents(environment)
    assert not list(tmp_path.rglob(".new-*"))


@attacks
def test_while_a_nearer_store_is_filled(victim: Victim, attack: Attack, tmp_path: Path) -> None:
    """Nothing of it comes to be in the nearer store."""
    shelf, near, report = Shelf(victim, attack), MemoryStore(), Report()

    def fill() -> None:
        found = shelf.found()
        name = found.pointer.archive.name
        with filling(found, [Publication(near, shelf.key, name, required=True, trust=Trust(), report=report)]) as read:
            shelf.fetch(tmp_path, None, read)

    refused(attack, fill)
    assert [] == list(near.list(""))


@pytest.mark.parametrize(
    "attack",
    [each for each in ATTACKS.values() if each.part != POINTER],
    ids=[name for name, each in ATTACKS.items() if each.part != POINTER],
)
def test_when_it_is_verified(victim: Victim, attack: Attack) -> None:
    """``verify KEY`` finds what unpacking would refuse, without writing anything."""
    shelf = Shelf(victim, attack)

    def verify() -> None:
        found, manifest = shelf.found().with_manifest()
        pointer = found.pointer
        verify_archive(
            found.read,
            manifest,
            pointer.manifest,
            size=pointer.archive.size,
            sha256=pointer.archive.sha256,
            report=Report(),
        )

    refused(attack, verify)


@pytest.mark.parametrize(
    "attack",
    [each for each in ATTACKS.values() if each.part in {POINTER, META}],
    ids=[name for name, each in ATTACKS.items() if each.part in {POINTER, META}],
)
def test_when_it_is_shown(victim: Victim, attack: Attack) -> None:
    """``show KEY``, ``why`` and the wheelhouse read pointer and manifest, and refuse them for the same reasons."""
    shelf = Shelf(victim, attack)
    if attack.message.startswith("a kind this"):
        assert shelf.found().manifest()  # it can be told what is in it
        return
    refused(attack, lambda: shelf.found().manifest())


IN_A_FILE = {
    name: each for name, each in ATTACKS.items() if not name.startswith("pointer") and name != "manifest-of-another-key"
}


@pytest.mark.parametrize("attack", IN_A_FILE.values(), ids=IN_A_FILE.keys())
def test_from_a_file(victim: Victim, attack: Attack, tmp_path: Path) -> None:
    """``unpack FILE`` leaves nothing behind but its lock."""
    file = tmp_path / "hostile.tar.zst"
    file.write_bytes(Shelf(victim, attack).archive)
    target = Target.at(str(tmp_path / "target"))
    refused(attack, lambda: install_file(str(file), target, python=None, backup=False, wait=0, report=Report()))
    assert {file.name, ".target.terrastore-lock"} >= set(os.listdir(tmp_path))


def test_the_sound_one_is_taken_by_every_road(victim: Victim, tmp_path: Path) -> None:
    """Taken apart and put together again it is whole: what is refused above is the attack."""
    shelf = Shelf(victim, Attack(lambda draft: None, ""))
    found, manifest = shelf.found().with_manifest()
    archive = found.pointer.archive
    verify_archive(
        found.read, manifest, found.pointer.manifest, size=archive.size, sha256=archive.sha256, report=Report()
    )
    trees = [contents(each.fetch(tmp_path, None)) for each in (shelf, Shelf(victim))]
    for tree in trees:
        del tree[".terrastore/manifest.json"]  # its fields are in another order
    assert trees[0] == trees[1]

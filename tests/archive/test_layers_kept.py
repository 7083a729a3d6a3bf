"""An environment is the same whether its layers are fetched, kept, shared, damaged or lost on the way."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from terrastore import cache
from terrastore.cache import LayerCache, NewLayer, prune
from terrastore.errors import ArchiveRefusedError
from tests.archive.packing import SITE, Archive
from tests.archive.shared_layers import MEBIBYTE, MODES, Expected, Machine, contents, umask
from tests.mounts import Disk, own_mounts_or_skip

if TYPE_CHECKING:
    from pathlib import Path

    from terrastore.archive.manifest import Layer

modes = pytest.mark.parametrize("sharing", MODES, ids=lambda mode: mode or "copy")
BINARY = "lib/libtiny.a"


def test_every_kind_of_file_is_there(large: Expected) -> None:
    """What these tests compare: several frames of one file, relocated ones of each sort, links, modes, nothing."""
    found, manifest = large.contents, large.archive.manifest
    assert {"script", "text", "json", "record", "binary", "python"} <= {entry.kind for entry in manifest.relocations}
    assert 5 <= len(large.layers["bravo"].frames)
    assert 33 * MEBIBYTE == len(found[f"{SITE}/bravo/noise.bin"].content)
    assert 8 * MEBIBYTE < len(found["share/large.txt"].content)
    assert b"/srv/env\n" == found["share/large.txt"].content[:9]
    assert b"/srv/env".rjust(96, b"/") in found[BINARY].content
    assert (0o755, 0o755, 0o644) == tuple(
        found[path].mode & 0o777 for path in ("bin/alpha", f"{SITE}/alpha/data.txt", f"{SITE}/alpha/__init__.py")
    )
    assert b"plain.txt" == found["share/link"].content
    assert {"share/empty", f"{SITE}/bravo/empty.txt"} <= found.keys()
    assert any(path.endswith(".pyc") for path in found)


@modes
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000], ids=oct)
def test_the_second_time_nothing_is_read(expected: Expected, sharing: str | None, mask: int, tmp_path: Path) -> None:
    """Byte for byte and mode for mode the same, from the archive and from what is kept of it, under every umask."""
    machine = Machine(tmp_path, expected.archive, sharing)
    with umask(mask):
        first, taken = machine.unpack(machine.cache())
        assert expected.contents == contents(first)
        assert (machine.asked, len(expected.layers)) == (taken.size, taken.layers)
        assert machine.whole() == machine.kept()
        second, taken = machine.unpack(machine.cache())
    assert expected.contents == contents(second)
    assert (0, (0, 0)) == (machine.asked, taken)
    assert machine.whole() == machine.kept()
    assert 1 == machine.tries


@modes
def test_environments_share_what_is_not_relocated(expected: Expected, sharing: str | None, tmp_path: Path) -> None:
    """By hard links every file but those that hold the prefix and their RECORDs, else none; trees are one for both."""
    machine = Machine(tmp_path, expected.archive, sharing)
    trees = [machine.unpack(machine.cache())[0] for _ in range(2)]
    inodes = [
        {path: (tree / path).lstat().st_ino for path in expected.contents if is_file(tree / path)} for tree in trees
    ]
    shared = {path for path, inode in inodes[0].items() if inode == inodes[1][path]}
    own = {entry.path for entry in expected.archive.manifest.relocations}
    made_here = {path for path in inodes[0] if path.startswith(".terrastore/")}
    assert (inodes[0].keys() - own - made_here if sharing == "hardlink" else set()) == shared


def is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def test_a_clone_that_cannot_be_is_a_copy(small: Expected, tmp_path: Path) -> None:
    """On a filesystem that has no clones; it is told, with how many files."""
    machine = Machine(tmp_path, small.archive, "clone")
    with own_mounts_or_skip():
        Disk(tmp_path)
        staged, _ = machine.unpack(machine.cache())
        assert small.contents == contents(staged)
    own = {entry.path for entry in small.archive.manifest.relocations if entry.kind != "binary"}
    files = [path for path in small.contents if path not in own and not path.startswith(".terrastore")]
    count = sum(1 for path in files if small.contents[path].mode & 0o100000)
    assert [f"{count} files were copied, for the disk cannot share them with /srv/env"] == machine.report.warnings


def test_hard_links_do_not_leave_a_disk(small: Expected, tmp_path: Path) -> None:
    """A cache on another filesystem is copied from."""
    machine = Machine(tmp_path, small.archive, "hardlink")
    with own_mounts_or_skip():
        Disk(tmp_path / "cache")
        for _ in range(2):
            staged, _ = machine.unpack(machine.cache())
            assert small.contents == contents(staged)
        assert 0 == machine.asked
    assert 2 == len(machine.report.warnings)


@modes
def test_what_its_digest_does_not_name_is_refused(expected: Expected, sharing: str | None, tmp_path: Path) -> None:
    """It enters no cache, whatever its publisher signed: another store's archive would be made of it."""
    other = expected.layers["alpha"]
    layers = tuple(
        replace(layer, digest="ab" * 32) if layer == other else layer for layer in expected.archive.manifest.layers
    )
    evil = Archive(expected.archive.data, replace(expected.archive.manifest, layers=layers), expected.archive.report)
    machine = Machine(tmp_path, evil, sharing)
    with pytest.raises(ArchiveRefusedError, match="the layer alpha is not the one that its digest names"):
        machine.unpack(machine.cache())
    assert set() == {name for name in machine.kept() if name.startswith(("abab", "."))}
    sound = Machine(tmp_path, expected.archive, sharing)
    staged, _ = sound.unpack(sound.cache())
    assert expected.contents == contents(staged)
    assert sound.whole() == sound.kept()


@modes
def test_a_disk_that_fills_up(
    expected: Expected, sharing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a layer: it is told once, the environment is as it must be, nothing is left of the layer."""
    monkeypatch.setattr(cache, "_LEAST_LEFT", -(10**12))
    machine = Machine(tmp_path, expected.archive, sharing)
    with own_mounts_or_skip():
        disk = Disk(tmp_path / "cache")
        disk.leave(pages=3)
        staged, _ = machine.unpack(machine.cache())
        assert expected.contents == contents(staged)
        assert machine.kept() < machine.whole()
        assert [f"layers are not kept in {machine.root}: no space left on device"] == machine.report.warnings
        disk.give()
        staged, _ = machine.unpack(machine.cache())
        assert expected.contents == contents(staged)
        assert machine.whole() == machine.kept()


@modes
@pytest.mark.parametrize("inodes", [0, 1, 2, 5, 9])
def test_a_disk_without_inodes(expected: Expected, sharing: str | None, inodes: int, tmp_path: Path) -> None:
    """The same, wherever it strikes."""
    machine = Machine(tmp_path, expected.archive, sharing)
    with own_mounts_or_skip():
        Disk(tmp_path / "cache").leave(inodes=inodes)
        staged, _ = machine.unpack(machine.cache())
        assert expected.contents == contents(staged)
        assert machine.kept() <= machine.whole()
        assert sharing is None or machine.kept() < machine.whole()
        told = [each for each in machine.report.warnings if "not kept" in each]
        assert ([] if machine.kept() == machine.whole() else 1) == (len(told) or [])


class Vanishing(LayerCache):
    """A cache that somebody removes whenever a layer is begun."""

    def new(self, layer: Layer) -> NewLayer | None:
        new = super().new(layer)
        shutil.rmtree(self._root, ignore_errors=True)
        return new


class Pruned(LayerCache):
    """A cache that somebody prunes whenever something is taken from it."""

    def place(self, layer: Layer) -> str:
        prune(self._root, 0)
        return super().place(layer)


@modes
@pytest.mark.parametrize("kind", [Vanishing, Pruned])
def test_a_cache_that_goes_in_between(
    expected: Expected, sharing: str | None, kind: type[LayerCache], tmp_path: Path
) -> None:
    """Without it nothing can be lost."""
    whole = Machine(tmp_path, expected.archive, sharing)
    if kind is Pruned:
        whole.unpack(whole.cache())
    machine = Machine(tmp_path / "again", expected.archive, sharing, kind=kind)
    (tmp_path / "again").mkdir()
    machine.root = whole.root
    staged, _ = machine.unpack(machine.cache())
    assert expected.contents == contents(staged)
    assert 3 >= machine.tries
    assert machine.kept() <= machine.whole()

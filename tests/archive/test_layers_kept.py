"""An environment is the same whether its layers are fetched, kept, shared, damaged or lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from terrastore import cache
from terrastore.archive.pieces import FILES
from terrastore.cache import LayerCache, NewLayer, prune
from terrastore.errors import ArchiveRefusedError
from tests.archive.packing import SITE, Archive
from tests.archive.shared_layers import MEBIBYTE, MODES, Found, Machine, contents, make_archive, umask
from tests.mounts import Disk, own_mounts_or_skip

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.archive.manifest import Layer

modes = pytest.mark.parametrize("sharing", MODES, ids=lambda mode: mode or "copy")
BINARY = "lib/libtiny.a"


class Expected:
    """An archive, and the environment that it is without any cache."""

    def __init__(self, folder: Path, *, large: bool) -> None:
        self.archive = make_archive(large=large)
        staged, taken = Machine(folder / "plain", self.archive, None).unpack(None)
        self.contents: dict[str, Found] = contents(staged)
        self.layers = {layer.name: layer for layer in self.archive.manifest.layers if layer.frames}
        assert sum(layer.packed for layer in self.layers.values()) == taken.size
        shutil.rmtree(staged)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return an archive that one process writes."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "plain").mkdir()
    return Expected(folder, large=False)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return an archive that several processes write, with files of several frames."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "plain").mkdir()
    return Expected(folder, large=True)


@pytest.fixture(params=["small", "large"])
def expected(request: pytest.FixtureRequest) -> Expected:
    found: Expected = request.getfixturevalue(request.param)
    return found


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


def zeros(place: str, layer: Layer) -> None:
    with open(place, "r+b") as file:
        file.write(bytes(512))


def mangled_later(place: str, layer: Layer) -> None:
    with open(place, "r+b") as file:
        with tarfile.open(fileobj=file) as members:
            last = members.getmembers()[-1].offset
        file.seek(last)
        file.write(b"\xff" * 512)


def truncated(place: str, layer: Layer) -> None:
    os.truncate(place, layer.size // 1024 * 512)


def empty(place: str, layer: Layer) -> None:
    os.truncate(place, 0)


def gone(place: str, layer: Layer) -> None:
    os.unlink(place)


def another_in_its_place(place: str, layer: Layer) -> None:
    os.unlink(place)
    os.mkdir(place)


DAMAGE = (zeros, mangled_later, truncated, empty, gone, another_in_its_place)


@pytest.mark.parametrize("is_late", [False, True], ids=["before the run", "in between"])
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_fetched_again(
    expected: Expected, damage: Callable[[str, Layer], None], is_late: bool, tmp_path: Path
) -> None:
    """That layer and no other, once; what is kept afterwards is sound."""
    machine = Machine(tmp_path, expected.archive, None)
    machine.unpack(machine.cache())
    kept, layer = machine.cache(), expected.layers["bravo"]
    if is_late:
        assert all(map(kept.has, expected.layers.values()))
    damage(kept.place(layer), layer)
    staged, taken = machine.unpack(kept)
    assert expected.contents == contents(staged)
    assert (layer.packed, (layer.packed, 1)) == (machine.asked, taken)
    assert machine.whole() == machine.kept()
    staged, _ = machine.unpack(machine.cache())
    assert (expected.contents, 0) == (contents(staged), machine.asked)
    assert [] == machine.report.warnings


def edited(tree: Path) -> None:
    with (tree / FILES / SITE / "alpha/data.txt").open("r+b") as file:
        file.write(b"edit\n")


def edited_in_the_same_nanosecond(tree: Path) -> None:
    path = tree / FILES / SITE / "alpha/data.txt"
    before = path.stat().st_mtime_ns
    path.write_bytes(b"edited\n")
    os.utime(path, ns=(before, before))


def made_executable(tree: Path) -> None:
    (tree / FILES / SITE / "alpha/__init__.py").chmod(0o755)


def without_a_file(tree: Path) -> None:
    (tree / FILES / SITE / "alpha/data.txt").unlink()


def with_a_link(tree: Path) -> None:
    path = tree / FILES / SITE / "alpha/data.txt"
    path.rename(path.with_name("other"))
    path.symlink_to("other")


def without_a_directory(tree: Path) -> None:
    shutil.rmtree(tree / FILES / SITE / "alpha")


def with_a_file_for_a_directory(tree: Path) -> None:
    shutil.rmtree(tree / FILES / SITE / "alpha")
    (tree / FILES / SITE / "alpha").touch()


def with_an_edited_record(tree: Path) -> None:
    """Edit what is read and not shared."""
    with (tree / FILES / SITE / "alpha-1.0.dist-info/RECORD").open("a") as file:
        file.write("more,,\n")


def without_an_index(tree: Path) -> None:
    (tree / "index.json").unlink()


def with_half_an_index(tree: Path) -> None:
    os.truncate(tree / "index.json", 100)


def with_an_empty_index(tree: Path) -> None:
    os.truncate(tree / "index.json", 0)


def with_a_later_index(tree: Path) -> None:
    change_index(tree, lambda document: document.update(schema=document["schema"] + 1))


def with_an_index_of_another_shape(tree: Path) -> None:
    change_index(tree, lambda document: document["members"].insert(0, ["one", "two"]))


def with_an_unknown_kind(tree: Path) -> None:
    change_index(tree, lambda document: document["members"][0].__setitem__(1, "?"))


def change_index(tree: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = tree / "index.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def emptied(tree: Path) -> None:
    shutil.rmtree(tree)
    tree.mkdir()


def removed(tree: Path) -> None:
    shutil.rmtree(tree)


TREE_DAMAGE = (
    edited,
    edited_in_the_same_nanosecond,
    made_executable,
    without_a_file,
    with_a_link,
    without_a_directory,
    with_a_file_for_a_directory,
    with_an_edited_record,
    without_an_index,
    with_half_an_index,
    with_an_empty_index,
    with_a_later_index,
    with_an_index_of_another_shape,
    with_an_unknown_kind,
    emptied,
    removed,
)


@pytest.mark.parametrize("sharing", ["hardlink", "clone"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before the run", "in between"])
@pytest.mark.parametrize("damage", TREE_DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_tree_is_fetched_again(
    small: Expected, damage: Callable[[Path], None], is_late: bool, sharing: str, tmp_path: Path
) -> None:
    """The same for what is shared: an edited file reaches no other environment."""
    machine = Machine(tmp_path, small.archive, sharing)
    machine.unpack(machine.cache())
    kept, layer = machine.cache(), small.layers["alpha"]
    if is_late:
        assert all(map(kept.has, small.layers.values()))
    damage(Path(kept.place(layer)))
    staged, taken = machine.unpack(kept)
    assert small.contents == contents(staged)
    assert (layer.packed, (layer.packed, 1)) == (machine.asked, taken)
    assert machine.whole() == machine.kept()
    staged, _ = machine.unpack(machine.cache())
    assert (small.contents, 0) == (contents(staged), machine.asked)


def test_an_edit_through_one_environment_reaches_no_other(large: Expected, tmp_path: Path) -> None:
    """The first has what its owner wrote, the cache forgets the layer, the next environments are as they must be."""
    machine = Machine(tmp_path, large.archive, "hardlink")
    first, _ = machine.unpack(machine.cache())
    path = f"{SITE}/bravo/noise.bin"
    with (first / path).open("r+b") as file:
        file.write(b"edited")
    staged, taken = machine.unpack(machine.cache())
    assert large.contents == contents(staged)
    assert 1 == taken.layers
    assert b"edited" == (first / path).read_bytes()[:6]
    staged, _ = machine.unpack(machine.cache())
    assert (large.contents, 0) == (contents(staged), machine.asked)


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

"""Layers that are kept and not as they were: each is fetched again, alone, and no environment has what it became."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.archive.pieces import FILES
from tests.archive.packing import SITE
from tests.archive.shared_layers import Expected, Machine, contents

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.archive.manifest import Layer


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

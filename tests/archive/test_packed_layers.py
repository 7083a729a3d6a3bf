"""What a machine packed before is not packed again, and is used only when every byte is as it was."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from terrastore.archive import bytecode, framing, packed_layers
from terrastore.archive.frames import compress
from terrastore.archive.packed_layers import PackedLayer, PackedLayers
from terrastore.archive.relocate import MARKER
from terrastore.errors import BuildError
from terrastore.report import Report
from tests.archive.packing import SITE, distribution, layers, packed
from tests.mounts import Disk, own_mounts_or_skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBERS = b"NUMBERS = frozenset({1, 2, 3})\n"
KEY = "0123456789abcdef" * 4


@dataclass
class Work:
    """What was compressed, in bytes, and compiled, as paths."""

    compressed: list[int] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)

    def taken(self) -> tuple[int, int]:
        """Return how many frames were compressed and modules compiled since this was asked before."""
        counts = len(self.compressed), len(self.compiled)
        self.compressed.clear()
        self.compiled.clear()
        return counts


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Return what is compressed and compiled, which goes on as ever."""
    done, compile_modules = Work(), bytecode.compile_modules

    def counted(raw: bytes) -> bytes:
        done.compressed.append(len(raw))
        return compress(raw)

    def told(tree: str, modules: Sequence[str], **options: object) -> list[str]:
        done.compiled.extend(modules)
        return compile_modules(tree, modules, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(framing, "compress", counted)
    monkeypatch.setattr(bytecode, "compile_modules", told)
    return done


@pytest.fixture
def kept(tmp_path: Path) -> PackedLayers:
    return PackedLayers(str(tmp_path / "cache/packed"))


def make(tree: Path) -> Path:
    """Make an environment of three distributions: of one module, of two and a file, and of a file alone."""
    distribution(tree, "one", __init___py=NUMBERS)
    distribution(tree, "two", __init___py=b"", more_py=NUMBERS * 100, data_txt=b"data\n" * 1000)
    distribution(tree, "three", library_so=b"\0library" * 100)
    return tree


def entries(kept: PackedLayers) -> list[Path]:
    return sorted(Path(kept.folder).iterdir())


def test_what_was_packed_before_is_taken(tmp_path: Path, work: Work, kept: PackedLayers) -> None:
    """The second time nothing is compiled and no frame compressed, and the archive has the same bytes."""
    expected = packed(make(tmp_path / "first")).data
    assert (3, 3) == work.taken()
    assert expected == packed(make(tmp_path / "second"), kept).data
    assert (3, 3) == work.taken()
    again = make(tmp_path / "third")
    archive = packed(again, kept)
    assert (0, 0) == work.taken()
    assert (expected, []) == (archive.data, archive.report.warnings)
    assert [] == list(again.rglob("*.pyc"))


def test_a_changed_distribution_alone_is_packed(tmp_path: Path, work: Work, kept: PackedLayers) -> None:
    """The others are taken: that is what a bumped pin costs."""
    packed(make(tmp_path / "first"), kept)
    changed = make(tmp_path / "second")
    (changed / SITE / "two/more.py").write_bytes(NUMBERS * 101)
    work.taken()
    archive = packed(changed, kept)
    assert [f"{SITE}/two/__init__.py", f"{SITE}/two/more.py"] == work.compiled
    assert 1 == len(work.compressed)
    assert archive.data == packed(changed).data


def replaced(path: str, content: bytes) -> Callable[[Path], object]:
    return lambda tree: (tree / SITE / path).write_bytes(content)


def linked(tree: Path) -> None:
    path = tree / SITE / "two/data.txt"
    path.unlink()
    path.symlink_to("more.py")


CHANGES: dict[str, tuple[Callable[[Path], object], int]] = {
    "nothing": (lambda _: None, 0),
    "times": (lambda tree: os.utime(tree / SITE / "two/more.py", (1, 1)), 0),
    "a module's content": (replaced("two/more.py", NUMBERS * 99 + b"NUMBERS = frozenset({1, 2, 4})\n"), 1),
    "a file's content": (replaced("two/data.txt", b"date\n" * 1000), 1),
    "a large file's content": (replaced("three/library.so", b"\0library" * 99 + b"\0librarx"), 1),
    "an empty file has something": (replaced("two/__init__.py", b"\n"), 1),
    "a mode": (lambda tree: (tree / SITE / "two/data.txt").chmod(0o755), 1),
    "a name": (lambda tree: (tree / SITE / "two/data.txt").rename(tree / SITE / "two/datb.txt"), 2),
    "a link in place of a file": (linked, 1),
    "a module that holds the prefix": (
        lambda tree: (tree / SITE / "one/__init__.py").write_text(f"PLACE = {str(tree)!r}\n"),
        1,
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_whatever_goes_into_a_layer_counts(
    change: Callable[[Path], object], expected: int, tmp_path: Path, work: Work, kept: PackedLayers
) -> None:
    """A layer is taken only for the same members, with the same content; the archive is as without what is kept."""
    root = tmp_path / "x"
    prefix = root / (MARKER.decode() + "0" * 32).ljust(96 - len(str(root)) - 1, "_")
    packed(make(prefix), kept)
    work.taken()
    change(prefix)
    for path in prefix.rglob("__pycache__"):
        shutil.rmtree(path)
    archive = packed(prefix, kept)
    assert expected == len(work.compressed)
    for path in prefix.rglob("__pycache__"):
        shutil.rmtree(path)
    assert archive.data == packed(prefix).data


HOW: dict[str, tuple[object, str, object, int]] = {
    "another level": (packed_layers, "LEVEL", 7, 3),
    "another zstd": (zstandard, "ZSTD_VERSION", (1, 99, 0), 3),
    "another binding of zstd": (zstandard, "__version__", "99", 3),
    "another interpreter": (bytecode, "compiler", lambda _: "another", 2),
}


@pytest.mark.parametrize(("place", "name", "value", "expected"), HOW.values(), ids=HOW.keys())
def test_how_it_is_packed_counts(
    place: object,
    name: str,
    value: object,
    expected: int,
    tmp_path: Path,
    work: Work,
    kept: PackedLayers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Frames of another compressor are not taken; of another interpreter those without modules alone are."""
    packed(make(tmp_path / "first"), kept)
    work.taken()
    monkeypatch.setattr(place, name, value)
    packed(make(tmp_path / "second"), kept)
    assert expected == len(work.compressed)


def test_interpreters_are_told_apart() -> None:
    """By more than their version; the same one says the same."""
    told = bytecode.compiler(sys.executable)
    assert told == bytecode.compiler(sys.executable)
    assert repr(sys.version) in told
    with pytest.raises(BuildError, match="cannot compile bytecode"):
        bytecode.compiler("/bin/false")


def flipped(at: float) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        damaged = bytearray(data)
        damaged[int(at * (len(data) - 1))] ^= 1
        return bytes(damaged)

    return damage


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit of a frame": flipped(0),
    "a bit of the table": lambda data: data[:-60] + bytes([data[-60] ^ 1]) + data[-59:],
    "a bit of the table's size": lambda data: data[:-40] + b"\xff" + data[-39:],
    "a bit of its digest": flipped(1),
    "its end is missing": lambda data: data[:-1],
    "its end alone": lambda data: data[-40:],
    "nothing": lambda _: b"",
    "a byte more": lambda data: data + b"\0",
    "a byte before": lambda data: b"\0" + data,
    "a byte between": lambda data: data[:10] + b"\0" + data[10:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_damaged_is_noticed_and_packed_anew(
    damage: Callable[[bytes], bytes], tmp_path: Path, work: Work, kept: PackedLayers
) -> None:
    """It costs its compression, no more, and the next time it is sound again."""
    expected = packed(make(tmp_path / "first"), kept).data
    sound = {path: path.read_bytes() for path in entries(kept)}
    largest = max(sound, key=lambda path: len(sound[path]))
    largest.write_bytes(damage(sound[largest]))
    work.taken()
    assert expected == packed(make(tmp_path / "second"), kept).data
    assert 1 == len(work.compressed)
    assert sound == {path: path.read_bytes() for path in entries(kept)}
    work.taken()
    assert expected == packed(make(tmp_path / "third"), kept).data
    assert (0, 0) == work.taken()


def test_another_layer_under_its_name_is_noticed(tmp_path: Path, work: Work, kept: PackedLayers) -> None:
    """Sound as it is: its table says what it is kept under."""
    expected = packed(make(tmp_path / "first"), kept).data
    one, other = sorted(entries(kept), key=lambda path: path.stat().st_size)[-2:]
    one.write_bytes(other.read_bytes())
    work.taken()
    assert expected == packed(make(tmp_path / "second"), kept).data
    assert 1 == len(work.compressed)


def test_what_changes_between_look_and_use_is_refused(tmp_path: Path, kept: PackedLayers) -> None:
    """No frame goes into an archive whose digest is not the table's; nor when the file is gone."""
    packed(make(tmp_path / "first"), kept)
    path = max(entries(kept), key=lambda path: path.stat().st_size)
    layer = kept.get(path.name)
    assert layer is not None
    assert layer.frames[0].packed == len(layer.read(0))
    path.write_bytes(flipped(0)(path.read_bytes()))
    with pytest.raises(BuildError, match="changed while it was read"):
        layer.read(0)
    path.unlink()
    with pytest.raises(BuildError, match="changed while it was read"):
        layer.read(0)


def test_anew_nothing_is_taken_and_everything_replaced(tmp_path: Path, work: Work, kept: PackedLayers) -> None:
    """For who does not trust what is there."""
    expected = packed(make(tmp_path / "first"), kept).data
    before = {path: path.stat().st_ino for path in entries(kept)}
    work.taken()
    assert expected == packed(make(tmp_path / "second"), PackedLayers(kept.folder, takes=False)).data
    assert (3, 3) == work.taken()
    after = {path: path.stat().st_ino for path in entries(kept)}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_nobody_else_may_look(tmp_path: Path, kept: PackedLayers) -> None:
    """Code of an environment may be private: directory and files are their owner's alone, whatever they were."""
    umask = os.umask(0)
    try:
        packed(make(tmp_path / "first"), kept)
        os.chmod(kept.folder, 0o777)
        packed(make(tmp_path / "second"), kept)
    finally:
        os.umask(umask)
    assert 0o700 == stat.S_IMODE(os.stat(kept.folder).st_mode)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in entries(kept)}


def test_a_secret_does_not_come_in(tmp_path: Path, kept: PackedLayers) -> None:
    """What is refused leaves nothing, not even of other layers; what came in unknown is refused all the same."""
    tree = make(tmp_path / "first")

    def is_secret(content: object) -> bool:
        return bytes(content[:]).count(b"data") > 0  # type: ignore[index]

    with pytest.raises(BuildError, match="password or a token"):
        packed(tree, kept, is_secret=is_secret)
    assert not os.path.exists(kept.folder)
    packed(tree, kept)
    assert 3 == len(entries(kept))
    with pytest.raises(BuildError, match="password or a token"):
        packed(make(tmp_path / "second"), kept, is_secret=is_secret)


def test_the_bound_is_kept_by_what_was_used_last(tmp_path: Path, work: Work, kept: PackedLayers) -> None:
    """What no environment took for longest goes first, when all is done."""
    packed(make(tmp_path / "first"), kept)
    for number, path in enumerate(entries(kept)):
        os.utime(path, ns=(number, number))
    distribution(other := tmp_path / "second", "two", __init___py=b"", more_py=NUMBERS * 100, data_txt=b"data\n" * 1000)
    work.taken()
    small = PackedLayers(kept.folder, limit=sum(path.stat().st_size for path in entries(kept)) // 2)
    packed(other, small)
    assert (0, 0) == work.taken()
    assert sum(path.stat().st_size for path in entries(kept)) <= small.limit
    packed(other, small)
    assert (0, 0) == work.taken()


def test_pruning_tells_what_it_removed(tmp_path: Path, kept: PackedLayers) -> None:
    """In bytes; strangers' files stay, and while somebody packs nothing goes."""
    packed(make(tmp_path / "first"), kept)
    size = sum(path.stat().st_size for path in entries(kept))
    (stranger := entries(kept)[0].with_name("README")).write_text("a note\n")
    with PackedLayers(kept.folder).in_use(Report()):
        assert 0 == kept.prune(0)
    assert 0 == kept.prune(size)
    assert size == kept.prune(0)
    assert [stranger] == entries(kept)


def test_what_was_not_finished_is_not_there(kept: PackedLayers) -> None:
    """A layer without its end is none, and its file goes with the run."""
    with kept.in_use(Report()):
        with kept.putting(KEY) as new:
            new.write(b"a frame")
        assert [] == entries(kept)
        assert kept.get(KEY) is None


def test_runs_side_by_side_do_not_disturb_each_other(tmp_path: Path, kept: PackedLayers) -> None:
    """Eight pack the same while a ninth prunes all the time: each archive is right, and nothing half-made stays."""
    expected = packed(make(tmp_path / "first")).data
    trees = [make(tmp_path / f"tree{number}") for number in range(8)]
    with ThreadPoolExecutor(9) as pool:
        runs = [pool.submit(packed, tree, PackedLayers(kept.folder), workers=1) for tree in trees]

        def prune() -> int:
            removed = 0
            while not all(run.done() for run in runs):
                removed += kept.prune(0) if os.path.exists(kept.folder) else 0
            return removed

        pruning = pool.submit(prune)
        assert [expected] * 8 == [run.result().data for run in runs]
        pruning.result()
    assert expected == packed(make(tmp_path / "last"), kept).data
    assert 3 == len(entries(kept))
    assert all(isinstance(kept.get(path.name), PackedLayer) for path in entries(kept))


def test_a_full_disk_costs_what_is_kept_alone(tmp_path: Path) -> None:
    """The archive is made as ever."""
    expected = packed(make(tmp_path / "first")).data
    with own_mounts_or_skip():
        disk = Disk(tmp_path / "disk")
        kept = PackedLayers(str(disk.place / "packed"))
        with kept.in_use(Report()):
            disk.leave(pages=0)
            assert expected == packed(make(tmp_path / "second"), kept).data
        assert [] == entries(kept)


def test_a_directory_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    """And that is all: a file in its place, a link, or another user's directory."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "theirs").mkdir()
    expected = packed(make(tmp_path / "first")).data
    places = {"file": "not a directory", "link": "not a directory"}
    if os.getuid() == 0:
        os.chown(tmp_path / "theirs", 65534, 65534)
        places["theirs"] = "it is another user's"
    for name, why in places.items():
        archive = packed(make(tmp_path / f"tree-{name}"), PackedLayers(str(tmp_path / name)))
        assert expected == archive.data
        assert [f"what is packed here is not kept in {tmp_path / name}: {why}"] == archive.report.warnings
    assert [] == list((tmp_path / "theirs").iterdir())


def test_bytecode_that_a_record_lists_is_made_before_layers_are_looked_for(
    tmp_path: Path, work: Work, kept: PackedLayers
) -> None:
    """Its RECORD keeps the line of bytecode that has a digest, and who lists no more than bytecode has it."""
    listed = [importlib.util.cache_from_source(f"{SITE}/two/{name}.py") for name in ("more", "other")]
    for tree in (tmp_path / "first", tmp_path / "second"):
        (make(tree) / SITE / "two/other.py").write_bytes(NUMBERS)
        with (tree / SITE / "one-1.0.dist-info/RECORD").open("a") as record:
            record.write(f"{listed[1].removeprefix(SITE + '/')},,\n")
        with (tree / SITE / "two-1.0.dist-info/RECORD").open("a") as record:
            record.write(f"{listed[0].removeprefix(SITE + '/')},sha256=x,9\n")
        archive = packed(tree, kept)
        raws = {layer.name: zstandard.ZstdDecompressor().decompress(data) for layer, data in layers(archive) if data}
        assert b"more.cpython" in raws["two"]
        assert b",sha256=x,9\n" in raws["two"]
        assert listed[1].encode() in raws["one"]
        assert f"{SITE}/two/other.py".encode() in raws["rest"]
    assert [f"{SITE}/two/more.py", f"{SITE}/two/other.py"] == work.compiled[-2:]
    work.taken()
    shutil.rmtree(tmp_path / "second" / SITE / "two/__pycache__")
    assert archive.data == packed(tmp_path / "second").data

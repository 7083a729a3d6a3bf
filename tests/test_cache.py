"""Layers that a machine keeps: what is there, for how long, and what happens when the disk is in trouble."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from terrastore.archive.manifest import Frame, Layer
from terrastore.archive.pieces import FILES
from terrastore.archive.ustar import MalformedError
from terrastore.cache import LayerCache, prune, size_of
from terrastore.report import Report
from tests.mounts import Disk, freeze, own_mounts_or_skip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 1_000_000
DAY = 86400
SHARINGS = pytest.mark.parametrize("sharing", [None, "hardlink", "clone"])


def layer(raw: bytes) -> Layer:
    """Return the layer whose raw bytes these are."""
    frames = (Frame(packed=len(raw), size=len(raw), sha256="0" * 64),) if raw else ()
    return Layer(name="alpha", version="1.0", digest=hashlib.sha256(raw).hexdigest(), frames=frames)


def opened(root: Path, report: Report | None = None, *, sharing: str | None = None, limit: int = LIMIT) -> LayerCache:
    """Return the cache as another run has it."""
    return LayerCache(root, report or Report(), sharing=sharing, limit=limit)


def keep(cache: LayerCache, raw: bytes) -> Layer:
    """Keep a layer, as unpacking does; a tree is a directory with one file."""
    new = cache.new(layer(raw))
    assert new is not None
    with open(new.raw, "wb") as file:
        file.write(raw)
    if new.tree is not None:
        with open(f"{new.tree}/{FILES}/file", "wb") as file:
            file.write(raw)
    new.end(hashlib.sha256(raw).hexdigest())
    return layer(raw)


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()} if root.is_dir() else set()


def used(cache: LayerCache, each: Layer, seconds_ago: float) -> None:
    """Let the last use of a layer be so long ago."""
    then = time.time() - seconds_ago
    os.utime(cache.place(each), (then, then))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache/layers"


@SHARINGS
def test_what_is_kept_is_there_for_the_next_run(root: Path, sharing: str | None) -> None:
    """By its digest, whole, for this user alone."""
    first = keep(opened(root, sharing=sharing), b"alpha" * 99)
    cache = opened(root, sharing=sharing)
    assert cache.has(first)
    assert not cache.has(layer(b"other"))
    assert {f"{first.digest}{'.d' if sharing else '.tar'}"} == names(root)
    assert 0o700 == root.stat().st_mode & 0o777
    place = f"{cache.place(first)}/{FILES}/file" if sharing else cache.place(first)
    with open(place, "rb") as file:
        assert b"alpha" * 99 == file.read()
    assert sharing or 0o600 == os.stat(place).st_mode & 0o777


def test_copies_and_trees_are_apart(root: Path) -> None:
    """A layer that is kept as a file is not one that can be shared; trees serve hard links and clones."""
    first = keep(opened(root), b"alpha")
    assert not opened(root, sharing="hardlink").has(first)
    keep(opened(root, sharing="hardlink"), b"alpha")
    assert opened(root, sharing="clone").has(first)
    assert {f"{first.digest}.tar", f"{first.digest}.d"} == names(root)


def test_nothing_need_not_be_kept(root: Path) -> None:
    """A layer without members is always there, and asking makes no directory."""
    assert opened(root).has(layer(b""))
    assert not opened(root).has(layer(b"alpha"))
    assert not root.parent.exists()


@SHARINGS
def test_another_digest_never_enters(root: Path, sharing: str | None) -> None:
    """The cache is shared by stores that do not trust each other: what was written is what its name says, or goes."""
    cache = opened(root, sharing=sharing)
    new = cache.new(layer(b"alpha"))
    assert new is not None
    with pytest.raises(MalformedError, match="the layer alpha is not the one that its digest names"):
        new.end(hashlib.sha256(b"evil").hexdigest())
    new.abandon()
    assert set() == names(root)
    assert not opened(root, sharing=sharing).has(layer(b"alpha"))


@SHARINGS
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_directory_that_others_may_write_to_is_not_used(root: Path, sharing: str | None, mode: int) -> None:
    """What is kept is not compared with its digest again, so whoever can put something there could put anything."""
    kept = keep(opened(root, sharing=sharing), b"alpha")
    root.chmod(mode)
    report = Report()
    cache = opened(root, report, sharing=sharing)
    assert (False, None) == (cache.has(kept), cache.new(layer(b"beta")))
    assert [f"layers are not kept in {root}: others may write to it"] == report.warnings
    root.chmod(0o755)
    assert opened(root, sharing=sharing).has(kept)


@SHARINGS
def test_another_users_directory_is_not_used(root: Path, sharing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that belongs to somebody else, as it does when a cache is taken along to another user."""
    kept = keep(opened(root, sharing=sharing), b"alpha")
    monkeypatch.setattr("os.getuid", lambda: os.stat(root).st_uid + 1)
    report = Report()
    cache = opened(root, report, sharing=sharing)
    assert (False, None) == (cache.has(kept), cache.new(layer(b"beta")))
    assert [f"layers are not kept in {root}: it is another user's"] == report.warnings


@SHARINGS
def test_what_is_given_up_leaves_nothing(root: Path, sharing: str | None) -> None:
    """Neither before nor after bytes were written; what was ended stays."""
    cache = opened(root, sharing=sharing)
    new = cache.new(layer(b"alpha"))
    assert new is not None
    assert new.is_open
    assert 1 <= len(names(root)) <= 2
    new.abandon()
    assert not new.is_open
    assert set() == names(root)
    first = keep(cache, b"alpha")
    assert opened(root, sharing=sharing).has(first)


@SHARINGS
def test_two_that_keep_one_layer(root: Path, sharing: str | None) -> None:
    """Who comes second is told nothing, and one stays."""
    report = Report()
    one, other = (opened(root, report, sharing=sharing) for _ in range(2))
    assert not one.has(layer(b"alpha"))
    assert not other.has(layer(b"alpha"))
    keep(one, b"alpha")
    keep(other, b"alpha")
    assert 1 == len(names(root))
    assert opened(root, sharing=sharing).has(layer(b"alpha"))
    assert [] == report.warnings


@pytest.mark.parametrize("size", [0, 4, 6])
def test_a_wrong_size_is_dropped(root: Path, size: int) -> None:
    """Whoever lost power may have a name and not all its bytes."""
    cache = opened(root)
    first = keep(cache, b"alpha")
    os.truncate(cache.place(first), size)
    assert not opened(root).has(first)
    assert set() == names(root)


@SHARINGS
def test_what_is_dropped_is_gone(root: Path, sharing: str | None) -> None:
    """For this run, which may have asked before, and for every other; it may come again."""
    keep(opened(root, sharing=sharing), b"alpha")
    cache = opened(root, sharing=sharing)
    assert cache.has(layer(b"alpha"))
    cache.drop(layer(b"alpha"))
    assert not cache.has(layer(b"alpha"))
    assert set() == names(root)
    keep(cache, b"alpha")
    assert opened(root, sharing=sharing).has(layer(b"alpha"))


@SHARINGS
def test_what_a_run_found_stays_found(root: Path, sharing: str | None) -> None:
    """What is read ahead was decided by the first answer; what was removed since is noticed when it is read."""
    keep(opened(root, sharing=sharing), b"alpha")
    cache = opened(root, sharing=sharing)
    assert cache.has(layer(b"alpha"))
    assert 0 < prune(str(root), 0)
    assert cache.has(layer(b"alpha"))
    assert not opened(root, sharing=sharing).has(layer(b"alpha"))


@SHARINGS
def test_the_least_used_goes_first(root: Path, sharing: str | None) -> None:
    """Asking for a layer uses it, so of three that came one after the other the second goes."""
    cache = opened(root, sharing=sharing)
    first, second, third = (keep(cache, letter * 100) for letter in (b"a", b"b", b"c"))
    for age, each in enumerate((third, second, first), 1):
        used(cache, each, age * 60)
    assert opened(root, sharing=sharing).has(first)
    assert 100 == prune(str(root), 299)
    after = opened(root, sharing=sharing)
    assert [True, False, True] == [after.has(each) for each in (first, second, third)]
    assert 200 == size_of(str(root))


@pytest.mark.parametrize(
    ("limit", "stay"),
    [(0, ""), (99, ""), (100, "c"), (199, "c"), (200, "bc"), (299, "bc"), (300, "abc"), (10_000, "abc")],
)
def test_no_more_than_the_limit_stays(root: Path, limit: int, stay: str) -> None:
    """To the byte; as many were removed as are said to be."""
    cache = opened(root)
    kept = {letter: keep(cache, letter.encode() * 100) for letter in "abc"}
    for age, letter in enumerate("cba"):
        used(cache, kept[letter], age * 60)
    assert 300 - 100 * len(stay) == prune(str(root), limit)
    assert {f"{kept[letter].digest}.tar" for letter in stay} == names(root)


def test_a_layer_larger_than_the_limit_costs_the_others_nothing(root: Path) -> None:
    """It goes, though it was used last."""
    cache = opened(root)
    small, large = keep(cache, b"small"), keep(cache, b"l" * 1000)
    used(cache, small, 60)
    assert 1000 == prune(str(root), 999)
    assert [True, False] == [opened(root).has(each) for each in (small, large)]


def test_who_adds_keeps_to_the_limit(root: Path) -> None:
    """At its end, not while it may need what it has; who adds nothing removes nothing."""
    cache = opened(root, limit=150)
    first, second = keep(cache, b"a" * 100), keep(cache, b"b" * 100)
    used(cache, first, 60)
    opened(root, limit=150).trim()
    assert 200 == size_of(str(root))
    cache.trim()
    assert {f"{second.digest}.tar"} == names(root)


@SHARINGS
def test_leftovers_go_after_a_day(root: Path, sharing: str | None) -> None:
    """What is younger may be what another run is writing; it does not count against the limit."""
    kept = keep(opened(root, sharing=sharing), b"alpha")
    assert opened(root, sharing=sharing).new(layer(b"killed" * 100)) is not None
    left = [path for path in root.iterdir() if path.name.startswith(".")]
    assert (2 if sharing else 1) == len(left)
    for path in left:
        os.utime(path, (time.time() - DAY + 600,) * 2)
    prune(str(root), LIMIT)
    assert set(left) < set(root.iterdir())
    for path in left:
        os.utime(path, (time.time() - DAY - 600,) * 2)
    prune(str(root), LIMIT)
    assert {os.path.basename(opened(root, sharing=sharing).place(kept))} == names(root)


def test_pruning_nothing(root: Path) -> None:
    """Where nothing was ever kept there is nothing to do, and nothing is made."""
    assert 0 == prune(str(root), 0)
    assert not root.exists()


def test_a_link_in_the_cache_is_removed_and_not_followed(root: Path, tmp_path: Path) -> None:
    """Whatever somebody put there."""
    keep(opened(root), b"alpha")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("mine\n")
    (root / "link").symlink_to(tmp_path / "precious")
    prune(str(root), 0)
    assert set() == names(root)
    assert "mine\n" == (tmp_path / "precious/file").read_text()


def occupied(root: Path) -> None:
    root.parent.mkdir()
    root.write_text("a file\n")


def frozen(root: Path) -> None:
    root.mkdir(parents=True)
    freeze(root)


def frozen_above(root: Path) -> None:
    root.parent.mkdir()
    freeze(root.parent)


TROUBLES = {
    "a file is in the way": (occupied, "not a directory"),
    "it is read-only": (frozen, "read-only file system"),
    "what is above it is": (frozen_above, "read-only file system"),
}


@SHARINGS
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_with_the_disk_is_told_once(root: Path, sharing: str | None, trouble: str) -> None:
    """Nothing is kept then, and nobody fails for it."""
    make, why = TROUBLES[trouble]
    report = Report()
    with own_mounts_or_skip():
        make(root)
        cache = opened(root, report, sharing=sharing)
        for raw in (b"alpha", b"beta"):
            assert not cache.has(layer(raw))
            assert cache.new(layer(raw)) is None
        cache.trim()
    assert [f"layers are not kept in {root}: {why}"] == [each.lower() for each in report.warnings]


@SHARINGS
def test_trouble_in_between(root: Path, sharing: str | None) -> None:
    """A layer that could not be written is given up; one that was ended before stays, and no other is begun."""
    report = Report()
    cache = opened(root, report, sharing=sharing)
    first = keep(cache, b"alpha")
    new = cache.new(layer(b"beta"))
    assert new is not None
    new.fail(OSError(28, "No space left on device"))
    new.fail(OSError(5, "Input/output error"))
    assert not new.is_open
    assert cache.new(layer(b"gamma")) is None
    assert {os.path.basename(cache.place(first))} == names(root)
    assert 1 == len(report.warnings)
    assert "no space left" in report.warnings[0].lower()


@contextmanager
def disk(place: Path) -> Iterator[Disk]:
    with own_mounts_or_skip():
        yield Disk(place)


def test_environments_have_their_room(root: Path) -> None:
    """Where little is left nothing is kept, and that is nothing to tell; where there is room again, it is."""
    report = Report()
    with disk(root.parent) as filesystem:
        filesystem.leave(pages=100_000)
        cache = opened(root, report)
        assert cache.new(layer(b"alpha")) is None
        filesystem.give()
        keep(cache, b"alpha")
        assert opened(root).has(layer(b"alpha"))
    assert [] == report.warnings


def test_what_is_removed_while_it_is_measured(root: Path, tmp_path: Path) -> None:
    """Others may be at work: what is gone has no size."""
    assert 0 == size_of(str(tmp_path / "gone"))
    keep(opened(root, sharing="hardlink"), b"alpha")
    assert 5 == size_of(str(root)) == size_of(str(root.parent))

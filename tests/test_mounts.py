"""What kind of filesystem a path is on, as the kernel has mounted it."""

from __future__ import annotations

from pathlib import Path

import pytest

from terrastore import mounts
from terrastore.store.directory import DirectoryStore
from tests.mounts import Disk, bind, own_mounts_or_skip, unmount

PROC = Path("/proc")


@pytest.mark.parametrize("name", ["disk", "a disk - of mine", "tab\tline\nslash\\040", "umlaut-ä"])
def test_what_is_mounted(tmp_path: Path, name: str) -> None:
    """The place itself, what is below, and what is not there yet, whatever its name; what lies beside is not meant."""
    place, beside = tmp_path / name, tmp_path / f"{name}-beside"
    place.mkdir()
    beside.mkdir()
    with own_mounts_or_skip():
        before = mounts.kind(str(place))
        bind(PROC, place)
        assert ["proc"] * 3 == [mounts.kind(str(path)) for path in (place, place / "self", place / "not/there")]
        assert [before] * 2 == [mounts.kind(str(path)) for path in (tmp_path, beside)]
        unmount(place)
        assert before == mounts.kind(str(place))


def test_what_is_mounted_twice(tmp_path: Path) -> None:
    """What covers a place counts, and so does what is mounted below another."""
    place = tmp_path / "disk"
    with own_mounts_or_skip():
        Disk(place)
        bind(PROC, place)
        assert "proc" == mounts.kind(str(place))
        unmount(place)
        (place / "inner").mkdir()
        bind(PROC, place / "inner")
        assert ["tmpfs", "proc"] == [mounts.kind(str(path)) for path in (place, place / "inner")]


def test_a_link_is_where_it_leads(tmp_path: Path) -> None:
    """A store that is named by a link is where its files are."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk/self")
    with own_mounts_or_skip():
        bind(PROC, tmp_path / "disk")
        assert "proc" == mounts.kind(str(tmp_path / "link"))


@pytest.mark.parametrize(
    ("is_near", "kind"),
    [
        *((True, kind) for kind in ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "")),
        *((False, kind) for kind in ("nfs", "nfs4", "cifs", "ceph", "lustre", "gpfs", "beegfs", "fuse.sshfs", "9p")),
    ],
)
def test_which_directories_are_near(monkeypatch: pytest.MonkeyPatch, is_near: bool, kind: str) -> None:
    """What another machine serves is far; no such filesystem can be mounted by a test alone."""
    monkeypatch.setattr(mounts, "kind", lambda _: kind)
    store = DirectoryStore("/srv/store")
    assert (is_near, 2 if is_near else 12) == (store.is_near, store.readers)

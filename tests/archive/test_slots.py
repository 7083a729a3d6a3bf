"""Compiled files of an archive: what a reader checks before and while it fills their places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore.archive.reading import find_manifest
from terrastore.archive.slots import refuse_too_long
from terrastore.archive.unpack import unpack
from terrastore.errors import ArchiveRefusedError, UsageError
from terrastore.report import Report
from tests.archive.memory import InMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.archive.manifest import Manifest, Relocation

ARCHIVE = (Path(__file__).parents[1] / "vectors/tiny.tar.zst").read_bytes()
LIBRARY = "lib/libtiny.a"


def read(offset: int, size: int, /) -> bytes:
    return ARCHIVE[offset : offset + size]


@pytest.fixture
def manifest() -> Manifest:
    """Return the manifest of an archive with a compiled file that holds the placeholder twice."""
    return find_manifest(read, len(ARCHIVE))


def with_entry(manifest: Manifest, change: Callable[[Relocation], Relocation]) -> Manifest:
    relocations = tuple(change(entry) if entry.path == LIBRARY else entry for entry in manifest.relocations)
    assert relocations != manifest.relocations
    return replace(manifest, relocations=relocations)


def unpacked(manifest: Manifest, folder: Path, prefix: str, archive: InMemory | None = None) -> bytes:
    folder.mkdir()
    unpack(archive or InMemory(ARCHIVE), manifest, str(folder), prefix=prefix, workers=1, report=Report())
    return (folder / LIBRARY).read_bytes()


def test_places_are_filled(manifest: Manifest, tmp_path: Path) -> None:
    """Each place ends with the prefix, and everything else is as it was."""
    place = b"/srv/e".rjust(96, b"/")
    assert b"!<arch>\n\0" + place + b"/share\0:" + place + b":\0" == unpacked(manifest, tmp_path / "e", "/srv/e")
    assert {"libtiny.a", "python3.11"} == {path.name for path in (tmp_path / "e/lib").iterdir()}


def test_a_long_prefix_is_refused_before_anything_is_read(manifest: Manifest, tmp_path: Path) -> None:
    """Nothing is fetched for a target that cannot be."""
    archive = InMemory(ARCHIVE)
    with pytest.raises(UsageError, match=r"lib/libtiny\.a cannot be made to work at /x+: .* 96 bytes, .* has 97"):
        unpacked(manifest, tmp_path / "e", "/" + "x" * 96, archive)
    assert [] == archive.asked
    assert [] == list((tmp_path / "e").iterdir())


def test_without_compiled_files_any_length_will_do(manifest: Manifest) -> None:
    """Text has no places."""
    texts = tuple(entry for entry in manifest.relocations if entry.path != LIBRARY)
    refuse_too_long(replace(manifest, relocations=texts), "/" + "x" * 300)


def test_many_files_are_named_in_short(manifest: Manifest) -> None:
    """Of very many files the first are named, and how many more there are."""
    (entry,) = (entry for entry in manifest.relocations if entry.path == LIBRARY)
    many = tuple(replace(entry, path=f"lib/{number:02}.so") for number in range(15))
    with pytest.raises(UsageError, match=r"lib/00\.so, .*lib/11\.so and 3 more cannot"):
        refuse_too_long(replace(manifest, relocations=many), "/" + "x" * 300)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda entry: replace(entry, offsets=(8, *entry.offsets[1:])), id="beside the place"),
        pytest.param(lambda entry: replace(entry, offsets=(*entry.offsets, 10**6)), id="behind the end"),
        pytest.param(lambda entry: replace(entry, sha256="0" * 64), id="another file"),
    ],
)
def test_places_that_are_none_are_refused(
    manifest: Manifest, tmp_path: Path, change: Callable[[Relocation], Relocation]
) -> None:
    """A manifest that says where the placeholder is must be right."""
    with pytest.raises(ArchiveRefusedError, match=r"lib/libtiny\.a does not hold the placeholder"):
        unpacked(with_entry(manifest, change), tmp_path / "e", "/srv/e")

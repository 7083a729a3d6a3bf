"""Directories that are several in an archive and one on disk are noticed; elsewhere they are what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from terrastore.archive.folding import collision
from terrastore.archive.reserved import is_bin, is_reserved
from tests.mounts import bind, own_mounts_or_skip, unmount

if TYPE_CHECKING:
    from pathlib import Path

PATHS = {"Lib/a", "lib/b", "lib/c/d", "top"}


def directories(root: Path) -> None:
    for path in ("Lib", "lib/c", ".terrastore"):
        (root / path).mkdir(parents=True)


def test_where_names_differ_in_case_they_are_several(tmp_path: Path) -> None:
    """On most disks nothing is in anything's way, and no probe is left."""
    directories(tmp_path)
    assert collision(str(tmp_path), ".terrastore", PATHS) is None
    assert [] == list((tmp_path / ".terrastore").iterdir())


def test_one_directory_of_two_names_is_noticed(tmp_path: Path) -> None:
    """As a filesystem that folds case has it: both names lead to one directory, and so do those of ours."""
    directories(tmp_path)
    (tmp_path / ".TERRASTORE").mkdir()
    assert collision(str(tmp_path), ".terrastore", PATHS) is None
    with own_mounts_or_skip():
        bind(tmp_path / "lib", tmp_path / "Lib")
        try:
            assert collision(str(tmp_path), ".terrastore", PATHS) == "lib"
        finally:
            unmount(tmp_path / "Lib")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pyvenv.cfg", True),
        ("PyVenv.CFG/x", True),
        ("pyvenv.c\u200dfg", True),
        ("\u2060.terrastore/state.json", True),
        ("bin/pytho\ufe0fn3", True),
        ("bin/PYTHON3.13t", True),
        ("bin/python-config", False),
        ("bin/pythön", False),
        ("lib/pyvenv.cfg", False),
        ("größe/環境", False),
    ],
)
def test_what_is_reserved_is_so_in_every_spelling(path: str, expected: bool) -> None:
    """Case, and characters that filesystems leave out when they compare names, make no difference."""
    assert expected is is_reserved(path)


@pytest.mark.parametrize(
    ("path", "expected"), [("bin", True), ("BIN", True), ("b\u200bin", True), ("bin/x", False), ("bim", False)]
)
def test_the_directory_of_interpreters_in_every_spelling(path: str, expected: bool) -> None:
    """It must not be a link, whatever a filesystem takes for it."""
    assert expected is is_bin(path)

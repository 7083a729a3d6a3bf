"""Files that ask for an environment come and go."""

from __future__ import annotations

import posixpath

import pytest

from terrastore.difference import file_differences

FILES: dict[str, tuple[dict[str, str], dict[str, str], list[str]]] = {
    "nothing": ({"/p/a.txt": "1"}, {"/p/a.txt": "1"}, []),
    "edited": ({"/p/a.txt": "1"}, {"/p/a.txt": "2"}, []),
    "added": ({"/p/a.txt": "1"}, {"/p/a.txt": "1", "/p/constraints.txt": "2"}, ["constraints.txt added"]),
    "dropped": ({"/p/a.txt": "1", "/p/constraints.txt": "2"}, {"/p/a.txt": "1"}, ["constraints.txt dropped"]),
    "another": ({"/p/a.txt": "1"}, {"/p/b.txt": "2"}, ["a.txt dropped", "b.txt added"]),
    "renamed": ({"/p/a.txt": "1"}, {"/p/b.txt": "1"}, []),
    "in another checkout": ({"/p/a.txt": "1"}, {"/q/a.txt": "2"}, []),
    "in another checkout, and added": (
        {"/p/a.txt": "1", "/p/b.txt": "2"},
        {"/q/a.txt": "1", "/q/b.txt": "3", "/q/c.txt": "4"},
        ["c.txt added"],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), FILES.values(), ids=FILES)
def test_files(before: dict[str, str], after: dict[str, str], expected: list[str]) -> None:
    """A file counts as another one when neither its path, its content nor its name was there."""
    assert expected == [each.phrase for each in file_differences(before, after, posixpath.basename)]

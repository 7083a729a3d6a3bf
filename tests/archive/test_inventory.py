"""What is kept of an archive's members, and what is found where nothing is kept."""

import os
from pathlib import Path

import pytest

from terrastore.archive import ustar
from terrastore.archive.inventory import Entry, walk

ENTRIES = {
    Entry("bin/x", "x", 3): ustar.Member("bin/x", ustar.REGULAR, 0o755, 3),
    Entry("lib/ä.py", "-", 0, 0): ustar.Member("lib/ä.py", ustar.REGULAR, 0o644, 0),
    Entry("lib64", "l", target="lib"): ustar.Member("lib64", ustar.SYMLINK, 0o777, 0, "lib"),
    Entry("include", "d"): ustar.Member("include", ustar.DIRECTORY, 0o755),
}


@pytest.mark.parametrize(("entry", "member"), ENTRIES.items(), ids=lambda each: str(each.path))
def test_an_entry_is_its_member(entry: Entry, member: ustar.Member) -> None:
    """It is what an archive has of it, to the last byte of its header."""
    assert member == entry.member()


def test_what_a_walk_finds(tmp_path: Path) -> None:
    """Files with their modes, links that are not followed, empty directories; not what binds it to its place."""
    for name in ("pyvenv.cfg", ".lock", ".terrastore/state.json", "bin/python", "bin/python3.11", "bin/tool", "lib/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("abc")
    (tmp_path / "bin/tool").chmod(0o755)
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "include").mkdir()
    os.mkfifo(tmp_path / "pipe")
    expected = {
        Entry("bin/tool", "x", 3),
        Entry("include", "d"),
        Entry("lib/a", "-", 3),
        Entry("lib64", "l", target="lib"),
        Entry("pipe", "?"),
    }
    assert expected == {entry for _, entry in walk(str(tmp_path))}

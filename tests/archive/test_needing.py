from __future__ import annotations

from typing import TYPE_CHECKING

from terrastore.archive.needing import needed_by, users

if TYPE_CHECKING:
    from pathlib import Path

SAYS = {
    "requests": ["urllib3<3,>=1.21.1", "PySocks!=1.5.7,>=1.5.6; extra == 'socks'", "chardet; extra == 'other'"],
    "client": ["requests[socks]>=2", "tomli; python_version < '3.11'", "requests>=2"],
    "urllib3": ["urllib3-extras", "not a requirement ==", "x; no_such == 'marker'"],
    "pysocks": [],
    "tomli": [],
    "chardet": [],
    "loop": ["loop[all]"],
}


def test_who_needs_what() -> None:
    """By normalised name; of extras those count that another package asks for, of markers those that hold."""
    assert {"pysocks": ["requests"], "requests": ["client"], "urllib3": ["requests"]} == {
        name: who for name, who in users(SAYS, "3.12.1", ()).items() if name in SAYS
    }


def test_markers_are_those_of_the_environments_python() -> None:
    """Not of the Python that looks."""
    assert ["client"] == users(SAYS, "3.9.2", ())["tomli"]


def test_extras_that_were_asked_for() -> None:
    """A requirement asks for one too."""
    assert "chardet" not in users(SAYS, "3.12.1", ())
    assert ["requests"] == users(SAYS, "3.12.1", ("requests[other]==2.32.3",))["chardet"]


def test_of_an_environment(tmp_path: Path) -> None:
    """METADATA of what is installed says it; a folder without it says nothing."""
    for name, needs in (("alpha", "Beta >=1"), ("beta", ""), ("gone", None)):
        info = tmp_path / f"lib/python3.12/site-packages/{name}-1.0.dist-info"
        info.mkdir(parents=True)
        if needs is not None:
            (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\nRequires-Dist: {needs}\n")
    assert {"beta": ["alpha"]} == needed_by(str(tmp_path), "3.12.1")

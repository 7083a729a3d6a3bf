"""Whether what builds a project is in an environment already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from terrastore.build.editing import Installed, build_requirements
from tests.requirements.shelf import MARKERS

if TYPE_CHECKING:
    from pathlib import Path

AT_URL = "setuptools @ https://x.example/setuptools.whl"
THERE = Installed(
    {
        "setuptools": "80.9.0",
        "hatchling": "1.27",
        "pluggy": "1.6",
        "scm": "8.0",
        "odd": "not a version",
        "broken": "1.0",
    },
    {
        "setuptools": [],
        "hatchling": ["pluggy>=1", "tomli>=1; python_version < '3.11'"],
        "pluggy": [],
        "scm": ["setuptools", "rich; extra == 'rich'", "hatchling; extra == 'hatch'"],
        "odd": [],
        "broken": ["pluggy", "absent>=2"],
    },
)


@pytest.mark.parametrize(
    ("lacking", "requirements"),
    [
        ([], []),
        ([], ["setuptools"]),
        ([], ["SetupTools[core]>=64"]),
        ([], ["setuptools>=64", "hatchling~=1.0"]),
        ([], ["scm[hatch]"]),
        ([], ["odd"]),
        ([], ["absent; python_version < '3'"]),
        (["wheel"], ["setuptools", "wheel"]),
        (["setuptools<80"], ["setuptools<80"]),
        (["rich"], ["scm[rich]"]),
        (["absent>=2"], ["broken"]),
        (["odd>=1"], ["odd>=1"]),
        ([str(Requirement(AT_URL))], [AT_URL]),
        (["no requirement at all"], ["no requirement at all"]),
    ],
)  # fmt: skip
def test_what_is_lacking(lacking: list[str], requirements: list[str]) -> None:
    """In name, version, extras and markers, down to what they need in turn; what cannot be judged is lacking."""
    assert lacking == THERE.lacks(requirements, MARKERS)


def test_a_circle_of_needs() -> None:
    """Packages that need each other are looked at once."""
    assert [] == Installed({"a": "1", "b": "1"}, {"a": ["b"], "b": ["a"]}).lacks(["a"], MARKERS)


@pytest.mark.parametrize(
    ("requires", "text"),
    [
        (["setuptools>=64"], None),
        (["setuptools>=64"], "[project]\nname = 'web'\n"),
        (["hatchling"], "[build-system]\nrequires = ['hatchling']\n"),
        ([], "[build-system]\nrequires = []\n"),
        (None, "[build-system]\nbuild-backend = 'x'\n"),
        (None, "[build-system]\nrequires = 'hatchling'\n"),
        (None, "[build-system]\nrequires = [1]\n"),
        (None, "build-system = 1\n"),
        (None, "no TOML"),
    ],
)
def test_what_builds_a_project(tmp_path: Path, requires: list[str] | None, text: str | None) -> None:
    """As pyproject.toml says (PEP 518), setuptools when it says nothing; None when nobody can tell."""
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    assert requires == build_requirements(str(tmp_path))


def test_what_is_installed(tmp_path: Path) -> None:
    """Names are normalised, needs are those that METADATA states."""
    info = tmp_path / "lib/python3.11/site-packages/Some.Thing-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Some.Thing\nVersion: 1.0\nRequires-Dist: beta\n\nbody\n"
    )
    assert Installed({"some-thing": "1.0"}, {"some-thing": ["beta"]}) == Installed.of(str(tmp_path))

"""What of a project that is to be edited is part of a key, and what only has it installed again."""

from __future__ import annotations

import pytest

from terrastore.requirements.editables import identity_of_project, installation_of_project
from terrastore.requirements.lines import LineError
from tests.requirements.shelf import Shelf, digest

STATIC = "[project]\nname = 'Web_Shop'\nversion = '1.0'\ndependencies = ['beta']\n"
POETRY = "[tool.poetry]\nname = 'web'\nversion = '1.0'\n[tool.poetry.dependencies]\nbeta = '^1'\n"


def identity(pyproject: str | None, *extras: str, setup: str | None = None) -> tuple[str, str]:
    files = {"web": "all of its content", "web/pyproject.toml": pyproject, "web/setup.py": setup}
    shelf = Shelf({path: text for path, text in files.items() if text is not None})
    return identity_of_project(shelf, "web", extras)


@pytest.mark.parametrize(
    "other",
    [
        STATIC.replace("1.0", "2.0"),
        STATIC + "[project.scripts]\nweb = 'web:main'\n",
        STATIC + "[tool.ruff]\nline-length = 120\n",
        STATIC.replace("Web_Shop", "web-shop"),
        STATIC.replace("version = '1.0'", "dynamic = ['version']"),
        "[build-system]\nrequires = ['flit-core']\n" + STATIC,
    ],
    ids=["version", "scripts", "tools", "spelling", "a version that is computed", "backend"],
)
def test_what_keeps_the_environment(other: str) -> None:
    """Whatever is not what the project needs."""
    assert identity(STATIC) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STATIC, STATIC.replace("beta", "beta>=1")),
        (STATIC, STATIC + "[project.optional-dependencies]\nmore = ['alpha']\n"),
        (STATIC, STATIC.replace("version = '1.0'", "version = '1.0'\nrequires-python = '>=3.11'")),
        (STATIC, STATIC + "[tool.uv.sources]\nbeta = {url = 'https://x.example/beta.whl'}\n"),
        (STATIC, STATIC + "[[tool.uv.index]]\nurl = 'https://x.example/simple'\n"),
        (STATIC, STATIC.replace("Web_Shop", "other")),
        (POETRY, POETRY.replace("^1", "^2")),
        (POETRY, POETRY + "[tool.poetry.extras]\nmore = ['beta']\n"),
    ],
    ids=[
        "needs", "extras", "Python", "sources of uv", "indexes of uv", "name", "needs in Poetry", "extras in Poetry",
    ],
)  # fmt: skip
def test_what_is_another_key(one: str, other: str) -> None:
    """What decides which packages the project brings along."""
    assert identity(one) != identity(other)


def test_extras_count() -> None:
    """Which ones are asked for."""
    assert identity(STATIC, "one") != identity(STATIC, "two")


@pytest.mark.parametrize(
    ("name", "pyproject"), [("web-shop", STATIC), ("web", POETRY)], ids=["of the standard", "of Poetry"]
)
def test_needs_that_are_stated(name: str, pyproject: str) -> None:
    """The project's name, and a digest of what it needs."""
    found, digest_of_needs = identity(pyproject)
    assert (name, "needs:") == (found, digest_of_needs[:6])


@pytest.mark.parametrize(
    "pyproject",
    [
        None,
        "no TOML",
        "[build-system]\nrequires = ['setuptools']\n",
        "project = 1\n",
        "[project]\nname = 1\n",
        STATIC.replace("dependencies = ['beta']", "dynamic = ['dependencies']"),
        STATIC + "dynamic = ['optional-dependencies']\n",
        STATIC + "dynamic = 'version'\n",
        POETRY + "gamma = {path = '../gamma', develop = true}\n",
        POETRY + "gamma = [{path = '../gamma'}]\n",
    ],
    ids=[
        "setup.py alone", "no TOML", "no project", "project no table", "no name", "computed needs", "computed extras",
        "malformed", "directories in Poetry", "one of several in Poetry",
    ],
)  # fmt: skip
def test_needs_that_nobody_knows(pyproject: str | None) -> None:
    """All of its content counts."""
    assert ("directory", f"sha256:{digest(b'all of its content')}") == identity(pyproject, setup="")


def test_no_project() -> None:
    """A directory that no tool could build is refused, and says what it lacks."""
    with pytest.raises(LineError, match=r"^web is no project: it has neither pyproject.toml, setup.py nor setup.cfg$"):
        identity_of_project(Shelf({"web": ""}), "web", ())


def test_what_installs_it_again() -> None:
    """What its installation is made from: all files of the build, and the extras, but not the code."""
    files = {"web/pyproject.toml": STATIC, "web/setup.py": "", "web/web.py": "1"}
    first = installation_of_project(Shelf(files), "web", ())
    assert first == installation_of_project(Shelf(files | {"web/web.py": "2"}), "web", ())
    others = [
        files | {"web/pyproject.toml": STATIC + "\n"},
        files | {"web/setup.py": "x"},
        files | {"web/setup.cfg": "[options]"},
    ]
    found = {installation_of_project(Shelf(other), "web", ()) for other in others}
    found.add(installation_of_project(Shelf(files), "web", ("more",)))
    assert 4 == len(found - {first})

"""Files that -r takes are told apart by their names; those of other tools are refused with what to run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements.documents import (
    Choice,
    is_document,
    is_lock,
    project_beside,
    project_line,
    requirement_lines,
)
from terrastore.requirements.files import read_requirements
from tests.requirements.shelf import Shelf
from tests.requirements.test_pylock import ANY, CHOSEN, DIRECT, TARGET, A, lock, package

PYPROJECT = '[project]\nname = "web"\ndependencies = ["one"]\n[dependency-groups]\ndev = ["two"]\n'
NOTHING = Choice()


@pytest.mark.parametrize(
    ("path", "locked", "document"),
    [
        ("pylock.toml", True, True),
        ("a/pylock.deploy.toml", True, True),
        ("uv.lock", True, True),
        ("../pyproject.toml", False, True),
        ("pylock.a.b.toml", False, False),
        ("my-pylock.toml", False, False),
        ("requirements.txt", False, False),
    ],
)
def test_names(path: str, locked: bool, document: bool) -> None:
    """A name says what a file is (PEP 751)."""
    assert (locked, document) == (is_lock(path), is_document(path))


@pytest.mark.parametrize("path", ["requirements.txt", "requirements.in", "pylock.a.b.toml", "lock.toml"])
def test_other_files(path: str) -> None:
    """They are requirements files."""
    assert requirement_lines(path, b"", reader=Shelf({}), target=TARGET, choice=NOTHING) is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("poetry.lock", "poetry export -f requirements.txt -o requirements.txt, of poetry-plugin-export"),
        ("Pipfile.lock", "pipenv requirements --hash > requirements.txt"),
        ("Pipfile", "pipenv requirements --hash > requirements.txt"),
        ("pdm.lock", "pdm export -f pylock -o pylock.toml"),
        ("conda-lock.yml", "conda"),
        ("environment.yml", "conda"),
        ("environment.yaml", "conda"),
        ("pixi.lock", "conda"),
        ("setup.py", "--project"),
        ("setup.cfg", "--project"),
    ],
)
def test_files_of_other_tools(name: str, hint: str) -> None:
    """They are not read as requirements: the hint names what exports them."""
    with pytest.raises(RequirementsError) as raised:
        requirement_lines(f"web/{name}", b"", reader=Shelf({}), target=TARGET, choice=NOTHING)
    assert f"web/{name} cannot be read" in raised.value.message
    assert hint in raised.value.hint


READ = {
    "pylock.toml": (CHOSEN.decode(), Choice(groups=("docs",)), ["base==1 ", "docs==1 ", "plain==1 "]),
    "pyproject.toml": (PYPROJECT, Choice(groups=("dev",)), ["one", "two"]),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("way", ["named", "included"])
def test_read(name: str, way: str) -> None:
    """Named by -r, or by a line -r of a requirements file, they ask for what they list; every file counts as read."""
    text, choice, expected = READ[name]
    shelf = Shelf({f"web/{name}": text, "web/all.txt": f"-r {name}\n"})
    files = [f"web/{name}" if way == "named" else "web/all.txt"]
    found = read_requirements(files, (), reader=shelf, target=TARGET, variables={}, choice=choice)
    assert len(expected) == len(found.requirements)
    assert all(line.startswith(start) for start, line in zip(expected, found.requirements, strict=True))
    assert f"web/{name}" in {source.path for source in found.sources}


def test_no_constraints() -> None:
    """A lock is no list of constraints."""
    shelf = Shelf({"pylock.toml": lock()})
    with pytest.raises(RequirementsError, match=r"pylock\.toml is no file of constraints"):
        read_requirements((), ["pylock.toml"], reader=shelf, target=TARGET, variables={})


def test_a_lock_is_the_same_wherever_it_stands() -> None:
    """Neither its order nor its place is in what it comes to, nor the place of what it names by path."""
    wheel = {"path": "one-1.0-py3-none-any.whl", "hashes": {"sha256": A}}
    other = package("two", {"path": "two-1.0-py3-none-any.whl", "hashes": {"sha256": A}})
    found = []
    for place, packages in (
        ("/a", [DIRECT | {"wheels": [wheel]}, other]),
        ("/b/c", [other, DIRECT | {"wheels": [wheel]}]),
    ):
        shelf = Shelf(
            {
                f"{place}/pylock.toml": lock(*packages),
                f"{place}/one-1.0-py3-none-any.whl": "1",
                f"{place}/two-1.0-py3-none-any.whl": "2",
            }
        )
        read = read_requirements([f"{place}/pylock.toml"], (), reader=shelf, target=TARGET, variables={})
        found.append(read.requirements)
    assert found[0] == found[1]
    assert 2 == len(found[0])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["requirements.txt"], "pyproject.toml"),
        (["requirements.txt", "web/uv.lock"], "web/pyproject.toml"),
        (["/srv/web/pyproject.toml"], "/srv/web/pyproject.toml"),
    ],
)
def test_which_project_is_meant(files: list[str], expected: str) -> None:
    """That of the first lock or project, else the one here."""
    assert expected == project_beside(files)


def test_the_project_itself() -> None:
    """It comes besides, by its content; beside hashes, which a directory has none of, they are not demanded."""
    shelf = Shelf({"/web/pylock.toml": lock(package("one", ANY)), "/web/pyproject.toml": PYPROJECT, "/web": "content"})
    said: list[str] = []
    found = read_requirements(
        ["/web/pylock.toml"],
        (),
        reader=shelf,
        target=TARGET,
        variables={},
        choice=Choice(project=True),
        hear=lambda each: said.append(each.text),
    )
    assert [f"one==1.0 --hash=sha256:{A}", "--no-require-hashes", "web @ file:///web"] == said
    assert found.requirements[1].startswith("web @ sha256:")
    assert {"/web/pylock.toml", "/web/pyproject.toml"} == {source.path for source in found.sources}


def test_an_old_project() -> None:
    """setup.py will do; without either there is no project."""
    assert "./web[a]" == project_line(
        "web/pyproject.toml", reader=Shelf({"web/setup.py": ""}), choice=Choice(extras=("a",))
    )
    with pytest.raises(RequirementsError, match="there is no project in web"):
        project_line("web/pyproject.toml", reader=Shelf({}), choice=NOTHING)


def test_what_a_line_says_is_told_with_the_file() -> None:
    """A line that cannot be used is told with the lock's name."""
    data = lock(DIRECT | {"wheels": [{"path": "one-1.0-py3-none-any.whl", "hashes": {"sha256": A}}]})
    with pytest.raises(RequirementsError, match=r"^web/pylock\.toml: 'one @ file:///.*' cannot be used: ") as raised:
        read_requirements(["web/pylock.toml"], (), reader=Shelf({"web/pylock.toml": data}), target=TARGET, variables={})
    assert raised.value.hint


def test_a_lock_far_away() -> None:
    """What a lock names beside it must be on this machine as the lock is."""
    data = lock(DIRECT | {"directory": {"path": "."}})
    url = "https://a.example/pylock.toml"
    with pytest.raises(RequirementsError, match="which is not on this machine") as raised:
        requirement_lines(url, data, reader=Shelf({}), target=TARGET, choice=NOTHING)
    assert "download all of it" in raised.value.hint
    with pytest.raises(RequirementsError, match="is not on this machine"):
        requirement_lines("https://a.example/uv.lock", b"", reader=Shelf({}), target=TARGET, choice=NOTHING)
    with pytest.raises(RequirementsError, match="is not on this machine"):
        project_line("https://a.example/pyproject.toml", reader=Shelf({}), choice=NOTHING)


def test_markers_are_of_the_target() -> None:
    """Another interpreter gets another selection of the same lock."""
    newer = TARGET._replace(markers={**TARGET.markers, "python_version": "3.12", "python_full_version": "3.12.1"})
    data = lock(package("one", ANY, marker="python_version >= '3.12'"))
    counts = [
        len(requirement_lines("pylock.toml", data, reader=Shelf({}), target=target, choice=NOTHING) or ())
        for target in (TARGET, newer)
    ]
    assert [0, 1] == counts


def test_plain_files_load_none_of_it() -> None:
    """Who has requirements files waits for no module of locks."""
    program = """
import sys
from terrastore.requirements import read_requirements
from terrastore.inputs import Inputs
print([name for name in sys.modules if name in {"packaging.pylock", "packaging.dependency_groups"}
    or name.startswith("terrastore.requirements.") and name.split(".")[-1] in {"pylock", "project", "uv_lock", "toml"}])
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()

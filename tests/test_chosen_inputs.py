"""Lock files and projects on the command line: which are taken, and what is wanted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from terrastore.errors import RequirementsError, UsageError
from terrastore.inputs import PIP, UV, Inputs
from tests.requirements.test_pylock import ANY, DIRECT, MAIN, A, lock, package

if TYPE_CHECKING:
    from pathlib import Path

PYPROJECT = '[project]\nname = "web"\ndependencies = ["one"]\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty directory, on a machine without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("PIP_CONFIG_FILE", "UV_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


ALL = ("requirements.txt", "pylock.toml", "uv.lock", "pyproject.toml")


@pytest.mark.parametrize(
    ("there", "inputs", "expected"),
    [
        pytest.param(ALL, Inputs(), "requirements.txt", id="requirements first"),
        pytest.param(ALL[1:], Inputs(), "pylock.toml", id="then a lock"),
        pytest.param(ALL[2:], Inputs(), "uv.lock", id="then uv's"),
        pytest.param(ALL[3:], Inputs(), "pyproject.toml", id="then the project"),
        pytest.param(ALL, Inputs(extras=("x",)), "pylock.toml", id="with extras a lock first"),
        pytest.param(ALL[2:], Inputs(groups=("x",)), "uv.lock", id="with groups uv's"),
        pytest.param((ALL[0], ALL[3]), Inputs(project=True), "pyproject.toml", id="with the project its own file"),
        pytest.param(ALL[:1], Inputs(project=True), "requirements.txt", id="an old project's requirements"),
        pytest.param(ALL, Inputs(requirements=("uv.lock",)), "uv.lock", id="what is named"),
    ],
)
def test_which_is_taken(here: Path, there: tuple[str, ...], inputs: Inputs, expected: str) -> None:
    """Without -r the first that is there."""
    for name in there:
        (here / name).touch()
    assert (expected,) == inputs.files


def test_nothing_is_there() -> None:
    """Then requirements.txt is asked for."""
    with pytest.raises(RequirementsError, match=r"there is no requirements\.txt here") as raised:
        _ = Inputs(groups=("dev",)).files
    assert "-r FILE" in raised.value.hint


@pytest.mark.parametrize(
    ("inputs", "option"),
    [(Inputs(extras=("x",)), "--extra x: .* has no extras"), (Inputs(groups=("x",)), "--group x: .* has no groups")],
)
def test_requirements_files_have_none(here: Path, inputs: Inputs, option: str) -> None:
    """Who names an extra or a group must name what has some."""
    (here / "requirements.txt").touch()
    with pytest.raises(UsageError, match=option) as raised:
        inputs.request()
    assert "pyproject.toml" in raised.value.hint


@pytest.mark.parametrize("installer", [PIP, UV])
def test_a_lock_is_all_that_is_installed(here: Path, installer: str) -> None:
    """Nothing is resolved; hashes are demanded of all, and then it does not matter where the files are found."""
    (here / "pylock.toml").write_bytes(lock(package("one", ANY)))
    request, said = Inputs(installer=installer).read()
    assert (f"one==1 --hash=sha256:{A}",) == request.requirements.requirements
    assert {"no-deps": True, "require-hashes": True} == request.resolution
    assert said.no_deps
    (here / "requirements.txt").write_text("two\n")
    request, said = Inputs(installer=installer, requirements=("pylock.toml", "requirements.txt")).read()
    assert "no-deps" not in request.resolution
    assert not said.no_deps


def index_lines(inputs: Inputs) -> list[str]:
    """Return where the installer is told to look."""
    _, said = inputs.read()
    if inputs.installer == PIP:
        return [line for line in said.options() if "index" in line]  # type: ignore[union-attr]
    return said.places.get("UV_INDEX_URL", [])  # type: ignore[union-attr]


@pytest.mark.parametrize("installer", [PIP, UV])
def test_the_index_of_a_lock(here: Path, monkeypatch: pytest.MonkeyPatch, installer: str) -> None:
    """It is asked when nobody names one; who names one may have a mirror of it."""
    (here / "pylock.toml").write_bytes(lock(package("one", ANY)))
    option = "--index-url " if installer == PIP else ""
    assert [f"{option}{MAIN}"] == index_lines(Inputs(installer=installer))
    mirror = "https://mirror.example/simple"
    assert [f"{option}{mirror}"] == index_lines(Inputs(installer=installer, index_url=mirror))
    monkeypatch.setenv(f"{installer.upper()}_INDEX_URL", mirror)
    assert MAIN not in "".join(index_lines(Inputs(installer=installer)))


def test_the_project_counts_by_content(here: Path) -> None:
    """Another content is another key; another place is not."""
    found = []
    for place, content in (("a", "1"), ("b c", "1"), ("d", "2")):
        (here / place).mkdir()
        (here / place / "web.py").write_text(content)
        (here / place / "pyproject.toml").write_text(PYPROJECT)
        requirements = Inputs(requirements=(f"{place}/pyproject.toml",), project=True).request().requirements
        assert ["one", "web"] == [line.split(" ")[0] for line in requirements.requirements]
        found.append(requirements.requirements)
    assert found[0] == found[1] != found[2]


def test_a_project_without_one(here: Path) -> None:
    """Where there is no project there is none to install."""
    (here / "requirements.txt").touch()
    with pytest.raises(RequirementsError, match="there is no project in this directory"):
        Inputs(project=True).request()


def test_hashes_cannot_be_demanded_of_directories(here: Path) -> None:
    """Who demands them all the same is told."""
    wheel = ANY | {"url": f"file://{here}/{ANY['name']}"}
    (here / str(ANY["name"])).touch()
    (here / "lib").mkdir()
    (here / "lib/pyproject.toml").touch()
    directory = {"name": "two", "directory": {"path": "lib"}}
    (here / "pylock.toml").write_bytes(lock(DIRECT | {"wheels": [wheel]}, directory))
    Inputs().request()
    with pytest.raises(RequirementsError, match=r"pylock\.toml: '--no-require-hashes' cannot be used: .*contradict"):
        Inputs(require_hashes=True).request()

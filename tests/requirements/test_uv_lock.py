"""Locks of uv, written and exported by uv itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore import interpreter
from terrastore.errors import RequirementsError, UsageError
from terrastore.requirements import Disk
from terrastore.requirements.documents import Choice, requirement_lines
from terrastore.requirements.target import Target
from tests.conftest import make_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

UV = os.path.join(sysconfig.get_path("scripts"), "uv")
PYPROJECT = """
[project]
name = "Web.App"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["alpha ; python_version >= '3.9'", "core", "only-here ; sys_platform == 'win32'"]

[project.optional-dependencies]
fast = ["clash-a==1.0"]

[dependency-groups]
dev = ["clash-b"]
all = [{include-group = "dev"}]

[build-system]
requires = []
build-backend = "backend"

[tool.uv]
no-index = true
find-links = ["../wheels"]

[tool.uv.workspace]
members = ["libs/*"]

[tool.uv.sources]
core = { workspace = true }
"""
MEMBER = """
[project]
name = "core"
version = "1.0"
dependencies = ["beta"]

[build-system]
requires = []
build-backend = "backend"
"""


@dataclass(frozen=True)
class Project:
    """A project with a lock."""

    root: Path
    target: Target

    def edit(self, old: str, new: str, name: str = "pyproject.toml") -> None:
        path = self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def lines(self, *, extras: Sequence[str] = (), groups: Sequence[str] = ()) -> list[str]:
        path, choice = str(self.root / "uv.lock"), Choice(extras=tuple(extras), groups=tuple(groups))
        data = Path(path).read_bytes()
        return list(requirement_lines(path, data, reader=Disk(), target=self.target, choice=choice) or ())


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """Return a directory with a locked project and the wheels that it is locked to."""
    folder = tmp_path_factory.mktemp("locked")
    shutil.copytree(wheels, folder / "wheels")
    make_wheel(folder / "wheels", "only_here", "1.0", {"only_here.py": ""})
    (folder / "web/libs/core").mkdir(parents=True)
    (folder / "web/pyproject.toml").write_text(PYPROJECT)
    (folder / "web/libs/core/pyproject.toml").write_text(MEMBER)
    env = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    subprocess.run([UV, "lock", "--quiet", "--no-cache"], cwd=folder / "web", env=env, check=True)
    return folder


@pytest.fixture
def project(locked: Path, tmp_path: Path) -> Project:
    """Return a project of its own."""
    shutil.copytree(locked, tmp_path / "all")
    python = interpreter.find(None)
    return Project(tmp_path / "all/web", Target(markers=python.markers, tags=python.tags))


def names(lines: Sequence[str]) -> list[str]:
    return [line.split(" ")[0] for line in lines if not line.startswith("--")]


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        pytest.param({}, ["alpha", "beta", "core"], id="without groups that develop"),
        pytest.param({"extras": ["Fast"]}, ["alpha", "beta", "clash-a", "core"], id="an extra"),
        pytest.param({"groups": ["dev"]}, ["alpha", "beta", "clash-b", "core"], id="a group"),
        pytest.param(
            {"groups": ["all"], "extras": ["fast"]}, ["alpha", "beta", "clash-a", "clash-b", "core"], id="both"
        ),
    ],
)
def test_selected(project: Project, selected: dict[str, list[str]], expected: list[str]) -> None:
    """What uv would install, without the project itself, and of groups those that are named."""
    assert expected == names(project.lines(**selected))


def test_lines(project: Project) -> None:
    """Files by their own hash, members of the workspace by path and not to be edited."""
    root = project.root
    option, alpha, _, core = project.lines()
    assert "--no-require-hashes" == option
    assert f"alpha @ {(root.parent / 'wheels/alpha-2.0-py3-none-any.whl').as_uri()} --hash=sha256:" == alpha[:-64]
    assert f"core @ {(root / 'libs/core').as_uri()}" == core


def test_nothing_is_written(project: Project) -> None:
    """Reading a lock leaves the project as it is, though it may not be written."""
    before = sorted(str(path) for path in project.root.rglob("*"))
    project.lines()
    assert before == sorted(str(path) for path in project.root.rglob("*"))


@pytest.mark.parametrize("name", ["UV_INDEX_URL", "UV_FROZEN", "UV_NO_DEFAULT_GROUPS", "UV_PROJECT", "UV_CONFIG_FILE"])
def test_settings_have_no_say(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """All is decided in the lock: not even a broken setting of uv is heard."""
    expected = project.lines()
    monkeypatch.setenv(name, "/nowhere")
    assert expected == project.lines()


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        pytest.param('["alpha ;', '["beta", "alpha ;', "beta", id="one more"),
        pytest.param("\"only-here ; sys_platform == 'win32'\"", "", "only-here", id="one less"),
        pytest.param("clash-a==1.0", "clash-a==2.0", "clash-a", id="another version"),
        pytest.param('fast = ["clash-a==1.0"]', "", "clash-a", id="an extra less"),
    ],
)
def test_a_stale_lock(project: Project, old: str, new: str, changed: str) -> None:
    """A lock that is not of what the project asks for now is refused, and what changed is named."""
    project.edit(old, new)
    with pytest.raises(RequirementsError, match=f"is not of this pyproject.toml: {changed} was changed") as raised:
        project.lines()
    assert "run uv lock" == raised.value.hint


def test_a_stale_group(project: Project) -> None:
    """Of groups those that are wanted are looked at."""
    project.edit('dev = ["clash-b"]', 'dev = ["clash-b>=1"]')
    assert ["alpha", "beta", "core"] == names(project.lines())
    with pytest.raises(RequirementsError, match="clash-b was changed"):
        project.lines(groups=["all"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("Web.App", "web-app", id="the name's spelling"),
        pytest.param('"clash-a==1.0"', '"Clash_A == 1.0"', id="a requirement's spelling"),
        pytest.param("python_version >= '3.9'", "python_version>='3.9'", id="a marker's spelling"),
        pytest.param('version = "1.0"', 'version = "1.1"', id="the version"),
    ],
)
def test_a_fresh_lock(project: Project, old: str, new: str) -> None:
    """What asks for the same is not stale."""
    project.edit(old, new)
    assert ["alpha", "beta", "core"] == names(project.lines())


def test_dynamic_dependencies(project: Project) -> None:
    """What only a build knows is taken as it is locked."""
    before = project.lines()
    text = (project.root / "pyproject.toml").read_text()
    kept = text[: text.index("dependencies = [")] + text[text.index("[dependency-groups]") :]
    (project.root / "pyproject.toml").write_text(
        kept.replace('version = "1.0"', 'version = "1.0"\ndynamic = ["dependencies", "optional-dependencies"]')
    )
    assert before == project.lines()


def test_another_interpreter(project: Project) -> None:
    """The lock says which Python it is for."""
    project.edit('requires-python = ">=3.9"', 'requires-python = ">=3.99"', "uv.lock")
    with pytest.raises(RequirementsError, match=r"uv\.lock is for Python >=3\.99, and this is "):
        project.lines()


WRONG = {
    "an extra that is not there": (
        {"extras": ["x"]},
        "extra `x` is not defined",
        "it has extras fast and groups all, dev",
    ),
    "a group that is not there": (
        {"groups": ["x"]},
        "group `x` is not defined",
        "it has extras fast and groups all, dev",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_no_such_name(project: Project, case: str) -> None:
    """uv's message in one line, and those that there are."""
    selected, message, hint = WRONG[case]
    with pytest.raises(RequirementsError) as raised:
        project.lines(**selected)
    assert f"{project.root}/uv.lock cannot be exported by uv: {message}" in raised.value.message
    assert hint == raised.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("version = [", "is not TOML", id="no TOML"),
        pytest.param("package = 1", "is no lock of uv: package is no list of tables", id="no packages"),
        pytest.param("package = [1]", "is no lock of uv: package is no list of tables", id="odd packages"),
        pytest.param(
            "version = 99\nrevision = 1\nrequires-python = '>=3.9'", "cannot be exported by uv", id="a later version"
        ),
        pytest.param(
            '[[package]]\nname = "web-app"\nsource = { editable = "." }\nmetadata = 1',
            "metadata is no table",
            id="odd metadata",
        ),
        pytest.param(
            '[[package]]\nname = "web-app"\nsource = { editable = "." }\n[package.metadata]\nrequires-dist = [1]',
            "makes no sense",
            id="odd requirements",
        ),
    ],
)
def test_broken_locks(project: Project, text: str, message: str) -> None:
    """They are refused by name, in one line."""
    (project.root / "uv.lock").write_text(text)
    with pytest.raises(RequirementsError) as raised:
        project.lines()
    assert raised.value.message.startswith(f"{project.root}/uv.lock")
    assert message in raised.value.message
    assert "\n" not in raised.value.message
    assert raised.value.hint


def test_a_lock_alone(project: Project) -> None:
    """The project must be beside it."""
    (project.root / "pyproject.toml").unlink()
    with pytest.raises(
        RequirementsError, match=r"pyproject\.toml, the project of .*uv\.lock, cannot be read: no such file"
    ):
        project.lines()


def test_without_uv(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uv is not, the hint says how to get it, or how to do without."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sysconfig.get_path", lambda _: "/nowhere")
    with pytest.raises(UsageError, match="uv is not installed") as raised:
        project.lines()
    assert "install 'terrastore[uv]' in place of terrastore" in raised.value.hint
    assert "uv export --frozen --format pylock.toml -o pylock.toml" in raised.value.hint


def test_an_index_without_hashes(project: Project) -> None:
    """What has no hash is not downloaded to make one up."""
    project.edit('path = "', 'url = "https://a.example/', "uv.lock")
    project.edit('registry = "../wheels"', 'registry = "https://a.example/simple"', "uv.lock")
    with pytest.raises(RequirementsError) as raised:
        project.lines()
    assert "uv.lock" in raised.value.message
    assert "uv export --format pylock.toml" in raised.value.hint

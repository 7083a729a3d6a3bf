"""What ``import terrastore`` offers to other programs: three lines, typed, silent, and quick to import."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import terrastore
from terrastore import Progress, TerrastoreError
from terrastore.errors import NotInStoreError, RequirementsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine


@pytest.fixture
def project(stored: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Return a project whose environment is in its store; this process is in it, with its variables."""
    monkeypatch.chdir(stored.cwd)
    for name in ("HOME", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, stored.env[name])
    # What settings say does not count.
    stored.write("terrastore.toml", 'target = "elsewhere"\nno-build = true\n')
    monkeypatch.setenv("TERRASTORE_TARGET", "elsewhere")
    return stored


def test_three_lines(project: CommandLine, capfd: pytest.CaptureFixture[str]) -> None:
    """The environment is there, and what came of it is told as the command line tells it; nothing is printed."""
    store = str(project.store)
    outcome = terrastore.ensure("requirements.txt", target="env", store=store, cache_dir=project.cache)
    assert ("fetched", str(project.cwd / "env"), store) == (outcome.outcome, outcome.target, outcome.store)
    assert outcome.key.text == project.ok("key", TERRASTORE_TARGET="").out.strip()
    assert outcome.bytes_fetched > 0
    again = terrastore.ensure(target=project.cwd / "env", store=store, cache_dir=project.cache)
    assert "kept" == again.outcome
    assert isinstance(again, terrastore.Outcome)
    assert isinstance(again.key, terrastore.EnvKey)
    assert ("", "") == capfd.readouterr()
    program = [str(project.cwd / "env/bin/alpha")]
    assert "alpha 1.0\n" == subprocess.run(program, capture_output=True, text=True, check=True).stdout


def test_what_is_replaced_is_removed(project: CommandLine) -> None:
    """As the command line does; with ``backup`` it stays."""
    stores = [str(project.cwd / "nearer"), str(project.store)]
    (project.cwd / "nearer").mkdir()
    ensure = partial(terrastore.ensure, target="env", store=stores, cache_dir=project.cache)
    ensure()
    outcome = ensure(salt="other")
    assert ("built", None) == (outcome.outcome, outcome.retired)
    assert [] == [path.name for path in project.cwd.iterdir() if path.name.startswith(".env")]
    ensure(backup=True)
    assert (project.cwd / "env.bak").is_dir()


def test_releases(project: CommandLine) -> None:
    """They stand side by side, and the link leads to the one that was asked for last."""
    ensure = partial(terrastore.ensure, store=str(project.store), cache_dir=project.cache)
    first = ensure(link=project.cwd / "current")
    assert first.target == f"{project.cwd}/releases/{first.key.text}"
    second = ensure(link="current", releases="releases", salt="other")
    assert (True, True) == (first.switched, second.switched)
    assert second.target == str((project.cwd / "current").resolve())
    assert {first.key.text, second.key.text} == {path.name for path in (project.cwd / "releases").iterdir()}


@pytest.mark.parametrize("said", [{"target": "env", "link": "current"}, {"releases": "releases"}])
def test_places_that_contradict_each_other(project: CommandLine, said: dict[str, Any]) -> None:
    """They are refused before anything is done."""
    with pytest.raises(UsageError, match="link"):
        terrastore.ensure(store=str(project.store), cache_dir=project.cache, **said)
    assert ["requirements.txt", "terrastore.toml"] == sorted(path.name for path in project.cwd.iterdir())


def test_progress(project: CommandLine) -> None:
    """Phases begin, move and end, and a miss is a remark; all of it one call at a time."""
    heard: list[Progress] = []
    store = terrastore.open_store(str(project.store))
    terrastore.ensure(
        ["requirements.txt"], target="env", store=store, cache_dir=project.cache, salt="x", progress=heard.append
    )
    phases = [each for each in heard if each.kind == "phase"]
    names = [each.text for each in phases]
    assert {"pack", "publish"} <= set(names)
    for name in set(names):
        own = [each for each in phases if each.text == name]
        assert own[-1].is_over
        assert not own[0].is_over
        assert [each.done for each in own] == sorted(each.done for each in own)
    assert any(each.kind == "remark" and each.text.startswith("miss ") for each in heard)


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        pytest.param(NotInStoreError, {"salt": "x", "build": False}, id="a miss"),
        pytest.param(RequirementsError, {"requirements": "none.txt"}, id="no file"),
        pytest.param(UsageError, {"store": "ftp://example"}, id="no store"),
        pytest.param(TypeError, {"colour": "blue"}, id="no option"),
    ],
)
def test_what_goes_wrong_is_raised(project: CommandLine, expected: type[Exception], options: dict[str, Any]) -> None:
    """Errors are those of terrastore, with a hint and the command line's exit code; a typing error is Python's."""
    given: dict[str, Any] = {"store": str(project.store), "cache_dir": project.cache}
    with pytest.raises(expected) as raised:
        terrastore.ensure(target="env", **given | options)
    if isinstance(raised.value, TerrastoreError):
        assert raised.value.hint
        assert raised.value.exit_code
    assert not (project.cwd / "env").exists()


def test_the_default_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one in the user's data folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert f"{tmp_path}/.local/share/terrastore/store" == str(terrastore.open_store())


def test_importing_costs_nothing() -> None:
    """What is public is imported when it is asked for, and all of it is there."""
    program = (
        "import sys; before = set(sys.modules); import terrastore;"
        "print(sorted(name for name in set(sys.modules) - before if name.startswith('terrastore')));"
        "public = terrastore.__all__;"
        "print(set(public) <= set(dir(terrastore)), all(hasattr(terrastore, name) for name in public))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "['terrastore']\nTrue True\n" == told
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        terrastore.nothing  # noqa: B018

"""Settings come from files, the stronger after the weaker; what is wrong with one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from terrastore.errors import UsageError
from terrastore.settings import SettingsFile, files, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("store", "index_url", "extra_index_url", "no_index", "pre", "wait")
PROJECT = ("tool", "terrastore")


def settings(folder: Path, *texts: str) -> dict[str, Any]:
    """Return the settings of files with these texts, the weakest first."""
    paths = [folder / f"{number}.toml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return read([SettingsFile(str(path)) for path in paths], lambda: NAMES)


def refused(path: Path, data: str | bytes, table: tuple[str, ...] = ()) -> UsageError:
    """Return the error for a file with this content; it names the file."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(UsageError) as raised:
        read([SettingsFile(str(path), table)], lambda: NAMES)
    assert str(path) in raised.value.message
    return raised.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param('store = "s3://one"', {"store": "s3://one"}, id="a text"),
        pytest.param("wait = 600", {"wait": 600}, id="a number"),
        pytest.param("pre = true", {"pre": True}, id="a choice"),
        pytest.param('extra-index-url = ["a", "b"]', {"extra_index_url": ["a", "b"]}, id="a list"),
        pytest.param("no-index = true", {"no_index": True}, id="hyphens"),
        pytest.param("no_index = true", {"no_index": True}, id="underscores"),
    ],
)
def test_values(tmp_path: Path, text: str, expected: dict[str, Any]) -> None:
    """A setting has the name of its option, and a value of TOML."""
    assert expected == settings(tmp_path, text)


def test_later_files_beat_earlier(tmp_path: Path) -> None:
    """The last file that says something of a setting is heard; what only a weaker one says stays."""
    found = settings(
        tmp_path,
        'store = "first"\nwait = 1\npre = true\n',
        'store = "second"\nwait = 2\n',
        'store = "third"\n',
    )
    assert {"store": "third", "wait": 2, "pre": True} == found


def test_spelling_does_not_matter_between_files(tmp_path: Path) -> None:
    """Hyphens in one file and underscores in another are the same setting."""
    assert {"index_url": "b"} == settings(tmp_path, 'index-url = "a"', 'index_url = "b"')


def test_missing_files_are_fine(tmp_path: Path) -> None:
    """A file that is not there says nothing, and neither does one below a file."""
    (tmp_path / "file").touch()
    assert {} == read(
        [SettingsFile(f"{tmp_path}/nowhere.toml"), SettingsFile(f"{tmp_path}/file/x.toml")], lambda: NAMES
    )
    assert {} == read([], lambda: NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="empty"),
        pytest.param('[project]\nname = "one"\nstore = "wrong"\n', {}, id="no tools"),
        pytest.param('[tool.other]\nstore = "wrong"\nunknown = 1\n', {}, id="other tools"),
        pytest.param("[tool.terrastore]\n", {}, id="an empty table"),
        pytest.param('[tool.terrastore]\nstore = "right"\n', {"store": "right"}, id="a table"),
        pytest.param('store = "wrong"\n[tool]\nterrastore.store = "right"\n', {"store": "right"}, id="dotted"),
    ],
)
def test_the_project_file(tmp_path: Path, text: str, expected: dict[str, Any]) -> None:
    """Of pyproject.toml only the table of terrastore counts; it need not be there."""
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    assert expected == read([SettingsFile(str(path), PROJECT)], lambda: NAMES)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sotre", "did you mean store?"),
        ("index-ulr", "did you mean index-url?"),
        ("extra_index_urls", "did you mean extra-index-url?"),
        ("colour", "see terrastore ensure --help"),
    ],
)
def test_an_unknown_setting(tmp_path: Path, name: str, meant: str) -> None:
    """A setting that is no option is named with its file, and with what was probably meant."""
    error = refused(tmp_path / "terrastore.toml", f"pre = true\n{name} = 1\n")
    assert f"there is no setting '{name}'" in error.message
    assert meant == error.hint


def test_an_unknown_setting_of_the_project(tmp_path: Path) -> None:
    """pyproject.toml is held to the same."""
    error = refused(tmp_path / "pyproject.toml", "[tool.terrastore]\nsotre = 1\n", PROJECT)
    assert "did you mean store?" == error.hint


@pytest.mark.parametrize("text", ["[store]\nurl = 1\n", "store = {}\n", "store.url = 1\n"])
def test_a_table_is_no_value(tmp_path: Path, text: str) -> None:
    """No setting is a table."""
    error = refused(tmp_path / "terrastore.toml", text)
    assert "store is a table" in error.message
    assert error.hint


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("store = \n", id="no value"),
        pytest.param("store = s3://one\n", id="no quotes"),
        pytest.param("pre = true\npre = false\n", id="twice"),
        pytest.param(b'store = "\xff"\n', id="no UTF-8"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path: Path, data: str | bytes) -> None:
    """A file that cannot be parsed is named."""
    error = refused(tmp_path / "terrastore.toml", data)
    assert "cannot be read" in error.message
    assert error.hint


def test_a_directory_in_a_files_place(tmp_path: Path) -> None:
    """A file that is there and cannot be read is named."""
    with pytest.raises(UsageError, match=f"^{tmp_path} cannot be read"):
        read([SettingsFile(str(tmp_path))], lambda: NAMES)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tool = 1\n", "tool"),
        ('tool = "terrastore"\n', "tool"),
        ('[tool]\nterrastore = "s3://one"\n', "terrastore"),
    ],
)
def test_settings_that_are_no_table(tmp_path: Path, text: str, name: str) -> None:
    """What is no table where the table of terrastore should stand is named, with what to write."""
    error = refused(tmp_path / "pyproject.toml", text, PROJECT)
    assert error.message.endswith(f": {name} is no table")
    assert "write [tool.terrastore]" == error.hint


def test_where_settings_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's file is the weakest, then the user's, then the project's two."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "machine"))
    assert (
        SettingsFile(f"{tmp_path}/machine/terrastore/terrastore.toml"),
        SettingsFile(f"{tmp_path}/user/terrastore/terrastore.toml"),
        SettingsFile(f"{tmp_path}/project/pyproject.toml", PROJECT, is_project=True),
        SettingsFile(f"{tmp_path}/project/terrastore.toml", is_project=True),
    ) == files(f"{tmp_path}/project")


OURS = ("trust", "realm", "signer")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("spelling", [str.lower, str.upper], ids=["lower", "upper"])
def test_a_project_has_no_say_in_whom_to_trust(tmp_path: Path, name: str, spelling: Callable[[str], str]) -> None:
    """Neither of its files may set such a setting: that is an error, and not passed over."""
    path = tmp_path / "pyproject.toml"
    path.write_text(f'{spelling(name)} = "/etc/terrastore/{name}"\n')
    with pytest.raises(UsageError) as raised:
        read([SettingsFile(str(path), is_project=True)], lambda: OURS)
    expected = f"a project cannot set {name}" if spelling is str.lower else "there is no setting"
    assert expected in raised.value.message


def test_files_of_trust_are_named_from_the_root_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path would lead into whatever project a run is in; ~ is the user's home."""
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "terrastore.toml"
    path.write_text('trust = "~/trust"\nsigner = ["/keys/ci", "awskms:arn"]\nrealm = "web"\n')
    found = {"trust": "/home/me/trust", "signer": ["/keys/ci", "awskms:arn"], "realm": "web"}
    assert found == read([SettingsFile(str(path))], lambda: OURS)
    for text in ('trust = "trust"\n', 'signer = ["/keys/ci", "ci.key"]\n'):
        path.write_text(text)
        with pytest.raises(UsageError, match="relative path"):
            read([SettingsFile(str(path))], lambda: OURS)

"""pip's settings on a machine count as pip reads them: what shapes a resolution does, and nothing secret."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from terrastore.errors import UsageError
from terrastore.requirements.machine import INSTALLS_ELSEWHERE, configuration_files, pip_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def settings(folder: Path, *texts: str, **variables: str) -> dict[str, str]:
    """Return the settings of files with these texts, the weakest first, and of variables."""
    paths = [folder / f"{number}.conf" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return pip_settings(variables, map(str, paths))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"PIP_PRE": "1"}, {"pre": "1"}, id="a variable"),
        pytest.param({"PIP_NO_INDEX": "1"}, {"no-index": "1"}, id="underscores"),
        pytest.param({"PIP_NO_INDEX": ""}, {}, id="empty"),
        pytest.param({"PIPX_HOME": "/srv", "MY_PIP_PRE": "1", "pip_pre": "1"}, {}, id="not pip's"),
        pytest.param({"PIP_FIND_LINKS": " a\n  b "}, {"find-links": "a b"}, id="white space"),
        pytest.param({"PIP_CONFIG_FILE": "/srv/pip.conf"}, {}, id="where the settings stand"),
    ],
)
def test_variables(variables: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """PIP_* variables are settings by the long names of options; an empty one is none."""
    assert expected == pip_settings(variables, ())


def test_variables_beat_files(tmp_path: Path) -> None:
    """What a variable says stands; what only a file says stays; an empty variable says nothing."""
    text = "[install]\nindex-url = https://file.example/\npre = 1\n[global]\nonly-binary = one\n"
    found = settings(tmp_path, text, PIP_INDEX_URL="https://variable.example/", PIP_ONLY_BINARY="")
    assert {"index-url": "https://variable.example/", "only-binary": "one", "pre": "1"} == found


@pytest.mark.parametrize("section", ["global", "install"])
def test_later_files_beat_earlier(tmp_path: Path, section: str) -> None:
    """Of two files that say something of the same, the later one is heard."""
    found = settings(
        tmp_path,
        f"[{section}]\nindex-url = https://first.example/\npre = 1\n",
        f"[{section}]\nindex_url = https://second.example/\n",
    )
    assert {"index-url": "https://second.example/", "pre": "1"} == found


@pytest.mark.parametrize("order", [("global", "install"), ("install", "global")])
def test_install_beats_global(tmp_path: Path, order: tuple[str, str]) -> None:
    """The section of the command beats the one for all commands, wherever it stands in the file."""
    assert {"no-binary": "install"} == settings(
        tmp_path, "".join(f"[{section}]\nno-binary = {section}\n" for section in order)
    )


@pytest.mark.xfail(
    strict=True, reason="machine.pip_settings: a later file's [global] beats an earlier one's [install]; not so in pip"
)
def test_install_beats_global_of_a_later_file(tmp_path: Path) -> None:
    """The section of the command beats the one for all commands in whichever file, as pip has it."""
    found = settings(tmp_path, "[install]\nno-binary = install\n", "[global]\nno-binary = global\n")
    assert {"no-binary": "install"} == found


@pytest.mark.xfail(strict=True, reason="machine.pip_settings keeps empty settings of files, which pip takes for none")
def test_an_empty_setting_is_none(tmp_path: Path) -> None:
    """An empty setting of a file says nothing, as pip has it."""
    assert {} == settings(tmp_path, "[global]\nno-binary =\n")


def test_other_sections_do_not_count(tmp_path: Path) -> None:
    """Settings of other commands do not shape an installation."""
    assert {} == settings(tmp_path, "[download]\npre = 1\n[list]\nformat = columns\n[wheel]\nno-binary = one\n")


@pytest.mark.parametrize(
    "name",
    [
        "cache-dir",
        "no-cache-dir",
        "cert",
        "client-cert",
        "proxy",
        "retries",
        "timeout",
        "trusted-host",
        "quiet",
        "verbose",
        "log",
        "progress-bar",
        "no-color",
        "no-input",
        "disable-pip-version-check",
        "keyring-provider",
        "require-virtualenv",
        pytest.param(
            "default-timeout",
            marks=pytest.mark.xfail(
                strict=True, reason="machine._WITHOUT_EFFECT lacks pip's second name of --timeout, default-timeout"
            ),
        ),
        *INSTALLS_ELSEWHERE,
    ],
)
def test_settings_without_effect_do_not_count(tmp_path: Path, name: str) -> None:
    """How pip works, and where else it might install, changes nothing in an environment."""
    assert {} == settings(tmp_path, f"[global]\n{name} = 1\n")
    assert {} == settings(tmp_path, **{"PIP_" + name.upper().replace("-", "_"): "1"})


@pytest.mark.parametrize(
    "name", ["index-url", "extra-index-url", "find-links", "no-index", "pre", "constraint", "no-binary", "only-binary"]
)
def test_settings_with_effect_count(tmp_path: Path, name: str) -> None:
    """What shapes a resolution counts, by variable as by file."""
    assert {name: "1"} == settings(tmp_path, f"[global]\n{name} = 1\n")
    assert {name: "1"} == settings(tmp_path, **{"PIP_" + name.upper().replace("-", "_"): "1"})


def test_credentials_are_dropped(tmp_path: Path) -> None:
    """No URL keeps its user and password, wherever it stands."""
    found = settings(
        tmp_path,
        "[global]\nextra-index-url =\n  https://user:secret@a.example/\n  https://secret@b.example/\n",
        PIP_INDEX_URL="https://user:secret@c.example/simple",
    )
    assert {
        "extra-index-url": "https://a.example/ https://b.example/",
        "index-url": "https://c.example/simple",
    } == found


def test_a_percent_sign_is_one(tmp_path: Path) -> None:
    """Values are taken as they stand; nothing is interpolated."""
    assert {"index-url": "https://a.example/%(x)s%40"} == settings(
        tmp_path, "[global]\nindex-url = https://a.example/%(x)s%40\n"
    )


def test_files_that_are_not_there() -> None:
    """A configuration file need not exist."""
    assert {} == pip_settings({}, ["/nowhere/pip.conf"])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"index-url = https://user:secret@a.example/\n", id="no section"),
        pytest.param(b"[global]\nindex-url https_user_secret\n", id="no setting"),
        pytest.param(b"[global]\npre = 1\npre = 2\n", id="twice"),
        pytest.param(b"[global]\npre = \xff\n", id="no UTF-8"),
    ],
)
def test_an_unparsable_file_is_named(tmp_path: Path, data: bytes) -> None:
    """A file that pip could not use either is a usage error that names it, in one line, without what is in it."""
    path = tmp_path / "pip.conf"
    path.write_bytes(data)
    with pytest.raises(UsageError) as raised:
        pip_settings({}, [str(path)])
    assert str(path) in raised.value.message
    assert raised.value.hint
    assert "\n" not in raised.value.message
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param(
            {},
            ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf"),
            id="plain",
        ),
        pytest.param(
            {"XDG_CONFIG_DIRS": "/a:/b", "XDG_CONFIG_HOME": "/c"},
            ("/a/pip/pip.conf", "/b/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf", "/c/pip/pip.conf"),
            id="XDG",
        ),
        pytest.param({"PIP_CONFIG_FILE": os.devnull}, (), id="none at all"),
    ],
)
def test_where_pip_looks(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: tuple[str, ...]
) -> None:
    """The machine's files come first, then the user's."""
    monkeypatch.setenv("HOME", "/home/me")
    assert tuple(path.replace("~", "/home/me") for path in expected) == configuration_files(variables)


def test_a_named_file_comes_last(tmp_path: Path) -> None:
    """The file of PIP_CONFIG_FILE beats all others."""
    path = str(tmp_path / "pip.conf")
    assert path == configuration_files({"PIP_CONFIG_FILE": path})[-1]


@pytest.mark.xfail(
    strict=True, reason="machine.configuration_files keeps the user's files, which pip skips for a PIP_CONFIG_FILE"
)
def test_a_named_file_stands_for_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file of PIP_CONFIG_FILE is there, the user's own are not read, as pip has it."""
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "pip.conf"
    path.touch()
    assert not [found for found in configuration_files({"PIP_CONFIG_FILE": str(path)}) if found.startswith("/home/me")]

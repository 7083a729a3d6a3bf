"""Folders are where platformdirs has them, which is not loaded for that."""

from __future__ import annotations

import subprocess
import sys

import platformdirs
import pytest

from terrastore import folders

FOLDERS = ("user_config", "site_config", "user_data", "user_cache")
VARIABLES = ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_CACHE_HOME")
NAMED = {"XDG_CONFIG_HOME": "/c", "XDG_CONFIG_DIRS": "/one:/two", "XDG_DATA_HOME": "/d/", "XDG_CACHE_HOME": "/e/f"}


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"HOME": "/home/ann"}, id="a home"),
        pytest.param({"HOME": "/"}, id="the root for a home"),
        pytest.param({"HOME": "/home/ann/"}, id="a slash behind"),
        pytest.param({"HOME": "/home/ann", **NAMED}, id="all named"),
        pytest.param({"HOME": "/home/ann", **dict.fromkeys(NAMED, "")}, id="empty"),
        pytest.param({"HOME": "/home/ann", **dict.fromkeys(NAMED, "here/there")}, id="relative"),
        pytest.param({"HOME": "/home/ann", "XDG_CONFIG_DIRS": "here::/two:/three"}, id="the first that is absolute"),
        pytest.param({"HOME": "ann"}, id="a relative home"),
        pytest.param({"HOME": "", **NAMED}, id="an empty home"),
        pytest.param({}, id="no home"),
    ],
)
def test_where_they_are(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the specification are heard as the library hears them."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected = {name: getattr(platformdirs, f"{name}_dir")("terrastore") for name in FOLDERS}
    assert expected == {name: getattr(folders, name)() for name in FOLDERS}


@pytest.mark.parametrize("name", FOLDERS)
def test_on_other_systems(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library knows where they are elsewhere."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platformdirs, f"{name}_dir", lambda program: f"/Library/{program}")
    assert "/Library/terrastore" == getattr(folders, name)()


def test_the_library_is_not_loaded() -> None:
    """Whoever has a home does without it."""
    program = (
        "import os, sys\nos.environ['HOME'] = '/home/ann'\nfrom terrastore import folders\n"
        f"for name in {FOLDERS!r}:\n    assert getattr(folders, name)()\nprint('platformdirs' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout

"""The version on one line, and on demand what somebody who helps would ask for next."""

from __future__ import annotations

import platform
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore import __version__

if TYPE_CHECKING:
    from tests.conftest import CommandLine

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version(cli: CommandLine, flag: str) -> None:
    """One line, that programs may read."""
    assert f"terrastore {__version__}\n" == cli.ok(flag).out


@pytest.mark.parametrize("flags", [("-VV",), ("--version", "--version"), ("-V", "--version")], ids=" ".join)
def test_versions_of_libraries(cli: CommandLine, flags: tuple[str, ...]) -> None:
    """Asked twice, Python and each library that it depends on follow, a line each."""
    first, python, *libraries = cli.ok(*flags).out.splitlines()
    assert (f"terrastore {__version__}", f"python {platform.python_version()}") == (first, python)
    told = dict(line.split(" ") for line in libraries)
    needed = {re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in PROJECT["dependencies"]}
    assert needed <= told.keys()
    assert [] == [name for name in needed if not re.match(r"\d", told[name])]

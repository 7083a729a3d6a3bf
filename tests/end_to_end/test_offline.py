"""Builds without a network, from a folder in version control, and what a machine keeps between builds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.package_index import PackageIndex

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine

WITHOUT_NETWORK = ("unshare", "--net")
CONNECT = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"


@pytest.fixture
def elsewhere(cli: CommandLine) -> CommandLine:
    """Return a command line that knows no folder of distributions."""
    del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
    return cli


@pytest.fixture
def isolated(elsewhere: CommandLine) -> CommandLine:
    """Return one whose processes have no network: no device but a loopback that is down (network_namespaces(7))."""
    tried = subprocess.run(
        [*WITHOUT_NETWORK, sys.executable, "-c", CONNECT], capture_output=True, text=True, check=False
    )
    if "Network is unreachable" not in tried.stderr:
        if "CI" in os.environ:
            raise AssertionError(tried.stderr)
        pytest.skip("this user cannot take the network away")
    elsewhere.command = [*WITHOUT_NETWORK, *elsewhere.command]
    return elsewhere


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of real packages: a wheel, an sdist that is compiled, and what that is built with."""
    folder = tmp_path_factory.mktemp("downloaded") / "packages"
    for what in (("setuptools", "wheel", "six==1.16.0"), ("--no-deps", "--no-binary=markupsafe", "markupsafe==3.0.2")):
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", f"--dest={folder}", *what], check=True)
    return folder


@pytest.mark.network
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_folder_is_enough(isolated: CommandLine, packages: Path, installer: str) -> None:
    """Wheels and sdists of a folder are built into an environment by processes that have no network at all."""
    shutil.copytree(packages, isolated.cwd / "packages")
    isolated.write("requirements.txt", "six\nmarkupsafe==3.0.2\n")
    isolated.ok("ensure", "--no-index", "-f", "packages/", "--installer", installer)
    code = "import six, markupsafe._speedups; print(six.__version__)"
    done = subprocess.run([isolated.cwd / ".venv/bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert "1.16.0\n" == done.stdout


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_what_was_compiled_is_kept_on_the_machine(elsewhere: CommandLine, tmp_path: Path, installer: str) -> None:
    """Another environment on the same machine, without any store, takes the wheel that the first one's build made."""
    index = PackageIndex(tmp_path)
    index.add_sdist("gamma", "1.0")
    index.add("alpha", "1.0")
    with index.serving():
        for target, requirements in (("first", "gamma\n"), ("second", "gamma\nalpha\n")):
            elsewhere.write("requirements.txt", requirements)
            arguments = ("--ignore-store", "--no-seed", "--installer", installer, "-i", index.url)
            elsewhere.ok("ensure", "--target", target, *arguments)
    assert ["gamma"] == index.compiled

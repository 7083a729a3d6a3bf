"""Wheels in the store: an environment is built while no index answers, and nothing is compiled twice."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.package_index import PackageIndex

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.servers import S3Server


@pytest.fixture
def index(tmp_path: Path) -> PackageIndex:
    """Return an index with wheels of alpha, which needs beta, and an sdist of gamma."""
    index = PackageIndex(tmp_path)
    for version in ("1.0", "2.0"):
        index.add("alpha", version, requires=("beta",))
    index.add("beta", "1.0")
    index.add_sdist("gamma", "1.0")
    return index


@pytest.fixture(params=["directory", "s3"])
def house(request: pytest.FixtureRequest, cli: CommandLine, index: PackageIndex) -> CommandLine:
    """Return a command line whose builds keep wheels in a store, of either kind."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("moto")
        bucket = f"bucket-{uuid4().hex}"
        server.client().create_bucket(Bucket=bucket)
        cli.env |= server.variables() | {"TERRASTORE_STORE": f"s3://{bucket}/envs"}
    del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
    cli.env |= {"TERRASTORE_WHEELHOUSE": "1"}
    return cli


def forget(cli: CommandLine) -> None:
    """Make a machine that has built nothing yet of this one."""
    shutil.rmtree(cli.cache)
    cli.cache.mkdir()


def said_by(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_pin_goes_back_while_no_index_answers(house: CommandLine, index: PackageIndex) -> None:
    """What was built before with other pins is built from the wheelhouse; what is open comes as it was then."""
    with index.serving():
        for pin in ("alpha==1.0\ngamma==1.0", "alpha==2.0"):
            house.write("requirements.txt", f"{pin}\n")
            house.ok("build", PIP_INDEX_URL=index.url)
    assert ["gamma"] == index.compiled
    forget(house)
    house.write("requirements.txt", "alpha==2.0\ngamma==1.0\n")
    result = house.ok("ensure", PIP_INDEX_URL=index.url, PIP_RETRIES="0")
    assert "wheels  3 of 3 packages from " in result.err
    assert "no requirement fixes these, which are as they were in the wheelhouse: beta" in result.err
    code = "import alpha, beta, gamma; print(alpha.V, beta.V, gamma.V)"
    assert "2.0 1.0 1.0" == said_by(house.cwd / ".venv/bin/python", code)
    assert ["gamma"] == index.compiled

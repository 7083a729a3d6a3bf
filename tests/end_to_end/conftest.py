"""What end-to-end tests of several files share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.bare_machine import BareMachine, Equipped, bare_machine, equipped
from tests.end_to_end.attacker import Site, built_site
from tests.kill_points import tracer_lacks
from tests.private_git import running_git
from tests.private_index import running_devpi
from tests.servers import LackingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.private_index import PrivateIndex


@pytest.fixture(scope="session")
def traced() -> None:
    """Skip where commands cannot be traced; in continuous integration they must."""
    if (lack := tracer_lacks()) and "CI" not in os.environ:
        pytest.skip(lack)
    assert not lack


@pytest.fixture(scope="session")
def private_index() -> Iterator[PrivateIndex]:
    """Return an index that demands a login."""
    with running_devpi() as index:
        yield index


@pytest.fixture
def online(cli: CommandLine) -> CommandLine:
    """Return a command line that knows no index and no folder of wheels but those that a test tells it."""
    cli.forget_wheels()
    return cli


@pytest.fixture(scope="session")
def private_git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return host and port of a git server that demands a login."""
    with running_git(tmp_path_factory.mktemp("git")) as host:
        yield host


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a store that a builder filled and signed, and what was in it before."""
    with built_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def machine() -> Iterator[BareMachine]:
    """Return a machine with nothing but Debian; where there can be none the test is skipped, but not in CI."""
    try:
        with bare_machine() as machine:
            yield machine
    except LackingError as lacking:
        if "CI" in os.environ:
            raise
        pytest.skip(str(lacking))


@pytest.fixture(scope="session")
def offered(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Equipped:
    """Return a store that has what machines boot with; it is only read."""
    return equipped(tmp_path_factory.mktemp("offered") / "home", wheels)

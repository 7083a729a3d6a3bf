"""Archives that several files of tests unpack."""

from __future__ import annotations

import pytest

from tests.archive.shared_layers import Expected


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return an archive that one process writes."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "plain").mkdir()
    return Expected(folder, large=False)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return an archive that several processes write, with files of several frames."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "plain").mkdir()
    return Expected(folder, large=True)


@pytest.fixture(params=["small", "large"])
def expected(request: pytest.FixtureRequest) -> Expected:
    found: Expected = request.getfixturevalue(request.param)
    return found

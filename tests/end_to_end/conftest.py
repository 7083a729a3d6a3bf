"""What end-to-end tests of several files share."""

from __future__ import annotations

import os

import pytest

from tests.kill_points import tracer_lacks


@pytest.fixture(scope="session")
def traced() -> None:
    """Skip where commands cannot be traced; in continuous integration they must."""
    if (lack := tracer_lacks()) and "CI" not in os.environ:
        pytest.skip(lack)
    assert not lack

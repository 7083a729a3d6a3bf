"""What uv is given, and what is shown of what it says."""

from __future__ import annotations

import pytest

from terrastore.build.uv import _status, _variables
from terrastore.requirements.uv import Settings


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Resolved 2 packages in 104ms", "Resolved 2 packages"),
        ("   Building markupsafe==3.0.4", "Building markupsafe==3.0.4"),
        ("      Built markupsafe==3.0.4", "Built markupsafe==3.0.4"),
        ("Downloading numpy (15.8MiB)", "Downloading numpy (15.8MiB)"),
        ("Prepared 2 packages in 1.00s", "Prepared 2 packages"),
        ("Installed 2 packages in 0.77ms", "Installed 2 packages"),
        (" + six==1.17.0", ""),
        ("Using Python 3.11.7 environment at: /x", ""),
        ("warning: Resolved nothing", ""),
    ],
)
def test_status(line: str, expected: str) -> None:
    """Lines that say what uv is doing are shown, without how long it took."""
    assert expected == _status(line)


def test_where_to_look() -> None:
    """What is said here comes before what the machine says, and one default index replaces the other by any name."""
    machine = {
        "UV_DEFAULT_INDEX": "https://m.example/",
        "UV_INDEX_URL": "https://n.example/",
        "UV_EXTRA_INDEX_URL": "https://o.example/ https://p.example/",
        "UV_FIND_LINKS": "q",
        "UV_HTTP_TIMEOUT": "1",
        "UV_CONSTRAINT": "limits.txt",
    }
    unwrapped = {"UV_NO_WRAP": "1"}
    places = {
        "UV_INDEX_URL": ["https://a.example/"],
        "UV_EXTRA_INDEX_URL": ["https://b.example/"],
        "UV_FIND_LINKS": ["file:///c", "https://d.example/"],
    }
    assert unwrapped | {
        "UV_INDEX_URL": "https://a.example/",
        "UV_EXTRA_INDEX_URL": "https://b.example/ https://o.example/ https://p.example/",
        "UV_FIND_LINKS": "file:///c,https://d.example/,q",
        "UV_HTTP_TIMEOUT": "1",
    } == _variables(Settings(variables=machine), places)
    del machine["UV_CONSTRAINT"]
    assert unwrapped | machine == _variables(Settings(variables=machine), {})
    assert unwrapped == _variables(Settings(), {})

"""The tools that make an environment see nothing that would lead them astray."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from terrastore.build.process import Tools
from terrastore.report import Phase

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ASTRAY = (
    "PIP_INDEX_URL",
    "PYTHONPATH",
    "UV_LINK_MODE",
    "VIRTUALENV_PROMPT",
    "VIRTUAL_ENV",
    "TCL_LIBRARY",
    "TK_LIBRARY",
)


def test_what_leads_astray_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the builder's shell reach no build; virtualenv would put its Tcl and Tk into activation scripts."""
    for name in (*ASTRAY, "CFLAGS"):
        monkeypatch.setenv(name, "/builder")
    (tmp_path / "work").mkdir()
    tools = Tools(tmp_path, str(tmp_path / "work"), hidden=(), variables={})
    code = "import os; print(*sorted(name for name, value in os.environ.items() if value == '/builder'))"
    assert "CFLAGS" == tools.run([sys.executable, "-c", code], "a program", Phase("x", total=None, unit="steps"))

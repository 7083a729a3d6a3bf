"""What pip says of the files that it was told is said of those of the user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from terrastore.build import Recipe
from terrastore.build.pip import Pip
from terrastore.errors import BuildError
from terrastore.inputs import Inputs
from terrastore.report import Report
from tests.conftest import make_wheel


def test_lines_are_named_where_they_were_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conflict is told by the user's files and lines, whatever options and includes stand between them."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    work, wheels = tmp_path / "work", tmp_path / "wheels"
    work.mkdir()
    wheels.mkdir()
    make_wheel(wheels, "alpha", "2", {"alpha.py": ""}, requires=("beta>=2",))
    make_wheel(wheels, "beta", "2", {"beta.py": ""})
    Path("requirements.txt").write_text("--no-index\n# ours\n-f wheels\n-r deploy/more.txt\n-c limits.txt\n")
    Path("deploy").mkdir()
    Path("deploy/more.txt").write_text("--prefer-binary\n\nalpha==2\n")
    Path("limits.txt").write_text("beta<1\n")
    request, said = Inputs().read()
    pip = Pip(Recipe(interpreter=request.interpreter, said=said), tmp_path / "cache", str(work))
    with pytest.raises(BuildError) as raised, Report().phase("install", unit="steps") as phase:
        pip.resolve(sys.executable, phase)
    assert "(from -r deploy/more.txt (line 3))" in raised.value.message
    assert str(work) not in raised.value.message


def test_lines_are_written_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of a variable that are no text stay what they are: a path may hold any."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("ODD", "\udce9")
    wheel = "one-1-py3-none-any.whl"
    for folder in ("work", "caf\udce9"):
        (tmp_path / folder).mkdir()
    (tmp_path / "caf\udce9" / wheel).touch()
    Path("requirements.txt").write_text(f"./caf${{ODD}}/{wheel}\n")
    inputs = Inputs()
    pip = Pip(inputs.recipe(*inputs.read()), tmp_path / "cache", str(tmp_path / "work"))
    list(pip._arguments())
    assert f"./caf\udce9/{wheel}".encode(errors="surrogateescape") in Path("work/requirements.txt").read_bytes().split()

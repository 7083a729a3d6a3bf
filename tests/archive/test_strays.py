"""What was added to an environment and leads to where it was is found, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from terrastore.archive.strays import strays

if TYPE_CHECKING:
    from pathlib import Path

OLD = "/srv/mÿ env's"
RELOCATED = ("bin/activate",)
NAMING = {
    "a script": ("bin/tool", f"#!/bin/sh\nexec '{OLD}/bin/python'\n"),
    "a script, far down": ("bin/tool", "#" * 100_000 + OLD),
    "settings": ("pip.conf", f"[global]\nfind-links = {OLD}/wheels\n"),
    "a kernel": ("share/jupyter/kernels/x/kernel.json", json.dumps({"argv": [f"{OLD}/bin/python"]})),
    "JSON of Jupyter": ("etc/jupyter/x.json", json.dumps({"x": OLD})),
    "a URL": ("lib/python3.11/site-packages/x.dist-info/direct_url.json", f"file://{quote(OLD)}/src"),
    "a path file": ("lib/python3.11/site-packages/x.pth", f"{OLD}/src\n"),
    "a note of pipenv": (".project", f"{OLD}"),
}
OTHERS = {
    "begins like it": ("etc/x", f"{OLD}2/bin {OLD}.bak {OLD}-old {OLD}é"),
    "nothing": ("etc/x", "x"),
    "empty": ("etc/x", ""),
    "bytecode": ("lib/__pycache__/x.cpython-311.pyc", f"{OLD}/x.py"),
    "set aside": ("bin/activate.edited", OLD),
    "rewritten anyway": (RELOCATED[0], OLD),
    "made anew": ("pyvenv.cfg", f"command = python -m venv {OLD}"),
    "brought by the archive": ("share/known", OLD),
    "ours": (".terrastore/state.json", json.dumps({"prefix": OLD})),
}


def environment(root: Path, path: str, text: str) -> str:
    """Make an environment with one more file; return its place."""
    for name, content in ((".terrastore/inventory.json", '{"layers": [[["share/known", "-", 1]]]}'), (path, text)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return str(root)


@pytest.mark.parametrize(("path", "text"), NAMING.values(), ids=NAMING)
def test_what_names_the_old_place_is_found(path: str, text: str, tmp_path: Path) -> None:
    """Wherever it is, as text, JSON and URLs spell it."""
    assert [path] == strays(environment(tmp_path, path, text), OLD, RELOCATED)


@pytest.mark.parametrize(("path", "text"), OTHERS.values(), ids=OTHERS)
def test_what_does_not_is_passed_over(path: str, text: str, tmp_path: Path) -> None:
    """So is what terrastore and Python write themselves."""
    assert [] == strays(environment(tmp_path, path, text), OLD, RELOCATED)


def test_links_are_found(tmp_path: Path) -> None:
    """To a file or a directory, there or not; none is followed."""
    root = environment(tmp_path / "env", "x", "")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").write_text(OLD)
    for name, target in (("a", f"{OLD}/x"), ("b", OLD), ("c", "/usr"), ("d", "x"), ("e", str(tmp_path / "elsewhere"))):
        (tmp_path / "env" / name).symlink_to(target)
    assert ["a", "b"] == strays(root, OLD, RELOCATED)


@pytest.mark.parametrize("inventory", [None, "", "[]", '{"layers": 1}'])
def test_without_an_inventory_lib_is_not_searched(inventory: str | None, tmp_path: Path) -> None:
    """Then nobody knows what was added there, and all of it would have to be read."""
    root = environment(tmp_path, "lib/x.pth", OLD)
    environment(tmp_path, "etc/x", OLD)
    kept = tmp_path / ".terrastore/inventory.json"
    kept.unlink() if inventory is None else kept.write_text(inventory)
    assert ["etc/x"] == strays(root, OLD, RELOCATED)

"""scripts/releasable: the tag, the version and the changes name one release."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from terrastore import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree of version 1.2.3 that has what the script reads."""
    for name in ("scripts", "terrastore"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "scripts/releasable", tmp_path / "scripts")
    ours = (ROOT / "terrastore/__init__.py").read_text()
    (tmp_path / "terrastore/__init__.py").write_text(ours.replace(f'"{__version__}"', '"1.2.3"'))
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.3 (2026-01-02)\n\n## 1.2.2\n")
    return tmp_path


def run(tree: Path, *tags: str) -> tuple[int, str]:
    """Return the exit code and what is said on standard error; nothing is said otherwise."""
    done = subprocess.run([f"{tree}/scripts/releasable", *tags], capture_output=True, text=True, check=False)
    assert "" == done.stdout
    return done.returncode, done.stderr


def test_releasable(tree: Path) -> None:
    """Nothing is to be said."""
    assert (0, "") == run(tree, "v1.2.3")


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1.2.3rc1", "v1.2", "v1x2x3", ""])
def test_another_tag(tree: Path, tag: str) -> None:
    """Both versions are told."""
    told = f"scripts/releasable: the tag is {tag}, and terrastore/__init__.py says 1.2.3\n"
    assert (1, told) == run(tree, tag)


@pytest.mark.parametrize("headings", ["## Unreleased\n", "## 1.2.30\n", "## 1x2x3\n", "### 1.2.3\n"])
def test_no_word_of_changes(tree: Path, headings: str) -> None:
    """Nothing is released whose changes stand under no heading of its own."""
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n{headings}")
    assert (1, "scripts/releasable: CHANGELOG.md has no section 1.2.3\n") == run(tree, "v1.2.3")


@pytest.mark.parametrize("tags", [(), ("v1.2.3", "v1.2.4")])
def test_usage(tree: Path, tags: tuple[str, ...]) -> None:
    """One tag is asked about."""
    assert (2, "scripts/releasable: name one tag, such as v0.1.0\n") == run(tree, *tags)


def test_posix_shell() -> None:
    """shellcheck has nothing to say, in the dialect that every machine has."""
    command = [f"{sys.prefix}/bin/shellcheck", "--shell=sh", str(ROOT / "scripts/releasable")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)

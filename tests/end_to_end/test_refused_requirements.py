"""What cannot be asked for ends with an error of its own; nothing is published, and the environment before it stays."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import CommandLine

LOCK = 'lock-version = "1.0"\ncreated-by = "tests"\n'
WHEEL = """[[packages]]
name = "alpha"
version = "1.0"
wheels = [{url = "https://files.example/alpha-1.0-cp311-cp311-win_amd64.whl", hashes = {sha256 = "aa"}}]
"""
# (files, the one that is named, exit code, what is said)
ASKED: Mapping[str, tuple[Mapping[str, str | bytes], str, int, str]] = {
    "a circle": ({"a.txt": "-r b.txt\n", "b.txt": "\n-r a.txt\n"}, "a.txt", 3, "b.txt, line 2 includes a.txt, which"),
    "itself": ({"a.txt": "-r a.txt\n"}, "a.txt", 3, "a.txt, line 1 includes itself"),
    "a missing include": ({"a.txt": "alpha\n-c no.txt\n"}, "a.txt", 3, "no.txt (included by a.txt, line 2) cannot be"),
    "undecodable": ({"a.txt": b"# caf\xe9\nalpha\n"}, "a.txt", 3, "a.txt: it is not UTF-8 text"),
    "an encoding that is none": ({"a.txt": b"# coding: klingon\n"}, "a.txt", 3, "an encoding 'klingon'"),
    "contradictory pins": ({"a.txt": "alpha==1.0\nalpha==2.0\n"}, "a.txt", 5, "-r a.txt (line 1)"),
    "a constraint that cannot be met": ({"a.txt": "alpha\n-c c.txt\n", "c.txt": "beta>7\n"}, "a.txt", 5, "beta>7"),
    "a wrong hash": ({"a.txt": f"beta==1.0 --hash=sha256:{'ab' * 32}\n"}, "a.txt", 5, "DO NOT MATCH THE HASHES"),
    "a hash that is missing": ({"a.txt": "beta==1.0\n--require-hashes\n"}, "a.txt", 5, "--require-hashes"),
    "a lock for another platform": (
        {"pylock.toml": LOCK + WHEEL}, "pylock.toml", 3, "does not fit CPython",
    ),
    "a lock for another interpreter": (
        {"pylock.toml": f'{LOCK}requires-python = ">=4"\npackages = []\n'}, "pylock.toml", 3, ">=4",
    ),
    "a lock by another tool": ({"poetry.lock": ""}, "poetry.lock", 3, "poetry export"),
    "a reference that is not there": ({"a.txt": "one @ git+file://{repository}@v9\n"}, "a.txt", 5, "v9"),
    "a repository that is not there": ({"a.txt": "one @ git+file:///nowhere@v1\n"}, "a.txt", 5, "/nowhere"),
}  # fmt: skip


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Yield a project with an environment, and a repository beside it."""
    with command_line(tmp_path_factory.mktemp("refused") / "home", wheels) as command:
        command.write("requirements.txt", "alpha==1.0\n")
        command.ok("ensure")
        subprocess.run(["git", "init", "--quiet", str(command.home / "repository")], check=True)
        author = ("-c", "user.name=One", "-c", "user.email=one@files.example")
        subprocess.run(
            ["git", *author, "commit", "--quiet", "--allow-empty", "--message=one"],
            cwd=command.home / "repository",
            check=True,
        )
        yield command


def published(command: CommandLine) -> list[str]:
    """Return what is in the store."""
    return sorted(str(path.relative_to(command.store)) for path in command.store.rglob("*") if path.is_file())


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("name", ASKED)
def test_it_ends_with_its_own_code(standing: CommandLine, name: str, installer: str) -> None:
    """The error names what is wrong, by file and line where there is one; store and environment are as before."""
    files, named, code, message = ASKED[name]
    for path, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        repository = os.fsencode(standing.home / "repository")
        (standing.cwd / path).write_bytes(data.replace(b"{repository}", repository))
    before, inode = published(standing), os.stat(standing.cwd / ".venv").st_ino
    result = standing("ensure", "-r", named, "--installer", installer)
    assert code == result.code, result.err
    if installer == "pip" or code != 5:
        assert message in result.err
    assert "Traceback" not in result.err
    assert "terrastore: hint: " in result.err
    kept = [each for each in published(standing) if not each.startswith("v1/leases/")]
    assert kept == [each for each in before if not each.startswith("v1/leases/")]
    assert inode == os.stat(standing.cwd / ".venv").st_ino
    assert "alpha 1.0\n" == subprocess.check_output([standing.cwd / ".venv/bin/alpha"], text=True)

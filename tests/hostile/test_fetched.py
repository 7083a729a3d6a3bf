"""Whatever somebody put into a store, a machine that only fetches ends with one clear line, and nothing is touched."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.hostile.attacks import ATTACKS, Attack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostile.conftest import Victim


class Found(NamedTuple):
    """A file, a link or a directory: all that tells that somebody touched it."""

    inode: int
    mode: int
    time: int
    content: bytes


def everything(*roots: Path) -> dict[str, Found]:
    """Return what is below some directories, but for locks and remembered digests of files."""
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            facts = path.lstat()
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            # A stage that came and went leaves the time of the directory that it was in.
            time = 0 if stat.S_ISDIR(facts.st_mode) and ".venv" not in path.parts else facts.st_mtime_ns
            found[str(path)] = Found(facts.st_ino, facts.st_mode, time, content)
    return {path: each for path, each in found.items() if not path.endswith(("lock", "digests"))}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_it_is_refused_and_nothing_is_touched(victim: Victim, attack: Attack) -> None:
    """Exit code 8, one line that names what is wrong, no traceback; the old environment and all around it as it was."""
    draft = victim.draft()
    attack.apply(draft)
    victim.plant(*draft.seal())
    roots = (victim.cli.home, victim.cli.cache)
    before = everything(*roots)
    result = victim.cli("ensure", "--no-build")
    assert (8, "") == (result.code, result.out), result.err
    error, hint = result.err.splitlines()
    assert re.fullmatch(rf"terrastore: error: .*{attack.message}.*", error)
    assert hint.startswith("terrastore: hint: ")
    assert len(error) < 1200
    assert error.isprintable()
    assert before == everything(*roots)

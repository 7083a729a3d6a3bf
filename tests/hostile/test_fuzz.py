"""Whatever reads what somebody else wrote returns a sound value or raises its documented error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terrastore.archive import relocate
from terrastore.archive.placeholder import PLACEHOLDER
from tests.hostile.targets import TARGETS

if TYPE_CHECKING:
    from random import Random

SEEDS = sorted((Path(__file__).parent / "seeds").glob("*.bin"))


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False))
def test_any_bytes(name: str, chance: Random) -> None:
    """Sound bytes with something else in some of their fields."""
    target = TARGETS[name]
    target.check(target.make(chance))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.stem)
def test_what_failed_once(seed: Path) -> None:
    """Inputs that ``scripts/fuzz`` found, and those that are known to be hard."""
    TARGETS[seed.stem.partition("-")[0]].check(seed.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_each_has_seeds(name: str) -> None:
    """So that what is replayed covers every reader."""
    assert any(seed.stem.partition("-")[0] == name for seed in SEEDS)


LONG: Final = 200_000
HARD: Final = {
    "script without an end": ("script", b"#!" + PLACEHOLDER + b"/" + b"a" * LONG),
    "script behind sh without an end": ("script", b"#!/bin/sh\n'''exec' " + PLACEHOLDER + b"/" + b"a" * LONG),
    "lines": ("sh", b"x\n" * LONG + PLACEHOLDER),
    "names in a line": ("csh", (b"x" + PLACEHOLDER) * (LONG // 50)),
    "backquotes": ("sh", b"`" * LONG + b"\n" + PLACEHOLDER),
    "braces": ("sh", b'"${' * LONG + b"\n" + PLACEHOLDER),
    "here-documents without an end": ("sh", b"<<word\n" * LONG + PLACEHOLDER),
    "words of here-documents": ("sh", b"<<" + b"a" * LONG + b"\n" + b"a\n" * LONG + PLACEHOLDER),
    "raw strings": ("python", b"r'" * LONG + b"\n" + PLACEHOLDER),
    "raw strings of nushell": ("nu", b"r#'" + PLACEHOLDER * (LONG // 50) + b"' "),
    "fences of nushell": ("nu", b"r" + b"#" * LONG + PLACEHOLDER),
}


@pytest.mark.parametrize(("kind", "canonical"), HARD.values(), ids=HARD.keys())
def test_long_files_take_no_longer_than_their_length(kind: str, canonical: bytes) -> None:
    """What a reader goes through again and again would take hours."""
    for prefix in ("/srv/env", "/srv/it's {here} ü"):
        with suppress(relocate.NotRelocatableError):
            assert PLACEHOLDER not in relocate.rewrite(kind, canonical, prefix)

"""How what would be installed now differs from what was installed once."""

from __future__ import annotations

import pytest

from terrastore.archive.manifest import Package
from terrastore.build.resolved import Resolved

ONE, TWO = "1" * 40, "2" * 40


def package(name: str, version: str = "1.0", commit: str | None = None) -> Package:
    return Package(name=name, version=version, built=False, sha256=None, commit=commit)


def resolved(*, commits: dict[str, str] | None = None, edited: tuple[str, ...] = (), **versions: str) -> Resolved:
    return Resolved(versions=versions, commits=commits or {}, edited=frozenset(edited))


@pytest.mark.parametrize(
    ("told", "now", "had"),
    [
        ("", resolved(), []),
        ("", resolved(beta="1.0"), [package("beta")]),
        ("", resolved(beta="1"), [package("beta", "1.0.0")]),
        ("", resolved(beta=""), [package("beta")]),
        ("", resolved(beta="1.0"), [package("beta"), package("pip", "25.0")]),
        ("pip 25.0 → 26.0", resolved(pip="26.0"), [package("pip", "25.0")]),
        ("beta 1.0 → 2.0", resolved(beta="2.0"), [package("beta")]),
        ("beta 2.0 → 1.0", resolved(beta="1.0"), [package("beta", "2.0")]),
        ("alpha 1.0 added, beta 1.0 dropped", resolved(alpha="1.0"), [package("beta")]),
        ("", resolved(web="1.0", beta="1.0", edited=("web",)), [package("beta")]),
        ("", resolved(beta="1.0", commits={"beta": ONE}), [package("beta", commit=ONE)]),
        ("beta 11111111 → 22222222", resolved(beta="1.0", commits={"beta": TWO}), [package("beta", commit=ONE)]),
        ("beta 11111111 → 22222222", resolved(beta="", commits={"beta": TWO}), [package("beta", commit=ONE)]),
        ("beta 1.0 → 2.0", resolved(beta="2.0", commits={"beta": TWO}), [package("beta", commit=ONE)]),
        ("", resolved(beta="1.0"), [package("beta", commit=ONE)]),
        (
            "a 1.0 dropped, b 1.0 dropped, c 1.0 dropped, d 1.0 dropped and 2 more",
            resolved(),
            [package(name) for name in "fedcba"],
        ),
    ],
    ids=[
        "nothing",
        "the same",
        "the same, spelled in another way",
        "a version nobody knows before it is built",
        "pip that was seeded",
        "pip that is required",
        "a later version",
        "an earlier version",
        "another package",
        "a project that is to be edited",
        "the same commit",
        "another commit",
        "another commit, and no version",
        "another version and commit",
        "a commit nobody tells",
        "many",
    ],
)
def test_moved(told: str, now: Resolved, had: list[Package]) -> None:
    """By name, version and commit; a few are named, and how many more there are."""
    assert told == now.moved(had)

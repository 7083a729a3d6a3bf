"""What changed in an environment, in words."""

import pytest

from terrastore.archive.changes import ADDED, EDITED, MISSING, Drift, Package


def package(name: str, before: str | None, after: str | None, *whats: str, requested: bool = True) -> Package:
    files = {f"{name}/{number}": what for number, what in enumerate(whats)}
    return Package(name=name, before=before, after=after, files=files, requested=requested)


PHRASES = {
    "nothing": (Drift(), []),
    "edited": (Drift((package("a", "1", "1", EDITED),)), ["a 1: 1 file edited"]),
    "all three": (
        Drift((package("a", "1", "1", ADDED, EDITED, MISSING, EDITED),)),
        ["a 1: 2 files edited, 1 missing, 1 added"],
    ),
    "not to be told": (Drift((package("a", "1", "1"),)), ["a 1: edited, where cannot be told"]),
    "upgraded": (Drift((package("a", "1.9", "1.10", EDITED),)), ["upgraded: a 1.9 → 1.10"]),
    "downgraded": (Drift((package("a", "1.10", "1.10rc1"),)), ["downgraded: a 1.10 → 1.10rc1"]),
    "no version": (Drift((package("a", "1.10", "x y"),)), ["replaced: a 1.10 → x y"]),
    "removed": (Drift((package("a", "1", None, MISSING),)), ["removed: a 1"]),
    "added": (Drift((package("a", None, "1", ADDED),)), ["added: a 1"]),
    "added with others": (
        Drift(
            (
                package("a", None, "1", requested=False),
                package("b", None, "2"),
                package("c", None, "3", requested=False),
                package("d", "1", None),
            )
        ),
        ["removed: d 1", "added: b 2 with 2 dependencies"],
    ),
    "added, and nobody asked": (
        Drift((package("a", None, "1", requested=False), package("b", None, "2", requested=False))),
        ["added: a 1, b 2"],
    ),
    "of no package": (Drift((), {"x": ADDED}), ["no package: 1 file added, x"]),
    "several of no package": (
        Drift((), {"x": EDITED, "y": ADDED}, ("base",)),
        ["no package: 1 file edited, 1 added, such as x", "no package: edited in base, where cannot be told"],
    ),
    "names for a terminal to obey": (
        Drift((package("a\x1b[31m", None, "1\n2"),), {"x\ny": ADDED}),
        ["added: a [31m 1 2", "no package: 1 file added, x y"],
    ),
}


@pytest.mark.parametrize(("drift", "phrases"), PHRASES.values(), ids=PHRASES)
def test_phrases(drift: Drift, phrases: list[str]) -> None:
    """One for each package that is not as it was, one for all that were added, and for what is of none."""
    assert phrases == drift.phrases()
    assert bool(phrases) is bool(drift)


def test_files() -> None:
    """Every path, whatever package it is of, sorted."""
    drift = Drift((package("b", "1", "1", EDITED), package("a", None, "1", ADDED)), {"aa": MISSING})
    assert [("a/0", ADDED), ("aa", MISSING), ("b/0", EDITED)] == list(drift.files().items())

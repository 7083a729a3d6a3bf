"""Environments that share their files: nothing that is written into a new one goes through to another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import pytest

from terrastore import environment, interpreter
from terrastore.archive.reading import find_manifest
from terrastore.archive.unpack import unpack
from terrastore.cache import LayerCache
from terrastore.relocation import compile_rewritten
from terrastore.report import Report
from tests.archive.memory import InMemory
from tests.archive.shared_layers import contents
from tests.hostile import tar
from tests.hostile.attacks import COMPILED, PREFIX, RECORD, SITE
from tests.hostile.draft import sha256
from tests.hostile.tar import member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.conftest import Victim
    from tests.hostile.draft import Draft

MODULE: Final = f"{SITE}/evil/evil.py"
PYC: Final = f"evil.{sys.implementation.cache_tag}.pyc"


def beside_a_relocated_file(draft: Draft) -> None:
    """Files with the names that something might be written to before it is renamed."""
    for end in (".terrastore-new", ".new", ".tmp"):
        draft.add(*(member(f"{path}{end}", b"precious\n") for path in ("bin/alpha", RECORD, "share/x")))
    draft.add(member("share/x", COMPILED))
    draft.relocate("share/x", "binary", offsets=[8], sha256=sha256(COMPILED))


def beside_pyvenv(draft: Draft) -> None:
    draft.add(member("pyvenv.cfg.new", b"precious\n"))


def a_link_beside_pyvenv(draft: Draft) -> None:
    draft.add(member("share/precious", b"precious\n"), tar.link("pyvenv.cfg.new", "share/precious"))


def bytecode_behind_a_link(draft: Draft) -> None:
    """Have a module compiled where it stands, into a directory that is a link to another one."""
    draft.add(member(f"share/{PYC}", b"precious\n"), member(MODULE, b"PLACE = '" + PREFIX + b"'\n"))
    draft.add(tar.link(f"{SITE}/evil/__pycache__", "../../../../share"))
    draft.relocate(MODULE, "python")


@pytest.mark.parametrize(
    "plant",
    [beside_a_relocated_file, beside_pyvenv, a_link_beside_pyvenv, bytecode_behind_a_link],
    ids=lambda plant: plant.__name__.replace("_", "-"),
)
def test_what_is_kept_stays_as_it_is(victim: Victim, plant: Callable[[Draft], None], tmp_path: Path) -> None:
    """An archive that aims at files which environments share takes its own place, and no file changes elsewhere."""
    draft = victim.draft()
    plant(draft)
    archive, _ = draft.seal()
    manifest = find_manifest(lambda offset, size: archive[offset : offset + size], len(archive))
    report = Report()

    def make(name: str) -> Path:
        cache = LayerCache(tmp_path / "layers", report, sharing="hardlink", limit=10**12)
        staged = tmp_path / name
        staged.mkdir()
        unpack(InMemory(archive), manifest, str(staged), prefix=str(staged), workers=1, report=report, layers=cache)
        python = interpreter.find(None)
        environment.bind(str(staged), python, manifest.needs)
        compile_rewritten(str(staged), manifest, report)
        return staged

    first = make("first")
    kept, before = contents(tmp_path / "layers"), contents(first)
    assert any(b"precious" in each.content for each in kept.values())
    second = make("second")
    assert kept == contents(tmp_path / "layers")
    assert before == contents(first)
    assert before.keys() == contents(second).keys()
    assert (second / "pyvenv.cfg").is_file()
    assert not (second / "pyvenv.cfg").is_symlink()
    assert [] == report.warnings

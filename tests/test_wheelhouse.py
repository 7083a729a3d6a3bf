"""How wheels come to a store and from it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from terrastore.build.wheels import Kept, Wheel
from terrastore.errors import StoreRefusedError
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.memory import MemoryStore
from terrastore.trust import Trust
from terrastore.wheelhouse import Wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

    from terrastore.store.protocol import Upload


def kept(path: Path) -> tuple[Kept, Wheel]:
    """Return the only wheel of a build, which stands at ``path``."""
    wheel = Wheel(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), name="gamma", version="1.0")
    nothing: frozenset[str] = frozenset()
    installed = {"gamma": wheel}
    return Kept(
        installed=installed,
        tools=(),
        paths={wheel.sha256: str(path)},
        direct=nothing,
        taken=nothing,
        total=1,
        frozen=(),
    ), wheel


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file that passes for a wheel."""
    path = tmp_path / "gamma-1.0-py3-none-any.whl"
    path.write_bytes(b"a wheel")
    return path


def test_a_wheel_comes_and_goes(path: Path, tmp_path: Path) -> None:
    """It is put up once, by digest and name, fetched by another machine, and found there again without the store."""
    store, report = MemoryStore(), Report()
    build, wheel = kept(path)
    Wheelhouse(store, tmp_path, Trust(), report).publish(build, required=True)
    name = layout.wheel(wheel.sha256, wheel.file)
    assert [name] == [each.name for each in store.list(layout.WHEELS)]
    for number, source in enumerate((store, MemoryStore())):
        folder = tmp_path / f"folder{number}"
        folder.mkdir()
        found = Wheelhouse(source, tmp_path / "machine", Trust(), report)._fetch([wheel], str(folder))
        assert [wheel] == found
        assert b"a wheel" == (folder / wheel.file).read_bytes()
    assert 0o700 == (tmp_path / "machine/wheels" / wheel.sha256).stat().st_mode & 0o777
    assert [] == report.warnings


@pytest.mark.parametrize("where", ["store", "machine"])
def test_bytes_that_are_not_what_they_are_called(path: Path, tmp_path: Path, where: str) -> None:
    """They are never used; those in the store are told of, and replaced by a build that has the right ones."""
    store, report = MemoryStore(), Report()
    build, wheel = kept(path)
    name = layout.wheel(wheel.sha256, wheel.file)
    store.create(name, b"poison" if where == "store" else b"a wheel")
    if where == "machine":
        place = tmp_path / "machine/wheels" / wheel.sha256
        place.mkdir(parents=True)
        (place / wheel.file).write_bytes(b"poison")
    folder = tmp_path / "folder"
    folder.mkdir()
    house = Wheelhouse(store, tmp_path / "machine", Trust(), report)
    found = house._fetch([wheel], str(folder))
    assert ([] if where == "store" else [wheel]) == found
    assert ([f"{name} in {store} is not what it is called, and is not used"] if where == "store" else []) == (
        report.warnings
    )
    house.publish(build, required=True)
    stored = store.read(name)
    assert stored is not None
    assert b"a wheel" == stored.data


class Refusing(MemoryStore):
    """A store that takes nothing."""

    def upload(self, name: str) -> Upload:  # type: ignore[override] # it never comes to a context
        raise StoreRefusedError(f"{name} cannot be written")


def test_wheels_that_cannot_be_kept(path: Path, tmp_path: Path) -> None:
    """One warning tells of them, and only who demands that they are published fails."""
    report = Report()
    build, _ = kept(path)
    house = Wheelhouse(Refusing(), tmp_path, Trust(), report)
    house.publish(build, required=False)
    (warning,) = report.warnings
    assert warning.startswith("wheels are not kept: v1/wheels/")
    with pytest.raises(StoreRefusedError):
        house.publish(build, required=True)

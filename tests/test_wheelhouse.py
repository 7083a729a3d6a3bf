"""Which wheels of a store a build may use, and how they come and go."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from terrastore import interpreter
from terrastore.archive.manifest import Manifest, Package, Totals, WheelFile
from terrastore.build.wheels import Kept, Wheel
from terrastore.errors import StoreRefusedError
from terrastore.host import Host
from terrastore.key import Request
from terrastore.report import Report
from terrastore.requirements import RequirementSet
from terrastore.store import layout
from terrastore.store.memory import MemoryStore
from terrastore.wheelhouse import Asked, Wheelhouse, _vouched_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from terrastore.store.protocol import Upload

PYTHON = interpreter.find(None)
HOST = Host.here()
TAG = f"{PYTHON.tag}-{PYTHON.tag}-linux_x86_64"
COMPILED = WheelFile(file=f"gamma-1.0-{TAG}.whl", sha256="c" * 64)
PURE = WheelFile(file="gamma-1.0-py3-none-any.whl", sha256="d" * 64)
TOOL = WheelFile(file="setuptools-80.0-py3-none-any.whl", sha256="e" * 64)
SDIST = "f" * 64


def asking(*requirements: str, resolution: Mapping[str, Any] | None = None, **others: Any) -> Request:
    lines = RequirementSet(requirements=requirements)
    return Request(requirements=lines, interpreter=PYTHON, host=HOST, resolution=resolution or {}, **others)


def made_for(request: Request, package: Package, host: Mapping[str, Any] | None = None) -> Manifest:
    return Manifest(
        key="",
        layers=(),
        relocations=(),
        packages=(package,),
        totals=Totals(members=0, size=0, packed=0),
        prefix="",
        interpreter={},
        host=HOST.facts() if host is None else host,
        installer={},
        request=request.canonical(),
        needs={},
        tools=(TOOL,),
    )


def vouched_for(theirs: Request, package: Package, ours: Request, host: Mapping[str, Any] | None = None) -> list[str]:
    """Return the files that our request may use of what was made for theirs."""
    return [each.file for each in _vouched_for(made_for(theirs, package, host), ours, Asked(ours))]


PLAIN = asking("gamma==1")
MIRROR = {"index-url": ["https://mirror.example.org/simple"]}
LOCKED = {"require-hashes": True}
BUILT = Package(name="gamma", version="1.0", built=True, sha256=SDIST, wheel=COMPILED)
DOWNLOADED = Package(name="gamma", version="1.0", sha256=COMPILED.sha256, wheel=COMPILED)


@pytest.mark.parametrize(
    ("expected", "theirs", "package", "ours"),
    [
        pytest.param([COMPILED, TOOL], PLAIN, DOWNLOADED, PLAIN, id="downloaded"),
        pytest.param([COMPILED, TOOL], PLAIN, BUILT, PLAIN, id="built"),
        pytest.param([TOOL], PLAIN, replace(BUILT, direct=True), PLAIN, id="asked-for-by-where-it-is"),
        pytest.param([TOOL], PLAIN, replace(BUILT, wheel=None), PLAIN, id="not-kept"),
        pytest.param([TOOL], PLAIN, replace(DOWNLOADED, name="delta"), asking("delta"), id="another-project's"),
        pytest.param([TOOL], PLAIN, replace(BUILT, flags=("-march=native",)), PLAIN, id="for-one-processor"),
        pytest.param([], PLAIN, DOWNLOADED, asking("gamma==1", resolution=MIRROR), id="another-index"),
        pytest.param([], asking("gamma==1", resolution=LOCKED), DOWNLOADED, PLAIN, id="locked-there"),
        pytest.param([], PLAIN, DOWNLOADED, asking("delta"), id="nothing-in-common"),
        pytest.param([COMPILED, TOOL], PLAIN, DOWNLOADED, asking("delta @ sha256:" + "0" * 64), id="a-project's-needs"),
        pytest.param([TOOL], PLAIN, BUILT, asking("gamma==1", salt="x"), id="built-with-another-salt"),
        pytest.param([TOOL], PLAIN, BUILT, asking("gamma==1", variables={"CFLAGS": "-O0"}), id="built-otherwise"),
        pytest.param([TOOL], PLAIN, BUILT, asking("gamma==1 --config-settings=a=b"), id="settings-here"),
        pytest.param([TOOL], asking("gamma==1 --config-settings=a=b"), BUILT, PLAIN, id="settings-there"),
        pytest.param(
            [COMPILED],
            PLAIN,
            BUILT,
            asking(f"gamma==1 --hash=sha256:{SDIST}", resolution=LOCKED),
            id="made-from-what-a-hash-admits",
        ),
        pytest.param(
            [], PLAIN, BUILT, asking(f"gamma==1 --hash=sha256:{'0' * 64}", resolution=LOCKED), id="other-hashes"
        ),
    ],
)
def test_what_a_manifest_vouches_for(
    expected: list[WheelFile], theirs: Request, package: Package, ours: Request
) -> None:
    """It was found in the same places, by its name, and would be made alike here; or a hash admits it."""
    assert [each.file for each in expected] == vouched_for(theirs, package, ours)


@pytest.mark.parametrize(
    ("expected", "wheel", "difference"),
    [
        pytest.param([TOOL], COMPILED, {"distribution": "other-1"}, id="compiled-on-another-distribution"),
        pytest.param([TOOL], COMPILED, {"libc": {"family": "glibc", "version": "2.1"}}, id="with-another-libc"),
        pytest.param([PURE, TOOL], PURE, {"distribution": "other-1"}, id="pure"),
    ],
)
def test_what_was_compiled_stays_with_its_distribution(
    expected: list[WheelFile], wheel: WheelFile, difference: Mapping[str, Any]
) -> None:
    """It may need libraries that other systems have not; what has no compiled files needs none."""
    found = vouched_for(PLAIN, replace(BUILT, wheel=wheel), PLAIN, HOST.facts() | dict(difference))
    assert [each.file for each in expected] == found


@pytest.mark.parametrize(
    ("fixed", "open_", "lines", "resolution"),
    [
        pytest.param(True, False, ("gamma==1",), {}, id="its-version"),
        pytest.param(False, False, ("gamma==2",), {}, id="another-version"),
        pytest.param(False, True, ("gamma>=1",), {}, id="a-range"),
        pytest.param(False, True, ("gamma==1.*",), {}, id="a-series"),
        pytest.param(False, True, ("alpha==1",), {}, id="needed-by-others"),
        pytest.param(True, False, (f"gamma==1 --hash=sha256:{PURE.sha256}",), LOCKED, id="its-hash"),
        pytest.param(False, False, (f"gamma==1 --hash=sha256:{SDIST}",), LOCKED, id="another-hash"),
    ],
)
def test_what_requirements_fix(
    fixed: bool,
    open_: bool,
    lines: tuple[str, ...],
    resolution: Mapping[str, Any],
) -> None:
    """A version or a hash fixes a wheel; what is neither fixed nor excluded serves where no index answers."""
    asked = Asked(asking(*lines, resolution=resolution))
    wheel = Wheel(file=PURE.file, sha256=PURE.sha256, name="gamma", version="1.0")
    assert (fixed, open_) == (asked.fixes(wheel), asked.leaves_open(wheel))


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
    path = tmp_path / PURE.file
    path.write_bytes(b"a wheel")
    return path


def test_a_wheel_comes_and_goes(path: Path, tmp_path: Path) -> None:
    """It is put up once, by digest and name, fetched by another machine, and found there again without the store."""
    store, report = MemoryStore(), Report()
    build, wheel = kept(path)
    Wheelhouse(store, tmp_path, report).publish(build, required=True)
    name = layout.wheel(wheel.sha256, wheel.file)
    assert [name] == [each.name for each in store.list(layout.WHEELS)]
    for number, source in enumerate((store, MemoryStore())):
        folder = tmp_path / f"folder{number}"
        folder.mkdir()
        found = Wheelhouse(source, tmp_path / "machine", report)._fetch([wheel], str(folder))
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
    house = Wheelhouse(store, tmp_path / "machine", report)
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
    house = Wheelhouse(Refusing(), tmp_path, report)
    house.publish(build, required=False)
    (warning,) = report.warnings
    assert warning.startswith("wheels are not kept: v1/wheels/")
    with pytest.raises(StoreRefusedError):
        house.publish(build, required=True)

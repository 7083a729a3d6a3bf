"""Which wheels of a store a build may use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from terrastore import interpreter
from terrastore.archive.manifest import Manifest, Package, Totals, WheelFile
from terrastore.build.wheels import Wheel
from terrastore.host import Host
from terrastore.key import Request
from terrastore.requirements import RequirementSet
from terrastore.vouched import Asked, vouched_for

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def usable(theirs: Request, package: Package, ours: Request, host: Mapping[str, Any] | None = None) -> list[str]:
    """Return the files that our request may use of what was made for theirs."""
    return [each.file for each in vouched_for(made_for(theirs, package, host), ours, Asked(ours))]


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
    assert [each.file for each in expected] == usable(theirs, package, ours)


@pytest.mark.parametrize("form", [{}, {"resolution": []}, {"requirements": 5, "resolution": {}}, {"requirements": [5]}])
def test_a_request_in_a_manifest_may_have_any_form(form: Mapping[str, Any]) -> None:
    """It is for people, so nothing follows from one that cannot be read."""
    manifest = replace(made_for(PLAIN, BUILT), request=form)
    assert {TOOL.file} >= {each.file for each in vouched_for(manifest, PLAIN, Asked(PLAIN))}


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
    found = usable(PLAIN, replace(BUILT, wheel=wheel), PLAIN, HOST.facts() | dict(difference))
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

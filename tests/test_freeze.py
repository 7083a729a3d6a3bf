"""What was resolved, as a requirements file, from what a manifest says, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from terrastore.archive.layers import BASE, REST
from terrastore.archive.manifest import Layer, Manifest, Package, Totals
from terrastore.archive.relocate import PLACEHOLDER
from terrastore.freeze import freeze

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = f"cp311-linux_x86_64-{'0' * 40}"
TITLE = f"# {KEY}: Python 3.11.7, installed by pip 25.0"
A, B, COMMIT = "a" * 64, "b" * 64, "c" * 40
APART = "# without a hash, to be installed apart from those with one by pip: "
FILES = "# from files of the machine that built it, which -f must find: "


def manifest(*packages: Package, asked: Any = ()) -> Manifest:
    """Return a manifest of packages, for requirements."""
    request = {"requirements": list(asked) if isinstance(asked, tuple) else asked}
    return Manifest(
        key=KEY,
        layers=tuple(Layer(name=name, version=None, digest=A, frames=()) for name in (BASE, REST)),
        relocations=(),
        packages=packages,
        totals=Totals(members=0, size=0, packed=0),
        prefix=PLACEHOLDER.decode(),
        interpreter={"version": "3.11.7"},
        host={},
        installer={"name": "pip", "version": "25.0"},
        request=request,
        needs={},
    )


def package(name: str = "numpy", version: str = "2.1.0", **said: Any) -> Package:
    return Package(name=name, version=version, **said)


URL = "https://files.example/numpy-2.1.0-py3-none-any.whl"
GIT = f"git+https://git.example/team/numpy.git@{COMMIT}"
CASES: dict[str, tuple[tuple[Package, ...], tuple[str, ...], Sequence[str]]] = {
    "a wheel": ((package(sha256=A),), ("numpy",), [f"numpy==2.1.0 --hash=sha256:{A}"]),
    "by name": (
        (package("six", "1.0", sha256=A), package("numpy", sha256=B)),
        (),
        [f"numpy==2.1.0 --hash=sha256:{B}", f"six==1.0 --hash=sha256:{A}"],
    ),
    "an sdist": ((package(sha256=A, built=True),), ("numpy",), [f"numpy==2.1.0 --hash=sha256:{A}"]),
    "with extras": ((package(sha256=A),), ("numpy[all]>=2",), [f"numpy==2.1.0 --hash=sha256:{A}"]),
    "an epoch and a local version": (
        (package(version="1!2.1.0+cpu.1", sha256=A),),
        (),
        [f"numpy==1!2.1.0+cpu.1 --hash=sha256:{A}"],
    ),
    "hashes that the requirements say": (
        (package(),),
        (f"numpy==2.1.0 --hash=sha256:{B} --hash=sha256:{A}",),
        [f"numpy==2.1.0 --hash=sha256:{A} --hash=sha256:{B}"],
    ),
    "the hash of what was taken": (
        (package(sha256=A),),
        (f"numpy==2.1.0 --hash=sha256:{A} --hash=sha256:{B}",),
        [f"numpy==2.1.0 --hash=sha256:{A}"],
    ),
    "no hash": ((package(),), ("numpy",), [f"{APART}numpy", "numpy==2.1.0"]),
    "pip that was seeded": ((package("pip", "25.0"),), ("numpy",), []),
    "pip that was asked for": ((package("pip", "25.0"),), ("pip",), [f"{APART}pip", "pip==25.0"]),
    "pip that something needs": ((package("pip", "25.0", sha256=A),), (), [f"pip==25.0 --hash=sha256:{A}"]),
    "setuptools that something needs": (
        (package("setuptools", "80.0", sha256=A),),
        (),
        [f"setuptools==80.0 --hash=sha256:{A}"],
    ),
    "a URL": ((package(sha256=A, direct=True, url=URL),), (), [f"numpy @ {URL} --hash=sha256:{A}"]),
    "a URL without a hash": ((package(direct=True, url=URL),), (), [f"{APART}numpy", f"numpy @ {URL}"]),
    "a URL in an archive of before": ((package(sha256=A),), (f"numpy @ {URL}",), [f"numpy @ {URL} --hash=sha256:{A}"]),
    "a repository": (
        (package(direct=True, commit=COMMIT, url=f"{GIT}#subdirectory=x"),),
        (),
        [f"{APART}numpy", f"numpy @ {GIT}#subdirectory=x"],
    ),
    "a repository in an archive of before": (
        (package(commit=COMMIT),),
        (f"numpy[all] @ {GIT}",),
        [f"{APART}numpy", f"numpy @ {GIT}"],
    ),
    "a branch in an archive of before": (
        (package(commit=COMMIT),),
        ("numpy @ git+https://git.example/numpy.git@main",),
        [f"# left out: numpy 2.1.0, from a repository that is not known, commit {COMMIT}"],
    ),
    "a repository that nobody named": (
        (package(commit=COMMIT),),
        (),
        [f"# left out: numpy 2.1.0, from a repository that is not known, commit {COMMIT}"],
    ),
    "a URL with a secret": (
        (package(direct=True, url="https://files.example/numpy.zip?token=****"),),
        (),
        ["# left out: numpy 2.1.0, whose URL holds a secret"],
    ),
    "a file": (
        (package(sha256=A, direct=True),),
        (f"numpy-2.1.0-py3-none-any.whl @ sha256:{A}",),
        [f"{FILES}numpy", f"numpy==2.1.0 --hash=sha256:{A}"],
    ),
    "a directory": (
        (package(direct=True, built=True),),
        (f"directory @ sha256:{A}",),
        ["# left out: numpy 2.1.0, from the disk of the machine that built it"],
    ),
    "a project to be edited": (
        (package(sha256=A),),
        (f"-e web @ needs:{B}",),
        ["# left out: web, a project to be edited", f"numpy==2.1.0 --hash=sha256:{A}"],
    ),
    "a repository to be edited": (
        (package(direct=True, commit=COMMIT),),
        (f"-e {GIT}#egg=NumPy",),
        [f"# left out: numpy 2.1.0, to be edited: -e {GIT}#egg=NumPy"],
    ),
}


@pytest.mark.parametrize(("packages", "asked", "lines"), CASES.values(), ids=CASES)
def test_lines(packages: tuple[Package, ...], asked: tuple[str, ...], lines: Sequence[str]) -> None:
    """Each package as an installer would be asked for it, or a comment that says why it is not."""
    assert [TITLE, *lines] == list(freeze(manifest(*packages, asked=asked)).lines())


@pytest.mark.parametrize(
    "said",
    [
        {"name": "numpy\n--index-url=https://evil.example"},
        {"name": "numpy --index-url=https://evil.example"},
        {"name": "-r/etc/passwd"},
        {"name": "Num_Py"},
        {"version": "1.0\n--index-url=https://evil.example"},
        {"version": "1.0 --config-settings=x"},
        {"version": "1.0;python_version<'3'"},
        {"version": "1.*"},
        {"url": "https://files.example/a.whl\n-r/etc/passwd"},
        {"url": "https://files.example/a.whl --index-url=https://evil.example"},
        {"url": "-r/etc/passwd"},
        {"url": "file:///\n"},
        {"commit": "main\n-r/etc/passwd"},
        {"commit": COMMIT, "url": "git+https://git.example/numpy.git@main"},
    ],
)
def test_a_manifest_writes_no_lines_of_its_own(said: dict[str, str]) -> None:
    """What an installer could take for something else stands in a comment, in one line."""
    hostile: dict[str, Any] = {"direct": "url" in said, **said}
    lines = list(freeze(manifest(package(**hostile))).lines())
    assert 2 == len("\n".join(lines).splitlines())
    assert lines[1].startswith("# left out: ")


@pytest.mark.parametrize(
    "asked", [None, 1, {}, [1, None], ["-e "], ["@"], [f"numpy --hash=sha256:{A}\x1b"], ["numpy --hash=x;y"]]
)
def test_requirements_of_any_form(asked: Any) -> None:
    """Nothing of them is believed."""
    lines = list(freeze(manifest(package(), asked=asked)).lines())
    assert "numpy==2.1.0" == lines[-1]

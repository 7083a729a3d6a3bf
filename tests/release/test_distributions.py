"""The wheel and the sdist have what they must have, and nothing else."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from typing import TYPE_CHECKING, Final

import pytest

from terrastore import __version__
from tests.program_environments import program_environment
from tests.release.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from tests.release.conftest import Distributions

pytestmark = pytest.mark.network  # what builds, and twine, come from an index
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STEM: Final = f"terrastore-{__version__}"
INFO: Final = f"{STEM}.dist-info"
ABOUT: Final = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
TOP: Final = {".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "mkdocs.yml", "pyproject.toml"}
FOLDERS: Final = (".ci", ".github", "docs", "scripts", "terrastore", "tests")
NEEDED: Final = {
    "wheel": [
        "terrastore/py.typed",
        "terrastore/__main__.py",
        "terrastore/archive/FORMAT.md",
        "terrastore/overview/page.html",
        "terrastore/overview/page.css",
        "terrastore/overview/page.js",
        f"{INFO}/licenses/LICENSE",
        f"{INFO}/entry_points.txt",
    ],
    "sdist": [
        *("LICENSE", "README.md", "CHANGELOG.md", "PKG-INFO", "pyproject.toml", "mkdocs.yml"),
        *(".ci/run", ".github/workflows/release.yml", "docs/tutorial.md", "docs/iam/builder.json"),
        *("scripts/bootstrap.sh", "scripts/restore.sh", "scripts/boot/bootstrap.sh.in", "scripts/test"),
        *("scripts/github-action/action.yml", "scripts/ansible/terrastore/tasks/main.yml", "scripts/docker/Dockerfile"),
        *("terrastore/py.typed", "terrastore/archive/FORMAT.md", "tests/conftest.py", "tests/vectors/tiny.tar.zst"),
    ],
}
"""What would be missed most; that the rest is there too is compared with the tree."""
UNWANTED: Final = {".bench", ".dev", ".git", ".hypothesis", ".site", ".venv", "__pycache__", "bench-results", "dist"}


def faults(kind: str, members: Collection[str]) -> list[str]:
    """Return what is wrong with the files of a distribution, by their paths in it."""
    tree = {
        str(path.relative_to(ROOT))
        for folder in (["terrastore"] if kind == "wheel" else FOLDERS)
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted = tree | (ABOUT if kind == "wheel" else {*TOP, "PKG-INFO"})
    return [
        *(f"there is no {name}" for name in sorted({*wanted, *NEEDED[kind]} - set(members))),
        *(f"{name} is of no use" for name in sorted(set(members) - wanted)),
        *(f"{name} is a leftover" for name in sorted(members) if is_left_over(name)),
    ]


def is_left_over(name: str) -> bool:
    """Say whether tools leave such a file behind."""
    return bool(UNWANTED & set(name.split("/"))) or "_cache/" in name or name.endswith((".pyc", ".egg-info"))


def contents(path: Path) -> dict[str, tuple[bool, bytes]]:
    """Return whether each file of a distribution is a program, and its content; in an sdist below its one folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return {
                each.filename: (bool(each.external_attr >> 16 & 0o100), archive.read(each)) for each in archive.filelist
            }
    with tarfile.open(path) as archive:
        return dict(_members(archive))


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, tuple[bool, bytes]]]:
    for each in archive:
        folder, _, name = each.name.partition("/")
        file = archive.extractfile(each)
        assert (STEM, True) == (folder, file is not None), each.name
        assert file
        yield name, (bool(each.mode & 0o100), file.read())


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_contents(distributions: Distributions, kind: str) -> None:
    """Whatever belongs to the package, with its marker of types, licence and data; nobody's caches or tests."""
    path: Path = getattr(distributions, kind)
    assert (STEM + ("-py3-none-any.whl" if kind == "wheel" else ".tar.gz")) == path.name
    assert [] == faults(kind, contents(path))


@pytest.mark.parametrize(
    ("kind", "removed", "added", "expected"),
    [
        ("wheel", "terrastore/py.typed", None, "there is no terrastore/py.typed"),
        ("wheel", f"{INFO}/licenses/LICENSE", None, f"there is no {INFO}/licenses/LICENSE"),
        ("wheel", "terrastore/archive/FORMAT.md", None, "there is no terrastore/archive/FORMAT.md"),
        ("wheel", "terrastore/key.py", None, "there is no terrastore/key.py"),
        ("wheel", None, "tests/test_key.py", "tests/test_key.py is of no use"),
        ("wheel", None, "terrastore/secret.env", "terrastore/secret.env is of no use"),
        ("wheel", None, "terrastore/__pycache__/key.cpython-311.pyc", "is a leftover"),
        ("sdist", "scripts/bootstrap.sh", None, "there is no scripts/bootstrap.sh"),
        ("sdist", "PKG-INFO", None, "there is no PKG-INFO"),
        ("sdist", None, ".dev/bin/python", ".dev/bin/python is a leftover"),
        ("sdist", None, ".bench/results.json", ".bench/results.json is a leftover"),
        ("sdist", None, ".mypy_cache/3.11/a.json", "is a leftover"),
    ],
)
def test_what_would_be_wrong(
    distributions: Distributions, kind: str, removed: str | None, added: str | None, expected: str
) -> None:
    """A file that is missing, or one too many, is named."""
    members = {*contents(getattr(distributions, kind)), added} - {removed, None}
    assert expected in "\n".join(faults(kind, [name for name in members if name]))


def test_metadata(distributions: Distributions) -> None:
    """An index and an installer are told what the project says; both distributions tell the same."""
    wheel, sdist = (contents(path) for path in distributions.paths)
    text = wheel[f"{INFO}/METADATA"][1]
    assert text == sdist["PKG-INFO"][1]
    said = email.message_from_bytes(text)
    expected = {
        "Metadata-Version": "2.4",
        "Name": "terrastore",
        "Version": __version__,
        "Summary": "An artifact store for whole Python environments: build once, fetch everywhere",
        "License-Expression": "MIT",
        "License-File": "LICENSE",
        "Requires-Python": ">=3.11",
        "Provides-Extra": "uv",
        "Description-Content-Type": "text/markdown",
    }
    assert expected == {name: said[name] for name in expected}
    needed = [*PROJECT["dependencies"], *(f"{each}; extra == 'uv'" for each in PROJECT["optional-dependencies"]["uv"])]
    assert needed == said.get_all("Requires-Dist")
    assert {"Typing :: Typed", "Operating System :: POSIX :: Linux"} <= set(said.get_all("Classifier", []))
    assert (ROOT / "README.md").read_bytes() == said.get_payload(decode=True)
    assert b"[console_scripts]\nterrastore = terrastore.__main__:main\n" == wheel[f"{INFO}/entry_points.txt"][1]
    assert b"\nTag: py3-none-any\n" in wheel[f"{INFO}/WHEEL"][1]


def test_files_are_those_of_the_tree(distributions: Distributions) -> None:
    """Content and the right to be run come through; what is run after unpacking can be."""
    sdist = contents(distributions.sdist)
    for name, (is_program, content) in sdist.items():
        if name != "PKG-INFO":
            path = ROOT / name
            assert (name, bool(path.stat().st_mode & 0o100)) == (name, is_program)
            assert path.read_bytes() == content, name
    assert sdist["scripts/bootstrap.sh"][0]
    assert not sdist["README.md"][0]


def test_the_sdist_gives_the_same_wheel(distributions: Distributions, tmp_path: Path) -> None:
    """Built of the unpacked sdist or of the tree, file by file."""
    with tarfile.open(distributions.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    places = {"sdist": tmp_path / STEM, "tree": ROOT}
    builds = [
        subprocess.Popen(
            [sys.executable, "-m", "build", "--quiet", "--wheel", "--outdir", str(tmp_path / name), str(place)],
            stdin=subprocess.DEVNULL,
        )
        for name, place in places.items()
    ]
    assert [0, 0] == [build.wait() for build in builds]
    built = {name: contents(tmp_path / name / distributions.wheel.name) for name in places}
    for wheel in built.values():
        assert differences(contents(distributions.wheel), wheel) == []
    different = built["tree"] | {"terrastore/py.typed": (True, b"")}
    assert ["terrastore/py.typed"] == differences(built["sdist"], different)


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Return the names that two distributions do not hold alike."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def twine(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Let twine check distributions; its warnings are errors."""
    command = [f"{program_environment('release')}/bin/twine", "--no-color", "check", "--strict", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_twine(distributions: Distributions, tmp_path: Path) -> None:
    """What an index would refuse, or show as it was not meant, is found; here there is nothing."""
    done = twine(*distributions.paths)
    assert (0, 2) == (done.returncode, done.stdout.count("PASSED")), done.stdout
    broken = tmp_path / distributions.wheel.name
    with zipfile.ZipFile(broken, "w") as archive:
        for name, (_, content) in contents(distributions.wheel).items():
            archive.writestr(name, content.replace(b"Content-Type: text/markdown", b"Content-Type: text/x-rst"))
    refused = twine(broken)
    assert (1, True) == (refused.returncode, "FAILED" in refused.stdout), refused.stdout

"""The wheels that terrastore consists of are made of what runs, and of nothing that was changed."""

from __future__ import annotations

import io
import re
import zipfile
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

import terrastore
from terrastore.boot import wheels as made
from terrastore.boot.wheels import Wheel, oldest_libc, wheels
from terrastore.errors import UsageError
from tests.conftest import make_wheel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def ours() -> dict[str, Wheel]:
    return {wheel.name: wheel for wheel in wheels()}


def names_in(wheel: Wheel) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(wheel.content)).namelist())


def test_everything_that_is_needed(ours: dict[str, Wheel]) -> None:
    """terrastore, what it depends on, what these depend on; extras and tools of development are not."""
    assert {"terrastore", "boto3", "botocore", "cryptography", "cffi", "virtualenv", "filelock"} <= ours.keys()
    assert {"uv", "pytest", "moto", "pip"} & ours.keys() == set()
    assert sorted(ours) == list(ours)


def test_our_own_is_what_runs(ours: dict[str, Wheel]) -> None:
    """Every module, the specification, the metadata; nothing of this machine."""
    names = names_in(ours["terrastore"])
    info = f"terrastore-{terrastore.__version__}.dist-info"
    assert {"terrastore/__main__.py", "terrastore/boot/wheels.py", "terrastore/archive/FORMAT.md"} <= names
    assert {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")} <= names
    assert [] == [name for name in names if re.search(r"__pycache__|\.pth|direct_url|INSTALLER|REQUESTED|\.\.", name)]
    assert f"terrastore-{terrastore.__version__}-py3-none-any.whl" == ours["terrastore"].file


def test_record_lists_every_file(ours: dict[str, Wheel]) -> None:
    """As the format of wheels has it, each with its digest."""
    for wheel in ours.values():
        archive = zipfile.ZipFile(io.BytesIO(wheel.content))
        (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        rows = [line.rsplit(",", 2) for line in archive.read(record).decode().splitlines()]
        assert sorted(names_in(wheel)) == sorted(row[0].strip('"') for row in rows)
        assert [record] == [path for path, digest, _ in rows if not digest]


def test_the_same_bytes_every_time(ours: dict[str, Wheel]) -> None:
    """Their digests do not change when nothing does."""
    assert ours == {wheel.name: wheel for wheel in wheels()}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a distribution into a folder of its own, as what terrastore needs; return the folder."""
    wheel = make_wheel(tmp_path, "gamma", "1.0", {"gamma.py": "GAMMA = 1\n"})
    folder = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(folder)
    (folder / "gamma-1.0.dist-info/INSTALLER").write_text("tests\n")
    with (folder / "gamma-1.0.dist-info/RECORD").open("a") as record:
        record.write("gamma-1.0.dist-info/INSTALLER,,\n../bin/gamma,,\n__pycache__/gamma.cpython-311.pyc,,\n")
    found = metadata.Distribution.at(folder / "gamma-1.0.dist-info")

    def distribution(name: str) -> Any:
        if name == "gamma":
            return found
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    monkeypatch.setattr(made, "_NAME", "gamma-of-somebody")
    monkeypatch.setattr(made, "_needed", lambda: [distribution("gamma")])
    return folder


def test_what_is_installed_becomes_the_wheel_it_was(installed: Path) -> None:
    """Without what installing added."""
    (wheel,) = wheels()
    assert ("gamma", "1.0", "gamma-1.0-py3-none-any.whl") == (wheel.name, wheel.version, wheel.file)
    info = "gamma-1.0.dist-info"
    assert {"gamma.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"} == names_in(wheel)


def test_what_was_edited_is_refused(installed: Path) -> None:
    """By the path of the file; so is what is missing."""
    (installed / "gamma.py").write_text("GAMMA = 2\n")
    with pytest.raises(UsageError, match=r"gamma\.py was changed since gamma was installed"):
        list(wheels())
    (installed / "gamma.py").unlink()
    with pytest.raises(UsageError, match=r"gamma\.py of gamma is missing"):
        list(wheels())


def test_what_no_wheel_brought_is_refused(installed: Path) -> None:
    """As a distribution of the operating system: nobody knows what it is for."""
    record = (installed / "gamma-1.0.dist-info/RECORD").read_text()
    (installed / "gamma-1.0.dist-info/RECORD").write_text(re.sub(r".*/WHEEL.*\n", "", record))
    with pytest.raises(UsageError, match="gamma was not installed from a wheel"):
        list(wheels())


def test_a_part_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where terrastore runs from a folder, and was never installed."""

    def nothing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    with pytest.raises(UsageError, match="terrastore is not installed here"):
        list(wheels())


def test_another_version_than_runs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout that went on since it was installed to be edited."""
    monkeypatch.setattr(made, "__version__", "99.0")
    with pytest.raises(UsageError, match=r"terrastore 99\.0 runs here, and was installed as "):
        list(wheels())


def wheel(*tags: str) -> Wheel:
    return Wheel("some-thing", "1.0", tags, b"")


@pytest.mark.parametrize(
    ("expected", "tags"),
    [
        pytest.param("some_thing-1.0-py2.py3-none-any.whl", ("py2-none-any", "py3-none-any"), id="several Pythons"),
        pytest.param(
            "some_thing-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            ("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64"),
            id="several platforms",
        ),
    ],
)
def test_file_names(expected: str, tags: tuple[str, ...]) -> None:
    """Tags are compressed as PEP 425 has it."""
    assert expected == wheel(*tags).file


@pytest.mark.parametrize(
    ("expected", "tags"),
    [
        pytest.param(None, ("py3-none-any",), id="pure"),
        pytest.param((2, 17), ("cp311-cp311-manylinux_2_17_i686", "cp311-cp311-manylinux2014_i686"), id="manylinux"),
        pytest.param((2, 5), ("cp311-abi3-manylinux1_i686", "cp311-abi3-manylinux_2_28_i686"), id="the oldest"),
        pytest.param((1, 2), ("cp311-cp311-musllinux_1_2_x86_64",), id="musl"),
        pytest.param((2, 99), ("cp311-cp311-linux_x86_64",), id="compiled here"),
    ],
)
def test_the_oldest_libc(expected: tuple[int, int] | None, tags: tuple[str, ...]) -> None:
    """By the tags; of several wheels the latest."""
    assert expected == oldest_libc([wheel(*tags)], (2, 99))
    assert (2, 99) == oldest_libc([wheel(*tags), wheel("cp311-cp311-linux_x86_64")], (2, 99))

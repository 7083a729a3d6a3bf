"""Which shared libraries this machine has, as its loader finds them."""

from __future__ import annotations

import re
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from terrastore.loader import Loader, _read_cache, offers
from tests.archive.compiling import library

if TYPE_CHECKING:
    from pathlib import Path


def test_what_programs_here_use_is_found() -> None:
    """Whatever ldd finds for a program of this system, we find at a place of the same content."""
    listed = subprocess.run(["ldd", "/usr/bin/gcc"], capture_output=True, check=True, text=True).stdout
    names = re.findall(r"^\s*(\S+) => (\S+)", listed, re.MULTILINE)
    assert names
    for name, place in names:
        found = Loader.here().find(name)
        assert found is not None
        assert subprocess.run(["cmp", found, place], check=False).returncode == 0


def test_the_cache_is_read_as_ldconfig_does() -> None:
    """Every name in ldconfig's cache is there with its places."""
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, check=True, text=True).stdout
    expected = re.findall(r"^\s+(\S+) \(.*\) => (\S+)", listed, re.MULTILINE)
    assert sorted(expected) == sorted(
        (name, place) for name, places in _read_cache("/etc/ld.so.cache").items() for place in places
    )


@pytest.mark.parametrize(
    "data", [b"", b"glibc-ld.so.cache1.1", b"glibc-ld.so.cache1.1" + b"\xff" * 60, b"ld.so-1.7.0"], ids=repr
)
def test_a_cache_that_cannot_be_read_is_none(tmp_path: Path, data: bytes) -> None:
    """Without a cache, or with one of another form, only directories are looked at."""
    (tmp_path / "cache").write_bytes(data)
    assert {} == _read_cache(str(tmp_path / "cache"))
    assert {} == _read_cache(str(tmp_path / "none"))


def test_directories_come_in_order(tmp_path: Path) -> None:
    """Those of a search path come first, then the loader's own, then the cache."""
    for name in ("a", "b", "c"):
        library(tmp_path / name / "libx.so")
    loader = Loader((f"{tmp_path}/b",), {"libx.so": (f"{tmp_path}/c/libx.so",)})
    assert f"{tmp_path}/a/libx.so" == loader.find("libx.so", [f"{tmp_path}/none", f"{tmp_path}/a"])
    assert f"{tmp_path}/b/libx.so" == loader.find("libx.so")
    (tmp_path / "b/libx.so").unlink()
    assert f"{tmp_path}/c/libx.so" == loader.find("libx.so")
    assert (f"{tmp_path}/a/libx.so", None) == (
        loader.find_in(f"{tmp_path}/a", "libx.so"),
        loader.find_in(f"{tmp_path}/b", "libx.so"),
    )


def test_a_library_for_another_machine_does_not_count(tmp_path: Path) -> None:
    """The loader passes over files of another class or architecture, and over what is no ELF file."""
    own = Loader.here().abi
    place = library(tmp_path / "libx.so")
    data = place.read_bytes()
    loader = Loader((str(tmp_path),), abi=own)
    assert str(place) == loader.find("libx.so")
    for other in (data[:4] + b"\1" + data[5:], data[:18] + struct.pack("<H", 8) + data[20:], b"INPUT(libx.so.1)", b""):
        place.write_bytes(other)
        assert loader.find("libx.so") is None


def test_versions_of_symbols(tmp_path: Path) -> None:
    """A library offers the versions that it defines, whole names alone."""
    script = tmp_path / "map"
    script.write_text("THING_1.0 { global: one; };\nTHING_1.20 { global: two; } THING_1.0;\n")
    place = library(tmp_path / "libx.so", "int one, two;", f"-Wl,--version-script={script}")
    assert offers(str(place), ["THING_1.0", "THING_1.20"])
    assert offers(str(place), [])
    assert not offers(str(place), ["THING_1.0", "THING_1.2"])
    assert not offers(str(place), ["THING_2.0"])


def test_versions_whose_names_end_alike(tmp_path: Path) -> None:
    """Linkers put a name that is another one's end nowhere else, as libgomp's ``OMP_1.0`` in ``GOMP_1.0``."""
    script, whole = tmp_path / "map", "GOMP_1.0 { global: one; };\n"
    for versions, is_offered in ((whole, False), (whole + "OMP_1.0 { global: two; };\n", True)):
        script.write_text(versions)
        place = library(tmp_path / "libx.so", "int one, two;", f"-Wl,--version-script={script}", "-Wl,-O2")
        assert b"\0OMP_1.0\0" not in place.read_bytes()
        assert offers(str(place), ["GOMP_1.0"])
        assert is_offered == offers(str(place), ["OMP_1.0"])


def test_versions_that_a_library_needs_are_not_its_own(tmp_path: Path) -> None:
    """It names what it asks of another one too."""
    place = library(tmp_path / "libx.so", '#include <stdio.h>\nvoid one(void) { puts(stdin ? "1" : "2"); }')
    assert b"\0GLIBC_2.2.5\0" in place.read_bytes()
    assert not offers(str(place), ["GLIBC_2.2.5"])


def test_a_search_path_of_the_caller(tmp_path: Path) -> None:
    """LD_LIBRARY_PATH counts here as it does for the program later."""
    import sys  # noqa: PLC0415

    library(tmp_path / "liborphan.so")
    code = "from terrastore.loader import Loader; print(Loader.here().find('liborphan.so'))"
    for variables, expected in (({"LD_LIBRARY_PATH": f"/none:{tmp_path}"}, f"{tmp_path}/liborphan.so"), ({}, "None")):
        said = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=True, text=True)
        assert expected == said.stdout.strip()

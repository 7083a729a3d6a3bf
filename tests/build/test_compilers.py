"""How compilers are called is heard, whoever calls them, and kept with the wheels that came of it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from terrastore.build.compilers import Compilers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CFLAGS", "CXXFLAGS", "RUSTFLAGS", "COMPILER_PATH"):
        monkeypatch.delenv(name, raising=False)


def call(compilers: Compilers, folder: Path, *options: str, compiler: str = "gcc") -> None:
    source = folder / "x.c"
    source.write_text("int x(void) { return 1; }")
    variables = os.environ | compilers.variables()
    subprocess.run([compiler, *options, "-c", source, "-o", folder / "x.o"], env=variables, check=True)


@pytest.mark.parametrize("compiler", ["gcc", "g++", "cc"])
def test_a_compiler_is_heard(tmp_path: Path, compiler: str) -> None:
    """Options reach us from every name of GCC, and the object file is as it is without us."""
    compilers = Compilers(tmp_path / "cache", str(tmp_path / "work"))
    call(compilers, tmp_path, "-O2", "-march=native", "-mavx2", compiler=compiler)
    made = (tmp_path / "x.o").read_bytes()
    subprocess.run(
        [compiler, "-O2", "-march=native", "-mavx2", "-c", tmp_path / "x.c", "-o", tmp_path / "x.o"], check=True
    )
    assert made == (tmp_path / "x.o").read_bytes()
    assert {"x": {"-march=native"}} == compilers.flags({"x": "1.0"})


def test_pip_says_what_is_built(tmp_path: Path) -> None:
    """Options belong to the package that is being built, and to no other."""
    compilers = Compilers(tmp_path / "cache", str(tmp_path / "work"))
    for name, options in (("One_Thing", ("-march=native",)), ("other", ())):
        compilers.hear(f"  Building wheel for {name} (pyproject.toml): started")
        call(compilers, tmp_path, *options)
        compilers.hear(f"  Building wheel for {name} (pyproject.toml): finished with status 'done'")
    assert {"one-thing": {"-march=native"}} == compilers.flags({"one-thing": "1.0", "other": "2.0"})


def test_a_cached_wheel_is_remembered(tmp_path: Path) -> None:
    """What was heard when a wheel was made is known when the wheel comes from the cache; another version is another."""
    first = Compilers(tmp_path / "cache", str(tmp_path / "work"))
    call(first, tmp_path, "-march=native")
    first.flags({"x": "1.0"})
    later = Compilers(tmp_path / "cache", str(tmp_path / "work2"))
    assert {"x": {"-march=native"}} == later.flags({"x": "1.0", "y": "1.0"})
    assert {} == Compilers(tmp_path / "cache", str(tmp_path / "work3")).flags({"x": "2.0"})


def test_built_anew_without_options(tmp_path: Path) -> None:
    """A package that is built again without them has none."""
    first = Compilers(tmp_path / "cache", str(tmp_path / "work"))
    call(first, tmp_path, "-march=native")
    first.flags({"x": "1.0"})
    again = Compilers(tmp_path / "cache", str(tmp_path / "work2"))
    again.hear("Building wheel for x (pyproject.toml): started")
    again.hear("Building wheel for x (pyproject.toml): finished with status 'done'")
    assert {} == again.flags({"x": "1.0"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CFLAGS", "-O2 -march=x86-64-v3", "-march=x86-64-v3"),
        ("RUSTFLAGS", "-C target-cpu=native", "-C target-cpu=native"),
    ],
)
def test_variables_that_say_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """What compilers are told by variables is known without hearing them."""
    monkeypatch.setenv(name, value)
    assert {"x": {expected}} == Compilers(tmp_path / "cache", str(tmp_path / "work")).flags({"x": "1.0"})


def test_who_leads_compilers_elsewhere_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COMPILER_PATH that is set, and a machine without an assembler, stay as they are."""
    compilers = Compilers(tmp_path / "cache", str(tmp_path / "work"))
    monkeypatch.setenv("COMPILER_PATH", "/opt/tools")
    assert {} == compilers.variables()
    monkeypatch.delenv("COMPILER_PATH")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {} == compilers.variables()


def test_an_assembler_that_no_gcc_called(tmp_path: Path) -> None:
    """Other compilers look there too, and get the assembler of this machine."""
    folder = Compilers(tmp_path / "cache", str(tmp_path / "work")).variables()["COMPILER_PATH"]
    variables = {name: value for name, value in os.environ.items() if name != "COLLECT_GCC"}
    said = subprocess.run([f"{folder}/as", "--version"], env=variables, capture_output=True, check=True, text=True)
    assert said.stdout == subprocess.run(["as", "--version"], capture_output=True, check=True, text=True).stdout

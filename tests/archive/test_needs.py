"""What compiled files say that a host must offer, and where those that were made here look for the interpreter."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile

from terrastore.archive import elf, needs
from terrastore.archive.elf import Elf
from terrastore.archive.installed import libc_needed
from terrastore.archive.layers import Distribution
from terrastore.loader import Loader
from tests.archive.compiling import compiled, library

if TYPE_CHECKING:
    from pathlib import Path

BLANK = Elf(
    machine="X86_64", bits=64, soname="", needed=(), versions={}, search_paths={}, loaded=(), described=(), level=""
)


def read(place: Path) -> Elf:
    with place.open("rb") as file:
        program = elf.read(file)
    assert program is not None
    return program


def programs(tree: Path) -> dict[str, Elf]:
    return {
        str(path.relative_to(tree)): read(path)
        for path in tree.rglob("*")
        if path.is_file() and path.read_bytes()[:4] == elf.MAGIC
    }


def test_an_elf_file_is_read_as_readelf_reads_it(tmp_path: Path) -> None:
    """Name, needed libraries, versions of symbols and search path are those that binutils print."""
    inner = library(tmp_path / "libinner.so", "int answer(void) { return 42; }", "-Wl,-soname,libinner.so.1")
    code = "#include <math.h>\nint answer(void); double f(double x) { return pow(x, answer()); }"
    options = (f"-L{tmp_path}", "-linner", "-lm", "-Wl,-soname,libouter.so.2,-rpath,/opt/a:$ORIGIN/b")
    program = read(library(tmp_path / "libouter.so", code, *options))
    assert "libinner.so.1" == read(inner).soname
    assert ("libouter.so.2", {"libinner.so.1", "libm.so.6", "libc.so.6"}) == (
        program.soname,
        {*program.needed, "libc.so.6"},
    )
    said = subprocess.run(["readelf", "-V", tmp_path / "libouter.so"], capture_output=True, check=True, text=True)
    assert all(f"Name: {each}" in said.stdout for versions in program.versions.values() for each in versions)
    assert program.versions["libm.so.6"]
    (path,) = program.search_paths.values()
    assert b"/opt/a:$ORIGIN/b" == path.text
    assert (tmp_path / "libouter.so").read_bytes()[path.offset :].startswith(path.text + b"\0")
    assert [(path.offset, b"/opt/a"), (path.offset + 7, b"$ORIGIN/b")] == list(path.entries())


def test_a_weak_reference_is_no_need(tmp_path: Path) -> None:
    """A version that is marked weak is not needed: the loader goes on without it."""
    script = tmp_path / "map"
    script.write_text("THING_1.0 { global: one; };\nOTHER_2.0 { global: two; };\n")
    options = (f"-Wl,--version-script={script}", "-Wl,-soname,libthing.so")
    thing = library(tmp_path / "libthing.so", "int one(void) { return 1; } int two(void) { return 2; }", *options)
    code = "int one(void); int two(void); int f(void) { return one() + two(); }"
    user = library(tmp_path / "libuser.so", code, str(thing), "-nostdlib")
    before = set(read(user).versions["libthing.so"])
    with user.open("r+b") as file:
        section = ELFFile(file).get_section_by_name(".gnu.version_r")
        assert section is not None
        start = section["sh_offset"]
        file.seek(start + 8)  # vn_aux of the first library
        (entry,) = struct.unpack("<I", file.read(4))
        file.seek(start + entry + 4)
        file.write(struct.pack("<H", 2))  # vna_flags: VER_FLG_WEAK
    assert ({"THING_1.0", "OTHER_2.0"}, 1) == (before, len(before - set(read(user).versions["libthing.so"])))


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4", ""])
def test_a_level_that_the_linker_noted(tmp_path: Path, level: str) -> None:
    """A file that is marked to need a level of the psABI says so."""
    assert level == read(library(tmp_path / "x.so", "int x;", *([f"-Wl,-z,{level}"] if level else []))).level


def test_options_in_debug_information(tmp_path: Path) -> None:
    """Where compilers noted how they were called, it is read; where not, nothing is known."""
    for options, expected in (
        (("-g", "-march=haswell"), ("-march=haswell",)),
        (("-frecord-gcc-switches", "-march=haswell"), ("-march=haswell",)),
        (("-march=haswell",), ()),
    ):
        with library(tmp_path / "x.so", "int x(void) { return 1; }", *options).open("rb") as file:
            assert expected == elf.flags(file)


@pytest.mark.parametrize("data", [b"\x7fELF", b"\x7fELF" + b"\xff" * 200, b"\x7fELF\2\1\1" + bytes(57)], ids=len)
def test_a_damaged_file_says_nothing(tmp_path: Path, data: bytes) -> None:
    """What no loader could read is no program, whatever is wrong with it."""
    (tmp_path / "x.so").write_bytes(data)
    with (tmp_path / "x.so").open("rb") as file:
        found = elf.read(file)
        assert found is None or not found.needed
        assert () == elf.flags(file)


def test_every_truncated_program_is_read_or_passed_over(tmp_path: Path) -> None:
    """However short a program was cut, reading it ends."""
    data = library(tmp_path / "x.so", "int x(void) { return 1; }", "-lm", "-g").read_bytes()
    for size in range(4, len(data), 97):
        (tmp_path / "cut.so").write_bytes(data[:size])
        with (tmp_path / "cut.so").open("rb") as file:
            elf.read(file)
            elf.flags(file)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.4")}, (2, 14), id="by number"),
        pytest.param({"libm.so.6": ("GLIBC_2.29",), "libc.so.6": ("GLIBC_2.17",)}, (2, 29), id="of any part"),
        pytest.param({"libc.so.6": ("GLIBC_PRIVATE", "GLIBC_2.5")}, (2, 5), id="private"),
        pytest.param({"libc.so.6": ("GLIBC_ABI_DT_RELR", "GLIBC_2.5")}, (2, 36), id="packed relocations"),
        pytest.param({"libstdc++.so.6": ("GLIBCXX_3.4.30",)}, None, id="another library's"),
    ],
)
def test_glibc_needed(versions: dict[str, tuple[str, ...]], expected: tuple[int, int] | None) -> None:
    """The highest version of a symbol of glibc tells the oldest one that will do."""
    assert expected == needs.glibc_needed([BLANK, replace(BLANK, versions=versions)])


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param(["GLIBCXX_3.4", "GLIBCXX_3.4.9", "GLIBCXX_3.4.21"], ["GLIBCXX_3.4.21"], id="one row"),
        pytest.param(["CXXABI_1.3.13", "CXXABI_1.3", "GLIBCXX_3.4"], ["CXXABI_1.3.13", "GLIBCXX_3.4"], id="two rows"),
        pytest.param(["CXXABI_FLOAT128", "CXXABI_1.3"], ["CXXABI_1.3", "CXXABI_FLOAT128"], id="a name alone"),
        pytest.param([], [], id="none"),
    ],
)
def test_the_highest_of_versions(versions: list[str], expected: list[str]) -> None:
    """Versions that differ in numbers include each other."""
    assert expected == needs.highest(versions)


def test_libraries_needed(tmp_path: Path) -> None:
    """Of what is needed counts what is outside and here; of the interpreter's own, that it is; libc never."""
    tree, base, system, vendor = (tmp_path / name for name in ("env", "base", "system", "vendor"))
    for place in (system / "libsystem.so", base / "lib/libbase.so", vendor / "libvendor.so", tree / "x/libinner.so"):
        library(place, f"int {place.stem}(void) {{ return 1; }}")
    library(tmp_path / "gone/libgone.so", "int libgone(void) { return 1; }")
    names = ("system", "base", "vendor", "inner", "gone")
    code = "".join(f"int lib{name}(void);" for name in names) + "int main(void) { return "
    code += " + ".join(f"lib{name}()" for name in names) + "; }"
    folders = (system, base / "lib", vendor, tree / "x", tmp_path / "gone")
    search = f"-Wl,-rpath,{base}/lib:{vendor}:$ORIGIN/../x"
    compiled(tree / "bin/tool", code, *(f"-L{each}" for each in folders), *(f"-l{name}" for name in names), search)
    (tmp_path / "gone/libgone.so").unlink()
    found = needs.libraries_needed(
        programs(tree),
        {"bin/tool": "tools"},
        base=str(base),
        tree=str(tree),
        loader=Loader((str(system),)),
    )
    assert [
        {"name": "libbase.so", "base": True, "for": ["tools"]},
        {"name": "libsystem.so", "for": ["tools"]},
        {"name": "libvendor.so", "directory": str(vendor), "for": ["tools"]},
    ] == found


def test_libraries_missing(tmp_path: Path) -> None:
    """What was compiled here must find all: inside, by the loader or a search path, its own or another file's."""
    tree, base, system, vendor, gone = (tmp_path / name for name in ("env", "base", "system", "vendor", "gone"))
    folders = (system, base / "lib", vendor, tree / "x", gone)
    names = ("system", "base", "vendor", "inner", "gone")
    for folder, name in zip(folders, names, strict=True):
        library(folder / f"lib{name}.so", f"int {name}(void) {{ return 1; }}")
    options = (*(f"-L{each}" for each in folders), "-Wl,--no-as-needed", *(f"-l{name}" for name in names))
    library(tree / "finds.so", "int x;", *options, f"-Wl,-rpath,{vendor}")
    library(tree / "lost.so", "int x;", *options)
    every = programs(tree)
    alone = {path: each for path, each in every.items() if path != "finds.so"}
    for made, looked_at, expected in (
        ({"lost.so"}, alone, {"lost.so": ("libvendor.so", "libgone.so")}),
        ({"lost.so"}, every, {"lost.so": ("libgone.so",)}),
        ({"finds.so", "lost.so"}, every, {"finds.so": ("libgone.so",), "lost.so": ("libgone.so",)}),
        (set[str](), every, {}),
    ):
        loader = Loader((str(system),))
        assert expected == needs.libraries_missing(looked_at, made, base=str(base), tree=str(tree), loader=loader)


def test_only_files_for_this_machine_count() -> None:
    """Packages bring files for other machines along."""
    found = {"a": BLANK, "b": replace(BLANK, machine="AARCH64"), "c": replace(BLANK, bits=32)}
    assert {"a"} == needs.native(found, machine="x86_64", bits=64).keys()
    assert {"b"} == needs.native(found, machine="aarch64", bits=64).keys()
    assert {} == needs.native(found, machine="plan9", bits=64)


def test_the_processor_needed() -> None:
    """It is what was compiled for this one, and what is marked; for whom is told."""
    marked = {"lib/x.so": replace(BLANK, level="x86-64-v2"), "y": BLANK}
    here = frozenset({"lm", "avx2", "hypervisor"})
    found = needs.processor_needed({"tuned": ["-march=native"], "plain": []}, marked, {"lib/x.so": "marked"}, here)
    assert found is not None
    assert (["marked", "tuned"], {"avx2", "sse4_2"}) == (
        found["for"],
        {"avx2", "sse4_2", "hypervisor"} & {*found["features"]},
    )
    assert needs.processor_needed({"plain": ["-march=haswell"]}, {"y": BLANK}, {}, here) is None


BASES = {
    "room for the way": ("opt/python/versions/3.11", "bin/tool", "/lib", "up"),
    "just enough": ("123456789", "bin/tool", "/lib", "up"),
    "too deep, and nothing there": ("opt/xy", "lib/python3.11/site-packages/a/b/c/d/e.so", "/lib", "nowhere"),
    "another directory, and nothing there": ("opt/python", "bin/tool", "/lib/sub", "nowhere"),
}


@pytest.mark.parametrize(("base", "path", "below", "expected"), BASES.values(), ids=BASES.keys())
def test_a_search_path_of_the_interpreter(tmp_path: Path, base: str, path: str, below: str, expected: str) -> None:
    """It leads to the environment's lib, in its place, or nowhere when it was of no use."""
    root = f"/{base}"
    place = library(tmp_path / path, "int x;", f"-Wl,-rpath,/opt/before:{root}{below}:/opt/after")
    patches, problem = needs.bound_to_base(path, read(place), base=root, loader=Loader(()))
    up = "$ORIGIN" + "/.." * path.count("/") if expected == "up" else "$ORIGIN"
    data = bytearray(place.read_bytes())
    for offset, content in patches:
        data[offset : offset + len(content)] = content
    place.write_bytes(data)
    (tag,) = read(place).search_paths.values()
    assert (f"/opt/before:{up.ljust(len(root), '/')}{below}:/opt/after", "") == (tag.text.decode(), problem)


def test_no_room_for_a_library_of_the_interpreter(tmp_path: Path) -> None:
    """What would not be found any more is refused."""
    inner = library(
        tmp_path / "b/lib/libpython9.so.1.0", "int answer(void) { return 42; }", "-Wl,-soname,libpython9.so.1.0"
    )
    path = "lib/python3.11/site-packages/" + "deep/" * 40 + "x.so"
    place = library(
        tmp_path / "env" / path,
        "int answer(void); int f(void) { return answer(); }",
        f"-Wl,-rpath,{inner.parent}",
        f"-L{inner.parent}",
        "-l:libpython9.so.1.0",
    )
    patches, problem = needs.bound_to_base(path, read(place), base=f"{tmp_path}/b", loader=Loader(()))
    assert ([], "its search path has no room to say where libpython9.so.1.0 of the interpreter is") == (
        patches,
        problem,
    )


def test_a_directory_of_the_system_stays(tmp_path: Path) -> None:
    """Where the system's loader looks anyway, every host may say so."""
    place = library(tmp_path / "x.so", "int x;", "-Wl,-rpath,/usr/local/lib")
    found = needs.bound_to_base("x.so", read(place), base="/usr/local", loader=Loader(("/usr/local/lib",)))
    assert ([], "") == found


TAGGED = {
    "pure": ("py3-none-any", None, None),
    "pure, with a program": ("py3-none-any", (2, 5), "2.5"),
    "tagged": ("cp311-cp311-manylinux_2_17_x86_64", None, "2.17"),
    "tagged, and needs less": ("cp311-cp311-manylinux_2_17_x86_64", (2, 5), "2.17"),
    "tagged, and needs more": ("cp311-cp311-manylinux_2_17_x86_64", (2, 34), "2.34"),
    "made here": ("cp311-cp311-linux_x86_64", (2, 14), "2.14"),
    "made here, and says nothing": ("cp311-cp311-linux_x86_64", None, "2.36"),
}


@pytest.mark.parametrize(("tag", "symbols", "expected"), TAGGED.values(), ids=TAGGED.keys())
def test_the_libc_needed(tmp_path: Path, tag: str, symbols: tuple[int, int] | None, expected: str | None) -> None:
    """What was made here needs what its symbols say, a wheel what its tag says, or more; musl has tags alone."""
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
    distribution = Distribution(info=info.name, name="thing", version="1.0", rows=())
    needed = libc_needed(str(tmp_path), [distribution], ("glibc", (2, 36)), symbols)
    assert expected == (needed and needed["version"])
    if "linux_x86_64" in tag and "many" not in tag:
        musl = libc_needed(str(tmp_path), [distribution], ("musl", (1, 2)), symbols)
        assert {"family": "musl", "version": "1.2"} == musl

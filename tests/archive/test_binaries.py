"""The prefix in files that are not text: what takes another one, and what is refused by name at build."""

from __future__ import annotations

import io
import mmap
import pickle
import sqlite3
import struct
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest

from terrastore.archive import slots
from terrastore.archive.binaries import Canonical, canonicalise
from terrastore.archive.manifest import Relocation
from terrastore.archive.relocate import PLACEHOLDER, NotRelocatableError
from terrastore.archive.staging import StagingPrefix
from terrastore.archive.survey import Survey, content_of, survey
from terrastore.report import Phase
from tests.archive.compiling import PREFIX, compiled, library

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "/srv/my env"
STRINGS = {
    "alone": ('puts("<prefix>");', "{}"),
    "a path below it": ('puts("<prefix>/share/x");', "{}/share/x"),
    "in the middle": ('puts("-I<prefix>/include");', "-I{}/include"),
    "twice in a list": ('puts("/opt/a:<prefix>/b:<prefix>/c:/d");', "/opt/a:{}/b:{}/c:/d"),
    "two that share their end": (
        'static const char *volatile a = "<prefix>/tail", *volatile b = "/tail"; puts(a); puts(b);',
        "{}/tail\n/tail",
    ),
    "length known to the compiler": (
        'static const char text[] = "<prefix>/x"; fwrite(text, 1, sizeof text - 1, stdout);',
        "{}/x",
    ),
}


def looked_at(tree: Path) -> Survey:
    return survey(str(tree), PREFIX, Phase("scan", total=None, unit="files"))


def write_canonical(tree: Path, path: str, found: Survey) -> None:
    """Make the file what it is in an archive."""
    place = tree / path
    with place.open("rb") as file:
        data = b"".join(slots.patched(file.fileno(), found.members[path].size, found.patches[path]))
    place.write_bytes(data)


def moved(tree: Path, path: str, *targets: str) -> Relocation:
    """Bring the file at ``path`` to each of ``targets`` in turn."""
    found = looked_at(tree)
    digest = content_of(str(tree), path, found).sha256.hex()
    write_canonical(tree, path, found)
    entry = Relocation(path=path, kind=found.kinds[path], offsets=found.offsets[path], sha256=digest)
    assert slots.is_canonical(str(tree / path), entry)
    for target in targets:
        slots.refill(str(tree / path), entry, target, temporary=str(tree / "new"))
    return entry


def at(target: str) -> str:
    return target.encode().rjust(96, b"/").decode()


@pytest.mark.parametrize(("code", "expected"), STRINGS.values(), ids=STRINGS.keys())
@pytest.mark.parametrize("options", [("-O0",), ("-O2",)], ids=["plain", "optimised"])
def test_strings_of_a_program(tmp_path: Path, code: str, expected: str, options: tuple[str, ...]) -> None:
    """A program that was compiled with its path prints the new one, in every form, and is as long as before."""
    program = compiled(tmp_path / "bin/tool", f"#include <stdio.h>\nint main(void) {{ {code} return 0; }}", *options)
    size = program.stat().st_size
    moved(tmp_path, "bin/tool", "/a/first/place", TARGET)
    said = subprocess.run([program], capture_output=True, check=True, text=True).stdout.strip()
    assert expected.replace("{}", at(TARGET)) == said
    assert (size, True) == (program.stat().st_size, b"terrastore-staging-" not in program.read_bytes())


def test_a_string_of_cplusplus_keeps_its_length(tmp_path: Path) -> None:
    """A std::string whose length is compiled in ends where it ended, without zero bytes in it."""
    code = """#include <iostream>
        #include <string>
        int main() { std::string text("<prefix>/etc", 100); std::cout << text.size() << text << "|"; }"""
    program = compiled(tmp_path / "bin/tool", code, compiler="g++")
    moved(tmp_path, "bin/tool", TARGET)
    assert f"100{at(TARGET)}/etc|" == subprocess.run([program], capture_output=True, check=True, text=True).stdout


def test_a_large_file_is_found_wherever_the_prefix_stands(tmp_path: Path) -> None:
    """In a file of many megabytes the prefix is found and replaced without a change elsewhere."""
    code = 'const char filler[20000000] = {1}; const char *path(void) { return "<prefix>/x"; }'
    place = library(tmp_path / "lib/large.so", code)
    before = place.read_bytes()
    moved(tmp_path, "lib/large.so", TARGET)
    assert before.replace(PREFIX.path.encode(), at(TARGET).encode()) == place.read_bytes()


@pytest.mark.parametrize("tag", ["RPATH", "RUNPATH"])
def test_search_paths_become_relative(tmp_path: Path, tag: str) -> None:
    """An RPATH into the environment is written relative to the file, in its place, and needs no relocation."""
    tree = tmp_path / "env"
    inner = library(tree / "lib/inner/libinner.so")
    flag = "--disable-new-dtags" if tag == "RPATH" else "--enable-new-dtags"
    options = (f"-Wl,{flag},-rpath,/opt/vendor:<prefix>/lib/inner:<prefix>", f"-L{inner.parent}", "-linner")
    code = "#include <stdio.h>\nint answer(void); int main(void) { return answer() - 42; }"
    program = compiled(tree / "bin/tool", code, *options)
    found = looked_at(tree)
    assert ({}, {}) == (found.problems, found.kinds)
    write_canonical(tree, "bin/tool", found)
    said = subprocess.run(["readelf", "-d", program], capture_output=True, check=True, text=True).stdout
    up = "$ORIGIN/..".ljust(96, "/")
    assert f"[/opt/vendor:{up}/lib/inner:{up}]" in said
    assert tag in said
    assert 0 == subprocess.run([program], check=False).returncode
    assert 0 == subprocess.run([tree.rename(tmp_path / "moved") / "bin/tool"], check=False).returncode


@pytest.mark.parametrize("path", ["$ORIGIN/../x.libs", "/opt/builder/lib", "/usr/local/lib", "@loader_path/.dylibs"])
def test_foreign_search_paths_stay(tmp_path: Path, path: str) -> None:
    """What auditwheel wrote, and what names another builder, is packed byte by byte."""
    library(tmp_path / "lib/x.so", "int x;", f"-Wl,-rpath,{path}")
    found = looked_at(tmp_path)
    assert ({}, {}, {}) == (found.patches, found.kinds, found.problems)
    assert {"lib/x.so"} == found.programs.keys()


def test_debug_information_is_no_use_of_the_path(tmp_path: Path) -> None:
    """What only a debugger sees names the placeholder and stays so: the target's length does not depend on it."""
    code = '#line 1 "<prefix>/include/x.h"\nint answer(void) { return 42; }'
    place = library(tmp_path / "lib/x.so", code, "-g")
    assert PREFIX.path.encode() in place.read_bytes()
    found = looked_at(tmp_path)
    assert ({}, {}, {"lib/x.so"}) == (found.kinds, found.problems, set(found.patches))
    assert all(PLACEHOLDER == content for _, content in found.patches["lib/x.so"])


def test_an_object_file_and_an_archive_of_them(tmp_path: Path) -> None:
    """Static libraries have neither order nor checksums for what is in them."""
    compiled(tmp_path / "lib/x.o", 'const char *path = "<prefix>/x";', "-c")
    subprocess.run(["ar", "rcs", tmp_path / "lib/libx.a", tmp_path / "lib/x.o"], check=True)
    entry = moved(tmp_path, "lib/libx.a", TARGET)
    assert 1 == len(entry.offsets)
    moved(tmp_path, "lib/x.o", TARGET)
    code = "#include <stdio.h>\nextern const char *path; int main(void) { puts(path); return 0; }"
    for part in ("libx.a", "x.o"):
        program = compiled(tmp_path / "bin/tool", code, str(tmp_path / "lib" / part))
        said = subprocess.run([program], capture_output=True, check=True, text=True).stdout
        assert f"{at(TARGET)}/x\n" == said


def test_a_pickle(tmp_path: Path) -> None:
    """A pickle states the length of each string, which stays."""
    value = {"path": PREFIX.path + "/x", "list": [PREFIX.path, 1]}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    moved(tmp_path, "x.pkl", "/srv/größe")
    loaded = pickle.loads((tmp_path / "x.pkl").read_bytes())
    padded = at("/srv/größe")
    assert {"path": padded + "/x", "list": [padded, 1]} == loaded


def test_a_file_that_was_changed_since_is_left(tmp_path: Path) -> None:
    """What is not the file that was unpacked is not written to."""
    place = compiled(tmp_path / "bin/tool", '#include <stdio.h>\nint main(void) { puts("<prefix>"); return 0; }')
    entry = moved(tmp_path, "bin/tool", TARGET)
    for changed in (place.read_bytes() + b"\0", place.read_bytes()[:100], place.read_bytes().replace(b"main", b"niam")):
        place.write_bytes(changed)
        with pytest.raises(slots.ChangedError):
            slots.refill(str(place), entry, "/srv/other", temporary=str(place.with_name("new")))
        assert (changed, {"tool"}) == (place.read_bytes(), {each.name for each in place.parent.iterdir()})


@pytest.mark.parametrize("size", [1, 2, 95, 96])
def test_a_prefix_that_fits(tmp_path: Path, size: int) -> None:
    """Up to 96 bytes a prefix has room, and keeps its end."""
    assert 96 == len(slots.filled("/" + "x" * (size - 1)))
    assert slots.filled("/" + "x" * (size - 1)).endswith(b"x" * (size - 1))


def test_a_longer_prefix_is_refused() -> None:
    """A place never grows; bytes count, not characters."""
    with pytest.raises(NotRelocatableError, match="room for a path of 96 bytes, and this one has 97"):
        slots.filled("/" + "x" * 96)
    with pytest.raises(NotRelocatableError, match="has 101"):
        slots.filled("/" + "ä" * 50)


def mach_o(*commands: tuple[int, bytes]) -> bytes:
    """Return a Mach-O file of these load commands, for a 64-bit machine."""
    body = b"".join(struct.pack("<2I", number, 8 + len(data)) + data for number, data in commands)
    return struct.pack("<8I", 0xFEEDFACF, 0x01000007, 3, 6, len(commands), len(body), 0, 0) + body + bytes(64)


def fat(*parts: bytes) -> bytes:
    """Return a Mach-O file for several machines."""
    head, body, start = struct.pack(">2I", 0xCAFEBABE, len(parts)), b"", 4096
    for part in parts:
        head += struct.pack(">5I", 7, 3, start + len(body), len(part), 12)
        body += part
    return head.ljust(start, b"\0") + body


RPATH = (0x8000001C, struct.pack("<I", 12) + f"{PREFIX.path}/lib".encode().ljust(108, b"\0"))
NAME = (0xD, struct.pack("<4I", 24, 0, 0, 0) + f"{PREFIX.path}/lib/x.dylib".encode().ljust(120, b"\0"))
SIGNED = (0x1D, struct.pack("<2I", 4096, 100))


@pytest.mark.parametrize(
    ("content", "count"),
    [
        pytest.param(mach_o(RPATH), 1, id="search path"),
        pytest.param(mach_o(NAME, RPATH), 2, id="install name"),
        pytest.param(fat(mach_o(NAME), mach_o(RPATH)), 2, id="for two machines"),
    ],
)
def test_an_unsigned_mach_o_file(tmp_path: Path, content: bytes, count: int) -> None:
    """Load commands have a fixed size, and paths in them are filled in place."""
    place = tmp_path / "lib/x.dylib"
    place.parent.mkdir()
    place.write_bytes(content)
    entry = moved(tmp_path, "lib/x.dylib", TARGET)
    assert count == len(entry.offsets)
    assert content.replace(PREFIX.path.encode(), at(TARGET).encode()) == place.read_bytes()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (path text primary key)")
    connection.execute("insert into t values (?)", (PREFIX.path,))
    return connection.serialize()


def stored_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", PREFIX.path)
    return file.getvalue()


NAME_ALONE = PREFIX.path.rpartition("/")[2].encode()
REFUSED = {
    "UTF-16": (b"\0" + PREFIX.path.encode("utf-16-le"), "UTF-16"),
    "UTF-16, the other way round": (PREFIX.path.encode("utf-16-be"), "UTF-16"),
    "UTF-32": (PREFIX.path.encode("utf-32-be"), "UTF-32"),
    "a signed Mach-O file": (mach_o(RPATH, SIGNED), "signed"),
    "signed for one of two machines": (fat(mach_o(NAME), mach_o(RPATH, SIGNED)), "signed"),
    "a damaged Mach-O file": (b"\xcf\xfa\xed\xfe" + bytes(12) + b"\xff" * 16 + PREFIX.path.encode(), "signed"),
    "a class for Java": (struct.pack(">2I", 0xCAFEBABE, 52) + PREFIX.path.encode(), "unknown kind"),
    "a database": (database(), "SQLite"),
    "a zip file": (stored_zip(), "checksums"),
    "a catalogue of messages": (b"\xde\x12\x04\x95\0\0\0\0" + PREFIX.path.encode(), "catalogue"),
    "a program for Windows": (b"MZ\0\0" + PREFIX.path.encode(), "Windows"),
    "an unknown kind": (b"\1\2\3\0" + PREFIX.path.encode(), "unknown kind"),
    "a script with a payload": (f"#!{PREFIX.path}/bin/python\n".encode() + b"PK\3\4\0", "unknown kind"),
    "the name alone": (b"!<arch>\n\0" + NAME_ALONE, "name of the environment's directory alone"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_right_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """What another path would damage, or might, is a problem, with file and reason."""
    (tmp_path / "x.bin").write_bytes(content)
    found = looked_at(tmp_path)
    assert {"x.bin"} == found.problems.keys()
    assert reason in found.problems["x.bin"]


def test_data_behind_a_program_is_refused(tmp_path: Path) -> None:
    """What was appended to a program has a form that only the program knows."""
    place = compiled(tmp_path / "bin/tool", "int main(void) { return 0; }")
    with place.open("ab") as file:
        file.write(PREFIX.path.encode())
    assert "behind the program" in looked_at(tmp_path).problems["bin/tool"]


def test_a_damaged_elf_file_is_refused(tmp_path: Path) -> None:
    """A file that no loader could read has no known form."""
    (tmp_path / "x.so").write_bytes(b"\x7fELF" + bytes(60) + PREFIX.path.encode())
    found = looked_at(tmp_path)
    assert ({"x.so"}, {}) == (set(found.problems), found.programs)


def test_a_place_of_another_build(tmp_path: Path) -> None:
    """The prefix of an earlier build is replaced too, and that of another root is told of and stays."""
    earlier, other = StagingPrefix.under(PREFIX.root, "f" * 32), StagingPrefix.under("/tmp/elsewhere", "f" * 32)
    (tmp_path / "x.a").write_bytes(b"!<arch>\n\0" + earlier.path.encode() + b"\0" + other.path.encode() + b"/lib\0")
    with (tmp_path / "x.a").open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found = canonicalise("x.a", content, PREFIX)
    assert Canonical(((9, PLACEHOLDER),), (9,), (f"{other.path}/lib",)) == found

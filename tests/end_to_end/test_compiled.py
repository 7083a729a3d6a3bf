"""Compiled packages, built by real pip: moved, bound to another interpreter, refused where they do not run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore import processor
from terrastore.archive.reading import find_manifest
from tests.archive.compiling import library
from tests.conftest import CommandLine, command_line, command_with
from tests.end_to_end.examine import examine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.archive.manifest import Manifest

pytestmark = pytest.mark.network

# Its extension has sys.prefix compiled in, and a search path into the environment and into the interpreter's directory.
SETUP = """
import sys, sysconfig
from setuptools import Extension, setup
setup(
    name="rooted",
    version="1.0",
    ext_modules=[Extension(
        "rooted",
        ["rooted.c"],
        define_macros=[("ROOT", '"%s"' % sys.prefix)],
        extra_compile_args=["-march=native"] if "TUNED" in __import__("os").environ else [],
        extra_link_args=["-Wl,-rpath," + sys.prefix + "/lib", "-l:libz.so.1"],
    )],
)
"""
CODE = """
#include <Python.h>
const char *zlibVersion(void);
static PyObject *root(PyObject *self, PyObject *none) { return PyUnicode_FromString(ROOT "/share"); }
static PyObject *zlib(PyObject *self, PyObject *none) { return PyUnicode_FromString(zlibVersion()); }
static PyMethodDef methods[] = {{"root", root, METH_NOARGS, ""}, {"zlib", zlib, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "rooted", 0, -1, methods};
PyMODINIT_FUNC PyInit_rooted(void) { return PyModule_Create(&module); }
"""
# A program that embeds the interpreter, as uwsgi does; its backend links it as python3-config says.
EMBEDDING = """
import os, subprocess, sys, sysconfig, tempfile, zipfile
def build_wheel(folder, *_):
    os.chdir(tempfile.mkdtemp())
    code = '#include <Python.h>\\nint main(void) { puts(Py_GetVersion()); return 0; }\\n'
    open("tool.c", "w").write(code)
    base = sysconfig.get_config_var("LIBDIR")
    version = sysconfig.get_config_var("LDVERSION")
    subprocess.run(["gcc", "tool.c", "-o", "tool", "-I" + sysconfig.get_path("include"), "-L" + base,
                    "-Wl,-rpath," + base, "-lpython" + version, *os.environ.get("LDFLAGS", "").split()], check=True)
    name = "embedding-1.0-py3-none-linux_x86_64.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        info = zipfile.ZipInfo("embedding-1.0.data/scripts/tool")
        info.external_attr = 0o100755 << 16
        wheel.writestr(info, open("tool", "rb").read())
        wheel.writestr("embedding-1.0.data/data/etc/embedding.mk", "LIBDIR = %s\\n" % base)
        wheel.writestr("embedding-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: embedding\\nVersion: 1.0\\n")
        wheel.writestr("embedding-1.0.dist-info/WHEEL",
                       "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: py3-none-linux_x86_64\\n")
        wheel.writestr("embedding-1.0.dist-info/RECORD", "embedding-1.0.data/scripts/tool,,\\n")
    return name
"""
BACKEND = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def run(*command: str | Path, **variables: str) -> str:
    """Return what a command prints; it must end with 0."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | variables, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def is_shared(python: str = sys.executable) -> bool:
    """Whether an interpreter's library is a shared one, in its own lib directory."""
    code = "import sys, sysconfig; print(sys.base_prefix, 'lib', sysconfig.get_config_var('INSTSONAME'), sep='/')"
    return os.path.exists(run(python, "-c", code))


def manifest_in(store: Path) -> Manifest:
    """Return the manifest of the one archive in a directory store."""
    (archive,) = store.glob("v1/archives/*/*")
    data = archive.read_bytes()
    return find_manifest(lambda offset, size: data[offset : offset + size], len(data))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[tuple[CommandLine, Path]]:
    """Return a command line whose store has ``rooted`` and ``embedding``, and where they were first made."""
    home = tmp_path_factory.mktemp("compiled") / "home"
    with command_line(home, wheels) as cli:
        del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
        rooted = cli.cwd / "rooted"
        rooted.mkdir()
        (rooted / "setup.py").write_text(SETUP)
        (rooted / "rooted.c").write_text(CODE)
        lines = "./rooted\n"
        if is_shared():
            embedding = cli.cwd / "embedding"
            embedding.mkdir()
            (embedding / "pyproject.toml").write_text(BACKEND)
            (embedding / "backend.py").write_text(EMBEDDING)
            lines += "./embedding\n"
        cli.write("requirements.txt", lines)
        told = cli.ok("ensure", "--target", "first")
        assert "a target may have at most 96 bytes" in told.err
        assert "rooted.cpython" in told.err
        named = f"other machines may not have {sys.base_prefix}, which is named by etc/embedding.mk"
        assert (is_shared() and sys.base_prefix != "/usr/local") == (named in told.err)
        yield cli, cli.cwd / "first"


def root_of(environment: Path) -> str:
    return run(environment / "bin/python", "-c", "import rooted; print(rooted.root())")


def padded(path: Path) -> str:
    return os.fsdecode(os.fsencode(path).rjust(96, b"/")) + "/share"


def short(name: str) -> Path:
    """Return a path that compiled files have room for, whatever pytest's own is."""
    return Path("/tmp", f"ts-{os.getpid()}-{name}")


@pytest.mark.parametrize("name", ["e", "a b", "größe", "it's $HOME"])
def test_fetched_elsewhere(case: tuple[CommandLine, Path], name: str) -> None:
    """An extension that has sys.prefix compiled in says the place it is at, wherever that is; RECORD is true."""
    cli, first = case
    place = short(name)
    try:
        cli.ok("ensure", "--no-build", "--target", str(place))
        assert (padded(place), padded(first)) == (root_of(place), root_of(first))
        assert [] == examine(place)["untrue"]
        assert b"terrastore-staging-" not in next(place.glob("lib/*/site-packages/rooted*.so")).read_bytes()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_target_of_96_bytes(case: tuple[CommandLine, Path]) -> None:
    """The longest target that there is room for."""
    cli, _ = case
    place = short("x")
    place = place.with_name(place.name.ljust(96 - len(str(place.parent)) - 1, "x"))
    assert 96 == len(str(place))
    try:
        cli.ok("ensure", "--no-build", "--target", str(place))
        assert f"{place}/share" == root_of(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize("command", ["ensure", "unpack"])
def test_a_longer_target_is_refused(case: tuple[CommandLine, Path], tmp_path: Path, command: str) -> None:
    """A target for which there is no room is named, with the file; what was there stays."""
    cli, _ = case
    place = tmp_path / ("x" * 100)
    (archive,) = cli.store.glob("v1/archives/*/*")
    cli.write("empty.txt", "")
    cli.ok("ensure", "-r", "empty.txt", "--store", str(tmp_path / "store"), "--target", str(place))
    state = (place / ".terrastore/state.json").read_bytes()
    arguments = ("ensure", "--no-build") if command == "ensure" else ("unpack", str(archive))
    failed = cli(*arguments, "--target", str(place))
    assert 2 == failed.code
    assert "rooted.cpython" in failed.err
    assert "has room for a path of 96 bytes" in failed.err
    assert "hint: choose a target of at most 96 bytes" in failed.err
    assert state == (place / ".terrastore/state.json").read_bytes()
    assert {place.name, "store"} == set(os.listdir(tmp_path))


def test_moved_again_and_again(case: tuple[CommandLine, Path]) -> None:
    """An environment is relocated as often as one likes, also after plain copies; a file that was changed stays."""
    cli, _ = case
    places = [short(name) for name in ("one", "two", "three")]
    try:
        cli.ok("ensure", "--no-build", "--target", str(places[0]))
        original = next(places[0].glob("lib/*/site-packages/rooted*.so")).read_bytes()
        for before, after in pairwise(places):
            before.rename(after)
            cli.ok("relocate", str(after))
            assert padded(after) == root_of(after)
            assert [] == examine(after)["untrue"]
        places[2].rename(places[0])
        cli.ok("relocate", str(places[0]))
        extension = next(places[0].glob("lib/*/site-packages/rooted*.so"))
        assert original == extension.read_bytes()
        extension.write_bytes(original + b"changed")
        places[0].rename(places[1])
        told = cli.ok("relocate", str(places[1]))
        assert "is left as it is: it is not the one that was unpacked" in told.err
        assert original + b"changed" == next(places[1].glob("lib/*/site-packages/rooted*.so")).read_bytes()
    finally:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)


def test_unpacked_by_tar(case: tuple[CommandLine, Path]) -> None:
    """What plain tar unpacked, terrastore relocates."""
    cli, _ = case
    (archive,) = cli.store.glob("v1/archives/*/*")
    place = short("tar")
    place.mkdir()
    try:
        run("tar", "--zstd", "-C", place, "-xf", archive)
        cli.ok("relocate", str(place))
        assert padded(place) == root_of(place)
        assert [] == examine(place)["untrue"]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_what_the_manifest_says(case: tuple[CommandLine, Path]) -> None:
    """The needs of compiled files are in the manifest and in what show prints; the search path needs no relocation."""
    cli, _ = case
    manifest = manifest_in(cli.store)
    assert "glibc" == manifest.needs["libc"]["family"]
    assert "libz.so.1" in {each["name"] for each in manifest.needs["libraries"]}
    (entry,) = (entry for entry in manifest.relocations if entry.kind == "binary")
    assert 1 == len(entry.offsets)
    shown = cli.ok("show", manifest.key).out
    assert "libz.so.1 (for rooted)" in shown
    assert "targets of at most 96 bytes" in shown
    pointer = json.loads(cli.ok("show", manifest.key, "--json").out)["pointer"]
    assert {"libc"} == pointer["needs"].keys()


@pytest.mark.skipif(not is_shared(), reason="this interpreter has no shared library of its own")
def test_a_program_that_embeds_the_interpreter(case: tuple[CommandLine, Path], tmp_path: Path) -> None:
    """It finds the library of the interpreter found here, wherever that is, and names nothing of the builder."""
    cli, first = case
    base = tmp_path / "another/python"
    unneeded = shutil.ignore_patterns("test", "site-packages", "*.a", "idlelib")
    shutil.copytree(sys.base_prefix, base, symlinks=True, ignore=unneeded)
    python = f"{base}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    place = short("embedding")
    try:
        cli.ok("ensure", "--no-build", "--python", python, "--target", str(place))
        listed = run("ldd", place / "bin/tool")
        (link,) = (path for path in (place / "lib").glob("libpython*"))
        assert os.path.samefile(link, base / "lib" / link.name)
        assert f"{place}/bin/../" in listed
        assert sys.base_prefix.encode() not in (place / "bin/tool").read_bytes()
        assert run(place / "bin/tool").startswith(sys.version.split()[0])
        assert run(first / "bin/tool").startswith(sys.version.split()[0])
        cli.ok("relocate", str(place), "--python", sys.executable)
        assert os.path.samefile(link, Path(sys.base_prefix, "lib", link.name))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_two_builds_are_equal(case: tuple[CommandLine, Path], tmp_path: Path) -> None:
    """At another staging prefix, with nothing of before, the same layers and the same needs come about."""
    cli, _ = case
    first = manifest_in(cli.store)
    shutil.rmtree(cli.cache / "packed")
    shutil.rmtree(cli.cwd / "rooted/build", ignore_errors=True)
    cli.ok("build", "--store", str(tmp_path / "store"))
    second = manifest_in(tmp_path / "store")
    assert (first.needs, first.relocations) == (second.needs, second.relocations)
    assert [layer.digest for layer in first.layers] == [layer.digest for layer in second.layers]


GHOST = """
from setuptools import Extension, setup
ghost = Extension("haunted", ["haunted.c"], extra_link_args=["-L%s", "-lghost"])
setup(name="haunted", version="1.0", ext_modules=[ghost])
"""
HAUNTED = """
#include <Python.h>
int ghost(void);
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "haunted", 0, -1, 0};
PyMODINIT_FUNC PyInit_haunted(void) { return ghost() ? PyModule_Create(&module) : 0; }
"""


def archived(place: Path) -> None:
    """Replace a shared library by a static one."""
    place.unlink()
    code = place.with_name("static.c")
    code.write_text("int ghost(void) { return 1; }")
    run("gcc", "-c", "-fPIC", code, "-o", code.with_suffix(".o"))
    run("ar", "rc", place.with_suffix(".a"), code.with_suffix(".o"))


def test_a_library_that_only_the_linker_finds(tmp_path: Path, wheels: Path) -> None:
    """What was compiled and cannot be loaded here is refused by file and library, and published for nobody."""
    with command_line(tmp_path / "home", wheels) as cli:
        del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
        options = ("-Wl,-soname,libghost.so.3",)
        place = library(tmp_path / "system/libghost.so", "int ghost(void) { return 1; }", *options)
        place.with_name("libghost.so.3").symlink_to(place.name)
        haunted = cli.cwd / "haunted"
        haunted.mkdir()
        (haunted / "setup.py").write_text(GHOST % place.parent)
        (haunted / "haunted.c").write_text(HAUNTED)
        cli.write("requirements.txt", "./haunted\n")
        cli.write("none.txt", "")
        cli.ok("ensure", "-r", "none.txt", "--no-publish")
        state = (cli.cwd / ".venv/.terrastore/state.json").read_bytes()
        refused = cli("ensure")
        assert (5, state) == (refused.code, (cli.cwd / ".venv/.terrastore/state.json").read_bytes())
        assert [] == [*cli.store.glob("v1/pointers/*")]
        assert "what was compiled cannot be loaded here" in refused.err
        assert re.search(r": lib/\S+/haunted\.\S+\.so needs libghost\.so\.3\n", refused.err)
        assert "hint: install the library, or set LD_LIBRARY_PATH" in refused.err
        assert 4 == cli("ensure", "--no-build").code
        here = {"LD_LIBRARY_PATH": str(place.parent)}
        cli.ok("ensure", **here)
        assert "" == run(cli.cwd / ".venv/bin/python", "-c", "import haunted", **here)
        assert [{"name": "libghost.so.3", "for": ["haunted"]}] == manifest_in(cli.store).needs["libraries"]


def test_a_host_without_a_library(tmp_path: Path, wheels: Path) -> None:
    """A host that lacks a library which the builder had is told before anything is fetched, or builds its own."""
    with command_line(tmp_path / "home", wheels) as cli:
        del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
        folder = library(tmp_path / "system/libghost.so", "int ghost(void) { return 1; }").parent
        haunted = cli.cwd / "haunted"
        haunted.mkdir()
        (haunted / "setup.py").write_text(GHOST % folder)
        (haunted / "haunted.c").write_text(HAUNTED)
        cli.write("requirements.txt", "./haunted\n")
        cli.ok("ensure", LD_LIBRARY_PATH=str(folder))
        here = {"LD_LIBRARY_PATH": str(folder)}
        assert "" == run(cli.cwd / ".venv/bin/python", "-c", "import haunted", **here)
        there = cli.ok("ensure", "--no-build", "--target", "there", **here)
        assert "fetched" in there.out
        state = (cli.cwd / "there/.terrastore/state.json").read_bytes()
        cli.write("other.txt", "")
        lacking = cli("ensure", "--no-build", "--target", "lacking")
        assert (9, False) == (lacking.code, (cli.cwd / "lacking").exists())
        assert "needs the shared libraries libghost.so (for haunted), which this host does not have" in lacking.err
        assert "hint: install what is missing" in lacking.err
        assert "fetch" not in lacking.err.replace("fetched", "")
        (archive,) = cli.store.glob("v1/archives/*/*")
        unpacked = cli("unpack", str(archive), "--target", "unpacked")
        assert (9, False) == (unpacked.code, (cli.cwd / "unpacked").exists())
        moved = cli("relocate", "there")
        assert (9, state) == (moved.code, (cli.cwd / "there/.terrastore/state.json").read_bytes())
        # It cannot build what it cannot load, but with a library to be linked whole it needs none.
        refused = cli("build")
        assert (5, 1) == (refused.code, len([*cli.store.glob("v1/pointers/*")]))
        archived(folder / "libghost.so")
        shutil.rmtree(haunted / "build", ignore_errors=True)
        own = cli.ok("build", "--json").json
        assert re.fullmatch(r"cp3\S+-[0-9a-f]{40}-[a-z]+-?[0-9.]*", own["key"])
        assert "built" == own["outcome"]
        assert "fetched" in cli.ok("ensure", "--no-build", "--target", "own").out
        assert own["key"] in {path.stem for path in cli.store.glob("v1/pointers/*")}


def test_what_loads_no_more_is_found_before_the_swap(tmp_path: Path, wheels: Path) -> None:
    """A library that is there and lacks one that it needs itself is found out, and the old environment stays."""
    with command_line(tmp_path / "home", wheels) as cli:
        del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
        inner = library(tmp_path / "system/libinner.so", "int inner(void) { return 1; }")
        options = (f"-L{inner.parent}", "-linner")
        library(tmp_path / "system/libghost.so", "int inner(void); int ghost(void) { return inner(); }", *options)
        haunted = cli.cwd / "haunted"
        haunted.mkdir()
        (haunted / "setup.py").write_text(GHOST % f'{inner.parent}", "-Wl,--allow-shlib-undefined')
        (haunted / "haunted.c").write_text(HAUNTED)
        cli.write("requirements.txt", "./haunted\n")
        here = {"LD_LIBRARY_PATH": str(inner.parent)}
        cli.ok("build", **here)
        cli.write("none.txt", "")
        cli.ok("ensure", "-r", "none.txt")
        state = (cli.cwd / ".venv/.terrastore/state.json").read_bytes()
        inner.unlink()
        failed = cli("ensure", "--no-build", **here)
        assert (9, state) == (failed.code, (cli.cwd / ".venv/.terrastore/state.json").read_bytes())
        assert "cannot be loaded here: libinner.so: cannot open shared object file" in failed.err


def test_a_processor_that_lacks_something(case: tuple[CommandLine, Path], tmp_path: Path) -> None:
    """What was compiled for this processor says so, and another one is told."""
    cli, _ = case
    store = tmp_path / "tuned"
    shutil.rmtree(cli.cwd / "rooted/build", ignore_errors=True)
    cli.ok("build", "--rebuild", "--store", str(store), TUNED="1", PIP_NO_CACHE_DIR="1")
    manifest = manifest_in(store)
    (rooted,) = (package for package in manifest.packages if package.name == "rooted")
    assert ("-march=native",) == rooted.flags
    assert ["rooted"] == manifest.needs["processor"]["for"]
    features = set(manifest.needs["processor"]["features"])
    assert features
    assert features <= processor.features()
    lacking = min(features)
    program = (
        "from terrastore import processor\nbefore = processor.features\n"
        f"processor.features = lambda: before() - {{{lacking!r}}}\n"
    )
    (archive,) = store.glob("v1/archives/*/*")
    before, cli.command = cli.command, command_with(program)
    try:
        failed = cli("unpack", str(archive), "--target", "elsewhere")
    finally:
        cli.command = before
    assert (9, False) == (failed.code, (cli.cwd / "elsewhere").exists())
    assert f"needs a processor with {lacking} (for rooted)" in failed.err
    cli.ok("unpack", str(archive), "--target", "elsewhere")


def test_built_by_uv(case: tuple[CommandLine, Path], tmp_path: Path) -> None:
    """How uv's compilers were called is known; uv builds elsewhere, and what has that place compiled in is named."""
    cli, _ = case
    store = str(tmp_path / "by-uv")
    shutil.rmtree(cli.cwd / "rooted/build", ignore_errors=True)
    cli.write("rooted.txt", "./rooted\n")
    arguments = ("--installer", "uv", "-r", "rooted.txt", "--store", store)
    told = cli.ok("build", *arguments, TUNED="1")
    assert re.search(r"rooted\.cpython\S+ names a directory of a build, which will not be there", told.err)
    manifest = manifest_in(Path(store))
    assert [("-march=native",)] == [package.flags for package in manifest.packages if package.name == "rooted"]
    place = cli.cwd / ("x" * 100)
    cli.ok("ensure", *arguments, "--no-build", "--target", str(place))
    assert re.fullmatch(r"[0-9.]+", run(place / "bin/python", "-c", "import rooted; print(rooted.zlib())"))
    assert [] == examine(place)["untrue"]

"""An interpreter is found by what a person says, asked once, and told apart by what matters."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
from contextlib import suppress
from pathlib import Path

import packaging
import pytest

import terrastore
from terrastore.errors import HostError
from terrastore.interpreter import Fingerprint, Interpreter, _discover, find, probe

CPYTHON = Interpreter(
    executable="/usr/bin/python3.11",
    base_prefix="/usr",
    implementation="cpython",
    version=(3, 11, 7, "final", 0),
    soabi="cpython-311-x86_64-linux-gnu",
    free_threaded=False,
    debug=False,
    pointer_bits=64,
)
RUNNING = ".".join(map(str, sys.version_info[:3]))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment of the running interpreter."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


def program(path: Path, text: str) -> str:
    """Write a program that is no Python, and return its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def pretender(path: Path, **facts: object) -> str:
    """Write a program that gives ``facts`` for its own where the running interpreter has others."""
    told = probe(sys.executable)
    own = {name: getattr(told, name) for name in Interpreter._fields}
    return program(path, f"cat <<'END'\n{json.dumps(own | facts)}\nEND")


def test_the_running_interpreter() -> None:
    """Nothing asked for means the interpreter that terrastore runs on, by its base."""
    found = find(None)
    assert os.path.samefile(vars(sys)["_base_executable"], found.executable)
    assert tuple(sys.version_info) == found.version
    assert sys.base_prefix == found.base_prefix
    assert sys.implementation.name == found.implementation
    assert (sys.maxsize > 2**32) == (found.pointer_bits == 64)
    assert hasattr(sys, "gettotalrefcount") == found.debug


def of_this_version(depth: int) -> str:
    return ".".join(map(str, sys.version_info[:depth]))


@pytest.mark.parametrize(
    "request_",
    [None, *(f"{before}{of_this_version(depth)}" for before in ("", "cpython", "cpython@") for depth in (1, 2, 3))],
)
def test_the_running_interpreter_is_not_run(request_: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the interpreter that runs us starts no process, and gets what one would say."""
    expected = probe(sys.executable)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    monkeypatch.setitem(sys.modules, "python_discovery", None)
    assert expected == find(request_)


@pytest.mark.parametrize("way", ["plain", "link", "environment", "link to an environment"])
def test_what_runs_us_says_what_it_would_be_heard_to_say(way: str, environment: Path, tmp_path: Path) -> None:
    """However it was started, an interpreter tells the same of itself when it is called and when it is run."""
    real = str(environment / "bin/python") if "environment" in way else find(None).executable
    python = real
    if "link" in way:
        python = str(tmp_path / "linked")
        os.symlink(real, python)
    program = (
        "import sys\nfrom terrastore import interpreter\n"
        "print(interpreter.find(None) == interpreter.probe(sys.executable))"
    )
    root = str(Path(terrastore.__file__).parents[1])
    done = subprocess.run([python, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert "True\n" == done.stdout


def test_another_home_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONHOME leads the interpreter that runs us elsewhere, and no environment of it: then it is run without."""
    expected = find(None)
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    assert expected == find(None)


def test_a_path() -> None:
    """A path leads to the interpreter that stands there."""
    assert find(None) == find(find(None).executable)


def test_the_versioned_name_is_preferred() -> None:
    """An interpreter goes by its versioned name where that is the same: a plain one may lead elsewhere tomorrow."""
    own = find(None)
    plain, versioned = (f"{own.base_prefix}/bin/{name}" for name in own.names[1:])
    assert os.path.samefile(plain, versioned)
    assert versioned == find(plain).executable


def test_a_link_from_elsewhere_is_followed(tmp_path: Path) -> None:
    """To where the library is, which an environment finds from there; not from a directory that is a link itself."""
    own = find(None)
    home = os.path.dirname(own.executable)
    (tmp_path / "python3").symlink_to(own.executable)
    (tmp_path / own.names[-1]).symlink_to(own.executable)
    assert os.path.samefile(home, os.path.dirname(find(str(tmp_path / "python3")).executable))
    (tmp_path / "opt").symlink_to(own.base_prefix)
    (tmp_path / "bin").symlink_to(home)
    linked = str(tmp_path / "opt/bin" / own.names[-1])
    assert linked == find(linked).executable


def test_an_environments_python_leads_to_its_base(environment: Path) -> None:
    """An interpreter that is found in a virtual environment is that environment's base."""
    assert find(None) == find(str(environment / "bin/python"))


def test_a_relative_path(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is one from the working directory."""
    monkeypatch.chdir(environment)
    assert find(None) == find("bin/python")


@pytest.mark.parametrize("request_text", [RUNNING, f"=={RUNNING}", f"cpython@{RUNNING}", f"cpython{RUNNING}"])
def test_a_version(request_text: str) -> None:
    """A version that this machine has is found, the one that python-discovery finds first."""
    assert tuple(sys.version_info[:3]) == find(request_text).version[:3]
    assert find(request_text) == probe(_discover(request_text))


@pytest.mark.parametrize("request_text", ["99.99", "cpython@99.99"])
def test_a_version_that_nobody_has(request_text: str) -> None:
    """A version that this machine lacks is an error that names it."""
    with pytest.raises(HostError) as raised:
        find(request_text)
    assert 9 == raised.value.exit_code
    assert request_text in raised.value.message
    assert raised.value.hint


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    with pytest.raises(HostError) as raised:
        find(str(tmp_path / "python"))
    assert 9 == raised.value.exit_code
    assert f"there is no {tmp_path}/python" == raised.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("exit 0", "its answer makes no sense", id="says nothing"),
        pytest.param("exit 3", "it ends with exit code 3", id="fails"),
        pytest.param("echo hello", "its answer makes no sense", id="says something else"),
        pytest.param("kill -9 $$", "it ends with exit code -9", id="dies"),
        pytest.param("echo '{}'", "its answer makes no sense", id="says other JSON"),
        pytest.param("echo '[]'", "its answer makes no sense", id="says a list"),
        pytest.param("echo null", "its answer makes no sense", id="says null"),
        pytest.param("echo '{\"version\": [3, 11, 7]}'", "its answer makes no sense", id="says too little"),
    ],
)
def test_a_program_that_is_no_python(tmp_path: Path, text: str, reason: str) -> None:
    """A program that does not answer as an interpreter is refused by name, with a short reason."""
    path = program(tmp_path / "python", text)
    with pytest.raises(HostError, match=f"^{path} is no Python that works here: {reason}$") as raised:
        find(path)
    assert raised.value.hint


def test_a_program_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter is not waited for without an end."""
    monkeypatch.setattr("terrastore.interpreter._TIMEOUT", 0.1)
    path = program(tmp_path / "python", "exec sleep 60")
    with pytest.raises(HostError, match=f"^{path} is no Python that works here: it does not answer within 0.1 s$"):
        find(path)


def test_files_that_are_no_programs(tmp_path: Path) -> None:
    """A file that cannot be run, and a directory, are refused by name."""
    text, binary = tmp_path / "text", tmp_path / "binary"
    text.write_text("hello")
    binary.write_bytes(b"\x7fELF")
    binary.chmod(0o755)
    for path in (text, binary, tmp_path):
        with pytest.raises(HostError, match=f"^{path} is no Python that works here: "):
            find(str(path))


def test_an_error_does_not_show_the_question(tmp_path: Path) -> None:
    """What is said of an interpreter that failed does not hold the program it was to run."""
    with pytest.raises(HostError) as raised:
        find(program(tmp_path / "python", "exit 3"))
    assert "import" not in raised.value.message


@pytest.mark.parametrize(
    ("facts", "called"),
    [
        ({"implementation": "pypy", "version": [3, 11, 9, "final", 0]}, "pypy 3.11.9"),
        ({"version": [3, 8, 18, "final", 0]}, "cpython 3.8.18"),
        ({"version": [2, 7, 18, "final", 0]}, "cpython 2.7.18"),
    ],
)
def test_interpreters_that_are_not_served(tmp_path: Path, facts: dict[str, object], called: str) -> None:
    """Another implementation and an old version are refused by name."""
    with pytest.raises(HostError, match=f", {called}, is not supported$") as raised:
        find(pretender(tmp_path / "python", **facts))
    assert "3.9" in raised.value.hint


def test_the_oldest_that_is_served(tmp_path: Path) -> None:
    """CPython 3.9 will do."""
    found = find(pretender(tmp_path / "python", version=[3, 9, 0, "final", 0]))
    assert (3, 9, 0, "final", 0) == found.version


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 11, 7, "final", 0), "3.11.7"),
        ((3, 14, 0, "alpha", 3), "3.14.0a3"),
        ((3, 14, 0, "beta", 1), "3.14.0b1"),
        ((3, 14, 0, "candidate", 2), "3.14.0rc2"),
        ((3, 8, 0, "final", 0), "3.8.0"),
    ],
)
def test_version_text(version: tuple[int, int, int, str, int], expected: str) -> None:
    """A version is written as PEP 440 has it."""
    assert expected == CPYTHON._replace(version=version).version_text


@pytest.mark.parametrize(
    ("interpreter", "expected"),
    [
        (CPYTHON, "cp311"),
        (CPYTHON._replace(version=(3, 8, 18, "final", 0)), "cp38"),
        (CPYTHON._replace(version=(3, 14, 0, "alpha", 3)), "cp314"),
        (CPYTHON._replace(free_threaded=True), "cp311t"),
        (CPYTHON._replace(debug=True), "cp311d"),
        (CPYTHON._replace(free_threaded=True, debug=True), "cp311td"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tag(interpreter: Interpreter, expected: str) -> None:
    """The tag says implementation, version and what makes it incompatible with others of that version."""
    assert expected == interpreter.tag


@pytest.mark.parametrize(
    ("interpreter", "expected"),
    [
        (CPYTHON, ("python", "python3", "python3.11")),
        (CPYTHON._replace(free_threaded=True), ("python", "python3", "python3.11t")),
        (CPYTHON._replace(debug=True), ("python", "python3", "python3.11")),
    ],
    ids=["plain", "free-threaded", "debug"],
)
def test_names(interpreter: Interpreter, expected: tuple[str, ...]) -> None:
    """An environment has its interpreter by three names."""
    assert expected == interpreter.names


def test_identity() -> None:
    """What a key says of an interpreter is everything but where it stands."""
    assert {
        "implementation": "cpython",
        "version": "3.11.7",
        "soabi": "cpython-311-x86_64-linux-gnu",
        "free_threaded": False,
        "debug": False,
        "pointer_bits": 64,
    } == CPYTHON.identity()


def test_fingerprint(tmp_path: Path) -> None:
    """The fingerprint of a file that nobody touched stays, whatever link leads to it."""
    path, link = tmp_path / "python3.11", tmp_path / "python"
    path.write_bytes(b"one")
    link.symlink_to(path)
    before = Fingerprint.of(str(link))
    assert os.path.realpath(path) == before.path
    assert before == Fingerprint.of(str(link)) == Fingerprint.of(str(path))


def test_fingerprint_of_a_replaced_file(tmp_path: Path) -> None:
    """A file of the same size and time in the old one's place is another."""
    path, other = tmp_path / "python", tmp_path / "other"
    for each in (path, other):
        each.write_bytes(b"one")
        os.utime(each, (1, 1))
    before = Fingerprint.of(str(path))
    other.replace(path)
    assert before != Fingerprint.of(str(path))


def test_fingerprint_of_a_rewritten_file(tmp_path: Path) -> None:
    """A file that is rewritten in place, and a link that is led elsewhere, are noticed."""
    path, other, link = tmp_path / "one", tmp_path / "two", tmp_path / "python"
    path.write_bytes(b"one")
    other.hardlink_to(path)
    link.symlink_to(path)
    before = Fingerprint.of(str(link))
    os.utime(path, ns=(1, before.mtime_ns + 1))
    touched = Fingerprint.of(str(link))
    link.unlink()
    link.symlink_to(other)
    assert 3 == len({before, touched, Fingerprint.of(str(link))})


def test_fingerprint_of_nothing(tmp_path: Path) -> None:
    """An interpreter that is gone has no fingerprint."""
    with pytest.raises(FileNotFoundError):
        Fingerprint.of(str(tmp_path / "python"))


def test_any_patch_of_a_release() -> None:
    """Patch versions of one series are one where that is asked for, unless their bytecode differs."""
    python = CPYTHON._replace(magic=3495)
    newer = python._replace(version=(3, 11, 9, "final", 0))
    assert python.identity() != newer.identity()
    assert python.identity(any_patch=True) == newer.identity(any_patch=True)
    assert "3.11" == python.identity(any_patch=True)["version"]
    for other in (
        newer._replace(magic=3494),
        newer._replace(soabi="x"),
        newer._replace(version=(3, 12, 1, "final", 0)),
    ):
        assert python.identity(any_patch=True) != other.identity(any_patch=True)
    assert "magic" not in python.identity()


@pytest.mark.parametrize("level", ["alpha", "beta", "candidate"])
def test_a_pre_release_is_for_itself(level: str) -> None:
    """Neither ABI nor bytecode hold from one pre-release to the next."""
    python = CPYTHON._replace(version=(3, 15, 0, level, 1))
    assert python.identity() == python.identity(any_patch=True)


def test_bytecode_begins_with_the_magic_number() -> None:
    """It is asked of the interpreter."""
    assert int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little") == find(None).magic


REQUESTS = ["{0}.{1}", "{0}.{1}.{2}", "python{0}.{1}", "cpython@{0}.{1}", "{0}"]


@pytest.mark.parametrize("request_", REQUESTS)
def test_found_on_the_path_alone(request_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where python-discovery is not, PATH is searched for the version or the command, past what does not run."""
    broken, folder = tmp_path / "broken", tmp_path / "bin"
    name = "python{}.{}".format(*sys.version_info)
    for each in (broken, folder):
        each.mkdir()
    program(broken / name, "exit 3")
    (folder / name).symlink_to(find(None).executable)
    (folder / "python3").symlink_to(name)
    monkeypatch.setitem(sys.modules, "python_discovery", None)
    monkeypatch.setenv("PATH", f"{tmp_path / 'absent'}:{folder}" if "python" in request_ else f"{broken}:{folder}")
    found = find(request_.format(*sys.version_info))
    assert os.path.samefile(found.executable, folder / name)
    for absent in ("3.99", "{}.{}.99".format(*sys.version_info), "no-such-python", ">=3.9"):
        with pytest.raises(HostError, match="no interpreter on this machine fits"):
            find(absent)


PYTHONS = [
    sys.executable,
    *sorted(
        str(path)
        for folder in (*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin")))
        for path in Path(folder).glob("python3.*[0-9]")
        if "shims" not in folder
    ),
]
# The same library, of ours, asks the interpreter itself.
ASKED = """
import json, sys
sys.path.insert(0, {!r})
from packaging.markers import default_environment
from packaging.tags import sys_tags
print(json.dumps([default_environment(), [str(tag) for tag in sys_tags()]]))
"""


def test_what_wheels_and_markers_fit() -> None:
    """Markers and tags of every interpreter of this machine are those that it would name itself, in their order."""
    library = str(Path(packaging.__file__).parents[1])
    asked = {}
    for python in PYTHONS:
        with suppress(HostError):
            found = find(python)
            # Our packaging does not run on older ones.
            if found not in asked and found.version >= (3, 10):
                program = [found.executable, "-I", "-B", "-c", ASKED.format(library)]
                done = subprocess.run(program, capture_output=True, text=True, check=True)
                asked[found] = json.loads(done.stdout)
    assert find(None) in asked
    for found, (markers, tags) in asked.items():
        assert markers == found.markers, found.executable
        assert tags == [str(tag) for tag in found.tags()], found.executable


def test_the_abi_is_that_of_sysconfig() -> None:
    """What every interpreter of this machine says of its ABI is what its settings say, which it does not load."""
    settings = "import sysconfig; print(sysconfig.get_config_var('SOABI') or '')"
    seen = 0
    for python in PYTHONS:
        with suppress(HostError):
            found = find(python)
            done = subprocess.run([python, "-I", "-c", settings], capture_output=True, text=True, check=True)
            assert done.stdout.strip() == found.soabi
            seen += 1
    assert seen


def test_what_wheels_fit_by_pip() -> None:
    """pip names the same tags for the interpreter that it runs on."""
    program = "from pip._internal.utils.compatibility_tags import get_supported; print(*get_supported())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {str(tag) for tag in find(None).tags()}


@pytest.mark.parametrize(
    ("facts", "abis", "stable"),
    [
        pytest.param({}, ["cp311", "abi3", "none"], True, id="plain"),
        pytest.param({"debug": True}, ["cp311d", "cp311", "abi3", "none"], True, id="debug"),
        pytest.param(
            {"free_threaded": True, "version": (3, 13, 0, "final", 0)},
            ["cp313t", "abi3t", "none"],
            False,
            id="free-threaded",
        ),
        pytest.param(
            {"free_threaded": True, "debug": True, "version": (3, 14, 0, "final", 0)},
            ["cp314td", "cp314t", "abi3t", "none"],
            False,
            id="both",
        ),
    ],
)
def test_wheels_by_abi(facts: dict[str, object], abis: list[str], stable: bool) -> None:
    """A debug build takes a release's wheels too, a free-threaded one none of the limited API (PEP 703, PEP 803)."""
    python = CPYTHON._replace(**facts)  # type: ignore[arg-type]
    plain = f"cp{python.version[0]}{python.version[1]}"
    found = [tag for tag in python.tags() if tag.interpreter == plain]
    assert set(abis) == {tag.abi for tag in found}
    assert abis[0] == found[0].abi
    assert stable == any(tag.abi == "abi3" for tag in python.tags())
    assert "any" == python.tags()[-1].platform


def test_wheels_of_another_word_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 32-bit interpreter beside a 64-bit one takes i686 wheels; where nobody can tell, it is refused."""
    python = CPYTHON._replace(pointer_bits=32)
    monkeypatch.setattr("packaging.tags.platform_tags", lambda: iter(["linux_x86_64", "manylinux_2_28_x86_64"]))
    assert {"linux_i686", "manylinux_2_28_i686", "any"} == {tag.platform for tag in python.tags()}
    monkeypatch.setattr("packaging.tags.platform_tags", lambda: iter(["linux_s390x"]))
    with pytest.raises(HostError, match="which wheels fit a Python of 32 bits cannot be told by one of 64 bits"):
        python.tags()


def test_markers_of_a_release_candidate() -> None:
    """PEP 508 and PEP 440 write it in two ways."""
    markers = CPYTHON._replace(version=(3, 15, 0, "candidate", 2)).markers
    assert ("3.15.0c2", "3.15.0rc2") == (markers["implementation_version"], markers["python_full_version"])

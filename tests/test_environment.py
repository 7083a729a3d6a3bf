"""An environment on disk: what it was made from, whether it is what was asked for, its interpreter."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from terrastore import environment, interpreter
from terrastore.environment import State, bind, check, holds
from terrastore.errors import HostError
from terrastore.interpreter import Fingerprint, Interpreter
from terrastore.key import EnvKey
from terrastore.requirements.files import Source
from tests.archive.compiling import library

KEY = EnvKey(f"cp311-linux_x86_64-{'0' * 40}")
OTHER_KEY = EnvKey(f"cp311-linux_x86_64-{'1' * 40}")


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Return a state, written into the environment ``env``, whose interpreter is the file ``base/python3``."""
    base, env = tmp_path / "base", tmp_path / "env"
    base.mkdir()
    (base / "python3").write_bytes(b"an interpreter")
    (env / "bin").mkdir(parents=True)
    (env / ".terrastore").mkdir()
    (env / "bin/python").symlink_to(base / "python3")
    state = State(
        key=KEY.text,
        archive="ab" * 32,
        prefix=str(env),
        packages=3,
        inputs=({"path": "/ü\udcff", "sha256": "cd" * 32, "size": 1, "mtime_ns": 2**62, "inode": 2**63},),
        interpreter=Fingerprint.of(str(base / "python3")),
    )
    state.write(str(env))
    return state


def test_a_state_is_read_as_it_was_written(state: State) -> None:
    """Every field comes back, odd paths and large numbers too, and nothing else was written."""
    assert state == State.read(state.prefix)
    assert ["state.json"] == sorted(os.listdir(Path(state.prefix, ".terrastore")))


def test_a_state_is_replaced(state: State) -> None:
    """A newer state takes the older one's place."""
    newer = state._replace(key=OTHER_KEY.text, inputs=())
    newer.write(state.prefix)
    assert newer == State.read(state.prefix)
    assert ["state.json"] == sorted(os.listdir(Path(state.prefix, ".terrastore")))


UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "truncated": b'{"schema": 1, "key": "cp',
    "not JSON": b"schema: 1\n",
    "not UTF-8": b'{"schema": 1, "key": "\xff"}',
    "a list": b"[1]",
    "a number": b"1",
    "a text": b'"schema"',
    "null": b"null",
    "no fields": b"{}",
    "no schema": b'{"key": "k", "archive": "", "prefix": "/", "inputs": [], "interpreter": {}}',
    "a huge number": b'{"schema": %s}' % (b"9" * 5000),
    "nested too deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_state_is_none(data: bytes, state: State) -> None:
    """Whatever stands where the state should, reading it is no error."""
    Path(state.prefix, ".terrastore/state.json").write_bytes(data)
    assert State.read(state.prefix) is None


@pytest.mark.parametrize("field", ["schema", "key", "archive", "prefix", "inputs", "interpreter"])
def test_a_state_without_a_field_is_none(field: str, state: State) -> None:
    """Every field counts."""
    path = Path(state.prefix, ".terrastore/state.json")
    document = json.loads(path.read_bytes())
    del document[field]
    path.write_text(json.dumps(document))
    assert State.read(state.prefix) is None


@pytest.mark.parametrize("value", [None, 1, "text", [], {}], ids=json.dumps)
@pytest.mark.parametrize("field", ["schema", "key", "prefix", "interpreter"])
def test_a_state_with_another_value_holds_nothing(field: str, value: object, state: State) -> None:
    """A value of whatever type makes an environment unfit, and is no error."""
    path = Path(state.prefix, ".terrastore/state.json")
    document = json.loads(path.read_bytes()) | {field: value}
    path.write_text(json.dumps(document))
    assert bool(holds(state.prefix, KEY, {})) is ((field, value) == ("schema", 1))


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_a_state_of_another_schema_is_none(schema: object, state: State) -> None:
    """A later version's state says nothing to this one."""
    path = Path(state.prefix, ".terrastore/state.json")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"schema": schema}))
    assert State.read(state.prefix) is None


def test_unknown_fields_of_a_state_are_ignored(state: State) -> None:
    """A reader ignores fields it does not know."""
    path = Path(state.prefix, ".terrastore/state.json")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"later": {"field": 1}}))
    assert state == State.read(state.prefix)


@pytest.mark.parametrize("place", ["absent", "file", "folder", "loop"])
def test_where_no_state_can_be_there_is_none(place: str, tmp_path: Path) -> None:
    """An environment that is not there, a file, a folder in the state's place and a link to itself have none."""
    (tmp_path / "file").touch()
    (tmp_path / "folder/.terrastore/state.json").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    assert State.read(str(tmp_path / place)) is None
    assert not holds(str(tmp_path / place), KEY, {})


def test_inputs_are_the_files_as_they_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is known by its absolute path, its digest and what stat says of it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "requirements.txt"
    path.write_text("alpha\n")
    facts = path.stat()
    expected = {"path": str(path), "size": 6, "mtime_ns": facts.st_mtime_ns, "inode": facts.st_ino, "sha256": "ab" * 32}
    assert (expected,) == environment.inputs([Source("requirements.txt", "ab" * 32)])


def test_an_environment_holds_its_key(state: State) -> None:
    """What was made for this key, here, with this interpreter, is kept; another key's is not."""
    assert holds(state.prefix, KEY, {})
    assert not holds(state.prefix, OTHER_KEY, {})
    assert not holds(state.prefix, KEY.for_distribution("debian-12"), {})


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        ({"/srv/one": "sha256:aa"}, {"/srv/one": "sha256:aa"}, True),
        ({"/srv/one": "sha256:aa"}, {"/srv/one": "sha256:bb"}, False),
        ({"/srv/one": "sha256:aa"}, {"/srv/two": "sha256:aa"}, False),
        ({"/srv/one": "sha256:aa"}, {}, False),
        ({}, {"/srv/one": "sha256:aa"}, False),
    ],
)
def test_projects_that_are_edited_count(
    there: dict[str, str], asked: dict[str, str], expected: bool, state: State
) -> None:
    """The projects that are edited in an environment are those that are asked for, as they are installed now."""
    state._replace(projects=there).write(state.prefix)
    assert expected is bool(holds(state.prefix, KEY, asked))


def test_a_moved_environment_does_not_count(state: State, tmp_path: Path) -> None:
    """Neither one that was moved nor a copy of one is where its paths say."""
    shutil.copytree(state.prefix, tmp_path / "copy", symlinks=True)
    os.rename(state.prefix, tmp_path / "moved")
    assert not holds(str(tmp_path / "moved"), KEY, {})
    assert not holds(str(tmp_path / "copy"), KEY, {})
    assert not holds(state.prefix, KEY, {})


def upgrade(base: Path) -> None:
    (base / "newer").write_bytes(b"an interpreter")
    (base / "newer").rename(base / "python3")


def rewrite(base: Path) -> None:
    (base / "python3").write_bytes(b"another interpreter")


def touch(base: Path) -> None:
    os.utime(base / "python3", ns=(0, 0))


def remove(base: Path) -> None:
    (base / "python3").unlink()


def move(base: Path) -> None:
    base.rename(base.parent / "elsewhere")
    base.symlink_to("elsewhere")


@pytest.mark.parametrize("change", [upgrade, rewrite, touch, remove, move])
def test_a_changed_interpreter_does_not_count(change: Callable[[Path], None], state: State, tmp_path: Path) -> None:
    """An interpreter that was replaced, written over, removed or moved makes the environment unfit."""
    change(tmp_path / "base")
    assert not holds(state.prefix, KEY, {})


@pytest.mark.parametrize("link", [None, "nowhere", "python", sys.executable], ids=["no", "dangling", "loop", "another"])
def test_an_environments_own_link_counts(link: str | None, state: State) -> None:
    """Without ``bin/python``, or with one that leads elsewhere, an environment does not hold its key."""
    place = Path(state.prefix, "bin/python")
    place.unlink()
    if link is not None:
        place.symlink_to(link)
    assert not holds(state.prefix, KEY, {})


@pytest.fixture(scope="module")
def python() -> Interpreter:
    """Return the interpreter that the tests run on."""
    return interpreter.find(None)


def ask(env: Path, name: str, expression: str) -> str:
    """Return what the environment's interpreter says."""
    command = [str(env / "bin" / name), "-I", "-c", f"import sys; print({expression})"]
    return subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8").stdout.rstrip("\n")


@pytest.mark.parametrize("name", ["env", "with space", "ünïcødé", "quote'\"$HOME", "deep/er/env"])
def test_a_bound_directory_is_an_environment(name: str, python: Interpreter, tmp_path: Path) -> None:
    """Its interpreter, by every name, says that it stands there; whatever the directory is called."""
    env = tmp_path / name
    bind(str(env), python)
    for each in python.names:
        assert str(env) == ask(env, each, "sys.prefix")
    assert os.path.realpath(python.base_prefix) == os.path.realpath(ask(env, "python", "sys.base_prefix"))
    check(str(env), python)


def test_binding_writes_what_virtualenv_would(python: Interpreter, tmp_path: Path) -> None:
    """``pyvenv.cfg`` names home, version and executable (PEP 405); the first link is absolute, the others beside it."""
    bind(str(tmp_path), python)
    lines = (tmp_path / "pyvenv.cfg").read_text().splitlines()
    settings = dict(line.split(" = ", 1) for line in lines)
    assert os.path.dirname(python.executable) == settings["home"]
    assert python.executable == settings["executable"]
    assert python.version_text == settings["version"]
    assert "false" == settings["include-system-site-packages"]
    links = {name: os.readlink(tmp_path / "bin" / name) for name in os.listdir(tmp_path / "bin")}
    assert dict(zip(python.names, [python.executable, "python", "python"], strict=True)) == links


def test_binding_again_replaces_what_was_bound(python: Interpreter, tmp_path: Path) -> None:
    """Links to an interpreter that is gone, or files in their place, make way; other scripts stay."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to("/nowhere/python")
    (tmp_path / "bin/python3").write_text("a file")
    (tmp_path / "bin/tool").write_text("a script")
    (tmp_path / "pyvenv.cfg").write_text("home = /nowhere\n")
    bind(str(tmp_path), python)
    check(str(tmp_path), python)
    assert "a script" == (tmp_path / "bin/tool").read_text()
    assert sorted([*python.names, "tool"]) == sorted(os.listdir(tmp_path / "bin"))


def test_check_follows_links_in_the_path(python: Interpreter, tmp_path: Path) -> None:
    """An environment reached through a link is the same environment."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    bind(str(tmp_path / "link/env"), python)
    check(str(tmp_path / "link/env"), python)
    check(str(tmp_path / "real/env"), python)


def another_version(env: Path, python: Interpreter) -> Interpreter:
    return python._replace(version=(3, 8, 0, "final", 0))


def another_base(env: Path, python: Interpreter) -> Interpreter:
    return python._replace(base_prefix="/nowhere")


def no_environment(env: Path, python: Interpreter) -> Interpreter:
    (env / "pyvenv.cfg").unlink()
    return python


def script(env: Path, text: str) -> None:
    (env / "bin/python").unlink()
    (env / "bin/python").write_text(f"#!/bin/sh\n{text}\n")
    (env / "bin/python").chmod(0o755)


def silent(env: Path, python: Interpreter) -> Interpreter:
    script(env, "exit 0")
    return python


def broken(env: Path, python: Interpreter) -> Interpreter:
    script(env, "echo 'libpython is missing' >&2; exit 127")
    return python


def dangling(env: Path, python: Interpreter) -> Interpreter:
    bind(str(env), python._replace(executable="/nowhere/python"))
    return python


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (another_version, r"not the one it was made for: .* instead of \['\(3, 8, 0\)'"),
        (another_base, "instead of .*/nowhere"),
        (no_environment, "not the one it was made for"),
        (silent, r"not the one it was made for: \[\] instead of"),
        (broken, "does not run: libpython is missing"),
        (dangling, "does not run: .*No such file"),
    ],
)
def test_check_fails_clearly(
    spoil: Callable[[Path, Interpreter], Interpreter], message: str, python: Interpreter, tmp_path: Path
) -> None:
    """Another version, base or prefix, and an interpreter that does not run, are told apart, with what to do."""
    bind(str(tmp_path), python)
    wanted = spoil(tmp_path, python)
    with pytest.raises(HostError, match=message) as caught:
        check(str(tmp_path), wanted)
    assert caught.value.hint
    assert 9 == caught.value.exit_code


def test_check_does_not_wait_forever(python: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that hangs is stopped."""
    monkeypatch.setattr(environment, "_CHECK_TIMEOUT", 0.2)
    bind(str(tmp_path), python)
    script(tmp_path, "exec sleep 60")
    with pytest.raises(HostError, match=r"does not run: .*timed out"):
        check(str(tmp_path), python)


def test_check_ignores_the_callers_python_variables(
    python: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables such as PYTHONHOME, set for another Python, do not fool it."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    bind(str(tmp_path), python)
    check(str(tmp_path), python)


def own(name: str) -> dict[str, object]:
    """Return needs of one library of the interpreter."""
    return {"libraries": [{"name": name, "base": True}, {"name": "libz.so.1"}, {"name": "libx.so", "directory": "/o"}]}


def test_binding_links_the_interpreters_libraries(python: Interpreter, tmp_path: Path) -> None:
    """Programs that were linked with the interpreter find its library in lib, and that of the next one afterwards."""
    bases = [tmp_path / "one", tmp_path / "two"]
    for base in bases:
        (base / "lib").mkdir(parents=True)
        (base / "lib/libpython9.so").touch()
    link = tmp_path / "env/lib/libpython9.so"
    for base in bases:
        moved = python._replace(base_prefix=str(base))
        assert [str(link), "libz.so.1", "/o/libx.so"] == bind(str(tmp_path / "env"), moved, own("libpython9.so"))
        assert str(base / "lib/libpython9.so") == os.readlink(link)
    elsewhere = python._replace(base_prefix=str(tmp_path / "three"))
    assert "libpython9.so" == bind(str(tmp_path / "env"), elsewhere, own("libpython9.so"))[0]
    assert not os.path.lexists(link)


def test_binding_leaves_a_file_of_the_environment(python: Interpreter, tmp_path: Path) -> None:
    """A file of that name which is no link belongs to a package."""
    (tmp_path / "base/lib").mkdir(parents=True)
    (tmp_path / "base/lib/libx.so").touch()
    (tmp_path / "env/lib").mkdir(parents=True)
    (tmp_path / "env/lib/libx.so").write_text("a package's")
    bind(str(tmp_path / "env"), python._replace(base_prefix=str(tmp_path / "base")), own("libx.so"))
    assert "a package's" == (tmp_path / "env/lib/libx.so").read_text()


def test_check_loads_libraries(python: Interpreter, tmp_path: Path) -> None:
    """Libraries that are there are loaded; one that is not, or lacks another, is named."""
    env = str(tmp_path / "env")
    bind(env, python)
    good = library(tmp_path / "libgood.so")
    inner = library(tmp_path / "libinner.so", "int inner(void) { return 1; }")
    broken = library(tmp_path / "libbroken.so", "int inner(void); int f(void) { return inner(); }", str(inner))
    check(env, python, [str(good), "libc.so.6"])
    inner.unlink()
    with pytest.raises(HostError, match=r"cannot be loaded here: .*libinner\.so: cannot open shared object file"):
        check(env, python, [str(good), str(broken)])
    with pytest.raises(HostError, match=r"libnone\.so\.9: cannot open shared object file"):
        check(env, python, ["libnone.so.9"])


def test_a_library_that_ends_the_process_is_no_proof(python: Interpreter, tmp_path: Path) -> None:
    """Some libraries refuse to be loaded by others than the programs they are for."""
    env = str(tmp_path / "env")
    bind(env, python)
    code = "#include <stdlib.h>\n__attribute__((constructor)) static void begin(void) { _Exit(3); }"
    check(env, python, [str(library(tmp_path / "libsulky.so", code))])

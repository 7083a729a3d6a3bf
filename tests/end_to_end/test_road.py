"""The whole road with small real wheels: built, fetched, kept, changed, released, moved."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from terrastore.archive.reading import find_manifest
from tests.archive.memory import InMemory
from tests.conftest import CommandLine, make_project, make_wheel


def run(*command: str | Path) -> str:
    """Return what a command prints; it must end with 0."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_built_then_kept_then_fetched_elsewhere(cli: CommandLine) -> None:
    """The main story in three runs, each with its line on standard output."""
    cli.write("requirements.txt", "alpha==1.0\n")
    built = cli.ok("ensure")
    assert re.fullmatch(
        r"built    3 packages in \d+\.\d s → \.venv, published to \S+  \(cp3\d+t?-linux_\w+-[0-9a-f]{8}\)\n", built.out
    )
    assert re.match(r"miss  no cp3\S+ in \S+; building it here\n", built.err)
    kept = cli.ok("ensure")
    assert re.fullmatch(r"kept     \.venv is what requirements\.txt asks for  \(\S+\)\n", kept.out)
    assert "" == kept.err
    fetched = cli.ok("ensure", "--target", "other", "--no-build")
    assert re.fullmatch(r"fetched  3 packages, \d\.\d MB from \S+ in \d+\.\d s → other  \(\S+\)\n", fetched.out)
    assert "" == fetched.err
    for name in (".venv", "other"):
        assert "alpha 1.0" == run(cli.cwd / name / "bin/alpha")
        assert str(cli.cwd / name) == run(cli.cwd / name / "bin/python", "-c", "import beta; print(beta.PREFIX)")


def test_json_says_what_happened(stored: CommandLine) -> None:
    """The object of --json has the documented fields."""
    told = stored.ok("ensure", "--json").json
    assert {
        "schema", "outcome", "key", "target", "store", "packages", "bytes_fetched", "layers_fetched", "layers_total",
        "switched",
        "seconds", "warnings",
    } == told.keys()  # fmt: skip
    assert (1, "fetched", str(stored.cwd / ".venv"), str(stored.store)) == (
        told["schema"], told["outcome"], told["target"], told["store"],
    )  # fmt: skip
    assert {"fetch", "unpack", "check"} == told["seconds"].keys()
    assert told["layers_fetched"] == told["layers_total"] == 5


def test_two_builds_give_the_same_layers(cli: CommandLine, tmp_path: Path) -> None:
    """Two builds at two staging prefixes, under two umasks, are the same layer by layer."""
    cli.write("requirements.txt", "alpha\nclash-a\n")
    digests = []
    for number, umask in enumerate((0o022, 0o077)):
        store = tmp_path / str(number)
        process = cli.start("build", "--store", str(store), umask=umask)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        (archive,) = store.glob("v1/archives/*/*")
        data = archive.read_bytes()
        manifest = find_manifest(InMemory(data).read, len(data))
        digests.append({layer.name: layer.digest for layer in manifest.layers})
        assert 0o644 == archive.stat().st_mode & 0o777
        shutil.rmtree(cli.cache / "packed")
    assert digests[0] == digests[1]


def test_what_was_packed_before_is_taken(cli: CommandLine, tmp_path: Path) -> None:
    """In another environment too: of a changed pin its own layer is new; the archive is as without what is kept."""
    packed = cli.cache / "packed"
    cli.write("requirements.txt", "alpha==1.0\n")
    cli.ok("build")
    before = {path.name: path.stat().st_ino for path in packed.iterdir()}
    cli.write("requirements.txt", "alpha==2.0\n")
    archives = []
    for number, options in enumerate(((), ("--rebuild",), ())):
        store = tmp_path / str(number)
        cli.ok("build", "--store", str(store), *options)
        after = {path.name: path.stat().st_ino for path in packed.iterdir()}
        archives.append(next(store.glob("v1/archives/*/*")).read_bytes())
        if not number:
            assert before.items() < after.items()
            assert 1 == len(after) - len(before)
        if options:
            assert sum(before[name] == after[name] for name in before) == 1  # of alpha 1.0, which nobody asked for
            shutil.rmtree(packed)
    assert 1 == len(set(archives))


def test_a_change_leaves_nothing_of_the_old(stored: CommandLine) -> None:
    """Another requirements file gives another environment, whole; nothing of the one before is left over."""
    stored.ok("ensure")
    packages = next((stored.cwd / ".venv/lib").glob("*/site-packages"))
    (packages / "stray.py").touch()
    stored.write("requirements.txt", "alpha==2.0\n")
    stored.ok("ensure")
    assert "alpha 2.0" == run(stored.cwd / ".venv/bin/alpha")
    assert [] == [path for pattern in ("stray*", "alpha/only_in_1*", "alpha-1*") for path in packages.glob(pattern)]
    assert {".venv", "requirements.txt"} == set(os.listdir(stored.cwd))


def test_backup_and_rollback(stored: CommandLine) -> None:
    """--backup keeps the environment that was replaced, and rollback goes to it and back."""
    stored.ok("ensure")
    stored.write("requirements.txt", "alpha==2.0\n")
    stored.ok("ensure", "--backup")
    assert {".venv", ".venv.bak", "requirements.txt"} == set(os.listdir(stored.cwd))
    stored.ok("rollback")
    assert "alpha 1.0" == run(stored.cwd / ".venv/bin/alpha")
    stored.ok("rollback")
    assert "alpha 2.0" == run(stored.cwd / ".venv/bin/alpha")


def test_releases_and_rollback(stored: CommandLine) -> None:
    """A link leads to the current of several releases; running ones stay; rollback switches back."""
    arguments = ("ensure", "--link", "current", "--releases", "releases")
    stored.ok(*arguments)
    first = stored.cwd / os.readlink(stored.cwd / "current")
    assert "alpha 1.0" == run(stored.cwd / "current/bin/alpha")
    assert f"{first}/bin/python" in (first / "bin/alpha").read_text()
    stored.write("requirements.txt", "alpha==2.0\n")
    stored.ok(*arguments)
    assert "alpha 2.0" == run(stored.cwd / "current/bin/alpha")
    assert "alpha 1.0" == run(first / "bin/alpha")
    again = stored.ok(*arguments, "--json").json
    assert ("kept", False) == (again["outcome"], again["switched"])
    stored.ok("rollback", "--link", "current", "--releases", "releases")
    assert "alpha 1.0" == run(stored.cwd / "current/bin/alpha")
    assert "current now leads to what requirements.txt asks for" in stored.ok(*arguments).out
    assert "alpha 2.0" == run(stored.cwd / "current/bin/alpha")


def test_two_runs_for_one_target(stored: CommandLine) -> None:
    """Two runs at once both end well: one makes the environment, the other waits and keeps it."""
    runs = [stored.start("ensure", "--json") for _ in range(4)]
    outcomes = []
    for process in runs:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outcomes.append(json.loads(out)["outcome"])
    assert ["fetched", "kept", "kept", "kept"] == sorted(outcomes)
    assert {".venv", "requirements.txt"} == set(os.listdir(stored.cwd))


@pytest.mark.parametrize("damage", ["interpreter gone", "interpreter replaced", "moved", "state gone"])
def test_what_is_not_kept(stored: CommandLine, damage: str) -> None:
    """An environment whose interpreter or place is not what it was is made anew."""
    stored.ok("ensure")
    target = stored.cwd / ".venv"
    state = json.loads((target / ".terrastore/state.json").read_text())
    if damage == "interpreter gone":
        (target / "bin/python").unlink()
        (target / "bin/python").symlink_to("/nowhere/python")
    elif damage == "interpreter replaced":
        state["interpreter"]["mtime_ns"] += 1
        (target / ".terrastore/state.json").write_text(json.dumps(state))
    elif damage == "moved":
        target.rename(stored.cwd / "elsewhere")
        shutil.move(stored.cwd / "elsewhere", target)
        state["prefix"] = str(stored.cwd / "elsewhere")
        (target / ".terrastore/state.json").write_text(json.dumps(state))
    else:
        (target / ".terrastore/state.json").unlink()
    assert "fetched" == stored.ok("ensure", "--json").json["outcome"]
    assert "alpha 1.0" == run(target / "bin/alpha")
    assert "kept" == stored.ok("ensure", "--json").json["outcome"]


PLACES = {
    "with a space and quotes": 'it\'s a "place"',
    "with shell characters": "a$b;c%d&e!f",
    "not ASCII": "värld-環境",
    "long": "/".join(["long-directory-name"] * 10),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_it_works_at_odd_places(stored: CommandLine, place: str) -> None:
    """Scripts start by path from any directory, and activation leads to the environment, wherever it stands."""
    target = stored.cwd / place
    stored.ok("ensure", "--target", place)
    assert "alpha 1.0" == run(target / "bin/alpha")
    activated = subprocess.run(
        ["bash", "-c", 'source "$1/bin/activate" && echo "$VIRTUAL_ENV" && alpha', "bash", str(target)],
        capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    assert [str(target), "alpha 1.0"] == activated.stdout.splitlines()
    stored.ok("verify", str(target))
    assert "" == run(target / "bin/python", "-m", "pip", "uninstall", "-y", "-q", "alpha", "beta")
    assert [] == list(target.glob("lib/*/site-packages/alpha*")) + list(target.glob("bin/alpha"))


def test_a_moved_environment_is_relocated(stored: CommandLine) -> None:
    """relocate makes an environment work where it stands, as often as one likes."""
    stored.ok("ensure", "--target", "first")
    before = {path.name: path.read_bytes() for path in (stored.cwd / "first/bin").iterdir() if path.is_file()}
    for place in ("second place", "third", "first"):
        (found,) = [path for path in stored.cwd.iterdir() if path.is_dir()]
        found.rename(stored.cwd / place)
        refused = stored("verify", place)
        assert (8, True) == (refused.code, "run terrastore relocate" in refused.err)
        stored.ok("relocate", place)
        assert "alpha 1.0" == run(stored.cwd / place / "bin/alpha")
        stored.ok("verify", place)
    assert before == {path.name: path.read_bytes() for path in (stored.cwd / "first/bin").iterdir() if path.is_file()}


def test_plain_tar_then_relocate(stored: CommandLine) -> None:
    """Who has no terrastore unpacks with tar; relocate then makes it an environment."""
    (archive,) = stored.store.glob("v1/archives/*/*.tar.zst")
    listed = run("tar", "--zstd", "-tf", archive)
    assert ".terrastore/manifest.json" == listed.splitlines()[-1]
    target = stored.cwd / "plain"
    target.mkdir()
    run("tar", "--zstd", "-xf", archive, "-C", target)
    stored.ok("relocate", "plain")
    assert "alpha 1.0" == run(target / "bin/alpha")
    stored.ok("verify", "plain")


def test_unpack_needs_no_store(stored: CommandLine) -> None:
    """unpack makes an environment from an archive file alone."""
    (archive,) = stored.store.glob("v1/archives/*/*.tar.zst")
    shutil.move(archive, stored.cwd / "env.tar.zst")
    shutil.rmtree(stored.store)
    told = stored.ok("unpack", "env.tar.zst", "--target", "env").out
    assert re.match(r"unpacked 3 packages in \d+\.\d s → env", told)
    assert "alpha 1.0" == run(stored.cwd / "env/bin/alpha")


def test_build_then_list_show_verify_remove(cli: CommandLine) -> None:
    """What is published can be listed, looked at, verified and removed; a short key is enough."""
    cli.write("requirements.txt", "alpha==1.0\n")
    assert cli.ok("build").out.startswith("built    3 packages")
    assert "kept" == cli.ok("build", "--json").json["outcome"]
    assert ["requirements.txt"] == os.listdir(cli.cwd)
    key = cli.ok("key").out.strip()
    assert key == cli.ok("list").out.strip()
    assert re.match(
        key + r"  \d+ (s|min) ago  used this week  +\d\.\d MB  3 packages  Python \S+\n",
        cli.ok("list", "-l", COLUMNS="200").out,
    )
    short = key.rpartition("-")[2][:6]
    shown = cli.ok("show", short).out
    assert shown.startswith(key)
    assert re.search(r"^    alpha 1\.0 +\d+\.\d kB$", shown, re.MULTILINE)
    assert cli.ok("verify", short).out.startswith("sound    ")
    assert cli.ok("remove", short).out.startswith("removed  ")
    assert "" == cli.ok("list").out
    assert [] == [path for path in cli.store.rglob("*") if path.is_file()]
    missing = cli("show", short)
    assert (2, True) == (missing.code, "has no environment" in missing.err)


def test_verify_names_what_changed(stored: CommandLine) -> None:
    """verify ENV finds edited and missing files, and ends with 8."""
    stored.ok("ensure")
    packages = next((stored.cwd / ".venv/lib").glob("*/site-packages"))
    (packages / "beta.py").write_text("# edited\n")
    (packages / "alpha/only_in_1.py").unlink()
    result = stored("verify", ".venv", "-v")
    assert 8 == result.code
    assert ["alpha 1.0: 1 file missing", "beta 1.0: 1 file edited"] == result.out.splitlines()[:2]
    assert re.search(r"^edited   lib/\S+/beta\.py$", result.out, re.MULTILINE)
    assert re.search(r"^missing  lib/\S+/alpha/only_in_1\.py$", result.out, re.MULTILINE)


def test_no_seed_leaves_pip_out(cli: CommandLine) -> None:
    """--no-seed gives an environment without pip, under a key of its own."""
    cli.write("requirements.txt", "beta\n")
    cli.ok("ensure", "--no-seed")
    assert [] == list((cli.cwd / ".venv").glob("**/pip*"))
    assert cli.ok("key").out != cli.ok("key", "--no-seed").out


def test_empty_requirements_give_an_environment(cli: CommandLine) -> None:
    """Nothing asked for is an environment with nothing but pip."""
    cli.write("requirements.txt", "# nothing yet\n")
    assert 1 == cli.ok("ensure", "--json").json["packages"]


def test_settings_come_from_files_and_the_environment(stored: CommandLine) -> None:
    """A flag beats a variable, a variable beats the project's file, and that the user's."""
    config = stored.home / ".config/terrastore"
    config.mkdir(parents=True)
    (config / "terrastore.toml").write_text('target = "from-user"\nsalt = "pepper"\n')
    assert "from-user" == Path(stored.ok("ensure", "--json").json["target"]).name
    stored.write("pyproject.toml", '[tool.terrastore]\ntarget = "from-project"\nsalt = ""\n')
    assert "from-project" == Path(stored.ok("ensure", "--json").json["target"]).name
    told = stored.ok("ensure", "--json", TERRASTORE_TARGET="from-variable").json
    assert "from-variable" == Path(told["target"]).name
    told = stored.ok("ensure", "--json", "--target", "from-flag", TERRASTORE_TARGET="from-variable").json
    assert "from-flag" == Path(told["target"]).name
    misspelt = stored.ok("ensure", TERRASTORE_STOER="x")
    assert "warning: TERRASTORE_STOER is no setting; did you mean TERRASTORE_STORE?" in misspelt.err
    stored.write("pyproject.toml", "[tool.terrastore]\ntarger = 1\n")
    wrong = stored("ensure")
    assert (2, True, True) == (wrong.code, "'targer'" in wrong.err, "did you mean target?" in wrong.err)


def test_a_project_beside_its_environment(cli: CommandLine) -> None:
    """A project directory that is asked for may hold the environment, its lock and its stage."""
    wheel = make_wheel(cli.home, "here", "1.0", {"here.py": ""})
    shutil.rmtree(cli.cwd)
    make_project(cli.cwd, f"import shutil\nshutil.copy({str(wheel)!r}, folder)\nreturn {wheel.name!r}")
    cli.write("requirements.txt", ".\n")
    assert "built" == cli.ok("ensure", "--json").json["outcome"]
    assert "kept" == cli.ok("ensure", "--json").json["outcome"]


def test_an_environment_of_others_is_replaced_with_a_word(stored: CommandLine) -> None:
    """A virtual environment that terrastore did not make is replaced, and that is told."""
    run(sys.executable, "-m", "venv", "--without-pip", stored.cwd / ".venv")
    (warning,) = stored.ok("ensure", "--json").json["warnings"]
    assert "was not made by terrastore" in warning


def test_modules_beside_the_requirements_are_not_the_installers(cli: CommandLine) -> None:
    """What lies in the working directory shadows nothing of pip, virtualenv or the interpreter that checks."""
    for name in ("json.py", "logging.py", "pip.py", "virtualenv.py", "sysconfig.py", "email.py"):
        cli.write(name, "raise SystemExit('shadowed')\n")
    cli.write("requirements.txt", "alpha==1.0\n")
    cli.ok("ensure")


def test_ignore_store_touches_none(cli: CommandLine) -> None:
    """--ignore-store builds although the store is broken."""
    cli.store.write_text("no directory")
    cli.write("requirements.txt", "alpha\n")
    assert 7 == cli("ensure").code
    told = cli.ok("ensure", "--ignore-store", "--json").json
    assert ("built", None) == (told["outcome"], told["store"])


def test_rebuild_replaces(stored: CommandLine) -> None:
    """--rebuild builds although all is there, and the store's pointer then names the new archive."""
    (pointer,) = stored.store.glob("v1/pointers/*")
    before = pointer.read_bytes()
    assert "built" == stored.ok("ensure", "--rebuild", "--json").json["outcome"]
    assert before != pointer.read_bytes()
    assert "fetched" == stored.ok("ensure", "--target", "other", "--no-build", "--json").json["outcome"]


def test_the_winner_of_a_race_to_publish_stays(cli: CommandLine) -> None:
    """Two machines that build one key at once both end well, and the store has one pointer to a sound archive."""
    cli.write("requirements.txt", "beta\n")
    runs = [cli.start("ensure", "--target", f"env{number}", "--json") for number in range(2)]
    for process in runs:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    (key,) = cli.ok("list").out.split()
    cli.ok("verify", key)


def test_interrupted(cli: CommandLine) -> None:
    """Ctrl-C during a build ends with 130 and leaves neither a stage nor a staging directory nor an installer."""
    begun = cli.home / "begun"
    make_project(cli.cwd / "slow", f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(60)")
    cli.write("requirements.txt", "./slow\n")
    process = cli.start("ensure", start_new_session=True)
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (130, "") == (process.returncode, out)
    assert "terrastore: interrupted" in errors
    assert "Traceback" not in errors
    assert {"slow", "requirements.txt"} == set(os.listdir(cli.cwd))
    assert [] == list((cli.cache / "build").iterdir())


def test_a_builder_that_is_ended_takes_its_children_along(cli: CommandLine) -> None:
    """SIGTERM to terrastore alone ends the installer and the build backend that it started."""
    note = cli.home / "backend"
    make_project(cli.cwd / "slow", f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    cli.write("requirements.txt", "./slow\n")
    process = cli.start("ensure", "--json")
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (130, "interrupted") == (process.returncode, json.loads(out)["error"]["kind"])
    assert not Path(f"/proc/{note.read_text()}/root").exists()


def test_it_is_for_everybody_whatever_the_umask(stored: CommandLine) -> None:
    """An environment made under umask 077 can be read and run by other users."""
    process = stored.start("ensure", umask=0o077)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    paths = [stored.cwd / ".venv", *(stored.cwd / ".venv").rglob("*")]
    private = [path for path in paths if not path.is_symlink() and path.stat().st_mode & 0o044 != 0o044]
    assert [] == private


def test_a_terminal_without_arrows(stored: CommandLine) -> None:
    """What a terminal cannot write does not make a failure of a success."""
    result = stored.ok("ensure", PYTHONIOENCODING="ascii")
    assert result.out.startswith("fetched  3 packages")


def test_an_editable_from_version_control_is_inside(cli: CommandLine) -> None:
    """-e git+… is checked out into the environment, and moves with it."""
    source = make_project(cli.cwd / "source", "raise SystemExit('only editable')")
    backend = (source / "backend.py").read_text() + (
        "\n\ndef build_editable(folder, *_):\n"
        "    import os, zipfile\n"
        "    with zipfile.ZipFile(folder + '/gadget-1.0-py3-none-any.whl', 'w') as wheel:\n"
        "        wheel.writestr('gadget.pth', os.getcwd() + '\\n')\n"
        "        info = 'gadget-1.0.dist-info/'\n"
        "        wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: gadget\\nVersion: 1.0\\n')\n"
        "        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n')\n"
        "        wheel.writestr(info + 'RECORD', '')\n"
        "    return 'gadget-1.0-py3-none-any.whl'\n"
    )
    (source / "backend.py").write_text(backend)
    (source / "gadget.py").write_text("import sys\nHERE = __file__\n")
    git = ("git", "-C", source, "-c", "user.name=t", "-c", "user.email=t@t")
    run(*git, "init", "-q")
    run(*git, "add", ".")
    run(*git, "commit", "-qm", "first")
    cli.write("requirements.txt", f"-e git+file://{source}#egg=gadget\n")
    cli.ok("ensure")
    cli.ok("ensure", "--target", "second", "--no-build")
    for name in (".venv", "second"):
        found = run(cli.cwd / name / "bin/python", "-c", "import gadget; print(gadget.HERE)")
        assert str(cli.cwd / name / "src/gadget/gadget.py") == found


def test_a_killed_build_is_swept_away(cli: CommandLine) -> None:
    """What a build that was killed left behind, the next one removes."""
    left = cli.cache / "build" / ("terrastore-staging-" + "0" * 32)
    (left / "lib").mkdir(parents=True)
    cli.write("requirements.txt", "beta\n")
    cli.ok("build")
    assert not left.exists()


def test_on_a_terminal_progress_is_drawn_and_gone(cli: CommandLine) -> None:
    """A terminal shows what goes on; NO_COLOR is heeded; at the end only the lines that matter are left."""
    cli.write("requirements.txt", "alpha==1.0\n")
    lead, follow = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "terrastore", "ensure"],
        cwd=cli.cwd, env=cli.env | {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "100"}, stdout=follow, stderr=follow,
    )  # fmt: skip
    os.close(follow)
    seen = b""
    while True:
        try:
            piece = os.read(lead, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    assert 0 == process.wait()
    os.close(lead)
    text = seen.decode()
    assert "install" in text
    assert re.search(r"\x1b\[\d*(A|K)", text), "the display moves the cursor"
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text), "no colour with NO_COLOR"
    assert re.search(r"built    3 packages", text)


def test_rich_is_imported_only_to_draw(stored: CommandLine) -> None:
    """A run that keeps, or that nobody watches, imports neither rich nor the installer's modules nor boto3."""
    stored.ok("ensure")
    program = (
        "import sys\nsys.argv = ['terrastore', 'ensure']\nfrom terrastore.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=stored.cwd, env=stored.env, capture_output=True, text=True, check=True
    )
    imported = set(eval(done.stdout.splitlines()[-1]))
    assert set() == imported & {"rich", "boto3", "botocore", "virtualenv", "zstandard", "python_discovery"}


def test_bytecode_is_valid_and_complete(stored: CommandLine) -> None:
    """Every module has bytecode that the interpreter accepts: nothing is compiled on import, nor written."""
    stored.ok("ensure")
    target = stored.cwd / ".venv"
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*.pyc")}
    done = subprocess.run(
        [target / "bin/python", "-v", "-c", "import alpha, beta, pip._internal.cli.main"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(target) in done.stderr
    assert [] == re.findall(rf"# code object from '{re.escape(str(target))}[^']*\.py'", done.stderr)
    assert before == {path: path.stat().st_mtime_ns for path in target.rglob("*.pyc")}


def test_an_upgrade_has_new_times(stored: CommandLine) -> None:
    """Files of an upgrade are newer than those before, so who compares times notices."""
    stored.ok("ensure")
    asset = next((stored.cwd / ".venv/lib").glob("*/site-packages/beta.py"))
    before = asset.stat().st_mtime
    stored.write("requirements.txt", "alpha==2.0\n")
    stored.ok("ensure")
    assert before < asset.stat().st_mtime


def test_requirements_changed_while_building(cli: CommandLine) -> None:
    """A result whose key no longer says what was installed is not published."""
    wheel = make_wheel(cli.home, "sly", "1.0", {"sly.py": ""})
    make_project(
        cli.cwd / "sly",
        "import shutil\n"
        f"open({str(cli.cwd / 'requirements.txt')!r}, 'a').write('beta\\n')\n"
        f"shutil.copy({str(wheel)!r}, folder)\n"
        f"return {wheel.name!r}",
    )
    cli.write("requirements.txt", "./sly\n")
    result = cli("ensure")
    assert (3, True) == (result.code, "the requirements changed while they were installed" in result.err)
    assert ["leases"] == [path.name for path in cli.store.glob("v1/*")]

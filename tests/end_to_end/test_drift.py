"""verify ENV: what became of an environment since it was made, by package and by file."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, Result, command_line, make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FETCHED, BY_TAR = "fetched", "by tar"


def run(*command: str | Path) -> str:
    # Bytecode is written, whatever whoever runs the tests wants.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Made:
    """Environments of one archive at one place: ``.venv``, made anew for each test by the way that it names."""

    cli: CommandLine
    ways: dict[str, Path]

    def __call__(self, way: str) -> Path:
        target = self.cli.cwd / ".venv"
        shutil.rmtree(target, ignore_errors=True)
        run("cp", "-a", self.ways[way], target)
        return target

    def verify(self, *arguments: str) -> Result:
        """Verify it."""
        return self.cli("verify", ".venv", *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Made]:
    """Return what makes an environment that terrastore fetched, or that was unpacked by tar and then relocated."""
    home = tmp_path_factory.mktemp("drift") / "home"
    with command_line(home, wheels) as cli:
        cli.env["TERRASTORE_NO_SEED"] = "1"
        cli.write("requirements.txt", "alpha==1.0\n")
        cli.ok("ensure")
        target, ways = cli.cwd / ".venv", {name: home / name for name in (FETCHED, BY_TAR)}
        target.rename(ways[FETCHED])
        (archive,) = cli.store.glob("v1/archives/*/*.tar.zst")
        target.mkdir()
        run("tar", "--zstd", "-xf", archive, "-C", target)
        cli.ok("relocate", ".venv")
        target.rename(ways[BY_TAR])
        yield Made(cli, ways)


@pytest.fixture
def environment(made: Made) -> Path:
    """Return an environment that terrastore fetched."""
    return made(FETCHED)


def packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/*/site-packages")
    return folder


def pip(environment: Path, *arguments: str | Path) -> None:
    outer = (sys.executable, "-m", "pip", "--python", environment / "bin/python")
    run(*outer, "-q", "--disable-pip-version-check", *arguments)


def edit_in_place(path: Path, old: str, new: str) -> None:
    """Edit a file so that its size and its times stay."""
    before = path.stat()
    assert len(old) == len(new)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (before.st_size, before.st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)


def unseen_edit(environment: Path) -> None:
    edit_in_place(packages(environment) / "beta.py", "import sys", "import os ")


def edited_with_its_line(environment: Path) -> None:
    place, listing = packages(environment) / "beta.py", packages(environment) / "beta-1.0.dist-info/RECORD"
    place.write_text("# edited\n")
    digest = urlsafe_b64encode(hashlib.sha256(place.read_bytes()).digest()).rstrip(b"=").decode()
    rows = [
        ["beta.py", f"sha256={digest}", "9"] if row[0] == "beta.py" else row
        for row in csv.reader(listing.read_text().splitlines())
    ]
    listing.write_text("".join(",".join(row) + "\n" for row in rows))


def line_alone(environment: Path) -> None:
    listing = packages(environment) / "alpha-1.0.dist-info/RECORD"
    (line,) = [line for line in listing.read_text().splitlines() if "bin/alpha," in line]
    listing.write_text(listing.read_text().replace(line, "../../../bin/alpha,sha256=AAAA,1"))


def no_record(environment: Path) -> None:
    (packages(environment) / "beta-1.0.dist-info/RECORD").write_bytes(b"\xff,\n")


def missing(environment: Path) -> None:
    (packages(environment) / "alpha/only_in_1.py").unlink()


def script(environment: Path) -> None:
    (environment / "bin/alpha").write_text((environment / "bin/alpha").read_text() + "# more\n")


def executable(environment: Path) -> None:
    (packages(environment) / "beta.py").chmod(0o755)


def linked(environment: Path) -> None:
    (packages(environment) / "beta.py").rename(environment.parent / "beta.py")
    (packages(environment) / "beta.py").symlink_to(environment.parent / "beta.py")


def folder_linked(environment: Path) -> None:
    (packages(environment) / "alpha").rename(environment.parent / "alpha")
    (packages(environment) / "alpha").symlink_to(environment.parent / "alpha")


def a_pipe(environment: Path) -> None:
    (packages(environment) / "beta.py").unlink()
    os.mkfifo(packages(environment) / "beta.py")


def by_hand(environment: Path) -> None:
    (packages(environment) / "stray.py").write_text("")
    (environment / "notes").mkdir()
    (environment / "notes/a.txt").write_text("")


def skeleton(environment: Path) -> None:
    edit_in_place(environment / "bin/activate_this.py", "import", "IMPORT")


ACTIVATE = "../../../bin/activate_this.py"
SMALL = {
    "an edit that keeps size and time": (unseen_edit, ["beta 1.0: 1 file edited"], {"beta.py": "edited"}),
    "an edit with its line in RECORD": (
        edited_with_its_line,
        ["beta 1.0: 2 files edited"],
        {"beta.py": "edited", "beta-1.0.dist-info/RECORD": "edited"},
    ),
    "a line in RECORD alone": (
        line_alone,
        ["alpha 1.0: 1 file edited"],
        {"alpha-1.0.dist-info/RECORD": "edited"},
    ),
    "a RECORD that is none": (no_record, ["beta 1.0: 1 file edited"], {"beta-1.0.dist-info/RECORD": "edited"}),
    "a missing file": (missing, ["alpha 1.0: 1 file missing"], {"alpha/only_in_1.py": "missing"}),
    "an edited script": (script, ["alpha 1.0: 1 file edited"], {"../../../bin/alpha": "edited"}),
    "a mode": (executable, ["beta 1.0: 1 file edited"], {"beta.py": "edited"}),
    "a link to the same content": (linked, ["beta 1.0: 1 file edited"], {"beta.py": "edited"}),
    "a pipe": (a_pipe, ["beta 1.0: 1 file edited"], {"beta.py": "edited"}),
    "a file of the skeleton": (skeleton, ["no package: 1 file edited, bin/activate_this.py"], {ACTIVATE: "edited"}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "phrases", "files"), SMALL.values(), ids=SMALL)
def test_what_changed_is_named(
    change: Callable[[Path], None], phrases: list[str], files: dict[str, str], made: Made, environment: Path
) -> None:
    """Whatever was done to a file is told by package, with -v and --json by path, and ends with 8."""
    change(environment)
    inside = packages(environment).relative_to(environment)
    expected = {os.path.normpath(inside / path): what for path, what in files.items()}
    result = made.verify("-v")
    assert 8 == result.code
    lines = [*phrases, *(f"{what:8} {path}" for path, what in sorted(expected.items()))]
    assert lines == result.out.splitlines()
    assert "terrastore: error: .venv is not as it was made\n" in result.err
    told = made.verify("--json")
    assert (8, False) == (told.code, told.json["sound"])
    found = dict(told.json["others"])
    for package in told.json["packages"]:
        found |= package["files"]
    assert expected == found


UNTOLD = {change.__name__: change for change, _, _ in SMALL.values()} | {
    change.__name__: change for change in (folder_linked, by_hand)
}


@pytest.mark.parametrize("change", UNTOLD.values(), ids=UNTOLD)
def test_what_changed_is_found(change: Callable[[Path], None], made: Made) -> None:
    """It is found too where terrastore did not unpack it, though not always told to the file."""
    environment = made(BY_TAR)
    change(environment)
    result = made.verify()
    assert 8 == result.code
    assert result.out


@pytest.mark.parametrize("way", [FETCHED, BY_TAR])
def test_what_was_added_by_hand(way: str, made: Made) -> None:
    """Files of no package are counted, and each is named with -v."""
    environment = made(way)
    by_hand(environment)
    inside = packages(environment).relative_to(environment)
    result = made.verify("-v")
    assert [
        f"no package: 2 files added, such as {inside}/stray.py",
        f"added    {inside}/stray.py",
        "added    notes/a.txt",
    ] == result.out.splitlines()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Return a folder with another ``beta``, and ``gamma``, which needs ``delta`` and ``epsilon``."""
    make_wheel(tmp_path, "beta", "0.9", {"beta.py": "import sys\n\nPREFIX = sys.prefix\n"})
    make_wheel(tmp_path, "beta", "1.10", {"beta.py": "PREFIX = None\n"})
    make_wheel(tmp_path, "gamma", "2.0", {"gamma.py": ""}, scripts={"gamma": "gamma:x"}, requires=("delta", "epsilon"))
    make_wheel(tmp_path, "delta", "1.0", {"delta.py": ""})
    make_wheel(tmp_path, "epsilon", "1.0", {"epsilon.py": ""})
    return tmp_path


PIP = {
    "added": (("install", "gamma"), ["added: gamma 2.0 with 2 dependencies"]),
    "added alone": (("install", "delta"), ["added: delta 1.0"]),
    "added two": (("install", "gamma", "delta"), ["added: delta 1.0, gamma 2.0 with 1 dependency"]),
    "upgraded": (("install", "beta==1.10"), ["upgraded: beta 1.0 → 1.10"]),
    "downgraded": (("install", "beta==0.9"), ["downgraded: beta 1.0 → 0.9"]),
    "removed": (("uninstall", "-y", "beta"), ["removed: beta 1.0"]),
}


@pytest.mark.parametrize(("arguments", "phrases"), PIP.values(), ids=PIP)
def test_what_pip_did_is_named(arguments: tuple[str, ...], phrases: list[str], made: Made, index: Path) -> None:
    """What was installed, upgraded, downgraded or uninstalled since is named as such, scripts and bytecode with it."""
    options = ("--no-index", "--find-links", index) if arguments[0] == "install" else ()
    for way in (FETCHED, BY_TAR):
        pip(made(way), *arguments, *options)
        result = made.verify()
        assert (8, phrases) == (result.code, result.out.splitlines())


def test_json_has_versions_then_and_now(made: Made, environment: Path, index: Path) -> None:
    """A package has a name, its versions before and after, and its paths."""
    pip(environment, "install", "--no-index", "--find-links", index, "beta==1.10", "delta")
    told = made.verify("--json").json
    assert {"schema", "target", "key", "sound", "packages", "others", "untold", "projects"} == told.keys()
    assert [("beta", "1.0", "1.10"), ("delta", None, "1.0")] == [
        (each["name"], each["before"], each["after"]) for each in told["packages"]
    ]
    module = packages(environment).relative_to(environment) / "delta.py"
    assert "added" == told["packages"][1]["files"][str(module)]


@pytest.mark.parametrize("way", [FETCHED, BY_TAR])
def test_what_is_no_drift(way: str, made: Made) -> None:
    """Not bytecode that Python wrote, nor what binds it to its interpreter."""
    environment = made(way)
    run(environment / "bin/python", "-O", "-c", "import alpha, beta")
    (packages(environment) / "beta.py").touch()
    (environment / ".lock").touch()
    (environment / "pyvenv.cfg").write_text((environment / "pyvenv.cfg").read_text() + "prompt = mine\n")
    assert list(environment.rglob("*.opt-1.pyc"))
    made.cli.ok("verify", ".venv")
    made.cli.ok("relocate", ".venv")
    made.cli.ok("verify", ".venv")


def test_bytecode_goes_with_its_source(made: Made, environment: Path) -> None:
    """What Python compiles anew because a module was edited is not told besides; what was done to bytecode alone is."""
    (bytecode,) = environment.rglob("beta.*.pyc")
    before = bytecode.read_bytes()
    module = packages(environment) / "beta.py"
    module.write_text("EDITED = True\n")
    assert "True" == run(environment / "bin/python", "-c", "import beta; print(beta.EDITED)")
    assert before != bytecode.read_bytes()
    result = made.verify("-v").out.splitlines()
    assert ["beta 1.0: 1 file edited", f"edited   {module.relative_to(environment)}"] == result
    made(FETCHED)
    bytecode.write_bytes(before[:-1] + b"?")
    result = made.verify("-v").out.splitlines()
    assert ["beta 1.0: 1 file edited", f"edited   {bytecode.relative_to(environment)}"] == result


DAMAGE = {
    "inventory gone": (lambda own: (own / "inventory.json").unlink(), 0),
    "inventory no JSON": (lambda own: (own / "inventory.json").write_text("{"), 0),
    "inventory without a file": (lambda own: forget_beta(own / "inventory.json"), 8),
    "originals gone": (lambda own: (own / "originals.tar").unlink(), 8),
    "originals damaged": (lambda own: (own / "originals.tar").write_bytes(b"x" * 1024), 8),
    "manifest gone": (lambda own: (own / "manifest.json").unlink(), 2),
    "state gone": (lambda own: (own / "state.json").unlink(), 2),
}


def forget_beta(place: Path) -> None:
    document = json.loads(place.read_text())
    document["layers"] = [[each for each in layer if not each[0].endswith("/beta.py")] for layer in document["layers"]]
    place.write_text(json.dumps(document))


@pytest.mark.parametrize(("damage", "code"), DAMAGE.values(), ids=DAMAGE)
def test_its_own_files(damage: Callable[[Path], None], code: int, made: Made, environment: Path) -> None:
    """The manifest decides: without the inventory as much is found, and one that lies is no way out."""
    damage(environment / ".terrastore")
    result = made.verify()
    assert code == result.code, result.err + result.out


def test_without_an_inventory_an_edit_is_named_by_record(made: Made, environment: Path) -> None:
    """RECORD tells then; what it does not list is found too, and said not to be known."""
    (environment / ".terrastore/inventory.json").unlink()
    unseen_edit(environment)
    skeleton(environment)
    untold = "no package: edited in base, where cannot be told"
    assert ["beta 1.0: 1 file edited", untold] == made.verify().out.splitlines()
    edited_with_its_line(environment)
    assert ["beta 1.0: edited, where cannot be told", untold] == made.verify().out.splitlines()


def test_what_is_elsewhere(made: Made, environment: Path) -> None:
    """One that was moved is to be relocated first, and that is said."""
    environment.rename(environment.with_name("moved"))
    try:
        result = made.cli("verify", "moved")
        assert (8, True) == (result.code, "hint: run terrastore relocate moved\n" in result.err)
    finally:
        environment.with_name("moved").rename(environment)


@pytest.mark.parametrize("change", [unseen_edit, by_hand, missing], ids=lambda change: change.__name__)
def test_ensure_restores_what_drifted(change: Callable[[Path], None], made: Made, environment: Path) -> None:
    """Without --verify what changed is not looked for; with it, it is told and the environment is made anew."""
    before = json.loads(made.cli.ok("ensure", "--verify", "--json").out)
    assert "kept" == before["outcome"]
    change(environment)
    phrases = "; ".join(made.verify().out.splitlines())
    assert "kept" == made.cli.ok("ensure", "--json").json["outcome"]
    result = made.cli.ok("ensure", "--json", "--no-build", TERRASTORE_VERIFY="1")
    assert ("fetched", f"drift  .venv: {phrases}\n") == (result.json["outcome"], result.err)
    assert 0 == made.verify().code
    assert "kept" == made.cli.ok("ensure", "--verify", "--json").json["outcome"]


def test_a_backup_is_judged_for_the_place_that_it_is_for(stored: CommandLine) -> None:
    """It is sound as it lies there, and what rollback brings back is too."""
    stored.ok("ensure")
    stored.ok("ensure", "--rebuild", "--backup")
    assert "sound" in stored.ok("verify", ".venv.bak").out
    stored.ok("rollback", "--target", ".venv")
    assert "sound" in stored.ok("verify", ".venv").out
    (module,) = (stored.cwd / ".venv.bak").glob("lib/*/site-packages/beta.py")
    module.write_text("edited\n")
    assert (8, "beta 1.0: 1 file edited\n") == ((result := stored("verify", ".venv.bak")).code, result.out)


def test_a_release_that_drifted_is_told_as_switched(stored: CommandLine) -> None:
    """It is made anew where it stands, so what runs from it is to be started again; one that is kept is not."""
    arguments = ("ensure", "--verify", "--json", "--link", "current", "--releases", "releases")
    assert stored.ok(*arguments).json["switched"]
    assert not stored.ok(*arguments).json["switched"]
    (module,) = (stored.cwd / "current").resolve().glob("lib/*/site-packages/beta.py")
    module.write_text("edited\n")
    again = stored.ok(*arguments).json
    assert ("fetched", True) == (again["outcome"], again["switched"])


def test_ensure_verifies_by_setting(made: Made, environment: Path) -> None:
    """It is a setting too; a manifest that cannot be read is a drift."""
    (environment / ".terrastore/manifest.json").write_text("{}")
    settings = made.cli.write("terrastore.toml", "verify = true\n")
    try:
        result = made.cli.ok("ensure", "--json")
        assert ("fetched", True) == (result.json["outcome"], "drift  " in result.err)
    finally:
        settings.unlink()


def test_what_cannot_be_restored_stays(made: Made, environment: Path) -> None:
    """When nothing can be fetched nor built, the environment stays as it is, and the drift is told."""
    unseen_edit(environment)
    result = made.cli("ensure", "--verify", "--no-build", "--store", str(made.cli.home / "empty/store"))
    assert "drift  " in result.err
    assert 0 != result.code
    assert "import os " in (packages(environment) / "beta.py").read_text()


def test_one_look_tells_several_runs(made: Made, environment: Path) -> None:
    """Of several at once that verify, one makes it anew and the others keep that."""
    unseen_edit(environment)
    runs = [made.cli.start("ensure", "--verify", "--json") for _ in range(3)]
    outcomes = []
    for process in runs:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert errors.count("drift  ") <= 1
        outcomes.append(json.loads(out)["outcome"])
    assert "fetched" in outcomes
    assert 0 == made.verify().code


def test_a_file_of_many_frames(cli: CommandLine, tmp_path: Path) -> None:
    """A byte in the midst of a file that is larger than a frame is found as any other."""
    folder = tmp_path / "large"
    folder.mkdir()
    data = random.Random(1).randbytes(20_000_000)
    make_wheel(folder, "large", "1.0", {"large/data.bin": data, "large/__init__.py": ""})
    cli.write("requirements.txt", "large\n")
    cli.ok("ensure", "--no-seed", "-f", str(folder))
    cli.ok("verify", ".venv")
    (place,) = (cli.cwd / ".venv").rglob("data.bin")
    with place.open("r+b") as file:
        file.seek(12_345_678)
        file.write(bytes([data[12_345_678] ^ 1]))
    result = cli("verify", ".venv", "-v")
    assert 8 == result.code
    assert ["large 1.0: 1 file edited", f"edited   {place.relative_to(cli.cwd / '.venv')}"] == result.out.splitlines()

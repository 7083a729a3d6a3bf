"""What a run imports: a run that has nothing to do takes as long as its imports, and a hit begins with them.

A module that comes in here is paid for by every run. When it is needed, add it to the table; else import it in the
function that needs it. The message of a failure says who imported it.

Values of these runs are named tuples and not dataclasses, and patterns that few runs use are compiled by those that
do: in Python 3.11 one of either takes as long as to load a module.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.conftest import CommandLine, command_line, command_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Notes who imported what, the first time, and writes that when the process ends.
WATCH = """
import atexit, json, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame and frame.f_globals.get("__name__", "").startswith(("importlib", "_frozen_importlib")):
            frame = frame.f_back
        importers.setdefault(name, frame.f_globals["__name__"] if frame else "nobody")
importers, before = {{}}, set(sys.modules)
def tell():
    with open({path!r}, "w") as file:
        json.dump({{name: importers.get(name, "a C module") for name in sorted(set(sys.modules) - before)}}, file)
atexit.register(tell)
sys.meta_path.insert(0, Watch())
"""

KEPT = {
    "terrastore",
    *(
        f"terrastore.{name}"
        for name in (
            "_asked",
            "atomic",
            "cli",
            "cli.environments",
            "cli.messages",
            "cli.options",
            "cli.progress",
            "ensuring",
            "environment",
            "errors",
            "folders",
            "host",
            "inputs",
            "interpreter",
            "key",
            "messages",
            "names",
            "patience",
            "place",
            "redaction",
            "report",
            "requirements",
            "requirements.disk",
            "requirements.documents",
            "requirements.files",
            "requirements.lines",
            "requirements.pip",
            "requirements.pip_lines",
            "requirements.resolution",
            "requirements.specifiers",
            "requirements.target",
            "requirements.text",
            "run",
            "settings",
            "sha256",
            "store",
            "store.directory",
            "store.locations",
        )
    ),
}
HIT = KEPT | {
    f"terrastore.{name}"
    for name in (
        "archive",
        "archive._piece",
        "archive.crew",
        "archive.folding",
        "archive.frames",
        "archive.inventory",
        "archive.layers",
        "archive.laying",
        "archive.limits",
        "archive.literals",
        "archive.manifest",
        "archive.originals",
        "archive.pieces",
        "archive.placeholder",
        "archive.projects",
        "archive.reading",
        "archive.record",
        "archive.relocate",
        "archive.reserved",
        "archive.scripts",
        "archive.shells",
        "archive.slots",
        "archive.strays",
        "archive.stream",
        "archive.unpack",
        "archive.ustar",
        "catalogue",
        "filling",
        "install",
        "mounts",
        "obtaining",
        "pointer",
        "relocation",
        "room",
        "store.layout",
        "store.protocol",
        "supply",
        "trust",
        "trust.envelope",
        "upkeep",
        "upkeep.uses",
    )
}
# Of the standard library what takes long to load, or starts processes and connections.
HEAVY = {
    "argparse",
    "asyncio",
    "configparser",
    "ctypes",
    "email",
    "ftplib",
    "http",
    "importlib.metadata",
    "multiprocessing",
    "pickle",
    "random",
    "secrets",
    "socket",
    "sqlite3",
    "ssl",
    "sysconfig",
    "tarfile",
    "tomllib",
    "urllib.request",
    "xml",
    "zipfile",
}
# A hit needs these, and a run that keeps what is there does not.
HEAVY_WHEN_KEPT = HEAVY | {
    "_hashlib",
    "_posixsubprocess",
    "base64",
    "bz2",
    "concurrent",
    "csv",
    "dataclasses",
    "hashlib",
    "logging",
    "lzma",
    "pathlib",
    "shutil",
    "subprocess",
    "tempfile",
    "traceback",
    "urllib.parse",
    "zlib",
}


class Imports(NamedTuple):
    """What a process imported after it was started: who did, by module."""

    importers: dict[str, str]

    def way(self, name: str) -> str:
        """Return a module and those that led to it."""
        way = [name]
        while (importer := self.importers.get(way[-1])) is not None and importer not in way:
            way.append(importer)
        return " ← ".join(way)

    def ways(self, names: set[str]) -> str:
        """Return a line for each module, "" for none."""
        return "\n".join(sorted(map(self.way, names)))

    @property
    def ours(self) -> set[str]:
        return {name for name in self.importers if name.split(".")[0] == "terrastore"}

    @property
    def others(self) -> set[str]:
        """The packages that are neither ours nor the standard library's."""
        names = {name.split(".")[0] for name in self.importers}
        return {name for name in names if name not in {*sys.stdlib_module_names, "terrastore", "__mp_main__"}}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line with an environment at .venv that its store has too, and no settings.

    Hashes fix what is in it, so that it does not matter where the wheels were.
    """
    with command_line(tmp_path_factory.mktemp("locked") / "home", wheels) as cli:
        lines = []
        for name in ("alpha", "beta"):
            digest = hashlib.sha256((wheels / f"{name}-1.0-py3-none-any.whl").read_bytes()).hexdigest()
            lines.append(f"{name}==1.0 --hash=sha256:{digest}\n")
        cli.write("requirements.txt", "".join(lines))
        cli.env |= {"PIP_CONFIG_FILE": "/dev/null", "XDG_CONFIG_DIRS": "/nowhere"}
        cli.ok("ensure")
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "TERRASTORE_STORE", "TERRASTORE_CACHE_DIR"):
            del cli.env[name]
        yield cli


def imported(cli: CommandLine, outcome: str, *arguments: str) -> Imports:
    """Run ``ensure -q`` as said, which must come to ``outcome``, and return what it imported."""
    report = cli.home / "imports.json"
    command = command_with(WATCH.format(path=str(report)))
    places = ("--store", str(cli.store), "--cache-dir", str(cli.cache))
    done = subprocess.run(
        [*command, "ensure", "-q", "-r", "requirements.txt", *places, *arguments],
        cwd=cli.cwd, env=cli.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith(outcome), done.stderr
    return Imports(json.loads(report.read_text()))


@pytest.fixture(scope="module")
def kept(locked: CommandLine) -> Imports:
    """Return what a run imports that keeps what is there."""
    return imported(locked, "kept", "--target", ".venv")


@pytest.fixture(scope="module")
def hit(locked: CommandLine) -> Imports:
    """Return what a run imports that fetches from a directory."""
    return imported(locked, "fetched", "--target", "elsewhere")


@pytest.fixture(scope="module")
def clicks() -> set[str]:
    """Return what click imports by itself."""
    program = "import sys; before = {*sys.modules}; import click; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_our_modules_of_a_run_that_keeps(kept: Imports) -> None:
    """What is kept needs the command line, the requirements, the key and the state; nothing of archives and builds."""
    assert "" == kept.ways(kept.ours - KEPT)
    assert set() == KEPT - kept.ours, "not imported any more: take it off the table"


def test_our_modules_of_a_hit(hit: Imports) -> None:
    """A hit from a directory needs pointers, archives and relocation besides; nothing of builds and other stores."""
    assert "" == hit.ways(hit.ours - HIT)
    assert set() == HIT - hit.ours, "not imported any more: take it off the table"


def test_packages_of_a_run_that_keeps(kept: Imports) -> None:
    """Of other packages it imports click alone."""
    assert "" == kept.ways(kept.others - {"click"})
    assert "click" in kept.others


def test_packages_of_a_hit(hit: Imports) -> None:
    """A hit from a directory decompresses, and neither draws, nor reaches out, nor asks which versions there are."""
    assert "" == hit.ways({name for name in hit.others if name not in {"click", "zstandard", "_cffi_backend"}})
    assert {"click", "zstandard"} <= hit.others


@pytest.mark.parametrize("name", sorted(HEAVY_WHEN_KEPT))
def test_heavy_modules_of_a_run_that_keeps(name: str, kept: Imports, clicks: set[str]) -> None:
    """It starts no process, and loads nothing that takes long, but for what click does itself."""
    found = {each for each in kept.importers if each == name or each.startswith(f"{name}.")} - clicks
    assert "" == kept.ways(found)


@pytest.mark.parametrize("name", sorted(HEAVY))
def test_heavy_modules_of_a_hit(name: str, hit: Imports, clicks: set[str]) -> None:
    """Neither does a hit, but for what unpacking and the check of the interpreter need."""
    found = {each for each in hit.importers if each == name or each.startswith(f"{name}.")} - clicks
    assert "" == hit.ways(found)


def test_help_needs_no_command(locked: CommandLine) -> None:
    """What a command is made of is not imported to tell what there is."""
    report = locked.home / "help.json"
    subprocess.run(
        [*command_with(WATCH.format(path=str(report))), "--help"],
        cwd=locked.cwd, env=locked.env, capture_output=True, check=True,
    )  # fmt: skip
    found = Imports(json.loads(report.read_text()))
    assert "" == found.ways(found.ours & {"terrastore.ensuring", "terrastore.install", "terrastore.catalogue"})
    assert {"terrastore.cli.doctor", "terrastore.cli.listing", "terrastore.cli.stores"} <= found.ours

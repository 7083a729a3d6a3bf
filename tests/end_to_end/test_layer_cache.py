"""A machine fetches what it does not have: real packages, another machine's archive, many runs at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.archive.manifest import Manifest
from terrastore.trust import Trust
from tests.conftest import CommandLine, command_line
from tests.processes import until
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import S3Server

pytestmark = pytest.mark.network

OTHERS = """\
certifi==2024.8.30
charset-normalizer==3.3.2
click==8.1.7
pygments==2.18.0
requests==2.32.3
urllib3==2.2.3
"""
ASKED = {"old": f"{OTHERS}idna==3.7\n", "new": f"{OTHERS}idna==3.10\n"}
WORKS = "import click, idna, pygments.lexers, requests, sys; print(idna.__version__, sys.prefix)"
DAY = 86400
MODES = pytest.mark.parametrize("mode", ["copy", "hardlink", "clone"])


class Site:
    """A bucket in which each of two environments was put by a machine of its own, and a wire before it."""

    def __init__(self, moto: S3Server, wire: Wire, wheels: Path) -> None:
        self.moto = moto
        self.wire = wire
        self._wheels = wheels

    def machine(self, folder: Path, stack: ExitStack) -> CommandLine:
        """Return a machine that has nothing yet."""
        command = stack.enter_context(command_line(folder / "home", self._wheels))
        del command.env["PIP_NO_INDEX"], command.env["PIP_FIND_LINKS"]
        command.env |= self.moto.variables() | {"AWS_ENDPOINT_URL": self.wire.url, "TERRASTORE_NO_SEED": "1"}
        self.ask(command, "old")
        return command

    def ask(self, command: CommandLine, which: str) -> None:
        """Let a machine ask for the old or the new environment, from the store that has it."""
        command.write("requirements.txt", ASKED[which])
        command.env["TERRASTORE_STORE"] = f"s3://{self.moto.bucket}/layers/{which}"

    def pointer(self, which: str, key: str) -> bytes:
        """Return the pointer of an environment."""
        name = f"layers/{which}/v1/pointers/{key}.json"
        data: bytes = self.moto.client().get_object(Bucket=self.moto.bucket, Key=name)["Body"].read()
        return data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, moto: S3Server, wheels: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(moto, stack.enter_context(Wire(moto.endpoint)), wheels)
        for which in ASKED:
            builder = site.machine(tmp_path_factory.mktemp(f"{which}-builder"), stack)
            site.ask(builder, which)
            builder.ok("build")
        yield site


@pytest.fixture
def machine(tmp_path: Path, site: Site) -> Iterator[CommandLine]:
    """Return a machine that has nothing yet."""
    with ExitStack() as stack:
        yield site.machine(tmp_path, stack)


def fetch(command: CommandLine, target: str, *arguments: str) -> dict[str, Any]:
    """Return what came of fetching an environment, which then works."""
    result: dict[str, Any] = command.ok("ensure", "--no-build", "--target", target, "--json", *arguments).json
    assert "fetched" == result["outcome"]
    assert_works(command, target)
    return result


def assert_works(command: CommandLine, target: str) -> None:
    """Run what is there."""
    version = "3.10" if "idna==3.10" in (command.cwd / "requirements.txt").read_text() else "3.7"
    said = subprocess.check_output([command.cwd / target / "bin/python", "-c", WORKS], text=True)
    assert f"{version} {command.cwd / target}\n" == said
    script = subprocess.check_output([command.cwd / target / "bin/pygmentize", "-V"], text=True)
    assert "2.18.0" in script


def kept(command: CommandLine) -> set[str]:
    """Return the names in the layer cache."""
    folder = command.cache / "layers"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def manifest(command: CommandLine, target: str) -> Manifest:
    return Manifest.parse((command.cwd / target / ".terrastore/manifest.json").read_bytes())


def whole(*manifests: Manifest, shared: bool) -> set[str]:
    """Return the names of the layers of environments."""
    layers = [layer for each in manifests for layer in each.layers if layer.frames]
    return {f"{layer.digest}{'.d' if shared else '.tar'}" for layer in layers}


def files(tree: Path) -> dict[str, tuple[int, bytes]]:
    """Return inode and content of every file below ``tree`` that belongs to the archive."""
    paths = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(tree)): (path.stat().st_ino, path.read_bytes()) for path in paths}


@MODES
def test_a_bumped_pin_costs_its_distribution(machine: CommandLine, site: Site, mode: str) -> None:
    """Of an archive that another machine built, with another cache, for another store: one layer, in three requests."""
    machine.env["TERRASTORE_LINK_MODE"] = mode
    first = fetch(machine, "env")
    assert first["layers_fetched"] == len(whole(manifest(machine, "env"), shared=False)) > len(ASKED["old"].split())
    before = manifest(machine, "env")
    site.ask(machine, "new")
    site.wire.clear()
    result = fetch(machine, "env")
    after = manifest(machine, "env")
    had = {layer.digest for layer in before.layers}
    (changed,) = [layer for layer in after.layers if layer.digest not in had]
    assert "idna" == changed.name
    envelope = site.pointer("new", result["key"])
    needed = changed.packed + Trust().judge(envelope, key=result["key"]).pointer.manifest.packed + len(envelope)
    taken = sum(request.bytes_out for request in site.wire.requests)
    print(f"{taken} bytes in {len(site.wire.requests)} requests for {needed}; the first time {first['bytes_fetched']}")
    assert needed <= taken <= 1.1 * needed
    assert ["GetObject"] * 3 == [each for each in site.wire.operations if each == "GetObject"]
    assert (1, changed.packed) == (result["layers_fetched"], result["bytes_fetched"])
    assert len(after.layers) == result["layers_total"]
    assert whole(before, after, shared=mode != "copy") == kept(machine)


def test_what_is_far_is_kept_and_made_again_of_that(machine: CommandLine, site: Site) -> None:
    """Without any option: a second environment asks the store for pointer and manifest alone."""
    fetch(machine, "one")
    assert whole(manifest(machine, "one"), shared=False) == kept(machine)
    site.wire.clear()
    result = fetch(machine, "two")
    assert (0, 0) == (result["layers_fetched"], result["bytes_fetched"])
    assert 2 == site.wire.operations.count("GetObject")
    one, two = (files(machine.cwd / name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert {"bin/activate", "bin/pygmentize"} <= {path for path in one if one[path][1] != two[path][1]}
    assert not {inode for inode, _ in one.values()} & {inode for inode, _ in two.values()}


def test_hard_links_are_shared(machine: CommandLine, site: Site) -> None:
    """Two environments and the cache have one copy; what moves, is edited by installers or removed changes no other."""
    machine.env["TERRASTORE_LINK_MODE"] = "hardlink"
    for target in ("one", "two"):
        fetch(machine, target)
    one, two = (files(machine.cwd / name) for name in ("one", "two"))
    shared = {path for path in one if one[path][0] == two[path][0]}
    assert len(shared) > 0.9 * len(one)
    assert not {"bin/activate", "bin/pygmentize"} & shared
    layers = files(machine.cache / "layers")
    shutil.move(machine.cwd / "one", machine.cwd / "elsewhere")
    machine.ok("relocate", "elsewhere")
    assert_works(machine, "elsewhere")
    shutil.rmtree(machine.cwd / "elsewhere")
    assert_works(machine, "two")
    assert (two, layers) == (files(machine.cwd / "two"), files(machine.cache / "layers"))
    machine.ok("verify", "two")


def test_an_edit_in_place_is_noticed(machine: CommandLine, site: Site) -> None:
    """The edited layer is fetched again, and the next environment has it as it was published."""
    machine.env["TERRASTORE_LINK_MODE"] = "hardlink"
    fetch(machine, "one")
    (module,) = (machine.cwd / "one").glob("lib/*/site-packages/click/core.py")
    text = module.read_text()
    with module.open("a") as file:
        file.write("EDITED = True\n")
    result = fetch(machine, "two")
    (click,) = [layer for layer in manifest(machine, "two").layers if layer.name == "click"]
    assert (1, click.packed) == (result["layers_fetched"], result["bytes_fetched"])
    assert text == (machine.cwd / "two" / module.relative_to(machine.cwd / "one")).read_text()
    assert module.read_text().endswith("EDITED = True\n")
    assert 0 == fetch(machine, "three")["layers_fetched"]
    assert [True, False, False] == ["click" in machine("verify", name).out for name in ("one", "two", "three")]


def test_no_cache(machine: CommandLine) -> None:
    """Nothing is kept, and what is kept is not taken."""
    fetch(machine, "one", "--no-cache")
    assert set() == kept(machine)
    fetch(machine, "two")
    assert set() != kept(machine)
    assert 0 < fetch(machine, "three", "--no-cache")["bytes_fetched"]


def test_no_more_than_the_limit_is_kept(machine: CommandLine) -> None:
    """At the end of the run."""
    fetch(machine, "one", "--cache-limit", "1MB")
    sizes = [path.stat().st_size for path in (machine.cache / "layers").iterdir()]
    assert 0 < sum(sizes) <= 1_000_000
    fetch(machine, "two", "--cache-limit", "0")
    assert set() == kept(machine)


def test_what_is_near_is_kept_when_that_is_wanted(stored: CommandLine) -> None:
    """A directory on a disk of this machine is read as fast as a cache; links need one all the same."""
    stored.ok("ensure", "--no-build")
    assert set() == kept(stored)
    result = stored.ok("ensure", "--no-build", "--link-mode", "hardlink", "--target", "one", "--json").json
    assert 0 < result["layers_fetched"]
    assert whole(manifest(stored, "one"), shared=True) == kept(stored)
    result = stored.ok("ensure", "--no-build", "--link-mode", "hardlink", "--target", "two", "--json").json
    assert (0, 0) == (result["layers_fetched"], result["bytes_fetched"])


@MODES
def test_many_at_once(machine: CommandLine, site: Site, mode: str) -> None:
    """Eight runs with one cache, which somebody prunes to nothing all the time."""
    machine.env["TERRASTORE_LINK_MODE"] = mode
    fetch(machine, "first")
    done, pruned = threading.Event(), []

    def prune() -> None:
        while not done.is_set():
            pruned.append(machine.ok("cache", "prune", "--cache-limit", "0", "--json").json["removed"])

    pruning = threading.Thread(target=prune)
    pruning.start()
    try:
        targets = [f"env-{number}" for number in range(8)]
        runs = [machine.start("ensure", "--no-build", "--target", target, "--json") for target in targets]
        ended = [(run.communicate(timeout=300), run.returncode) for run in runs]
    finally:
        done.set()
        pruning.join()
    assert [0] * 8 == [code for _, code in ended], ended
    assert sum(pruned) > 0
    for target in targets:
        assert_works(machine, target)
        machine.ok("verify", target)
    assert kept(machine) <= whole(manifest(machine, "first"), shared=mode != "copy")
    fetch(machine, "last")
    assert whole(manifest(machine, "first"), shared=mode != "copy") == kept(machine)


def kill_when_kept(command: CommandLine, count: int) -> None:
    """Kill a run that fetches when more than so many names are in the cache."""
    run = command.start("ensure", "--no-build", "--target", "env")
    until(lambda: len(kept(command)) > count or run.poll() is not None)
    run.kill()
    run.communicate()


@MODES
def test_killed(machine: CommandLine, site: Site, mode: str) -> None:
    """Whenever it strikes, the next run is right, and what is left is no more than was begun, for a day."""
    machine.env["TERRASTORE_LINK_MODE"] = mode
    site.ask(machine, "old")
    fetch(machine, "first")
    names = kept(machine)
    for number in range(0, len(names), 3):
        shutil.rmtree(machine.cache / "layers")
        kill_when_kept(machine, number)
        left = {name for name in kept(machine) if name.startswith(".")}
        assert kept(machine) - left <= names
        assert len(left) <= 2 * len(names)
        fetch(machine, f"env-{number}")
        assert names <= kept(machine)
        for name in left:
            os.utime(machine.cache / "layers" / name, (time.time() - DAY - 600,) * 2)
        machine.ok("cache", "prune")
        assert names == kept(machine)

"""Several stores, nearest first: whatever one of them lacks, breaks or refuses, the run gets what it can get."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests import faults
from tests.conftest import make_project
from tests.end_to_end.test_bad_input import DAMAGES, LATER, archive_in, rewrite_manifest
from tests.processes import PATIENCE, until
from tests.static_server import StaticServer
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import CommandLine, Result
    from tests.servers import S3Server

NOBODY_ANSWERS = "http://127.0.0.1:9/envs"


@dataclass(frozen=True)
class Stores:
    """A command line with two stores, the nearer one empty until somebody fills it."""

    cli: CommandLine
    near: Path
    far: Path

    def use(self, *stores: object) -> None:
        """Name other stores from now on."""
        self.cli.env["TERRASTORE_STORE"] = " ".join(map(str, stores))

    def ensure(self, *arguments: str, name: str | None = None) -> Any:
        """Make an environment where none is, and return what --json says; it must succeed."""
        return self.cli.ok("ensure", "--target", name or uuid4().hex, "--json", *arguments).json

    def fail(self, *arguments: str) -> Result:
        """Make an environment where none is, which must fail without leaving one."""
        result = self.cli("ensure", "--target", "failed", *arguments)
        assert result.code != 0
        assert not (self.cli.cwd / "failed").exists()
        return result

    def fill(self) -> None:
        """Give the nearer store what the farther one has."""
        shutil.copytree(self.far, self.near)


@pytest.fixture
def empty(cli: CommandLine) -> Stores:
    """Return two empty stores."""
    cli.write("requirements.txt", "alpha==1.0\n")
    stores = Stores(cli, cli.home / "near", cli.home / "store")
    stores.use(stores.near, stores.far)
    return stores


@pytest.fixture
def stores(empty: Stores, alpha_home: Path) -> Stores:
    """Return two stores, of which the farther one has what requirements.txt asks for."""
    shutil.copytree(alpha_home / "store", empty.far)
    return empty


@pytest.fixture
def web(stores: Stores) -> Iterator[Wire]:
    """Yield a wire before the farther store, which is served by HTTP and only read."""
    with StaticServer(stores.far) as server, Wire(server.url) as wire:
        stores.use(stores.near, wire.url)
        yield wire


def files(root: Path) -> dict[str, bytes]:
    """Return all that is in a store, what is unfinished too, but who built what, and which was used."""
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(("v1/leases/", "v1/uses/"))}


def rewrite_pointer(store: Path, **changes: object) -> None:
    """Change fields of the only pointer in a store."""
    (path,) = store.glob("v1/pointers/*.json")
    document = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(document["payload"])) | changes
    document["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(document))


def test_what_is_far_is_fetched_and_fills_what_is_near(stores: Stores) -> None:
    """The first run fetches from the farther store; then the nearer one has the same bytes and is enough."""
    told = stores.ensure("--no-build")
    assert ("fetched", str(stores.far), []) == (told["outcome"], told["store"], told["warnings"])
    assert 5 == told["layers_fetched"]
    assert archive_in(stores.far).stat().st_size > told["bytes_fetched"] > 1_000_000
    assert files(stores.far) == files(stores.near)
    assert stores.cli.ok("verify", told["key"], "--store", str(stores.near)).out.startswith("sound    ")
    again = stores.ensure("--no-build")
    assert ("fetched", str(stores.near), []) == (again["outcome"], again["store"], again["warnings"])
    assert told["bytes_fetched"] == again["bytes_fetched"]


def test_what_is_near_is_enough(stores: Stores) -> None:
    """When the nearer store has it, the farther one is not asked: it may be away, or refuse."""
    stores.fill()
    for far in (stores.cli.home / "not-mounted/store", NOBODY_ANSWERS, __file__):
        stores.use(stores.near, far)
        told = stores.ensure("--no-build")
        assert (str(stores.near), []) == (told["store"], told["warnings"])


def test_what_stands_needs_no_store(stores: Stores) -> None:
    """A kept environment asks neither store, and fills none."""
    stores.ensure(name="kept")
    shutil.rmtree(stores.near)
    stores.use(stores.near, NOBODY_ANSWERS)
    assert "kept" == stores.ensure(name="kept")["outcome"]
    assert not stores.near.exists()


def test_the_line_names_the_store_that_had_it(stores: Stores) -> None:
    """Not all of them, and not the one that was filled on the way."""
    assert f" from {stores.far} in " in stores.cli.ok("ensure").out


@pytest.mark.parametrize("case", DAMAGES)
def test_what_is_damaged_near_heals(stores: Stores, case: str) -> None:
    """The farther store helps out with a warning, and the nearer one is sound afterwards."""
    damage, message = DAMAGES[case]
    stores.fill()
    damage(stores.near)
    told = stores.ensure("--no-build")
    assert ("fetched", str(stores.far)) == (told["outcome"], told["store"])
    (warning,) = told["warnings"]
    assert message in warning
    assert warning.endswith("; the next store is asked")
    assert files(stores.far) == files(stores.near)
    again = stores.ensure("--no-build")
    assert (str(stores.near), []) == (again["store"], again["warnings"])


def test_an_archive_of_its_own_that_is_damaged_near_gives_way(stores: Stores) -> None:
    """A nearer store whose archive has another name gets the farther one's, pointer and all."""
    stores.fill()
    other = f"{'0' * 32}.tar.zst"
    archive = archive_in(stores.near)
    archive.rename(archive.with_name(other))
    size = archive_in(stores.near).stat().st_size
    rewrite_pointer(stores.near, archive={"name": other, "size": size, "sha256": "0" * 64})
    os.truncate(archive_in(stores.near), 1000)
    assert str(stores.far) == stores.ensure("--no-build")["store"]
    assert files(stores.far).items() <= files(stores.near).items()
    assert str(stores.near) == stores.ensure("--no-build")["store"]


def expired(store: Path) -> None:
    rewrite_pointer(store, expires="2026-01-01T00:00:00Z")


def test_what_has_expired_near_is_replaced(stores: Stores) -> None:
    """An expired pointer is as good as none, in a nearer store too."""
    stores.fill()
    expired(stores.near)
    assert str(stores.far) == stores.ensure("--no-build")["store"]
    assert files(stores.far) == files(stores.near)


AWAY: dict[str, Callable[[Stores], object]] = {
    "not mounted": lambda stores: stores.cli.home / "not-mounted/store",
    "no directory": lambda stores: stores.cli.write("file", ""),
    "nobody answers": lambda stores: NOBODY_ANSWERS,
}


@pytest.mark.parametrize("case", AWAY)
def test_a_nearer_store_that_is_away_is_passed_over(stores: Stores, case: str) -> None:
    """One warning says so, what the farther store has is fetched, and the nearer one is left alone."""
    away = AWAY[case](stores)
    stores.use(away, stores.far)
    told = stores.ensure("--no-build")
    assert ("fetched", str(stores.far)) == (told["outcome"], told["store"])
    (warning,) = told["warnings"]
    assert str(away) in warning
    assert warning.endswith("; the next store is asked")
    assert not (stores.cli.home / "not-mounted").exists()


@pytest.mark.parametrize(("case", "code"), [("not mounted", 7), ("no directory", 7), ("nobody answers", 6)])
def test_the_last_store_must_answer(stores: Stores, case: str, code: int) -> None:
    """It knows what there is: without it a miss is no miss, and nothing is built in the meantime."""
    stores.use(stores.near, AWAY[case](stores))
    for arguments in ([], ["--no-build"]):
        assert code == stores.fail(*arguments).code
    assert not stores.near.exists()


def test_a_pointer_of_a_later_version_near_is_left_alone(stores: Stores) -> None:
    """It is fetched from the farther store, and who can read the nearer one's pointer finds it as it was."""
    stores.fill()
    rewrite_pointer(stores.near, schema=2)
    before = files(stores.near)
    told = stores.ensure("--no-build")
    assert str(stores.far) == told["store"]
    assert told["warnings"]
    assert [] == [warning for warning in told["warnings"] if "schema 2" not in warning]
    assert before == files(stores.near)


@pytest.mark.parametrize("case", LATER)
def test_an_archive_of_a_later_version_near_is_left_alone(stores: Stores, case: str) -> None:
    """The same holds for a sound pointer whose archive this version cannot read."""
    change, _, message = LATER[case]
    stores.fill()
    rewrite_manifest(stores.near, change)
    before = files(stores.near)
    told = stores.ensure("--no-build")
    assert str(stores.far) == told["store"]
    (warning,) = told["warnings"]
    assert message in warning
    assert before == files(stores.near)


def test_what_does_not_fit_this_host_near_is_sought_farther(stores: Stores) -> None:
    """A nearer store that has it for newer hosts alone keeps nobody from what the farther one has."""
    stores.fill()
    rewrite_pointer(stores.near, needs={"libc": {"family": "glibc", "version": "2.99"}})
    told = stores.ensure("--no-build")
    assert ("fetched", str(stores.far), []) == (told["outcome"], told["store"], told["warnings"])


def test_what_fits_no_host_like_this_is_told(stores: Stores) -> None:
    """When no store has it for this host, and building is off, that is the reason and not that there is nothing."""
    rewrite_pointer(stores.far, needs={"libc": {"family": "glibc", "version": "2.99"}})
    for given in ((stores.near, stores.far), (stores.far, stores.near)):
        stores.use(*given)
        result = stores.fail("--no-build")
        assert (9, True) == (result.code, f"in {stores.far} needs glibc 2.99 or later" in result.err)


def test_a_nearer_store_that_cannot_be_written_is_a_warning(stores: Stores) -> None:
    """What was fetched stands, and the farther store is what it was."""
    stores.near.mkdir()
    (stores.near / "v1").mkdir()
    (stores.near / "v1/archives").write_text("in the way")
    told = stores.ensure("--no-build")
    assert ("fetched", str(stores.far)) == (told["outcome"], told["store"])
    (warning,) = told["warnings"]
    assert f"not copied nearer: the store {stores.near} cannot be written" in warning
    assert {"v1/archives": b"in the way"} == files(stores.near)


@pytest.mark.parametrize("lacking", [10, 200_000])
def test_a_nearer_store_on_a_full_disk_is_a_warning(stores: Stores, lacking: int) -> None:
    """Whether much or little of the archive does not fit, nothing is left of it, and what was fetched stands."""
    most = archive_in(stores.far).stat().st_size - lacking
    process = stores.cli.start("ensure", "--json")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    out, errors = process.communicate(timeout=60)
    assert 0 == process.returncode, errors
    told = json.loads(out)
    assert [f"not copied nearer: the store {stores.near} cannot be written: file too large"] == told["warnings"]
    assert {} == files(stores.near)


def test_no_publish_fills_nothing(stores: Stores) -> None:
    """Who is not to write does not write to the nearer store either."""
    assert str(stores.far) == stores.ensure("--no-publish")["store"]
    assert not stores.near.exists()


def test_three_stores_are_asked_in_order(stores: Stores) -> None:
    """Those that are nearer than the one that has it are filled, and a damaged one between is healed."""
    middle = stores.cli.home / "middle"
    shutil.copytree(stores.far, middle)
    os.truncate(archive_in(middle), 1000)
    stores.use(stores.near, middle, stores.far)
    told = stores.ensure("--no-build")
    assert (str(stores.far), 1) == (told["store"], len(told["warnings"]))
    assert files(stores.far) == files(middle)
    assert files(stores.far) == files(stores.near)


def test_what_is_farther_than_a_hit_is_left_alone(stores: Stores) -> None:
    """Only what is nearer is filled."""
    stores.use(stores.near, stores.far, stores.cli.home / "farther")
    assert str(stores.far) == stores.ensure("--no-build")["store"]
    assert not (stores.cli.home / "farther").exists()


def test_several_machines_fill_one_store_at_once(stores: Stores) -> None:
    """All succeed without a warning, and the nearer store has each object once, whole."""
    runs = [stores.cli.start("ensure", "--target", f"env{number}", "--json") for number in range(4)]
    for process in runs:
        out, errors = process.communicate(timeout=120)
        assert 0 == process.returncode, errors
        assert [] == json.loads(out)["warnings"]
    assert files(stores.far) == files(stores.near)


def test_several_machines_heal_one_store_at_once(stores: Stores) -> None:
    """All succeed, and the nearer store is sound afterwards."""
    stores.fill()
    os.truncate(archive_in(stores.near), 1000)
    runs = [stores.cli.start("ensure", "--target", f"env{number}") for number in range(4)]
    for process in runs:
        _, errors = process.communicate(timeout=120)
        assert 0 == process.returncode, errors
    assert files(stores.far) == files(stores.near)


def test_an_interrupted_fetch_leaves_nothing_near(stores: Stores, web: Wire) -> None:
    """Ctrl-C in the middle of the archive ends with 130; no part of it is in the nearer store."""
    begins = lambda request: bool(request.range and request.range.startswith("bytes=0-"))  # noqa: E731
    stalled = web.fault(faults.Stall(1000), path="archives", where=begins)
    process = stores.cli.start("ensure")
    deadline = time.monotonic() + 60
    while not stalled.hits and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (130, "") == (process.returncode, out), errors
    assert not stores.near.exists() or {} == files(stores.near)
    assert ["requirements.txt"] == os.listdir(stores.cli.cwd)


def test_a_fetch_that_breaks_off_leaves_nothing_near(stores: Stores, web: Wire) -> None:
    """When the farther store goes away in the middle, so does what the nearer one had of it."""
    web.fault(faults.Cut(1000), path="archives", times=100)
    assert 6 == stores.fail().code
    assert not stores.near.exists() or {} == files(stores.near)


def test_a_store_on_the_web_fills_a_directory(stores: Stores, web: Wire) -> None:
    """What is fetched by HTTP is the same in the nearer store, from one download."""
    told = stores.ensure("--no-build")
    assert ("fetched", web.url, []) == (told["outcome"], told["store"], told["warnings"])
    assert files(stores.far) == files(stores.near)
    size = archive_in(stores.far).stat().st_size
    assert size <= sum(request.bytes_out for request in web.requests if "archives" in request.path) < size + 1000
    web.clear()
    assert str(stores.near) == stores.ensure("--no-build")["store"]
    assert [] == web.requests


# Building.


def test_what_is_built_goes_to_all(empty: Stores) -> None:
    """It is published to the last store and to the nearer ones, the same bytes; the last is the one that is told of."""
    built = empty.cli.ok("ensure")
    assert f", published to {empty.far}  (" in built.out
    assert f"miss  no {empty.cli.ok('key').out[:27]}" in built.err
    assert f" in {empty.near}, {empty.far}; building it here" in built.err
    assert 2 == len(files(empty.far))
    assert files(empty.far) == files(empty.near)
    for store in (empty.near, empty.far):
        empty.use(store)
        assert "fetched" == empty.ensure("--no-build")["outcome"]


def test_who_is_late_fills_near_stores_with_what_was_published(empty: Stores, tmp_path: Path) -> None:
    """Two build at once, each with a nearer store of its own: then all three have the one that all others fetch."""
    begun, gate, other = tmp_path / "begun", tmp_path / "gate", empty.cli.home / "other"
    make_project(
        empty.cli.cwd / "gadget",
        "import os, time\n"
        f"with open({str(begun)!r}, 'a') as file:\n"
        "    file.write('.')\n"
        f"while not os.path.exists({str(gate)!r}):\n"
        "    time.sleep(0.02)\n"
        "import zipfile\n"
        "with zipfile.ZipFile(os.path.join(folder, 'gadget-1-py3-none-any.whl'), 'w') as wheel:\n"
        "    wheel.writestr('gadget.py', f'BUILDER = {os.getpid()}')\n"
        "    wheel.writestr('gadget-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: gadget\\nVersion: 1')\n"
        "    wheel.writestr('gadget-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n')\n"
        "    wheel.writestr('gadget-1.dist-info/RECORD', 'gadget.py,,\\n')\n"
        "return 'gadget-1-py3-none-any.whl'",
    )
    empty.cli.write("requirements.txt", "./gadget\n")
    runs = []
    for number, near in enumerate((empty.near, other)):
        empty.use(near, empty.far)
        runs.append(empty.cli.start("ensure", "--no-seed", "--wait", "0", "--target", f"run{number}", "--json"))
    until(lambda: (begun.exists() and begun.read_text() == "..") or any(run.poll() is not None for run in runs))
    gate.touch()
    told = [json.loads(run.communicate(timeout=PATIENCE)[0]) for run in runs]
    assert ["built", "fetched"] == sorted(each["outcome"] for each in told)
    assert [[], []] == [each["warnings"] for each in told]
    assert files(empty.far) == files(empty.near) == files(other)


def test_what_is_built_goes_to_the_stores_that_are_there(empty: Stores) -> None:
    """A nearer store that is away is told of once and not tried again."""
    away = empty.cli.home / "not-mounted/store"
    empty.use(away, empty.far)
    told = empty.ensure("--require-publish")
    assert ("built", str(empty.far)) == (told["outcome"], told["store"])
    (warning,) = told["warnings"]
    assert str(away) in warning
    assert 2 == len(files(empty.far))


@pytest.fixture
def refused(empty: Stores) -> Stores:
    """Return two stores, of which the farther one can be read and not be written."""
    (empty.far / "v1").mkdir(parents=True)
    (empty.far / "v1/archives").write_text("in the way")
    return empty


def test_what_the_last_store_refuses_is_near_all_the_same(refused: Stores) -> None:
    """A warning names the store that refused; the line names the one that has it now."""
    told = refused.ensure()
    assert ("built", str(refused.near)) == (told["outcome"], told["store"])
    (warning,) = told["warnings"]
    assert f"not published: the store {refused.far} cannot be written" in warning
    assert str(refused.near) == refused.ensure("--no-build")["store"]


def test_require_publish_is_about_the_last_store(refused: Stores) -> None:
    """Its refusal is an error, and then nothing is near either; a nearer store's is a warning."""
    assert 7 == refused.fail("--require-publish").code
    assert not refused.near.exists() or {} == files(refused.near)
    refused.use(refused.far, refused.near)
    told = refused.ensure("--require-publish")
    assert ("built", str(refused.near), 1) == (told["outcome"], told["store"], len(told["warnings"]))


def test_no_publish_builds_for_this_machine_alone(empty: Stores) -> None:
    """Neither store is made."""
    told = empty.ensure("--no-publish")
    assert ("built", None) == (told["outcome"], told["store"])
    assert not empty.near.exists()
    assert not empty.far.exists()


def test_rebuild_replaces_in_all(stores: Stores) -> None:
    """Afterwards no store has the pointer from before, and all have the same."""
    stores.fill()
    (before,) = stores.far.glob("v1/pointers/*")
    pointer = before.read_bytes()
    told = stores.ensure("--rebuild")
    assert ("built", str(stores.far), []) == (told["outcome"], told["store"], told["warnings"])
    assert pointer != before.read_bytes()
    assert files(stores.far) == files(stores.near)
    assert 3 == len(files(stores.near))
    assert str(stores.near) == stores.ensure("--no-build")["store"]


def test_what_is_damaged_everywhere_is_built_anew(stores: Stores) -> None:
    """Both stores are healed by the one build."""
    stores.fill()
    for store in (stores.near, stores.far):
        os.truncate(archive_in(store), 1000)
    told = stores.ensure()
    assert ("built", str(stores.far), 2) == (told["outcome"], told["store"], len(told["warnings"]))
    again = stores.ensure("--no-build")
    assert (str(stores.near), []) == (again["store"], again["warnings"])
    stores.use(stores.far)
    assert [] == stores.ensure("--no-build")["warnings"]


def test_nothing_anywhere_and_no_building(empty: Stores) -> None:
    """That is a miss, and both stores are named; neither is made."""
    result = empty.fail("--no-build")
    assert (4, True) == (result.code, f"{empty.near}, {empty.far} has no cp3" in result.err)
    assert not empty.near.exists()
    assert not empty.far.exists()


def test_what_is_refused_near_and_missing_far_and_no_building(stores: Stores) -> None:
    """Something was there and could not be used: that is told rather than that there is nothing."""
    stores.fill()
    os.truncate(archive_in(stores.near), 1000)
    shutil.rmtree(stores.far)
    result = stores.fail("--no-build")
    assert (8, True) == (result.code, f"in {stores.near} is truncated" in result.err)


def test_what_is_away_near_and_missing_far_and_no_building(empty: Stores) -> None:
    """The last store knows what there is: it is a miss, with a warning of the other."""
    empty.use(empty.cli.home / "not-mounted/store", empty.far)
    result = empty.fail("--no-build")
    assert (4, True) == (result.code, "not-mounted/store is not there; the next store is asked" in result.err)


def test_build_asks_the_store_that_it_publishes_to(stores: Stores) -> None:
    """What the last store has is there; what only a nearer one has is built and published."""
    told = stores.cli.ok("build", "--json").json
    assert ("kept", str(stores.far)) == (told["outcome"], told["store"])
    assert not stores.near.exists()
    stores.use(stores.far, stores.near)
    before = files(stores.far)
    told = stores.cli.ok("build", "--json").json
    assert ("built", str(stores.near), []) == (told["outcome"], told["store"], told["warnings"])
    assert before == files(stores.far)
    assert 2 == len(files(stores.near))


def test_build_publishes_to_the_last_that_can_be_written(stores: Stores, web: Wire) -> None:
    """A store on the web is only read, so the directory before it is where a build goes."""
    stores.use(stores.near, web.url)
    told = stores.cli.ok("build", "--json").json
    assert ("built", str(stores.near), []) == (told["outcome"], told["store"], told["warnings"])
    assert "kept" == stores.cli.ok("build", "--json").json["outcome"]


@pytest.mark.parametrize("command", ["build", "ensure --rebuild --require-publish"])
def test_where_nothing_can_be_published_nothing_is_built(stores: Stores, web: Wire, command: str) -> None:
    """Who demands that it is published is told before the work and not after it."""
    stores.use(web.url)
    stores.cli.write("requirements.txt", "alpha==2.0\n")
    result = stores.cli(*command.split())
    assert (7, True) == (result.code, f"{web.url} is read-only" in result.err)
    assert [] == list(stores.cli.cache.glob("logs/*"))


# Looking at them.


def test_list_shows_what_any_has(stores: Stores) -> None:
    """Every key once, whichever store has it."""
    key = stores.cli.ok("key").out
    assert key == stores.cli.ok("list").out
    stores.fill()
    assert key == stores.cli.ok("list").out
    assert key[:27] in stores.cli.ok("list", "-l").out
    shutil.rmtree(stores.far)
    assert key == stores.cli.ok("list").out


def test_show_names_the_file(stores: Stores) -> None:
    """Where an archive is stored is one path, of the store that it is fetched from."""
    key = stores.cli.ok("key").out.strip()
    assert f"  stored     {archive_in(stores.far)}\n" in stores.cli.ok("show", key).out
    stores.fill()
    assert f"  stored     {archive_in(stores.near)}\n" in stores.cli.ok("show", key).out


def test_verify_names_the_store(stores: Stores) -> None:
    """What is verified is what the nearest store has, alone: the farther one's bytes do not make up for its own."""
    key = stores.cli.ok("key").out.strip()
    assert f" in {stores.far}  (" in stores.cli.ok("verify", key).out
    stores.fill()
    assert f" in {stores.near}  (" in stores.cli.ok("verify", key).out
    archive_in(stores.near).unlink()
    result = stores.cli("verify", key)
    assert (8, True) == (result.code, f"is missing from {stores.near}, though" in result.err)


def test_remove_removes_from_all(stores: Stores) -> None:
    """No store has it afterwards, nor does the next run find it."""
    stores.fill()
    stores.cli.ok("remove", stores.cli.ok("key").out.strip())
    assert [{}, {}] == [files(stores.near), files(stores.far)]
    assert 4 == stores.fail("--no-build").code


@pytest.mark.parametrize("command", ["list", "show", "verify", "remove"])
def test_who_looks_is_told_of_a_store_that_is_away(stores: Stores, command: str) -> None:
    """Half an answer is none: the error names the store, and nothing is removed."""
    key = stores.cli.ok("key").out.strip()
    before = files(stores.far)
    stores.use(stores.cli.home / "not-mounted/store", stores.far)
    result = stores.cli(command, *([key] if command != "list" else []))
    assert (7, True) == (result.code, "not-mounted/store is not there" in result.err)
    assert before == files(stores.far)


def test_a_whole_key_is_looked_at_on_the_web(stores: Stores, web: Wire) -> None:
    """What can only be read is shown and verified too, for who names it in full."""
    key = stores.cli.ok("key").out.strip()
    assert f"  stored     {web.url}/v1/archives/{key}/" in stores.cli.ok("show", key).out
    assert f" in {web.url}  (" in stores.cli.ok("verify", key).out


def test_stores_that_cannot_be_listed_say_so(stores: Stores, web: Wire) -> None:
    """Two stores on the web are not two empty ones."""
    stores.use(web.url, f"{web.url}/other")
    result = stores.cli("list")
    assert (2, True) == (result.code, "can be listed" in result.err)


# Naming them.


def test_stores_may_stand_in_a_file(stores: Stores) -> None:
    """A list in the settings is several stores in that order."""
    del stores.cli.env["TERRASTORE_STORE"]
    stores.cli.write("terrastore.toml", f"store = [{str(stores.near)!r}, {str(stores.far)!r}]\n")
    assert str(stores.far) == stores.ensure("--no-build")["store"]
    assert str(stores.near) == stores.ensure("--no-build")["store"]


def test_flags_beat_what_is_set(stores: Stores) -> None:
    """``--store`` on the command line replaces the whole list."""
    told = stores.ensure("--no-build", "--store", str(stores.near), "--store", str(stores.far))
    assert str(stores.far) == told["store"]
    assert 4 == stores.fail("--no-build", "--store", str(stores.cli.home / "third")).code


def test_one_store_named_twice_is_that_store(stores: Stores) -> None:
    """Fetched from without a warning, published to, and healed."""
    stores.use(stores.far, stores.far)
    before = files(stores.far)
    assert [] == stores.ensure("--no-build")["warnings"]
    assert before == files(stores.far)
    os.truncate(archive_in(stores.far), 1000)
    assert "built" == stores.ensure()["outcome"]
    assert [] == stores.ensure("--no-build")["warnings"]
    shutil.rmtree(stores.far)
    told = stores.ensure("--rebuild")
    assert ("built", str(stores.far), []) == (told["outcome"], told["store"], told["warnings"])
    assert [] == stores.ensure("--no-build")["warnings"]
    assert 2 == len(files(stores.far))


@pytest.mark.parametrize("holds", ["near", "far"])
def test_a_directory_with_a_store_in_it_is_not_replaced(stores: Stores, holds: str) -> None:
    """Not even with --force: each of several stores is needed."""
    target = stores.cli.cwd / "target"
    target.mkdir()
    shutil.copytree(stores.far, target / "envs")
    stores.use(*((target / "envs", stores.far) if holds == "near" else (stores.near, target / "envs")))
    result = stores.cli("ensure", "--target", "target", "--force")
    assert (2, True) == (result.code, f"{target / 'envs'} in it would be gone" in result.err)
    assert files(stores.far) == files(target / "envs")


# With S3.


def test_a_bucket_behind_a_directory(empty: Stores, moto: S3Server) -> None:
    """What is built goes up while it is packed, and down to the next machine's directory while it is fetched."""
    bucket = f"s3://{moto.bucket}/{uuid4().hex}"
    empty.cli.env |= moto.variables()
    empty.use(empty.near, bucket)
    told = empty.ensure()
    assert ("built", bucket, []) == (told["outcome"], told["store"], told["warnings"])
    before = files(empty.near)
    assert 2 == len(before)
    shutil.rmtree(empty.near)
    told = empty.ensure("--no-build")
    assert ("fetched", bucket, []) == (told["outcome"], told["store"], told["warnings"])
    assert before == files(empty.near)
    assert str(empty.near) == empty.ensure("--no-build")["store"]

"""What a request is compared with: cheap, safe, and never a reason to fail."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from terrastore import nearest
from terrastore.archive.originals import MANIFEST_PATH
from terrastore.environment import State
from terrastore.errors import StoreRefusedError
from terrastore.host import Host
from terrastore.interpreter import Fingerprint, Interpreter
from terrastore.key import SCHEMA, EnvKey, Request
from terrastore.nearest import Nearest, Neighbours, in_store, on_disk
from terrastore.requirements import RequirementSet
from terrastore.requirements.files import Source
from terrastore.store import layout
from terrastore.store.layered import LayeredStore
from terrastore.store.memory import MemoryStore
from terrastore.trust import Trust
from tests.published import Archive, make_tree, pack_tree, publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.store.protocol import Listed, Object

INTERPRETER = Interpreter(
    executable="/usr/bin/python3.11",
    base_prefix="/usr",
    implementation="cpython",
    version=(3, 11, 7, "final", 0),
    soabi="cpython-311-x86_64-linux-gnu",
    free_threaded=False,
    debug=False,
    pointer_bits=64,
)
HOST = Host(system="linux", machine="x86_64", libc=("glibc", (2, 36)), distribution="debian-12")


def request(*requirements: str, sources: tuple[Source, ...] = ()) -> Request:
    return Request(
        requirements=RequirementSet(requirements=requirements, sources=sources), interpreter=INTERPRETER, host=HOST
    )


WANTED = request("one==2", "two==1")


class Shelf:
    """A store, and how environments come to be in it."""

    def __init__(self, folder: Path, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.folder = folder
        self.count = 0

    def archive(self, key: EnvKey, document: dict[str, Any]) -> Archive:
        self.count += 1
        sink = io.BytesIO()
        tree = make_tree(self.folder / str(self.count), one=b"1", two=b"2", three=b"3")
        return pack_tree(tree, [sink], key, request=document), sink.getvalue()

    def put(self, *requirements: str, prefix: str = "cp311-linux_x86_64-", **changes: Any) -> EnvKey:
        """Publish what asks for ``requirements``."""
        key = EnvKey(f"{prefix}{self.count:040x}")
        publish(self.store, self.archive(key, request(*requirements).canonical() | changes), key)
        return key

    def nearest(self, wanted: Request = WANTED) -> Nearest:
        found = in_store(self.store, wanted, Trust()).nearest
        assert found is not None
        return found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_the_nearest_has_the_fewest_differences(shelf: Shelf) -> None:
    """What shares most is compared with, whatever is newer, with how many of its packages are the same."""
    shelf.put("one==1", "two==0")
    near = shelf.put("one==1.0", "two==1")
    shelf.put("one==2", "two==1", installer="uv")
    found = shelf.nearest()
    assert (near, None, "memory:") == (found.key, found.place, found.store)
    assert f"one 1.0 → 2.0; 2 of 3 packages as in {near.short}" == found.line


def test_of_several_as_near_the_newest_counts(shelf: Shelf) -> None:
    """Who bumps pins day by day is told what changed since yesterday."""
    shelf.put("one==1", "two==1")
    newest = shelf.put("one==1.5", "two==1")
    assert newest == shelf.nearest().key


def test_for_another_machine_no_packages_are_counted(shelf: Shelf) -> None:
    """Of packages that are others for certain nothing is said."""
    key = shelf.put("one==1", "two==1", installer="uv")
    assert f"installer uv → pip; one 1.0 → 2.0; compared with {key.short}" == shelf.nearest().line


def test_the_same_request_is_not_compared_with(shelf: Shelf) -> None:
    """What differs in nothing, such as what this host cannot use, explains nothing."""
    shelf.put("one==2", "two==1")
    assert Neighbours() == in_store(shelf.store, WANTED, Trust())


def test_other_interpreters_and_platforms_are_not_looked_at(shelf: Shelf) -> None:
    """Only what has the tag of interpreter and platform in its key is read."""
    shelf.put("one==1", prefix="cp312-linux_x86_64-")
    shelf.put("one==1", prefix="cp311-linux_aarch64-")
    assert Neighbours() == in_store(shelf.store, WANTED, Trust())
    special = shelf.put("one==1").for_distribution("debian-12")
    publish(shelf.store, shelf.archive(special, request("one==2").canonical()), special)
    assert special == shelf.nearest().key


def test_what_an_earlier_version_made_is_counted(shelf: Shelf) -> None:
    """Environments whose keys are by other rules are misses; it is said how many there are."""
    shelf.put("one==1", schema=SCHEMA - 1)
    shelf.put("one==2", "two==1", schema=SCHEMA - 1)
    found = in_store(shelf.store, WANTED, Trust())
    assert 2 == found.earlier
    assert found.nearest is not None
    assert found.nearest.line.startswith(f"the key's schema {SCHEMA - 1} → {SCHEMA}; 3 of 3 packages as in ")


class Counting(MemoryStore):
    """A store that remembers which pointers were read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def read(self, name: str) -> Object | None:
        self.reads.append(name)
        return super().read(name)

    def list(self, prefix: str) -> Iterator[Listed]:
        for listed in super().list(prefix):
            yield type(listed)(listed.name, listed.size, -int(listed.name[-10:-5], 16))


def test_twenty_are_looked_at_the_newest() -> None:
    """However many a store has, no more than twenty pointers are read."""
    store = Counting()
    names = [layout.pointer(f"cp311-linux_x86_64-{number:040x}") for number in range(50)]
    for name in reversed(names):
        store.create(name, b"no pointer")
    store.create(f"{layout.POINTERS}cp311-linux_x86_64-stranger00000.json", b"")
    assert Neighbours() == in_store(store, WANTED, Trust())
    assert sorted(names[:20]) == sorted(store.reads)


def test_what_is_unsound_is_left_out(shelf: Shelf) -> None:
    """A pointer that is malformed, or whose archive is gone, is no reason to fail."""
    key = shelf.put("one==1", "two==1")
    gone = shelf.put("one==2")
    for listed in list(shelf.store.list(layout.archives(gone.text))):
        shelf.store.remove(listed.name)
    shelf.store.create(layout.pointer(f"cp311-linux_x86_64-{'f' * 40}"), b"\xff")
    assert key == shelf.nearest().key


class Refusing(MemoryStore):
    """A store that may be read and not listed."""

    def list(self, prefix: str) -> Iterator[Listed]:
        raise StoreRefusedError(f"{prefix} may not be listed")


class Reading:
    """A store that can only be read, as a web server."""

    readers = 1
    is_near = True

    def __init__(self, store: MemoryStore) -> None:
        self.read = store.read
        self.read_range = store.read_range


def test_a_store_that_cannot_be_listed_has_none(tmp_path: Path) -> None:
    """Neither a refusal nor a web server is trouble."""
    shelf = Shelf(tmp_path, Refusing())
    shelf.put("one==1")
    assert Neighbours() == in_store(shelf.store, WANTED, Trust())
    assert Neighbours() == in_store(Reading(shelf.store), WANTED, Trust())


def test_of_several_stores_the_farthest_that_can_be_listed_counts(shelf: Shelf, tmp_path: Path) -> None:
    """What is published goes there, so that is where it is to be found."""
    nearer = Shelf(tmp_path / "nearer")
    nearer.put("one==2")
    key = shelf.put("one==1", "two==1")
    found = in_store(LayeredStore([nearer.store, shelf.store, Reading(MemoryStore())]), WANTED, Trust())
    assert found.nearest is not None
    assert key == found.nearest.key


class Silent(MemoryStore):
    """A store that does not answer while it is told not to."""

    def __init__(self, *, lists: bool) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()
        self.lists = lists

    def list(self, prefix: str) -> Iterator[Listed]:
        if not self.lists:
            self.answers.wait()
        return super().list(prefix)

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        self.answers.wait()
        return super().read_range(name, offset, size)


@pytest.mark.parametrize("lists", [True, False])
def test_a_store_that_does_not_answer_holds_nothing_up(tmp_path: Path, *, lists: bool) -> None:
    """When the time is over there is no comparison, and no thread that the process would wait for."""
    silent = Silent(lists=lists)
    shelf = Shelf(tmp_path, silent)
    shelf.put("one==1")
    silent.answers.clear()
    before = {thread for thread in threading.enumerate() if not thread.daemon}
    try:
        assert Neighbours() == in_store(silent, WANTED, Trust(), seconds=0.05)
        assert before == {thread for thread in threading.enumerate() if not thread.daemon}
    finally:
        silent.answers.set()
    assert in_store(silent, WANTED, Trust()).nearest is not None


def make_environment(root: Path, shelf: Shelf, *requirements: str, inputs: tuple[dict[str, Any], ...] = ()) -> EnvKey:
    """Write what an environment on disk says of itself."""
    key = EnvKey(f"cp311-linux_x86_64-{'e' * 40}")
    packed, _ = shelf.archive(key, request(*requirements).canonical())
    (root / ".terrastore").mkdir(parents=True)
    (root / MANIFEST_PATH).write_bytes(packed.manifest.to_json())
    interpreter = Fingerprint(path="/usr/bin/python3.11", inode=1, size=1, mtime_ns=1)
    State(key=key.text, archive="0" * 64, prefix=str(root), packages=3, inputs=inputs, interpreter=interpreter).write(
        str(root)
    )
    return key


def test_an_environment_on_disk(shelf: Shelf, tmp_path: Path) -> None:
    """It is known by its directory, and files that ask for it now and did not are named."""
    root = tmp_path / "env"
    key = make_environment(root, shelf, "one==1", "two==1", inputs=({"path": "/p/requirements.txt", "sha256": "1"},))
    sources = tuple(Source(path, "2") for path in ("/q/requirements.txt", "/q/pins.txt", "https://example.org/c.txt"))
    found = on_disk(str(root), request("one==2", "two==1", sources=sources))
    assert found is not None
    assert (key, str(root), None, 2, 3) == (found.key, found.place, found.store, found.same, found.packages)
    assert ["/q/pins.txt added", "https://example.org/c.txt added", "one 1.0 → 2.0"] == [
        each.phrase for each in found.differences
    ]


def test_an_environment_that_is_what_was_asked_for_is_not_compared_with(shelf: Shelf, tmp_path: Path) -> None:
    """Another file with the same content asks for the same thing."""
    make_environment(tmp_path / "env", shelf, "one==2", "two==1", inputs=({"path": "/p/a.txt", "sha256": "1"},))
    sources = (Source("/p/b.txt", "2"),)
    assert on_disk(str(tmp_path / "env"), request("one==2", "two==1", sources=sources)) is None


def test_what_is_no_environment_is_not_compared_with(shelf: Shelf, tmp_path: Path) -> None:
    """Nothing there, nothing of ours, or nothing sound: no comparison, and no error."""
    root = tmp_path / "env"
    assert on_disk(str(root), WANTED) is None
    root.mkdir()
    assert on_disk(str(root), WANTED) is None
    make_environment(root, shelf, "one==1")
    assert on_disk(str(root), WANTED) is not None
    (root / MANIFEST_PATH).write_text(json.dumps({"schema": 99}))
    assert on_disk(str(root), WANTED) is None


def test_the_environment_on_disk_comes_first_but_for_who_must_not_build(shelf: Shelf, tmp_path: Path) -> None:
    """A person wants to know what they changed; a server, what was published instead."""
    here = make_environment(tmp_path / "env", shelf, "one==1")
    there = shelf.put("one==1", "two==1")
    place = str(tmp_path / "env")
    found = [
        nearest.find(WANTED, place=place, store=shelf.store, trust=Trust()),
        nearest.find(WANTED, place=place, store=shelf.store, trust=Trust(), published_first=True),
        nearest.find(WANTED, place=place, store=MemoryStore(), trust=Trust(), published_first=True),
        nearest.find(WANTED, place=str(tmp_path / "none"), store=shelf.store, trust=Trust()),
        nearest.find(WANTED, place=None, store=None, trust=Trust()),
    ]
    assert [here, there, here, there, None] == [each and each.key for each in found]

"""What one store has is published in another: the same, or nothing."""

from __future__ import annotations

import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from terrastore import catalogue
from terrastore.errors import ArchiveRefusedError, StoreRefusedError, UsageError
from terrastore.promotion import COPIED, KEPT, RENEWED, Promoted, promote
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.directory import DirectoryStore
from terrastore.store.memory import MemoryStore
from terrastore.trust import Trust
from tests.published import (
    KEY,
    OTHER_KEY,
    SPECIAL_KEY,
    STEPS,
    Archive,
    TroubledStore,
    envelope,
    found,
    make_archive,
    objects,
    place,
    pointer_for,
    publish,
    sealed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from terrastore.catalogue import Published
    from terrastore.store.protocol import Object, Store, Upload

    Stores = tuple[MemoryStore | DirectoryStore, MemoryStore | DirectoryStore]


class Distant(MemoryStore):
    """A store on no disk of this machine, which copies by itself; it notes every range of it that is read."""

    is_near = False

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []
        self.uploads = 0

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        if size:  # to ask for nothing is to ask whether it is there
            self.ranges.append((offset, size))
        return super().read_range(name, offset, size)

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        self.uploads += 1
        with super().upload(name) as upload:
            yield upload


class Reserved(Distant):
    """A store that nobody else's bytes come to but through this machine."""

    def copy_from(self, other: Store, name: str, size: int) -> bool:
        return False


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(tmp_path_factory.mktemp("tree") / "env")


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Return another archive for the same key, equal in every byte but by its name in the store."""
    return make_archive(tmp_path_factory.mktemp("tree") / "env")


@pytest.fixture(params=["memory", "directories", "distant", "through this machine"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Return two stores, empty."""
    if request.param == "directories":
        return DirectoryStore(str(tmp_path / "staging")), DirectoryStore(str(tmp_path / "production"))
    if request.param == "memory":
        return MemoryStore(), MemoryStore()
    return Distant(), Distant() if request.param == "distant" else Reserved()


def run(
    source: Store, destination: Store, *, replace: bool = False, verify: bool = False, report: Report | None = None
) -> Promoted:
    return promote(source, destination, KEY, trust=Trust(), replace=replace, verify=verify, report=report or Report())


def everything(store: MemoryStore | DirectoryStore) -> dict[str, bytes]:
    """Return all that is in a store."""
    return {each.name: current.data for each in store.list("") if (current := store.read(each.name))}


def overwrite(store: MemoryStore | DirectoryStore, name: str, data: bytes | None) -> None:
    """Put other bytes in an object's place, none for none."""
    store.remove(name)
    if data is not None:
        store.create(name, data)


def archive_of(store: MemoryStore | DirectoryStore) -> str:
    published = catalogue.find(store, KEY, Trust(), Report())
    assert published is not None
    return place(published)


def test_it_is_the_same_byte_for_byte(stores: Stores, archive: Archive) -> None:
    """Pointer and archive, under the same names; then it is kept."""
    source, destination = stores
    publish(source, archive)
    publish(source, archive, OTHER_KEY)
    publish(source, archive, SPECIAL_KEY)
    report = Report()
    promoted = run(source, destination, report=report)
    assert (COPIED, KEY, len(archive[1])) == (promoted.outcome, promoted.key, promoted.size)
    assert isinstance(destination, Reserved) != promoted.server_side
    assert {
        name: data
        for name, data in everything(source).items()
        if f"/{KEY.text}" in name and SPECIAL_KEY.text not in name
    } == everything(destination)
    assert KEPT == run(source, destination, report=report).outcome
    assert [] == report.warnings


def test_what_stores_copy_by_themselves_is_not_read_here(archive: Archive) -> None:
    """But for the end with the manifest, on both sides; with ``verify`` the copy is, once."""
    for verify in (False, True):
        source, destination = Distant(), Distant()
        publish(source, archive)
        run(source, destination, verify=verify)
        end = len(archive[1]) - archive[0].location.offset
        assert [(archive[0].location.offset, end)] == source.ranges
        assert end + (archive[0].location.offset if verify else 0) == sum(size for _, size in destination.ranges)
        assert 0 == destination.uploads


def test_what_goes_through_this_machine_is_read_once(archive: Archive) -> None:
    """Every byte of the source, and nothing of the destination."""
    source, destination = Distant(), Reserved()
    publish(source, archive)
    assert not run(source, destination).server_side
    assert len(archive[1]) == sum(size for _, size in source.ranges)
    assert [] == destination.ranges


def test_a_pointer_is_passed_on_as_it_is(stores: Stores, archive: Archive) -> None:
    """One that another version wrote in its own way keeps its bytes, and its signatures."""
    source, destination = stores
    document = json.loads(publish(source, archive).envelope)
    signed = json.dumps(document | {"signatures": [{"keyid": "k", "sig": "AAAA"}]}, indent=1).encode()
    overwrite(source, layout.pointer(KEY.text), signed)
    run(source, destination)
    assert signed == everything(destination)[layout.pointer(KEY.text)]


def test_another_sound_one_stays(stores: Stores, archive: Archive, another: Archive) -> None:
    """That is told; with ``replace`` it is replaced, and its archive stays, for somebody may read it."""
    source, destination = stores
    publish(source, archive)
    publish(destination, another)
    before = everything(destination)
    with pytest.raises(UsageError, match=f"has another {KEY.short}, made 20.* by terrastore") as error:
        run(source, destination)
    assert "--replace" in error.value.hint
    assert before == everything(destination)
    assert COPIED == run(source, destination, replace=True).outcome
    after = everything(destination)
    assert everything(source).items() <= after.items()
    assert {layout.pointer(KEY.text)} == {name for name in before if after.get(name) != before[name]}


@pytest.mark.parametrize(
    "pointer",
    [
        pytest.param(b"nonsense", id="malformed"),
        pytest.param(sealed(pointer_for(b"", expires="2026-01-01T00:00:00Z")), id="expired"),
        pytest.param(sealed(pointer_for(b"not there")), id="without an archive"),
    ],
)
def test_what_nobody_could_fetch_is_replaced(stores: Stores, archive: Archive, pointer: bytes) -> None:
    """Nobody has to say so; a warning does."""
    source, destination = stores
    publish(source, archive)
    destination.create(layout.pointer(KEY.text), pointer)
    report = Report()
    assert COPIED == run(source, destination, report=report).outcome
    assert everything(source) == everything(destination)
    assert 1 == len(report.warnings)


def damaged(data: bytes, position: int) -> bytes:
    """Return bytes of which one is another."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


AT_THE_END: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "truncated": lambda data: data[:-1],
    "a flipped bit in the manifest": lambda data: damaged(data, len(data) - 100),
}
IN_THE_MIDDLE: dict[str, Callable[[bytes], bytes | None]] = {
    "a flipped bit at the beginning": lambda data: damaged(data, 0),
    "a flipped bit in the middle": lambda data: damaged(data, len(data) // 4),
    "a flipped bit in the last byte": lambda data: damaged(data, len(data) - 1),
}
DAMAGES = AT_THE_END | IN_THE_MIDDLE


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_not_published(stores: Stores, archive: Archive, damage: str) -> None:
    """It is refused, and nothing of it is left; where nobody here would look, ``verify`` does."""
    source, destination = stores
    publish(source, archive)
    overwrite(source, archive_of(source), DAMAGES[damage](archive[1]))
    is_blind = isinstance(destination, Distant) and not isinstance(destination, Reserved)
    with pytest.raises(ArchiveRefusedError, match=KEY.short):
        run(source, destination, verify=is_blind)
    assert {} == everything(destination)


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_there_already_is_replaced(stores: Stores, archive: Archive, damage: str, verify: bool) -> None:
    """When its end does not verify, or with ``verify`` the whole; that is told."""
    source, destination = stores
    publish(source, archive)
    run(source, destination)
    overwrite(destination, archive_of(destination), DAMAGES[damage](archive[1]))
    report = Report()
    is_noticed = verify or damage in AT_THE_END
    promoted = run(source, destination, verify=verify, report=report)
    assert (COPIED if is_noticed else KEPT) == promoted.outcome
    assert (everything(source) == everything(destination)) == is_noticed
    assert is_noticed == (len(report.warnings) == 1 and report.warnings[0].endswith("; it is replaced"))


def test_what_a_killed_copy_left_is_used(archive: Archive) -> None:
    """An archive of that name without a pointer is the same, as far as it is long enough and verifies."""
    source, destination = Distant(), Distant()
    publish(source, archive)
    destination.create(archive_of(source), archive[1])
    assert run(source, destination).server_side
    assert everything(source) == everything(destination)
    overwrite(destination, layout.pointer(KEY.text), None)
    overwrite(destination, archive_of(source), damaged(archive[1], len(archive[1]) - 100))
    with pytest.raises(ArchiveRefusedError):
        run(source, destination)
    assert COPIED == run(source, destination).outcome
    assert everything(source) == everything(destination)


@pytest.mark.parametrize(
    ("kind", "told", "pointer"),
    [
        pytest.param(ArchiveRefusedError, "is refused: the pointer is not", b"nonsense", id="malformed"),
        pytest.param(ArchiveRefusedError, "another key", envelope({"schema": 1, "key": OTHER_KEY.text}), id="swapped"),
        pytest.param(UsageError, "has no", envelope({"schema": 2, "key": KEY.text}), id="of a later version"),
        pytest.param(UsageError, "has no", sealed(pointer_for(b"", expires="2026-01-01T00:00:00Z")), id="expired"),
        pytest.param(UsageError, "has no", None, id="not there"),
    ],
)
def test_a_pointer_is_judged_as_by_a_fetch(
    stores: Stores, kind: type[Exception], told: str, pointer: bytes | None
) -> None:
    """What would not be fetched is not copied."""
    source, destination = stores
    if pointer is not None:
        source.create(layout.pointer(KEY.text), pointer)
    with pytest.raises(kind, match=told):
        run(source, destination)
    assert {} == everything(destination)


def test_what_later_versions_can_read_is_not_replaced(stores: Stores, archive: Archive) -> None:
    """Not even when somebody says so: it is sound for those who can read it."""
    source, destination = stores
    publish(source, archive)
    destination.create(layout.pointer(KEY.text), envelope({"schema": 2, "key": KEY.text}))
    before = everything(destination)
    with pytest.raises(StoreRefusedError, match="schema 2") as error:
        run(source, destination)
    assert "upgrade terrastore here" == error.value.hint
    assert before == everything(destination)


@pytest.mark.parametrize(
    ("step", "copies"),
    [*((step, False) for step in STEPS), *((step, True) for step in ("read", "upload", "create"))],
)
def test_a_destination_in_trouble(archive: Archive, step: str, copies: bool) -> None:
    """Its own error reaches who copies, and no pointer is there."""

    class Troubled(TroubledStore):
        def copy_from(self, other: Store, name: str, size: int) -> bool:
            if not copies:
                return False
            self.check("upload")
            return super().copy_from(other, name, size)

        @contextmanager
        def upload(self, name: str) -> Iterator[Upload]:
            with super().upload(name) as upload:
                self.taken = 1
                yield upload

    source, destination = MemoryStore(), Troubled(step)
    publish(source, archive)
    with pytest.raises(StoreRefusedError, match=f"^no {step} here$"):
        run(source, destination)
    assert [] == [name for name in destination._objects if name.startswith(layout.POINTERS)]


def test_a_destination_that_is_only_read(archive: Archive) -> None:
    """It is told before anything is read of the archive's bulk."""

    class ReadOnly:
        readers, is_near = 1, False

        def __str__(self) -> str:
            return "https://envs.example"

        def read(self, _name: str) -> Object | None:
            return None

        def read_range(self, _name: str, _offset: int, _size: int) -> bytes | None:
            return None

    source = MemoryStore()
    publish(source, archive)
    with pytest.raises(StoreRefusedError, match=r"https://envs\.example is read-only"):
        run(source, ReadOnly())


def test_who_is_overtaken_by_another_is_told(archive: Archive, another: Archive) -> None:
    """Somebody published another one meanwhile: that stays."""

    class Overtaken(MemoryStore):
        def copy_from(self, other: Store, name: str, size: int) -> bool:
            publish(self, another)
            return super().copy_from(other, name, size)

    source, destination = MemoryStore(), Overtaken()
    publish(source, archive)
    with pytest.raises(UsageError, match="has another"):
        run(source, destination)
    assert found(destination).pointer.archive.name != found(source).pointer.archive.name


@pytest.mark.parametrize("workers", [2, 8])
def test_several_at_once(stores: Stores, archive: Archive, workers: int) -> None:
    """All end well, and the destination has it once."""
    source, destination = stores
    publish(source, archive)
    with ThreadPoolExecutor(workers) as pool:
        outcomes = {promoted.outcome for promoted in pool.map(lambda _: run(source, destination), range(workers))}
    assert outcomes <= {COPIED, KEPT}
    assert everything(source) == everything(destination)


def test_who_finds_damage_leaves_what_a_pointer_names(archive: Archive) -> None:
    """An archive that somebody pointed to meanwhile is not taken back."""

    class Raced(Distant):
        def read_range(self, name: str, offset: int, size: int) -> bytes | None:
            data = super().read_range(name, offset, size)
            self.create(layout.pointer(KEY.text), found(source).envelope)
            return damaged(data, 50) if data else data

    source, destination = Distant(), Raced()
    publish(source, archive)
    with pytest.raises(ArchiveRefusedError):
        run(source, destination)
    assert set(objects(source)) == set(objects(destination))


# ---- a pointer of its own


def other_pointer(published: Published) -> bytes:
    """Return the same pointer in another spelling, as one who signs anew would give it."""
    document = json.loads(published.envelope)
    return json.dumps(document | {"signatures": [{"keyid": "production", "sig": "AAAA"}]}).encode()


def test_the_pointer_can_be_made_anew(stores: Stores, archive: Archive) -> None:
    """From what was found and verified; the payload may be another one too."""
    source, destination = stores
    publish(source, archive)
    promote(source, destination, KEY, trust=Trust(), envelope=other_pointer, report=Report())
    made = everything(destination)[layout.pointer(KEY.text)]
    assert other_pointer(found_in(source)) == made
    assert b64decode(json.loads(made)["payload"]) == b64decode(json.loads(found_in(source).envelope)["payload"])
    assert KEPT == promote(source, destination, KEY, trust=Trust(), envelope=other_pointer, report=Report()).outcome


def found_in(store: Store) -> Published:
    published = catalogue.find(store, KEY, Trust(), Report())
    assert published is not None
    return published


def test_a_pointer_is_renewed_alone(archive: Archive) -> None:
    """Where the archive is there already nothing of it is written or read again, but for its end."""
    source, destination = Distant(), Reserved()
    publish(source, archive)
    run(source, destination)
    destination.ranges.clear()
    report = Report()
    assert RENEWED == promote(source, destination, KEY, trust=Trust(), envelope=other_pointer, report=report).outcome
    assert 1 == destination.uploads
    assert [(archive[0].location.offset, len(archive[1]) - archive[0].location.offset)] == destination.ranges
    assert other_pointer(found(source)) == found(destination).envelope
    assert [] == report.warnings


def test_a_pointer_that_was_made_anew_stays(stores: Stores, archive: Archive) -> None:
    """Who copies again and does not sign takes no signature away; with ``replace`` the source's pointer counts."""
    source, destination = stores
    publish(source, archive)
    promote(source, destination, KEY, trust=Trust(), envelope=other_pointer, report=Report())
    assert KEPT == run(source, destination).outcome
    assert other_pointer(found_in(source)) == found_in(destination).envelope
    assert RENEWED == run(source, destination, replace=True).outcome
    assert everything(source) == everything(destination)

"""Environments in a store, by key: found, published, listed and removed; nothing that is found is believed."""

import json

import pytest

from terrastore import catalogue
from terrastore.catalogue import Published, find, keys, resolve
from terrastore.errors import ArchiveRefusedError, StoreRefusedError, UsageError
from terrastore.key import EnvKey
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.layered import LayeredStore
from terrastore.store.memory import MemoryStore
from terrastore.store.protocol import Object
from terrastore.trust import Trust
from terrastore.trust.envelope import PAYLOAD_TYPE
from tests.published import (
    KEY,
    OTHER_KEY,
    SPECIAL_KEY,
    Archive,
    envelope,
    found,
    make_archive,
    objects,
    place,
    pointer_for,
    publish,
    put,
    sealed,
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(tmp_path_factory.mktemp("tree") / "env")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_what_was_published_is_found(store: MemoryStore, archive: Archive) -> None:
    """The pointer tells what was packed, and its archive is there byte for byte."""
    packed, data = archive
    published = publish(store, archive)
    assert published == found(store)
    pointer = published.pointer
    assert (KEY.text, "3.11.7", 1) == (pointer.key, pointer.python, pointer.packages)
    assert packed.summary(pointer.archive.name) == pointer.archive
    assert data == published.read(0, pointer.archive.size)
    assert packed.manifest == published.manifest()


def test_a_miss_is_none(store: MemoryStore, archive: Archive) -> None:
    """A key without a pointer is not there, whatever other keys have, and that is worth no warning."""
    report = Report()
    assert find(store, KEY, Trust(), report) is None
    publish(store, archive)
    assert find(store, OTHER_KEY, Trust(), report) is None
    assert find(store, SPECIAL_KEY, Trust(), report) is None
    assert [] == report.warnings


def test_an_archive_without_a_pointer_is_a_miss(store: MemoryStore, archive: Archive) -> None:
    """What was uploaded and never pointed to is not found."""
    publish(store, archive)
    store.remove(layout.pointer(KEY.text))
    assert find(store, KEY, Trust(), Report()) is None


MALFORMED = {
    "empty": b"",
    "not JSON": b"cp311",
    "not UTF-8": b"\xff\xfe",
    "another JSON": b"[]",
    "no envelope": b"{}",
    "no base64": json.dumps({"payloadType": PAYLOAD_TYPE, "payload": "!", "signatures": []}).encode(),
    "not ASCII": json.dumps({"payloadType": PAYLOAD_TYPE, "payload": "\u00fc", "signatures": []}).encode(),
    "a huge number": b'{"payloadType": "x", "number": %s}' % (b"9" * 5000),
    "another payload": json.dumps({"payloadType": "text/plain", "payload": "", "signatures": []}).encode(),
    "no schema": envelope({"key": KEY.text}),
    "no fields": envelope({"schema": 1, "key": KEY.text}),
    "long": envelope({"schema": 1, "key": KEY.text, "padding": "x" * 4000}),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_pointer_is_refused(data: bytes, store: MemoryStore) -> None:
    """It is no miss: the error names key and store, and says what to do."""
    store.create(layout.pointer(KEY.text), data)
    with pytest.raises(ArchiveRefusedError, match=f"the pointer of {KEY.short} in memory: is refused") as caught:
        find(store, KEY, Trust(), Report())
    assert "--rebuild" in caught.value.hint
    assert 8 == caught.value.exit_code


def test_another_keys_pointer_is_refused(store: MemoryStore, archive: Archive) -> None:
    """A pointer that was copied to another key's place leads nowhere."""
    pointer = publish(store, archive).pointer
    store.create(layout.pointer(OTHER_KEY.text), sealed(pointer))
    with pytest.raises(ArchiveRefusedError, match="the pointer is for another key"):
        find(store, OTHER_KEY, Trust(), Report())


def test_another_keys_archive_is_refused(store: MemoryStore, archive: Archive) -> None:
    """An archive that says it is for another key than its pointer is not unpacked."""
    published = publish(store, archive, OTHER_KEY)
    with pytest.raises(ArchiveRefusedError, match=f"the archive of {OTHER_KEY.short} .* is for another key") as caught:
        published.manifest()
    assert caught.value.hint


def test_a_pointer_of_a_later_schema_is_a_miss(store: MemoryStore, archive: Archive) -> None:
    """A warning says that it is there, and which schema this version reads."""
    document = {"schema": 2, "key": KEY.text, "something": "else"}
    store.create(layout.pointer(KEY.text), envelope(document))
    report = Report()
    assert find(store, KEY, Trust(), report) is None
    assert [
        f"memory: has {KEY.short}, but the pointer has schema 2; this version of terrastore reads schema 1"
    ] == report.warnings


def test_a_missing_archive_is_refused(store: MemoryStore, archive: Archive) -> None:
    """A pointer whose archive is gone is told apart from a miss, with what to do."""
    published = publish(store, archive)
    store.remove(place(published))
    for read in (published.manifest, lambda: published.read(0, 1)):
        with pytest.raises(
            ArchiveRefusedError, match=f"the archive of {KEY.short} is missing from memory:, though"
        ) as caught:
            read()
        assert "--rebuild" in caught.value.hint


def shorten(store: MemoryStore, published: Published, size: int) -> None:
    """Cut the archive off in its store."""
    current = store.read(place(published))
    assert current is not None
    assert store.replace(place(published), current.data[:size], current.version)


@pytest.mark.parametrize("left", [0, 1, 100])
def test_a_truncated_archive_is_refused(left: int, store: MemoryStore, archive: Archive) -> None:
    """An archive that ends too early says where, with what to do."""
    published = publish(store, archive)
    shorten(store, published, left)
    with pytest.raises(
        ArchiveRefusedError, match=rf"is truncated: it ends at byte {left} of {len(archive[1]):,}"
    ) as caught:
        published.read(0, len(archive[1]))
    assert "--rebuild" in caught.value.hint
    with pytest.raises(ArchiveRefusedError, match="is truncated: it ends before byte "):
        published.manifest()


def test_what_is_left_of_a_truncated_archive_is_read(store: MemoryStore, archive: Archive) -> None:
    """Ranges before the end are as they were."""
    published = publish(store, archive)
    shorten(store, published, 100)
    assert archive[1][:100] == published.read(0, 100)
    assert b"" == published.read(100, 0)


def test_a_changed_manifest_is_refused(store: MemoryStore, archive: Archive) -> None:
    """The manifest's bytes must be those that the pointer names."""
    published = publish(store, archive)
    current = store.read(place(published))
    assert current is not None
    changed = bytearray(current.data)
    changed[published.pointer.manifest.offset + 20] ^= 1
    store.replace(place(published), bytes(changed), current.version)
    with pytest.raises(ArchiveRefusedError, match="manifest is refused: a frame's SHA-256 differs"):
        published.manifest()


def point(store: MemoryStore, key: EnvKey) -> None:
    """Put a pointer there that nothing but its name speaks for."""
    store.create(layout.pointer(key.text), b"")


def test_the_nearest_of_several_is_found(store: MemoryStore, archive: Archive) -> None:
    """It is that store's own, archive and all; those that lack it, or have it expired, are passed over."""
    empty, old = MemoryStore(), MemoryStore()
    put(old, b"old", pointer_for(b"old", expires="2026-01-02T00:00:00Z"))
    published, report = publish(store, archive), Report()
    publish(farther := MemoryStore(), archive)
    assert published == find(LayeredStore([empty, old, store, farther]), KEY, Trust(), report)
    assert [f"memory: has {KEY.short}, but it expired at 2026-01-02T00:00:00Z"] == report.warnings
    store.remove(place(published))
    with pytest.raises(ArchiveRefusedError, match="is missing"):
        published.manifest()


def test_keys_are_those_with_a_pointer(store: MemoryStore, archive: Archive) -> None:
    """Sorted, sound or not, and whatever else lies beside them is ignored."""
    publish(store, archive, OTHER_KEY)
    point(store, KEY)
    for stranger in (
        "v1/pointers/README",
        "v1/pointers/README.json",
        f"v1/pointers/{KEY.text}.json.orig",
        f"v1/pointers/{KEY.text[:-1]}.json",
        f"v1/pointers/{KEY.text.upper()}.json",
        f"v1/pointers/old/{KEY.text}.json",
        f"v2/pointers/{KEY.text}.json",
        f"v1/archives/{SPECIAL_KEY.text}/x",
    ):
        store.create(stranger, b"")
    assert [KEY, OTHER_KEY] == keys(store)


def test_keys_are_sorted_by_their_text(store: MemoryStore) -> None:
    """A key comes before the keys that begin with it."""
    point(store, KEY)
    point(store, SPECIAL_KEY)
    assert [KEY, SPECIAL_KEY] == keys(store)


def test_an_empty_store_has_no_keys(store: MemoryStore) -> None:
    """Nothing is listed, and asking is no error."""
    assert [] == keys(store)


KEYS = tuple(
    EnvKey(text)
    for text in (
        "cp311-linux_x86_64-3f9c0a7100000000000000000000000000000000",
        "cp311-linux_x86_64-3f9c0a72ffffffffffffffffffffffffffffffff",
        "cp312-linux_x86_64-9b1d22e000000000000000000000000000000000",
        "cp312-linux_x86_64-9b1d22e000000000000000000000000000000000-debian-12",
        "cp313t-linux_musl_aarch64-00112233445566778899aabbccddeeff00112233",
    )
)


@pytest.fixture
def catalogued(store: MemoryStore) -> MemoryStore:
    """Return a store with ``KEYS``."""
    for key in KEYS:
        point(store, key)
    return store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEYS[0].text, 0),
        (KEYS[0].short, 0),
        ("cp311-linux_x86_64-3f9c0a72", 1),
        ("3f9c0a71", 0),
        ("3f9c0a72ffff", 1),
        ("cp313", 4),
        ("cp313t-linux_musl_aarch64-0", 4),
        ("0011", 4),
        (KEYS[2].text, 2),
        (KEYS[3].text, 3),
        ("9b1d22e000000000000000000000000000000000-", 3),
    ],
)
def test_the_beginning_of_a_key_is_enough(text: str, expected: int, catalogued: MemoryStore) -> None:
    """A key is known by any beginning of it or of its digest that no other shares; a whole key is always itself."""
    assert KEYS[expected] == resolve(catalogued, text)


@pytest.mark.parametrize("text", ["cp", "cp311", "cp311-linux_x86_64-3f9c0a7", "3f9c0a7", "9b1d22e0"])
def test_an_ambiguous_beginning_is_refused(text: str, catalogued: MemoryStore) -> None:
    """What several keys begin with is a usage error that names them and asks for more."""
    with pytest.raises(UsageError, match=f"{text} could be any of cp31") as caught:
        resolve(catalogued, text)
    assert "write more" in caught.value.hint


@pytest.mark.parametrize("text", ["cp310", "ffff", "3f9c0a73", KEY.text, "x86_64", "README", "*", "../x"])
def test_an_unknown_beginning_is_refused(text: str, catalogued: MemoryStore) -> None:
    """What no key and no digest begins with is a usage error that names the store and the command that lists."""
    with pytest.raises(UsageError, match=r"memory: has no environment") as caught:
        resolve(catalogued, text)
    assert "terrastore list" in caught.value.hint


@pytest.mark.parametrize("text", ["debian", "12", "linux_musl"])
def test_only_keys_and_digests_are_resolved(text: str, catalogued: MemoryStore) -> None:
    """The platform and the distribution of a key are no way to name it."""
    with pytest.raises(UsageError, match=r"memory: has no environment"):
        resolve(catalogued, text)


def test_nothing_names_no_key(store: MemoryStore) -> None:
    """An empty text, as an unset variable leaves it, does not name the one environment that is there."""
    point(store, KEY)
    with pytest.raises(UsageError):
        resolve(store, "")


def test_a_whole_key_needs_no_listing() -> None:
    """Where nothing can be listed, what is there is known by its whole name alone."""
    store = ReadOnlyStore(KEY)
    assert KEY == resolve(store, KEY.text)
    with pytest.raises(UsageError, match="cannot be listed"):
        resolve(store, KEY.short)


def test_an_ambiguous_beginning_shows_what_differs(catalogued: MemoryStore) -> None:
    """Who is asked for more sees how the keys differ."""
    with pytest.raises(UsageError, match=f"any of {KEYS[2].short}, {KEYS[2].short}-debian-12$"):
        resolve(catalogued, "9b1d22e0")


def test_what_list_prints_is_enough(catalogued: MemoryStore) -> None:
    """Of a key and the one for its distribution, which begins with it, each is known by its own short form."""
    assert KEYS[2] == resolve(catalogued, KEYS[2].short)
    assert f"{KEYS[2].text}-debian-12" == resolve(catalogued, f"{KEYS[2].short}-debian-12").text


def test_archives_are_those_the_key_owns(store: MemoryStore, archive: Archive) -> None:
    """Pointed to or not, with their sizes, and no other key's, even one that begins with this one."""
    first = publish(store, archive)
    second = publish(store, archive, overwrite=True)
    publish(store, archive, SPECIAL_KEY)
    size = len(archive[1])
    assert sorted([(place(first), size), (place(second), size)]) == list(catalogue.archives(store, KEY))


def test_removing_takes_the_pointer_and_all_archives(store: MemoryStore, archive: Archive) -> None:
    """The bytes that are free afterwards are told, and other keys stay, even one that begins with this one."""
    publish(store, archive)
    publish(store, archive, overwrite=True)
    kept = publish(store, archive, SPECIAL_KEY)
    assert 2 * len(archive[1]) == catalogue.remove(store, KEY)
    assert find(store, KEY, Trust(), Report()) is None
    assert [place(kept), layout.pointer(SPECIAL_KEY.text)] == objects(store)


def test_removing_what_is_not_there_frees_nothing(store: MemoryStore, archive: Archive) -> None:
    """It is no error, and nothing else is touched."""
    publish(store, archive, OTHER_KEY)
    before = objects(store)
    assert 0 == catalogue.remove(store, KEY)
    assert before == objects(store)


def test_what_was_removed_can_be_published_again(store: MemoryStore, archive: Archive) -> None:
    """A removed key is as one that never was."""
    publish(store, archive)
    catalogue.remove(store, KEY)
    assert publish(store, archive) == found(store)


class ReadOnlyStore:
    """A store that can be read, and no more; it has pointers to ``keys``."""

    readers = 1
    is_near = True

    def __init__(self, *keys: EnvKey) -> None:
        self.names = {layout.pointer(key.text) for key in keys}

    def __str__(self) -> str:
        return "https://store.example/envs"

    def read(self, name: str) -> Object | None:
        return Object(b"", "version") if name in self.names else None

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        return None


def test_a_store_that_cannot_be_listed_says_so() -> None:
    """Listing, resolving and removing are usage errors there."""
    with pytest.raises(UsageError, match=r"https://store\.example/envs cannot be listed"):
        keys(ReadOnlyStore())
    with pytest.raises(UsageError, match="cannot be listed"):
        resolve(ReadOnlyStore(), KEY.text)
    with pytest.raises(UsageError, match="cannot be listed"):
        catalogue.remove(ReadOnlyStore(), KEY)


def test_a_store_that_cannot_be_written_says_so(store: MemoryStore) -> None:
    """Publishing there is refused, with what to do; a store that can be written is itself."""
    with pytest.raises(StoreRefusedError, match=r"https://store\.example/envs is read-only") as caught:
        catalogue.writable(ReadOnlyStore())
    assert caught.value.hint
    assert catalogue.writable(store) is store
    assert catalogue.listable(store) is store

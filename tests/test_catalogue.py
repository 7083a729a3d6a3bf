"""Environments in a store, by key: found, published, listed and removed; nothing that is found is believed."""

import io
import json
import sys
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest

from terrastore import catalogue
from terrastore.archive.pack import Origin, Packed, pack
from terrastore.archive.staging import StagingPrefix
from terrastore.catalogue import Published, find, keys, resolve
from terrastore.errors import ArchiveRefusedError, StoreRefusedError, UsageError
from terrastore.key import EnvKey
from terrastore.pointer import PAYLOAD_TYPE
from terrastore.publish import Publication, archive_name
from terrastore.publish import envelope as pointer_to
from terrastore.report import Phase, Report
from terrastore.store import layout
from terrastore.store.memory import MemoryStore
from terrastore.store.protocol import Object

KEY = EnvKey(f"cp311-linux_x86_64-{'0' * 40}")
SPECIAL_KEY = KEY.for_distribution("debian-12")
OTHER_KEY = EnvKey(f"cp312-linux_x86_64-{'a1' * 20}")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Packed, bytes]:
    """Return a tiny environment for ``KEY``, packed, and its archive."""
    tree = tmp_path_factory.mktemp("tree") / "env"
    info = tree / "lib/python3.11/site-packages/tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "tiny.py").write_text("ANSWER = 42\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "RECORD").write_text("tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/RECORD,,\n")
    origin = Origin(
        key=KEY.text,
        interpreter={"version": "3.11.7"},
        host={},
        installer={"name": "pip", "version": "25.0"},
        request={},
        libc=None,
        compiled=frozenset(),
        downloads={},
    )
    sink = io.BytesIO()
    packed = pack(
        StagingPrefix(str(tree)),
        [sink],
        skeleton=(),
        python=sys.executable,
        origin=origin,
        workers=1,
        report=Report(),
    )
    return packed, sink.getvalue()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def publish(
    store: MemoryStore,
    archive: tuple[Packed, bytes],
    key: EnvKey = KEY,
    *,
    overwrite: bool = False,
    refused: str | None = None,
    report: Report | None = None,
) -> Published:
    packed, data = archive
    name = archive_name()
    publication = Publication(
        store, key, name, replace=overwrite, refused=refused, required=True, report=report or Report()
    )
    with publication:
        publication.write(data)
        published = publication.end(pointer_to(packed, key, name))
    assert published is not None
    return published


def found(store: MemoryStore, key: EnvKey = KEY) -> Published:
    """Return what the store has for ``key``, without a warning."""
    report = Report()
    published = find(store, key, report)
    assert published is not None
    assert [] == report.warnings
    return published


def place(published: Published) -> str:
    """Return the name of the archive in its store."""
    return layout.archive(published.key.text, published.pointer.archive.name)


def objects(store: MemoryStore) -> list[str]:
    return [listed.name for listed in store.list("")]


def envelope(document: object) -> bytes:
    payload = b64encode(json.dumps(document).encode()).decode()
    return json.dumps({"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": []}).encode()


def test_what_was_published_is_found(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """The pointer tells what was packed, and its archive is there byte for byte."""
    packed, data = archive
    published = publish(store, archive)
    assert published == found(store)
    pointer = published.pointer
    assert (KEY.text, "3.11.7", 1) == (pointer.key, pointer.python, pointer.packages)
    assert packed.summary(pointer.archive.name) == pointer.archive
    assert data == published.read(0, pointer.archive.size)
    assert packed.manifest == published.manifest()


def test_publishing_leaves_a_pointer_and_an_archive(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """Two objects, where the layout says."""
    published = publish(store, archive)
    assert [place(published), layout.pointer(KEY.text)] == objects(store)


class Counting(Report):
    """Keeps which phases there were."""

    def __init__(self) -> None:
        super().__init__()
        self.ended_phases: list[str] = []

    def ended(self, phase: Phase) -> None:
        self.ended_phases.append(phase.name)


def test_publishing_reports_its_progress(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """Who watches sees that the end is waited for, and no warning."""
    report = Counting()
    publish(store, archive, report=report)
    assert (["publish"], []) == (report.ended_phases, report.warnings)


def test_a_miss_is_none(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """A key without a pointer is not there, whatever other keys have, and that is worth no warning."""
    report = Report()
    assert find(store, KEY, report) is None
    publish(store, archive)
    assert find(store, OTHER_KEY, report) is None
    assert find(store, SPECIAL_KEY, report) is None
    assert [] == report.warnings


def test_an_archive_without_a_pointer_is_a_miss(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """What was uploaded and never pointed to is not found."""
    publish(store, archive)
    store.remove(layout.pointer(KEY.text))
    assert find(store, KEY, Report()) is None


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
        find(store, KEY, Report())
    assert "--rebuild" in caught.value.hint
    assert 8 == caught.value.exit_code


def test_another_keys_pointer_is_refused(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """A pointer that was copied to another key's place leads nowhere."""
    pointer = publish(store, archive).pointer
    store.create(layout.pointer(OTHER_KEY.text), pointer.to_envelope())
    with pytest.raises(ArchiveRefusedError, match="the pointer is for another key"):
        find(store, OTHER_KEY, Report())


def test_another_keys_archive_is_refused(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """An archive that says it is for another key than its pointer is not unpacked."""
    published = publish(store, archive, OTHER_KEY)
    with pytest.raises(ArchiveRefusedError, match=f"the archive of {OTHER_KEY.short} .* is for another key") as caught:
        published.manifest()
    assert caught.value.hint


def test_a_pointer_of_a_later_schema_is_a_miss(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """A warning says that it is there, and which schema this version reads."""
    document = {"schema": 2, "key": KEY.text, "something": "else"}
    store.create(layout.pointer(KEY.text), envelope(document))
    report = Report()
    assert find(store, KEY, report) is None
    assert [
        f"memory: has {KEY.short}, but the pointer has schema 2; this version of terrastore reads schema 1"
    ] == report.warnings


def test_a_missing_archive_is_refused(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
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
def test_a_truncated_archive_is_refused(left: int, store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """An archive that ends too early says where, with what to do."""
    published = publish(store, archive)
    shorten(store, published, left)
    with pytest.raises(
        ArchiveRefusedError, match=rf"is truncated: it ends at byte {left} of {len(archive[1]):,}"
    ) as caught:
        published.read(0, len(archive[1]))
    assert "--rebuild" in caught.value.hint
    with pytest.raises(ArchiveRefusedError, match="is truncated"):
        published.manifest()


def test_what_is_left_of_a_truncated_archive_is_read(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """Ranges before the end are as they were."""
    published = publish(store, archive)
    shorten(store, published, 100)
    assert archive[1][:100] == published.read(0, 100)
    assert b"" == published.read(100, 0)


def test_a_changed_manifest_is_refused(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """The manifest's bytes must be those that the pointer names."""
    published = publish(store, archive)
    current = store.read(place(published))
    assert current is not None
    changed = bytearray(current.data)
    changed[published.pointer.manifest.offset + 20] ^= 1
    store.replace(place(published), bytes(changed), current.version)
    with pytest.raises(ArchiveRefusedError, match="manifest is refused: a frame's SHA-256 differs"):
        published.manifest()


def test_the_first_to_publish_wins(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """Who publishes a key that is there already is given what is there."""
    first = publish(store, archive)
    assert first == publish(store, archive)
    assert first == found(store)


def test_a_race_to_publish_has_one_winner(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """Of eight that publish at once, all are given the one that the store has, and its archive is there."""
    barrier = threading.Barrier(8)

    def race(_: int) -> Published:
        barrier.wait()
        return publish(store, archive)

    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(race, range(8)))
    assert [found(store)] * 8 == published
    assert archive[0].manifest == published[0].manifest()


@pytest.mark.parametrize("data", [b"", b"garbage", envelope({"schema": 1, "key": OTHER_KEY.text})])
def test_an_invalid_pointer_is_replaced(data: bytes, store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """A pointer that leads nowhere does not keep others from publishing."""
    store.create(layout.pointer(KEY.text), data)
    assert publish(store, archive) == found(store)
    assert archive[0].manifest == found(store).manifest()


def test_a_pointer_of_a_later_schema_is_left_alone(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """It is sound for who can read it: publishing is refused, but on demand."""
    later = envelope({"schema": 2, "key": KEY.text, "something": "else"})
    store.create(layout.pointer(KEY.text), later)
    with pytest.raises(StoreRefusedError, match=f"memory: has {KEY.short}, but the pointer has schema 2") as caught:
        publish(store, archive)
    assert "upgrade terrastore here" == caught.value.hint
    current = store.read(layout.pointer(KEY.text))
    assert current is not None
    assert later == current.data
    assert publish(store, archive, overwrite=True) == found(store)


def test_a_refused_archives_pointer_is_replaced(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """Who found an archive unsound and built anew takes its place."""
    first = publish(store, archive)
    store.remove(place(first))
    second = publish(store, archive, refused=first.pointer.archive.name)
    assert second == found(store)
    assert archive[0].manifest == second.manifest()


def test_what_somebody_else_repaired_is_kept(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """When another archive has taken the refused one's place meanwhile, that one wins."""
    first = publish(store, archive)
    repaired = publish(store, archive, refused=first.pointer.archive.name)
    assert repaired == publish(store, archive, refused=first.pointer.archive.name)
    assert repaired == found(store)


def test_a_sound_pointer_is_replaced_on_demand(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """With ``replace`` ours is there afterwards; the archive before stays for those who are reading it."""
    first = publish(store, archive)
    second = publish(store, archive, overwrite=True)
    assert first.pointer.archive.name != second.pointer.archive.name
    assert second == found(store)
    assert archive[1] == first.read(0, first.pointer.archive.size)


def test_a_pointer_is_made_where_none_is_on_demand(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """``replace`` does not need anything to replace."""
    assert publish(store, archive, overwrite=True) == found(store)


def test_an_upload_that_fails_publishes_nothing(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """An archive that cannot be packed to its end leaves neither pointer nor archive."""

    def pack_half(publication: Publication) -> None:
        publication.write(archive[1][:100])
        raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"), Publication(store, KEY, "name", report=Report()) as publication:
        pack_half(publication)
    assert [] == objects(store)


def point(store: MemoryStore, key: EnvKey) -> None:
    """Put a pointer there that nothing but its name speaks for."""
    store.create(layout.pointer(key.text), b"")


def test_keys_are_those_with_a_pointer(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
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


def test_an_ambiguous_beginning_shows_what_differs(catalogued: MemoryStore) -> None:
    """Who is asked for more sees how the keys differ."""
    with pytest.raises(UsageError, match=f"any of {KEYS[2].short}, {KEYS[2].short}-debian-12$"):
        resolve(catalogued, "9b1d22e0")


def test_archives_are_those_the_key_owns(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """Pointed to or not, with their sizes, and no other key's, even one that begins with this one."""
    first = publish(store, archive)
    second = publish(store, archive, overwrite=True)
    publish(store, archive, SPECIAL_KEY)
    size = len(archive[1])
    assert sorted([(place(first), size), (place(second), size)]) == list(catalogue.archives(store, KEY))


def test_removing_takes_the_pointer_and_all_archives(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """The bytes that are free afterwards are told, and other keys stay, even one that begins with this one."""
    publish(store, archive)
    publish(store, archive, overwrite=True)
    kept = publish(store, archive, SPECIAL_KEY)
    assert 2 * len(archive[1]) == catalogue.remove(store, KEY)
    assert find(store, KEY, Report()) is None
    assert [place(kept), layout.pointer(SPECIAL_KEY.text)] == objects(store)


def test_removing_what_is_not_there_frees_nothing(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """It is no error, and nothing else is touched."""
    publish(store, archive, OTHER_KEY)
    before = objects(store)
    assert 0 == catalogue.remove(store, KEY)
    assert before == objects(store)


def test_what_was_removed_can_be_published_again(store: MemoryStore, archive: tuple[Packed, bytes]) -> None:
    """A removed key is as one that never was."""
    publish(store, archive)
    catalogue.remove(store, KEY)
    assert publish(store, archive) == found(store)


class ReadOnlyStore:
    """A store that can be read, and no more."""

    def __str__(self) -> str:
        return "https://store.example/envs"

    def read(self, name: str) -> Object | None:
        return None

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

"""Putting an environment into a store while it is packed, whatever the store and others do meanwhile."""

import io
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from terrastore.archive.framing import Sink
from terrastore.catalogue import Published
from terrastore.errors import (
    BuildError,
    StoreRefusedError,
    StoreUnreachableError,
    TerrastoreError,
)
from terrastore.publish import Publication, archive_name, end
from terrastore.report import Phase, Report
from terrastore.store import layout
from terrastore.store.memory import MemoryStore
from terrastore.store.protocol import Object, Unfinished, Upload
from terrastore.trust import Trust
from tests.published import (
    KEY,
    OTHER_KEY,
    STEPS,
    Archive,
    OrderedStore,
    TroubledStore,
    contents,
    envelope,
    found,
    make_archive,
    make_tree,
    objects,
    pack_tree,
    place,
    pointer_for,
    pointer_to,
    publish,
    put,
    sealed,
)

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(tmp_path_factory.mktemp("tree") / "env")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Counting(Report):
    """Keeps which phases there were."""

    def __init__(self) -> None:
        super().__init__()
        self.ended_phases: list[str] = []

    def ended(self, phase: Phase) -> None:
        self.ended_phases.append(phase.name)


def test_publishing_leaves_a_pointer_and_an_archive(store: MemoryStore, archive: Archive) -> None:
    """Two objects, where the layout says."""
    published = publish(store, archive)
    assert [place(published), layout.pointer(KEY.text)] == objects(store)


def test_publishing_reports_its_progress(store: MemoryStore, archive: Archive) -> None:
    """Who watches sees that the end is waited for, and no warning."""
    report = Counting()
    publish(store, archive, report=report)
    assert (["publish"], []) == (report.ended_phases, report.warnings)


def test_the_first_to_publish_wins(store: MemoryStore, archive: Archive) -> None:
    """Who publishes a key that is there already is given what is there."""
    first = publish(store, archive)
    assert first == publish(store, archive)
    assert first == found(store)


def test_a_race_to_publish_has_one_winner(store: MemoryStore, archive: Archive) -> None:
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
def test_an_invalid_pointer_is_replaced(data: bytes, store: MemoryStore, archive: Archive) -> None:
    """A pointer that leads nowhere does not keep others from publishing."""
    store.create(layout.pointer(KEY.text), data)
    assert publish(store, archive) == found(store)
    assert archive[0].manifest == found(store).manifest()


def test_a_pointer_of_a_later_schema_is_left_alone(store: MemoryStore, archive: Archive) -> None:
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


def test_a_refused_archives_pointer_is_replaced(store: MemoryStore, archive: Archive) -> None:
    """Who found an archive unsound and built anew takes its place."""
    first = publish(store, archive)
    store.remove(place(first))
    second = publish(store, archive, refused=first.pointer.archive.name)
    assert second == found(store)
    assert archive[0].manifest == second.manifest()


def test_what_somebody_else_repaired_is_kept(store: MemoryStore, archive: Archive) -> None:
    """When another archive has taken the refused one's place meanwhile, that one wins."""
    first = publish(store, archive)
    repaired = publish(store, archive, refused=first.pointer.archive.name)
    assert repaired == publish(store, archive, refused=first.pointer.archive.name)
    assert repaired == found(store)


def test_a_sound_pointer_is_replaced_on_demand(store: MemoryStore, archive: Archive) -> None:
    """With ``replace`` ours is there afterwards; the archive before stays for those who are reading it."""
    first = publish(store, archive)
    second = publish(store, archive, overwrite=True)
    assert first.pointer.archive.name != second.pointer.archive.name
    assert second == found(store)
    assert archive[1] == first.read(0, first.pointer.archive.size)


def test_a_pointer_is_made_where_none_is_on_demand(store: MemoryStore, archive: Archive) -> None:
    """``replace`` does not need anything to replace."""
    assert publish(store, archive, overwrite=True) == found(store)


def test_an_upload_that_fails_publishes_nothing(store: MemoryStore, archive: Archive) -> None:
    """An archive that cannot be packed to its end leaves neither pointer nor archive."""

    def pack_half(publication: Publication) -> None:
        publication.write(archive[1][:100])
        raise OSError(5, "broken")

    with (
        pytest.raises(OSError, match="broken"),
        Publication(store, KEY, "name", trust=Trust(), report=Report()) as publication,
    ):
        pack_half(publication)
    assert [] == objects(store)


def test_nothing_is_uploaded_that_is_there(archive: Archive) -> None:
    """What a store has already it keeps, and is spared the bytes."""
    store = TroubledStore("upload")
    first = put(store, b"there")
    before = contents(store)
    report = Report()
    with Publication(store, KEY, archive_name(), required=True, trust=Trust(), report=report) as publication:
        publication.write(archive[1])
        assert first == publication.end(sealed(pointer_for(archive[1])))
    assert (before, []) == (contents(store), report.warnings)


def test_an_expired_pointer_is_replaced(store: MemoryStore, archive: Archive) -> None:
    """What has expired is as good as nothing."""
    put(store, b"old", pointer_for(b"old", expires="2026-01-02T00:00:00Z"))
    assert publish(store, archive) == found(store)


def test_a_refused_archive_of_the_same_name_is_replaced(store: MemoryStore) -> None:
    """A nearer store is filled under the farther one's names: bytes that were refused there do not stay."""
    name = archive_name()
    published = put(store, b"damaged", pointer_for(b"sound", name=name))
    with Publication(store, KEY, name, refused=name, trust=Trust(), report=Report()) as publication:
        publication.write(b"sound")
        publication.end(published.envelope)
    assert {place(published): b"sound", layout.pointer(KEY.text): published.envelope} == contents(store)


def test_a_winner_meanwhile_is_given(archive: Archive) -> None:
    """Who is overtaken while uploading is given what is there then, and the store keeps that."""
    store = MemoryStore()
    with Publication(store, KEY, archive_name(), trust=Trust(), report=Report()) as publication:
        publication.write(archive[1])
        winner = put(store, b"winner")
        assert winner == publication.end(sealed(pointer_for(archive[1])))
    assert winner == found(store)


class RestlessStore(MemoryStore):
    """A store whose pointer somebody else removes, or replaces by nonsense, whenever it was read so often."""

    def __init__(self, changes: int, change: bytes | None) -> None:
        super().__init__()
        self.changes = changes
        self.change = change
        self._put(layout.pointer(KEY.text), b"nonsense")

    def read(self, name: str) -> Object | None:
        current = super().read(name)
        if self.changes:
            self.changes -= 1
            self.remove(name)
            if self.change is not None:
                self._put(name, b"%s %d" % (self.change, self.changes))
        return current


@pytest.mark.parametrize("change", [None, b"other nonsense"])
def test_a_pointer_that_changes_is_looked_at_again(change: bytes | None, archive: Archive) -> None:
    """Nothing that comes or goes between looking and writing is in the way."""
    store = RestlessStore(3, change)
    assert publish(store, archive) == found(store)


def test_a_pointer_that_changes_all_the_time_is_given_up(archive: Archive) -> None:
    """After some tries the store is unreachable; nobody waits forever."""
    with pytest.raises(StoreUnreachableError, match="changes all the time") as caught:
        publish(RestlessStore(100, b"nonsense"), archive)
    assert caught.value.hint


class PartStore(MemoryStore):
    """A store that keeps unfinished uploads; one that is discarded is refused from then on."""

    def __init__(self, *, tells: bool = True) -> None:
        super().__init__()
        self.tells = tells
        self.uploads: list[Unfinished] = []

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        own = self.begin(name)
        try:
            with super().upload(name) as upload:
                yield Parts(self, own, upload)
                self.check(own)
        finally:
            self.discard(own)

    def begin(self, name: str) -> Unfinished:
        self.uploads.append(Unfinished(name, f"upload {len(self.uploads)}"))
        return self.uploads[-1]

    def check(self, upload: Unfinished) -> None:
        if upload not in self.uploads:
            raise StoreRefusedError("there is no such upload")

    def unfinished(self, prefix: str) -> list[Unfinished]:
        if not self.tells:
            raise StoreRefusedError("not for you")
        return [upload for upload in self.uploads if upload.name.startswith(prefix)]

    def discard(self, upload: Unfinished) -> None:
        if upload in self.uploads:
            self.uploads.remove(upload)


class Parts:
    def __init__(self, store: PartStore, own: Unfinished, upload: Upload) -> None:
        self.store = store
        self.own = own
        self.upload = upload

    def write(self, data: bytes, /) -> None:
        self.store.check(self.own)
        self.upload.write(data)


def test_what_killed_builders_left_is_discarded(archive: Archive) -> None:
    """Unfinished uploads of the key that were there before; those of other keys are somebody else's."""
    store = PartStore()
    store.begin(layout.archive(KEY.text, archive_name()))
    other = store.begin(layout.archive(OTHER_KEY.text, archive_name()))
    published = publish(store, archive)
    assert ([other], published) == (store.uploads, found(store))


def test_who_may_not_tell_of_uploads_publishes_all_the_same(archive: Archive) -> None:
    """In silence: a rule of the bucket does it then."""
    store, report = PartStore(tells=False), Report()
    left = store.begin(layout.archive(KEY.text, archive_name()))
    assert publish(store, archive, report=report) == found(store)
    assert ([left], []) == (store.uploads, report.warnings)


@pytest.mark.parametrize("overwrite", [False, True], ids=["first", "rebuild"])
@pytest.mark.parametrize("required", [False, True], ids=["", "required"])
def test_who_is_slower_takes_what_was_published(archive: Archive, overwrite: bool, required: bool) -> None:
    """An upload that the quicker one discarded is no trouble, and nothing is left of it."""
    store, report = PartStore(), Report()
    if overwrite:
        publish(store, archive)
    slow = Publication(store, KEY, archive_name(), replace=overwrite, required=required, trust=Trust(), report=report)
    with slow:
        slow.write(archive[1][:100])
        quicker = publish(store, archive, overwrite=overwrite)
        slow.write(archive[1][100:])
        assert quicker == slow.end(sealed(pointer_for(archive[1])))
    assert (quicker, [], []) == (found(store), store.uploads, report.warnings)
    assert place(quicker) in contents(store)


def test_who_began_later_is_left_alone(archive: Archive) -> None:
    """What is uploaded to replace the pointer that comes up meanwhile is not discarded with the dead ones."""
    store = PartStore()
    with Publication(store, KEY, "first", required=True, trust=Trust(), report=Report()) as first:
        first.write(archive[1])
        packed, data = archive
        name = archive_name()
        with Publication(store, KEY, name, replace=True, required=True, trust=Trust(), report=Report()) as later:
            later.write(data)
            first.end(pointer_to(packed, KEY, "f" * 32 + ".tar.zst"))
            assert later.end(pointer_to(packed, KEY, name)) == found(store)
    assert [] == store.uploads


def test_a_discarded_upload_that_nobody_replaced_is_trouble(archive: Archive) -> None:
    """Such as by a rule of the bucket: it is told."""
    store, report = PartStore(), Report()
    with Publication(store, KEY, archive_name(), trust=Trust(), report=report) as publication:
        publication.write(archive[1][:100])
        store.uploads.clear()
        publication.write(archive[1][100:])
        assert publication.end(b"pointer") is None
    assert (["not published: there is no such upload"], {}) == (report.warnings, contents(store))


def publish_in_pieces(store: MemoryStore, report: Report, *, required: bool, own: bool = True) -> Published | None:
    """Publish three pieces."""
    data = b"one, two, three"
    pointer = pointer_for(data)
    with Publication(
        store, KEY, pointer.archive.name, own=own, required=required, trust=Trust(), report=report
    ) as publication:
        for piece in (b"one, ", b"two, ", b"three"):
            publication.write(piece)
        return publication.end(sealed(pointer))


@pytest.mark.parametrize("step", STEPS)
def test_trouble_is_a_warning(step: str) -> None:
    """Whatever a store refuses, one warning says so, the run goes on, and nothing is left there."""
    store, report = TroubledStore(step), Report()
    assert publish_in_pieces(store, report, required=False) is None
    assert [f"not published: no {step} here"] == report.warnings
    assert {} == store._objects


@pytest.mark.parametrize("step", STEPS)
def test_trouble_is_an_error_where_publishing_is_required(step: str) -> None:
    """The store's own error reaches whoever required it, and nothing is left there."""
    store, report = TroubledStore(step), Report()
    with pytest.raises(StoreRefusedError, match=f"^no {step} here$"):
        publish_in_pieces(store, report, required=True)
    assert [] == report.warnings
    assert {} == store._objects


class Forgetful(MemoryStore):
    """A store that does not take pointers, or takes them and then does not say so, by an error of some kind."""

    def __init__(self, error: TerrastoreError, *, takes: bool) -> None:
        super().__init__()
        self.error = error
        self.takes = takes

    def create(self, name: str, data: bytes) -> bool:
        if self.takes:
            super().create(name, data)
        raise self.error


REFUSED, UNREACHABLE = StoreRefusedError("no"), StoreUnreachableError("what?")


@pytest.mark.parametrize(
    ("error", "own", "takes", "left"),
    [
        pytest.param(REFUSED, True, False, set(), id="refused"),
        pytest.param(REFUSED, True, True, {"archives", "pointers"}, id="refused after it was taken"),
        pytest.param(REFUSED, False, False, {"archives"}, id="refused what somebody else may have put there"),
        pytest.param(UNREACHABLE, True, False, {"archives"}, id="not answered"),
    ],
)
def test_an_archive_whose_pointer_is_not_taken(error: TerrastoreError, own: bool, takes: bool, left: set[str]) -> None:
    """It goes again when it is certain that nobody is led to it, now or in a moment."""
    store = Forgetful(error, takes=takes)
    publish_in_pieces(store, Report(), required=False, own=own)
    assert left == {name.split("/")[1] for name in objects(store)}


def test_a_store_in_trouble_is_left_alone() -> None:
    """After the first refusal no more bytes are sent."""
    store = TroubledStore("write")
    publish_in_pieces(store, Report(), required=False)
    assert 2 == store.taken


class ReadOnlyStore:
    """A store that can be read, and no more."""

    readers = 1
    is_near = True

    def __str__(self) -> str:
        return "https://store.example/envs"

    def read(self, name: str) -> Object | None:
        return None

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        return None


def test_a_store_that_is_only_read_is_not_published_to() -> None:
    """That is a warning, or an error for who required it."""
    report = Report()
    with Publication(ReadOnlyStore(), KEY, archive_name(), trust=Trust(), report=report) as publication:
        publication.write(b"data")
        assert publication.end(b"pointer") is None
    assert ["not published: https://store.example/envs is read-only"] == report.warnings
    with (
        pytest.raises(StoreRefusedError, match="is read-only"),
        Publication(ReadOnlyStore(), KEY, archive_name(), required=True, trust=Trust(), report=report) as publication,
    ):
        publication.write(b"data")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment of three distributions of a mebibyte each, which cannot be compressed."""
    chance = random.Random(5)
    return make_tree(
        tmp_path_factory.mktemp("large") / "env", **{name: chance.randbytes(MEBIBYTE) for name in ("a", "b", "c")}
    )


class SlowStore(OrderedStore):
    """A store that takes its time over every piece."""

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        with super().upload(name) as upload:
            yield Slow(upload)


class Slow:
    def __init__(self, upload: Upload) -> None:
        self.upload = upload

    def write(self, data: bytes, /) -> None:
        time.sleep(0.01)
        self.upload.write(data)


def publications(*stores: MemoryStore, report: Report) -> list[Publication]:
    """Return publications of one archive to several stores."""
    name = archive_name()
    return [Publication(store, KEY, name, trust=Trust(), report=report) for store in stores]


def publish_while_packing(tree: Path, publications: Sequence[Publication], *sinks: Sink) -> list[Published | None]:
    """Pack an environment into all of them at once, as ``ensure`` does."""
    with ExitStack() as stack:
        entered = [stack.enter_context(each) for each in publications]
        packed = pack_tree(tree, [*sinks, *entered])
        pointer = pointer_to(packed, KEY, entered[0]._name)
        return [each.end(pointer) for each in entered]


def test_a_slow_store_takes_all_the_same(tree: Path) -> None:
    """Packing waits for who is slow, and every store and the file have the same bytes."""
    slow, quick, file, report = SlowStore(), MemoryStore(), io.BytesIO(), Report()
    published = publish_while_packing(tree, publications(slow, quick, report=report), file)
    assert [] == report.warnings
    for store, each in zip((slow, quick), published, strict=True):
        assert found(store) == each
        assert file.getvalue() == found(store).read(0, len(file.getvalue()))
    assert contents(slow) == contents(quick)
    assert 1 < len(slow.pieces)


@pytest.mark.parametrize("step", STEPS)
def test_a_store_that_fails_while_packing_stops_nothing(step: str, tree: Path) -> None:
    """The file and the other stores get their archive; the one in trouble has no pointer."""
    broken, sound, file, report = TroubledStore(step), MemoryStore(), io.BytesIO(), Report()
    published = publish_while_packing(tree, publications(broken, sound, report=report), file)
    assert [None, found(sound)] == published
    assert file.getvalue() == found(sound).read(0, len(file.getvalue()))
    assert [f"not published: no {step} here"] == report.warnings


class Meddling:
    """A sink that does something once the first layers have passed."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle
        self.taken = 0

    def write(self, data: bytes, /) -> None:
        self.taken += 1
        if self.taken == 2:
            self.meddle()


def test_who_is_late_fills_no_nearer_store(tree: Path) -> None:
    """Where another archive was first, the nearer stores get none of ours, and nothing unfinished, without a word."""
    far, near, report = MemoryStore(), PartStore(), Report()
    name = archive_name()
    own = [Publication(store, KEY, name, trust=Trust(), report=report) for store in (far, near)]
    winner = []
    meddling = Meddling(lambda: winner.append(put(far, b"winner")))
    with ExitStack() as stack:
        entered = [stack.enter_context(each) for each in own]
        packed = pack_tree(tree, [*entered, meddling])
        assert winner == [end(entered, pointer_to(packed, KEY, name))]
    assert ({}, [], []) == (contents(near), near.uploads, report.warnings)


def test_a_nearer_store_is_filled_though_the_last_takes_nothing(tree: Path) -> None:
    """Only another archive there speaks against it, no trouble."""
    far, near, report = TroubledStore("upload"), MemoryStore(), Report()
    own = publications(far, near, report=report)
    with ExitStack() as stack:
        packed = pack_tree(tree, [stack.enter_context(each) for each in own])
        assert end(own, pointer_to(packed, KEY, own[0]._name)) == found(near)
    assert ["not published: no upload here"] == report.warnings


def test_packing_that_fails_leaves_nothing_in_the_stores(tree: Path) -> None:
    """A file that changes meanwhile is a failed build, and what was uploaded by then is discarded."""
    near, far, report = OrderedStore(), OrderedStore(), Report()
    victim = next(tree.glob("lib/*/site-packages/c.bin"))
    content = victim.read_bytes()
    meddling = Meddling(lambda: victim.write_bytes(b""))
    # More than is read ahead of what is written.
    victim.write_bytes(content * 40)
    try:
        with pytest.raises(BuildError, match=r"c\.bin became shorter while it was packed"):
            publish_while_packing(tree, publications(near, far, report=report), meddling)
    finally:
        victim.write_bytes(content)
    assert near.pieces
    assert near.pieces == far.pieces
    assert [{}, {}, []] == [contents(near), contents(far), report.warnings]


def test_an_interrupt_while_packing_leaves_nothing_in_the_stores(tree: Path) -> None:
    """Ctrl-C ends packing at once, and what was uploaded by then is discarded."""
    near, far, report = OrderedStore(), OrderedStore(), Report()
    meddling = Meddling(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        publish_while_packing(tree, publications(near, far, report=report), meddling)
    assert near.pieces
    assert [{}, {}, []] == [contents(near), contents(far), report.warnings]


class Pruning(MemoryStore):
    """A store in which a prune removes an archive in the instant in which it is pointed to."""

    def create(self, name: str, data: bytes) -> bool:
        for listed in list(self.list(layout.ARCHIVES)):
            self.remove(listed.name)
        return super().create(name, data)


def test_an_archive_that_is_pruned_while_it_is_pointed_to(archive: Archive) -> None:
    """Who points to it sees that, takes the pointer back and says so: nobody is led to nothing."""
    store, report = Pruning(), Report()
    publication = Publication(store, KEY, archive_name(), trust=Trust(), report=report)
    packed, data = archive
    with publication:
        publication.write(data)
        assert publication.end(pointer_to(packed, KEY, publication._name)) is None
    assert [] == objects(store)
    (told,) = report.warnings
    assert told.startswith("not published: the archive of cp311-linux_x86_64-00000000 was removed from memory: before")

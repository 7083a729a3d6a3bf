"""Notes are understood or not, boards let one of many win, and a lease says that its holder lives."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError
from terrastore.store import layout
from terrastore.store.directory import DirectoryStore
from terrastore.store.lease import BUILDING, FAILED, OVER, Board, Generations, Lease, Note, OneObject, board
from terrastore.store.memory import MemoryStore
from terrastore.store.s3 import S3Store
from tests.store.test_s3 import OnServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from terrastore.store.protocol import Listed, Object, WritableStore

KEY = f"cp311-linux_x86_64-{'0' * 40}"
RACERS = 20
ROUNDS = 50
PATIENCE = 20.0
NOTE = Note(holder="a" * 32, host="here", pid=1, place="p" * 32, since="2026-07-01T10:00:00Z")

# Notes.


@pytest.mark.parametrize(
    "note",
    [
        NOTE,
        replace(NOTE, sequence=7, phase="install numpy"),
        replace(NOTE, state=FAILED, message="line\nline\t\x1b[1m ünïcødé 名前 \ud800"),
        replace(NOTE, state=OVER, host="", place="", since="", pid=2**40),
    ],
)
def test_a_note_is_read_as_it_was_written(note: Note) -> None:
    """Whatever it says comes back, and what is stored is plain JSON with its schema."""
    assert note == Note.parse(note.to_json())
    assert 1 == json.loads(note.to_json())["schema"]


def test_equal_notes_are_equal_bytes() -> None:
    """And those that differ are not: a store tells versions apart by them."""
    assert NOTE.to_json() == replace(NOTE).to_json()
    assert NOTE.to_json() != replace(NOTE, sequence=1).to_json()
    assert NOTE.to_json() != replace(NOTE, holder="b" * 32).to_json()


def test_a_note_may_say_more() -> None:
    """A field that a later version adds within the schema is nobody's trouble."""
    assert NOTE == Note.parse(json.dumps(json.loads(NOTE.to_json()) | {"more": [1]}).encode())


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in json.loads(NOTE.to_json()).items() if key != name}).encode()


def changed(**changes: object) -> bytes:
    return json.dumps(json.loads(NOTE.to_json()) | changes).encode()


STRANGE = {
    "empty": b"",
    "no JSON": b"\x00\xff",
    "no object": b"[]",
    "a number": b"1",
    "a text": b'"schema"',
    "null": b"null",
    "cut off": NOTE.to_json()[:-10],
    "nested": b"[" * 100_000,
    "a later schema": changed(schema=2),
    "schema as text": changed(schema="1"),
    "a later state": changed(state="resting"),
    "state as list": changed(state=[]),
    "pid as text": changed(pid="one"),
    "pid as list": changed(pid=[]),
    "pid is infinite": changed(pid=float("inf")),
    "sequence is no number": changed(sequence=float("nan")),
    "sequence is null": changed(sequence=None),
    **{f"no {name}": without(name) for name in json.loads(NOTE.to_json())},
}


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
def test_what_is_not_understood_is_none(data: bytes) -> None:
    """Whoever wrote it, it is no error: there is somebody, and nothing else is known."""
    assert Note.parse(data) is None


# Boards.


class BoardContract:
    """What a board promises, whatever the store. A subclass gives ``store``, and how others see it."""

    def another(self, store: WritableStore) -> WritableStore:
        """Return the store as another process has it."""
        return store

    def view(self, store: WritableStore) -> Board:
        """Return the board as a process that just started has it."""
        return board(self.another(store), KEY)

    def last(self, store: WritableStore) -> bytes | None:
        """Return the note that counts, for a process that just started."""
        current = self.view(store).look()
        return None if current is None else current.data

    def rush(self, store: WritableStore, name: str, *, first: bool) -> list[bytes]:
        """Let many see the same and then take it at once; return what those wrote who were told that they have it."""
        views = [self.view(store) for _ in range(RACERS)]
        with ThreadPoolExecutor(RACERS) as pool:
            seen = list(pool.map(lambda view: view.look(), views))
            assert [first] * RACERS == [each is None for each in seen]
            barrier = threading.Barrier(RACERS)

            def take(number: int) -> bool:
                barrier.wait()
                return views[number].take(b"%s %d" % (name.encode(), number), seen[number])

            won = list(pool.map(take, range(RACERS)))
        return [b"%s %d" % (name.encode(), number) for number, winner in enumerate(won) if winner]

    def test_at_first_there_is_no_note(self, store: WritableStore) -> None:
        """Nobody ever built this."""
        assert self.view(store).look() is None

    def test_a_note_is_put_up_where_none_is(self, store: WritableStore) -> None:
        """Others see it as it is."""
        assert self.view(store).take(b"first", None)
        assert b"first" == self.last(store)

    def test_who_saw_none_comes_too_late(self, store: WritableStore) -> None:
        """One that has been put up since is not put up over, nor is the one after that."""
        late, later = self.view(store), self.view(store)
        assert late.look() is None
        assert later.look() is None
        one = self.view(store)
        assert one.take(b"first", one.look())
        assert not late.take(b"late", None)
        two = self.view(store)
        assert two.take(b"second", two.look())
        assert not later.take(b"later", None)
        assert b"second" == self.last(store)

    def test_a_note_that_was_seen_is_taken_over(self, store: WritableStore) -> None:
        """As often as somebody sees the last one."""
        for number in range(12):
            view = self.view(store)
            assert view.take(b"%d" % number, view.look())
            assert b"%d" % number == self.last(store)

    def test_a_note_that_changed_since_it_was_seen_stays(self, store: WritableStore) -> None:
        """Its holder lives: who saw it before cannot take it on a store of one object; on others it costs a build."""
        one, two = self.view(store), self.view(store)
        one.take(b"first", None)
        own = two.look()
        seen = two.look()
        assert own is not None
        assert one.renew(b"second", own)
        assert isinstance(two, Generations) == two.take(b"third", seen)

    @pytest.mark.parametrize("looks_again", [False, True], ids=["slept", "looked again"])
    def test_who_saw_an_older_one_loses(self, store: WritableStore, looks_again: bool) -> None:
        """A note that was seen and taken over by somebody is nobody's to take any more, however long ago that was."""
        one, late = self.view(store), self.view(store)
        one.take(b"first", None)
        stale = late.look()
        for number in range(3):
            other = self.view(store)
            assert other.take(b"other %d" % number, other.look())
            if looks_again:
                late.look()
            assert not late.take(b"late", stale)
            assert b"other %d" % number == self.last(store)

    def test_a_holder_renews_its_note(self, store: WritableStore) -> None:
        """As often as it likes; each is another version for those who watch."""
        view, watcher = self.view(store), self.view(store)
        view.take(b"0", None)
        versions = set()
        for number in range(1, 6):
            own = view.look()
            assert own is not None
            assert view.renew(b"%d" % number, own)
            seen = watcher.look()
            assert seen is not None
            assert b"%d" % number == seen.data
            versions.add(seen.version)
        assert 5 == len(versions)

    def test_the_version_stays_while_the_note_does(self, store: WritableStore) -> None:
        """Who watches a dead holder sees no life."""
        view, watcher = self.view(store), self.view(store)
        view.take(b"first", None)
        assert watcher.look() == view.look()
        assert watcher.look() == self.view(store).look()

    def test_who_was_taken_over_renews_nothing(self, store: WritableStore) -> None:
        """It is told so, and the note of who took over stays, and can be renewed."""
        one, two = self.view(store), self.view(store)
        one.take(b"first", None)
        own = one.look()
        assert own is not None
        assert two.take(b"second", two.look())
        assert not one.renew(b"third", own)
        theirs = two.look()
        assert theirs is not None
        assert b"second" == theirs.data
        assert two.renew(b"fourth", theirs)
        assert b"fourth" == self.last(store)

    def test_an_own_note_of_before_is_not_renewed(self, store: WritableStore) -> None:
        """Who does not know what it said last has to look."""
        view = self.view(store)
        view.take(b"first", None)
        own = view.look()
        assert own is not None
        assert view.renew(b"second", own)
        assert not view.renew(b"third", own)
        assert b"second" == self.last(store)

    def test_keys_have_boards_of_their_own(self, store: WritableStore) -> None:
        """One key's note is not another's, not even of one whose name goes on."""
        self.view(store).take(b"first", None)
        for other in (f"{KEY}-debian-12", f"{KEY[:-1]}1"):
            assert board(self.another(store), other).look() is None

    def test_one_of_many_wins(self, store: WritableStore) -> None:
        """Of twenty who see the same at once one is told that it has the lease, every time, and its note counts."""
        for turn in range(ROUNDS):
            won = self.rush(store, f"round {turn}", first=turn == 0)
            assert [self.last(store)] == won


class TestMemory(BoardContract):
    """One object in memory."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def test_it_is_one_object(self, store: MemoryStore) -> None:
        """By the name that FORMAT.md gives."""
        assert isinstance(self.view(store), OneObject)
        self.view(store).take(b"first", None)
        assert [layout.lease(KEY)] == [listed.name for listed in store.list("")]


class OnS3(OnServer, BoardContract):
    """One object in S3; each process has a client that knows nothing of what the store can do."""

    def another(self, store: WritableStore) -> WritableStore:
        return S3Store(str(store))


class TestMoto(OnS3):
    """The emulator."""

    kind = "moto"


class TestRadosgw(OnS3):
    """Ceph's gateway, the real thing."""

    kind = "radosgw"


class TestCareless(OnS3):
    """A store that ignores conditions: who comes one after the other keeps order, who comes at once may build twice."""

    kind = "rclone"

    def test_one_of_many_wins(self, store: WritableStore) -> None:
        """At least one is told that it has the lease, and the note that counts is of one of these."""
        for turn in range(10):
            won = self.rush(store, f"round {turn}", first=turn == 0)
            assert self.last(store) in won


# Generations.


class TestDirectory(BoardContract):
    """Generations in a directory."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        (tmp_path / "store").mkdir()
        self.folder = tmp_path / "store" / layout.leases(KEY)
        return DirectoryStore(str(tmp_path / "store"))

    def names(self) -> list[str]:
        """Return what is in the folder of the leases of the key."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def test_there_are_generations(self, store: DirectoryStore) -> None:
        """By the names that FORMAT.md gives."""
        assert isinstance(self.view(store), Generations)
        self.view(store).take(b"first", None)
        assert ["00000001"] == self.names()

    def test_old_generations_are_removed(self, store: DirectoryStore) -> None:
        """Only the last one is left, also of those that killed holders could not tidy away."""
        self.folder.mkdir(parents=True)
        for number in range(1, 30):
            (self.folder / f"{number:08}").write_bytes(b"old")
        view = self.view(store)
        assert view.take(b"new", view.look())
        assert ["00000030"] == self.names()

    def test_numbers_go_on_beyond_eight_digits(self, store: DirectoryStore) -> None:
        """Also when somebody put a large one there."""
        self.folder.mkdir(parents=True)
        (self.folder / "99999999").write_bytes(b"large")
        for data in (b"one", b"two"):
            view = self.view(store)
            assert view.take(data, view.look())
        assert ["100000001"] == self.names()

    def test_who_slept_long_finds_a_number_free_and_holds_nothing(self, store: DirectoryStore) -> None:
        """The generation after the one it saw has come and gone: who holds a later one is not disturbed."""
        self.view(store).take(b"1", None)
        sleeper = self.view(store)
        seen = sleeper.look()
        for number in (2, 3):
            view = self.view(store)
            assert view.take(b"%d" % number, view.look())
        assert ["00000003"] == self.names()
        assert not sleeper.take(b"late", seen)
        own = view.look()
        assert own is not None
        assert b"3" == own.data
        assert view.renew(b"still 3", own)
        assert view.take(b"4", view.look())
        assert ["00000004"] == self.names()

    @pytest.mark.parametrize(
        "odd",
        [
            "3",
            "000000003",
            "00000003.bak",
            "٣٣٣٣٣٣٣٣",
            "-0000003",
            "+0000003",
            "README",
            "99999999~",
            "00000009/x",
            " ",
        ],
    )
    def test_other_files_in_the_folder_count_for_nothing(self, store: DirectoryStore, odd: str) -> None:
        """What somebody put among the generations is no generation, and is left alone."""
        path = self.folder / odd
        path.parent.mkdir(parents=True)
        path.write_bytes(b"odd")
        view = self.view(store)
        assert view.look() is None
        assert view.take(b"first", None)
        assert view.take(b"second", view.look())
        assert b"second" == self.last(store)
        assert sorted([odd, "00000002"]) == self.names()

    def test_an_unfinished_note_is_none(self, store: DirectoryStore) -> None:
        """What a killed process was about to write is hidden."""
        self.folder.mkdir(parents=True)
        (self.folder / ".tmp-0123456789abcdef").write_bytes(b"half")
        assert self.view(store).look() is None

    def test_what_cannot_be_tidied_away_is_nobodys_trouble(self, store: DirectoryStore) -> None:
        """As another user's note in a sticky directory: who took over holds the lease all the same."""

        class Sticky(DirectoryStore):
            def remove(self, name: str) -> bool:
                raise StoreRefusedError("the store cannot be written: operation not permitted")

        sticky = Sticky(store.root)
        self.view(store).take(b"first", None)
        view = board(sticky, KEY)
        assert view.take(b"second", view.look())
        assert b"second" == self.last(store)
        assert ["00000001", "00000002"] == self.names()

    def test_what_is_tidied_away_while_one_looks(self, store: DirectoryStore) -> None:
        """Who lists a generation that is gone when it is read looks again, and finds the one after it."""
        view = self.view(store)
        view.take(b"first", None)
        done: list[int] = []

        class Late(DirectoryStore):
            def read(self, name: str) -> Object | None:
                if not done:
                    done.append(1)
                    assert view.take(b"second", view.look())
                return super().read(name)

        current = board(Late(store.root), KEY).look()
        assert current is not None
        assert b"second" == current.data

    def test_who_may_not_list_hears_no(self, store: DirectoryStore) -> None:
        """That is trouble with the store, and not that nobody builds."""

        class Unlisted(DirectoryStore):
            def list(self, prefix: str) -> Iterator[Listed]:
                raise StoreRefusedError("the store cannot be listed: permission denied")

        with pytest.raises(StoreRefusedError):
            board(Unlisted(store.root), KEY).look()


# Leases.


class Sometimes(MemoryStore):
    """A store that fails to replace as told, before it does or after."""

    def __init__(self) -> None:
        super().__init__()
        self.before = False
        self.after = False
        self.denies = False
        self.asked = 0

    def replace(self, name: str, data: bytes, version: str) -> bool:
        self.asked += 1
        if self.before:
            raise StoreUnreachableError("nobody answers")
        done = super().replace(name, data, version)
        if self.after:
            raise StoreUnreachableError("the reply was lost")
        return done and not self.denies


def until(condition: Callable[[], Any]) -> None:
    """Wait for what a thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class Held:
    """A lease on a store in memory, and what is to be read of it."""

    def __init__(self, *, every: float = 0.003) -> None:
        self.store = Sometimes()
        self.phase = "virtualenv"
        self.board = board(self.store, KEY)
        assert self.board.take(NOTE.to_json(), None)
        self.lease = Lease(self.board, NOTE, lambda: self.phase, every=every)

    @property
    def note(self) -> Note:
        current = self.board.look()
        assert current is not None
        note = Note.parse(current.data)
        assert note is not None
        return note

    def take_over(self) -> Note:
        """Let somebody else take it."""
        other, taken = replace(NOTE, holder="b" * 32, host="elsewhere"), False
        while not taken:
            taken = self.board.take(other.to_json(), self.board.look())
        return other

    def ended(self) -> bool:
        return not self.lease._thread.is_alive()


@pytest.fixture
def held() -> Iterator[Held]:
    """Return a lease that is renewed all the time."""
    held = Held()
    held.lease.hold()
    yield held
    held.lease.release(OVER)
    assert held.ended()


def test_a_lease_is_renewed(held: Held) -> None:
    """Its notes are numbered, and say what is being done at that moment; the rest stays."""
    until(lambda: held.note.sequence >= 3)
    assert "virtualenv" == held.note.phase
    held.phase = "install numpy"
    until(lambda: held.note.phase == "install numpy")
    note = held.note
    assert replace(NOTE, sequence=note.sequence, phase="install numpy") == note
    assert not held.lease.lost


def test_who_was_taken_over_stops(held: Held) -> None:
    """It notices with its next note, which is not put up, and does not disturb who has the lease now."""
    other = held.take_over()
    until(lambda: held.lease.lost)
    until(held.ended)
    assert other == held.note
    held.lease.release(FAILED, "no matching distribution")
    assert other == held.note


def test_a_lease_whose_note_is_gone_is_lost(held: Held) -> None:
    """When somebody emptied the store it is not put up again: others may hold it by then."""
    held.store.remove(layout.lease(KEY))
    until(lambda: held.lease.lost)
    assert held.board.look() is None


def test_a_lease_whose_note_is_not_understood_is_lost(held: Held) -> None:
    """Somebody else wrote it."""
    while (own := held.board.look()) is None or not held.board.renew(b"scribble", own):
        pass
    until(lambda: held.lease.lost)


def test_trouble_in_between_is_ridden_out(held: Held) -> None:
    """A store that does not answer for a while is asked again, and the lease is not lost for it."""
    until(lambda: held.note.sequence >= 1)
    held.store.before = True
    held.store.asked = 0
    until(lambda: held.store.asked >= 3)
    before = held.note.sequence
    held.store.before = False
    until(lambda: held.note.sequence > before + 2)
    assert not held.lease.lost


def test_lost_replies_do_not_make_it_look_dead(held: Held) -> None:
    """Every note differs from the one before, also when nobody tells the holder that it was put up."""
    held.store.after = True
    before = held.note.sequence
    until(lambda: held.note.sequence > before + 3)
    held.store.after = False
    assert not held.lease.lost


def test_a_note_of_its_own_that_it_was_denied_is_known(held: Held) -> None:
    """Told that another one counts, it looks: when that is its own the lease is not lost."""
    held.store.denies = True
    before = held.note.sequence
    until(lambda: held.note.sequence > before + 3)
    held.store.denies = False
    assert not held.lease.lost


@pytest.mark.parametrize(("state", "message"), [(OVER, ""), (FAILED, "no matching distribution")])
def test_a_release_says_how_it_ended(held: Held, state: str, message: str) -> None:
    """The last note has the state and the message, nothing is being done, and no other follows."""
    until(lambda: held.note.sequence >= 1)
    held.lease.release(state, message)
    last = held.note
    assert (state, message, "") == (last.state, last.message, last.phase)
    assert held.ended()


def test_a_release_ends_at_once() -> None:
    """It does not wait for the next heartbeat."""
    held = Held(every=1000)
    held.lease.hold()
    started = time.monotonic()
    held.lease.release(OVER)
    assert time.monotonic() - started < 5
    assert (1, OVER) == (held.note.sequence, held.note.state)


@pytest.mark.parametrize("error", [StoreRefusedError("no"), StoreUnreachableError("nobody answers")], ids=repr)
def test_a_release_when_the_store_is_away(held: Held, error: TerrastoreError) -> None:
    """Nothing is raised, and the thread ends: the others wait for the time to live."""
    held.store.before = True
    held.lease.release(OVER)
    assert held.ended()
    assert BUILDING == held.note.state


def test_a_message_may_be_long() -> None:
    """The end of it is kept."""
    held = Held(every=1000)
    held.lease.hold()
    held.lease.release(FAILED, "x" * 1_000_000 + "the reason")
    assert held.note.message.endswith("xxxthe reason")
    assert 10_000 > len(held.note.to_json())

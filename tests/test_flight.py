"""One builds and the others wait: until what comes of it is there, its builder is dead, or their patience ends."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from terrastore import atomic
from terrastore.ensuring import ensure
from terrastore.errors import BuildError, RequirementsError, StoreRefusedError, StoreUnreachableError, WaitError
from terrastore.flight import Flight
from terrastore.inputs import Inputs
from terrastore.key import EnvKey
from terrastore.patience import Patience
from terrastore.place import Target
from terrastore.report import Report
from terrastore.run import Policy
from terrastore.store import layout
from terrastore.store.directory import DirectoryStore
from terrastore.store.lease import BUILDING, FAILED, HEARTBEAT, OVER, TTL, Note, board
from terrastore.store.memory import MemoryStore
from tests.published import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from terrastore.store.protocol import Object, WritableStore

SPAWN = multiprocessing.get_context("spawn")
SLOWEST_POLL = 3.0
ABSURD_TIMES = ("2020-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "yesterday", "")


class Kept(Report):
    """A report that keeps remarks."""

    def __init__(self) -> None:
        super().__init__()
        self.remarks: list[str] = []

    def remark(self, message: str) -> None:
        self.remarks.append(message)


@dataclass
class World:
    """A store, a clock that only sleeping moves, and what happens when while somebody sleeps."""

    locks: Path
    store: WritableStore = field(default_factory=MemoryStore)
    report: Kept = field(default_factory=Kept)
    now: float = 5000.0
    shown: list[str] = field(default_factory=list)
    events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and what is to happen in it."""
        assert seconds > 0
        self.shown.append(self.report.doing)
        self.now += seconds
        due = [event for event in self.events if event[0] <= self.now]
        self.events = [event for event in self.events if event[0] > self.now]
        for _, happen in sorted(due, key=lambda event: event[0]):
            happen()

    def after(self, seconds: float, happen: Callable[[], object]) -> None:
        """Let something happen once that much time has passed."""
        self.events.append((self.now + seconds, happen))

    def flight(self, *, wait: float = 600.0) -> Flight:
        """Return a run's view of the builds of a key."""
        return Flight(
            self.store,
            KEY,
            locks=self.locks,
            patience=self.patience(wait),
            report=self.report,
        )

    def patience(self, seconds: float) -> Patience:
        """Return a patience that ends by this clock."""
        return Patience(seconds, clock=lambda: self.now, sleep=self.sleep)

    def note(self) -> Note:
        """Return the note that counts."""
        current = board(self.store, KEY.text).look()
        assert current is not None
        note = Note.parse(current.data)
        assert note is not None
        return note

    def had_turn(self, *, wait: float = 600.0) -> bool:
        """Have a turn and do nothing in it; return whether it was ours."""
        with self.flight(wait=wait).turn() as ours:
            return ours


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world in which nobody has built anything."""
    return World(tmp_path / "cache/locks")


class Elsewhere:
    """A builder on another machine, whose thread beats when a test says so."""

    def __init__(self, world: World, *, key: EnvKey = KEY, **changes: Any) -> None:
        self.board = board(world.store, key.text)
        facts: dict[str, Any] = {"holder": "e" * 32, "host": "elsewhere", "pid": 77, "place": "p" * 32}
        self.note = Note(**facts | {"since": "2026-07-01T10:00:00Z"} | changes)
        assert self.board.take(self.note.to_json(), self.board.look())

    def say(self, **changes: Any) -> None:
        """Renew the note."""
        own = self.board.look()
        assert own is not None
        self.note = replace(self.note, sequence=self.note.sequence + 1, **changes)
        assert self.board.renew(self.note.to_json(), own)

    def end(self, state: str = OVER, message: str = "") -> None:
        """Say how it ended."""
        self.say(state=state, message=message)


def heartbeats(world: World, builder: Elsewhere, times: int) -> None:
    """Let a builder renew its note as often as that, as every builder does."""
    for number in range(1, times + 1):
        world.after(number * HEARTBEAT, builder.say)


def fail(world: World, error: BaseException) -> None:
    """Have a turn that is ours, and fail in it."""
    with world.flight().turn() as ours:
        assert ours
        raise error


# Nobody in the way.


def test_locks_of_killed_builds_are_removed(world: World) -> None:
    """A lock of another key that nobody holds goes with the next build; one that is held stays."""
    world.locks.mkdir(parents=True)
    (world.locks / "dead").touch()
    with atomic.locked(str(world.locks / "held")), world.flight().turn():
        assert {KEY.text, "held"} == set(os.listdir(world.locks))
    assert [] == os.listdir(world.locks)


def test_who_is_alone_builds(world: World) -> None:
    """It is told at once, others can read who it is while it builds, and that it is over when it is."""
    with world.flight().turn() as ours:
        assert ours
        note = world.note()
        assert (BUILDING, socket.gethostname(), os.getpid()) == (note.state, note.host, note.pid)
        assert [KEY.text] == os.listdir(world.locks)
    assert (OVER, "", note.holder) == (world.note().state, world.note().message, note.holder)
    assert ([], []) == (world.shown, world.report.remarks)
    assert [] == os.listdir(world.locks)


def test_one_after_the_other_builds(world: World) -> None:
    """What is over is in nobody's way, and the note is no stranger's for long."""
    holders = set()
    for _ in range(5):
        assert world.had_turn()
        holders.add(world.note().holder)
    assert (5, []) == (len(holders), world.shown)


def test_a_build_that_fails_is_told_to_others(world: World) -> None:
    """The error passes through, and the note has its message; locks are free."""
    with pytest.raises(BuildError, match="no matching distribution"):
        fail(world, BuildError("no matching distribution"))
    assert (FAILED, "no matching distribution") == (world.note().state, world.note().message)
    assert [] == os.listdir(world.locks)


def test_the_end_of_a_long_message_is_kept(world: World) -> None:
    """The last lines of an installer say what is wrong, so it is the beginning that is left out."""
    with pytest.raises(BuildError):
        fail(world, BuildError("x" * 100_000 + "the reason"))
    assert 5000 > len(world.note().message)
    assert world.note().message.endswith("the reason")


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        RequirementsError("changed meanwhile"),
        OSError("disk full"),
        BuildError("a project on this machine cannot be installed", here=True),
    ],
    ids=repr,
)
def test_what_may_succeed_elsewhere_is_no_failure(world: World, error: BaseException) -> None:
    """Ctrl-C, or trouble of this machine alone, is told as an end, so that another one of those who wait builds."""
    with pytest.raises(type(error)):
        fail(world, error)
    assert (OVER, "") == (world.note().state, world.note().message)
    assert world.had_turn()


# Somebody builds on another machine.


def test_who_comes_later_waits_and_looks_again(world: World) -> None:
    """It is not its turn while another builds; once that is over it is to look what came of it."""
    builder = Elsewhere(world)
    world.after(10, builder.end)
    started = world.now
    assert not world.had_turn()
    assert 10 <= world.now - started <= 10 + SLOWEST_POLL
    assert [] == os.listdir(world.locks)


def test_a_build_without_a_result_is_made_again(world: World) -> None:
    """Who looked in vain builds at its next turn, without another wait."""
    builder = Elsewhere(world)
    world.after(10, builder.end)
    flight = world.flight()
    with flight.turn() as ours:
        assert not ours
    over = world.now
    with flight.turn() as ours:
        assert ours
    assert over == world.now


def test_who_waited_is_told_of_the_failure(world: World) -> None:
    """The message, and on which machine it was; what to do leads to the whole output."""
    builder = Elsewhere(world)
    world.after(10, lambda: builder.end(FAILED, "no matching distribution for alpha"))
    with pytest.raises(BuildError) as caught:
        world.had_turn()
    assert 5 == caught.value.exit_code
    assert caught.value.message.endswith("failed, on elsewhere: no matching distribution for alpha")
    assert "the log on elsewhere" in caught.value.hint
    assert "run again to build here" in caught.value.hint


def test_what_others_wrote_does_not_rule_the_terminal(world: World) -> None:
    """Whoever can write to the store can write a note: escapes and lines in it are shown as spaces."""
    builder = Elsewhere(world, host="\x1b[31mevil\nterrastore: error: fake")
    world.after(5, lambda: builder.say(phase="\x1b]0;title\x07"))
    world.after(10, lambda: builder.end(FAILED, "one\n\x1b[2Jtwo"))
    with pytest.raises(BuildError) as caught:
        world.had_turn()
    said = [*world.report.remarks, caught.value.hint]
    assert [] == [text for text in said if set(text) & {"\x1b", "\n", "\x07"}]
    assert caught.value.message.endswith("on  [31mevil terrastore: error: fake: one\n [2Jtwo")


def test_a_failure_of_before_is_not_ours(world: World) -> None:
    """Who comes when a build has failed was not waiting for it: it builds at once, as often as it comes."""
    Elsewhere(world).end(FAILED, "no matching distribution")
    for _ in range(3):
        with pytest.raises(BuildError, match="again"):
            fail(world, BuildError("again"))
    assert [] == world.shown


def test_a_failure_of_before_is_not_ours_when_the_lease_cannot_be_had(world: World) -> None:
    """Who is denied what nobody else took tries again, and is not told why a build failed before it came."""

    class Denying(MemoryStore):
        denials = 2

        def replace(self, name: str, data: bytes, version: str) -> bool:
            if b"elsewhere" not in data and self.denials:
                self.denials -= 1
                return False
            return super().replace(name, data, version)

    world.store = Denying()
    Elsewhere(world).end(FAILED, "no matching distribution")
    assert world.had_turn()
    assert 2 == len(world.shown)


def test_a_failure_does_not_count_once_somebody_tries_again(world: World) -> None:
    """Who did not look in between waits for the second one, and hears of that alone."""
    first = Elsewhere(world)

    def try_again() -> None:
        first.end(FAILED, "a hiccup")
        second = Elsewhere(world, holder="f" * 32)
        world.after(15, second.end)

    world.after(10, try_again)
    assert not world.had_turn()


def test_while_a_builder_lives_nobody_takes_over(world: World) -> None:
    """A build of five minutes is waited for, heartbeat by heartbeat."""
    builder = Elsewhere(world)
    heartbeats(world, builder, 15)
    world.after(16 * HEARTBEAT, builder.end)
    assert not world.had_turn()
    assert builder.note.holder == world.note().holder


@pytest.mark.parametrize("since", ABSURD_TIMES)
def test_wall_clocks_do_not_matter(world: World, since: str) -> None:
    """What a machine with a wrong clock says is neither older nor younger for it."""
    builder = Elsewhere(world, since=since)
    heartbeats(world, builder, 5)
    world.after(6 * HEARTBEAT, builder.end)
    assert not world.had_turn()


@pytest.mark.parametrize("since", ABSURD_TIMES)
def test_a_dead_builder_is_taken_over(world: World, since: str) -> None:
    """It said nothing for a whole time to live on our clock, and not a moment less."""
    builder = Elsewhere(world, since=since)
    heartbeats(world, builder, 2)
    last, started = 2 * HEARTBEAT, world.now
    with world.flight().turn() as ours:
        assert ours
        assert builder.note.holder != world.note().holder
        assert last + TTL <= world.now - started <= last + TTL + 2 * SLOWEST_POLL


def test_a_stranger_that_was_dead_for_long_takes_as_long(world: World) -> None:
    """How long a note has been there before we came nobody knows: there is no clock that both have."""
    Elsewhere(world)
    world.now += 1_000_000
    started = world.now
    assert world.had_turn()
    assert TTL <= world.now - started <= TTL + SLOWEST_POLL


def test_who_takes_over_builds_since_then(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait read since when it is built, not since when its builder had waited for others."""

    class Calendar:
        now = staticmethod(lambda zone: datetime.fromtimestamp(world.now, zone))

    monkeypatch.setattr("terrastore.flight.datetime", Calendar)
    Elsewhere(world)
    assert world.had_turn()
    assert f"{datetime.fromtimestamp(world.now, UTC):%Y-%m-%dT%H:%M:%SZ}" == world.note().since


def test_one_of_those_who_see_a_dead_builder_builds(world: World) -> None:
    """Who was slower by a moment waits for who was faster."""

    class Slow(MemoryStore):
        faster: Elsewhere | None = None

        def replace(self, name: str, data: bytes, version: str) -> bool:
            if b"elsewhere" not in data and self.faster is None:
                self.faster = Elsewhere(world, holder="f" * 32, host="elsewhere-too")
                world.after(30, self.faster.end)
            return super().replace(name, data, version)

    world.store = Slow()
    Elsewhere(world)
    assert not world.had_turn()
    assert "f" * 32 == world.note().holder
    assert "elsewhere-too" in world.shown[-1]


def test_who_is_late_by_longer_than_its_patience_is_told_what_came_of_it(world: World) -> None:
    """It slept when it was to take over, and somebody else took over and failed: that is nobody to have waited for."""

    class Slow(MemoryStore):
        def replace(self, name: str, data: bytes, version: str) -> bool:
            if b"elsewhere" not in data:
                Elsewhere(world, holder="f" * 32).end(FAILED, "no matching distribution")
                world.now += 1000
            return super().replace(name, data, version)

    world.store = Slow()
    Elsewhere(world)
    with pytest.raises(BuildError, match="no matching distribution"):
        world.had_turn(wait=100)


def test_who_is_late_by_a_moment_looks_again_at_once(world: World) -> None:
    """Nobody built when it looked, and somebody had when it wanted to: a short wait, and a look what came of it."""

    class Late(MemoryStore):
        def create(self, name: str, data: bytes) -> bool:
            if b"elsewhere" not in data:
                Elsewhere(world).end()
            return super().create(name, data)

    world.store, started = Late(), world.now
    assert not world.had_turn()
    assert world.now - started <= SLOWEST_POLL


@pytest.mark.parametrize("wait", [0.5, 10.0, 59.0, 300.0])
def test_patience_ends(world: World, wait: float) -> None:
    """A builder that lives is not taken over; who waited as long as it may ends with 10 and names that builder."""
    builder, started = Elsewhere(world), world.now
    heartbeats(world, builder, 20)
    with pytest.raises(WaitError) as caught:
        world.had_turn(wait=wait)
    assert 10 == caught.value.exit_code
    assert f"waited {wait:.0f} s for {KEY.short}" in caught.value.message
    assert caught.value.message.endswith("which is built by elsewhere, process 77, since 2026-07-01T10:00:00Z")
    assert "--wait" in caught.value.hint
    assert wait == pytest.approx(world.now - started)
    assert builder.note.holder == world.note().holder
    assert [] == os.listdir(world.locks)


def test_a_dead_builder_is_not_waited_for_longer_than_asked(world: World) -> None:
    """Who is to wait less than the time to live cannot tell the dead from the living."""
    Elsewhere(world)
    with pytest.raises(WaitError):
        world.had_turn(wait=TTL - 1)


def test_patience_is_for_all_turns_together(world: World) -> None:
    """One builder after the other, none with a result: the run waits for all of them no longer than for one."""
    started, flight, turns = world.now, world.flight(wait=100.0), 0

    def build(number: int) -> None:
        builder = Elsewhere(world, holder=f"{number:032}")

        def end() -> None:
            builder.end()
            build(number + 1)

        heartbeats(world, builder, 1)
        world.after(30, end)

    build(0)
    with suppress(WaitError):
        while turns < 100:
            with flight.turn() as ours:
                if ours:
                    break
                turns += 1
    assert 100 >= world.now - started
    assert turns < 100


def test_patience_is_for_the_target_and_the_build_together(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited a minute for another run at work on its target has a minute less for whoever builds."""
    monkeypatch.setattr("terrastore.atomic.time", SimpleNamespace(monotonic=lambda: world.now, sleep=world.sleep))
    monkeypatch.setattr("terrastore.obtaining.Patience", world.patience)
    monkeypatch.setattr("terrastore.run.Patience", world.patience)
    (tmp_path / "requirements.txt").touch()
    inputs, target = Inputs(requirements=(str(tmp_path / "requirements.txt"),)), Target.at(str(tmp_path / "env"))
    builder = Elsewhere(world, key=EnvKey.of(inputs.request()))
    heartbeats(world, builder, 20)
    started, policy = world.now, Policy(wait=100.0)
    with ExitStack() as another:
        another.enter_context(target.locked(world.report))
        world.after(60, another.close)
        with pytest.raises(WaitError, match=r"waited 100 s for .* built by elsewhere"):
            ensure(inputs, target, store=world.store, cache=tmp_path / "cache", policy=policy, report=world.report)
    assert 100 == pytest.approx(world.now - started, abs=1)


def test_who_does_not_wait_builds_at_once(world: World) -> None:
    """With no patience at all another builder is nobody to wait for, and its note stays as it is."""
    builder = Elsewhere(world)
    assert world.had_turn(wait=0)
    assert builder.note == world.note()
    assert ([], []) == (world.shown, world.report.remarks)


def test_who_does_not_wait_tells_others_where_nobody_builds(world: World) -> None:
    """Nobody need wait for it to hold what is free."""
    with world.flight(wait=0).turn() as ours:
        assert (True, BUILDING) == (ours, world.note().state)


# Notes.


def test_a_note_of_this_machine_whose_lock_is_free_is_a_dead_ones(world: World) -> None:
    """Its writer held the lock that we hold now, so it was killed: nobody waits a time to live for it."""
    with world.flight().turn():
        place = world.note().place
    Elsewhere(world, place=place)
    assert world.had_turn()
    assert [] == world.shown
    who = "elsewhere, process 77, since 2026-07-01T10:00:00Z"
    assert [f"take  {KEY.short} from {who}, which was killed"] == world.report.remarks


def test_another_cache_is_another_machine(world: World, tmp_path: Path) -> None:
    """Locks in another directory say nothing about the builder of a note."""
    with world.flight().turn():
        place = world.note().place
        world.locks = tmp_path / "other/locks"
        with pytest.raises(WaitError):
            world.had_turn(wait=5)
    assert world.had_turn()
    assert place != world.note().place


UNREADABLE = {
    "a later schema": json.dumps({"schema": 2, "builders": []}).encode(),
    "a later state": b"",
    "no JSON": b"\xff\xfe",
    "nothing": b"",
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_note_that_is_not_understood_is_respected(world: World, case: str) -> None:
    """Somebody of a later version may build: it counts as dead when it says nothing for a time to live."""
    builder = Elsewhere(world)
    data = UNREADABLE[case]
    if case == "a later state":
        data = replace(builder.note, state="resting").to_json()
    own = builder.board.look()
    assert own is not None
    assert builder.board.renew(data, own)
    started = world.now
    assert world.had_turn()
    assert TTL <= world.now - started <= TTL + SLOWEST_POLL
    assert f"wait  {KEY.short} is built by somebody" in world.report.remarks


def test_a_note_that_is_not_understood_and_changes_is_waited_for(world: World) -> None:
    """A later version's builder that lives is not taken over; there is no name for it."""
    world.store.create(layout.lease(KEY.text), b"0")

    def say(number: int) -> None:
        current = world.store.read(layout.lease(KEY.text))
        assert current is not None
        assert world.store.replace(layout.lease(KEY.text), b"%d" % number, current.version)

    for number in range(1, 20):
        world.after(number * HEARTBEAT, lambda number=number: say(number))  # type: ignore[misc]
    with pytest.raises(WaitError, match=r"which is built by somebody$"):
        world.had_turn(wait=300)


def test_a_note_that_is_removed_is_no_note(world: World) -> None:
    """When somebody empties the store, whoever waits builds."""
    Elsewhere(world)
    assert isinstance(world.store, MemoryStore)
    remove = world.store.remove
    world.after(10, lambda: remove(layout.lease(KEY.text)))
    assert world.had_turn()


def test_what_is_shown_while_waiting(world: World) -> None:
    """One remark, and one phase that says who builds and what is being done there."""
    builder = Elsewhere(world)
    world.after(10, lambda: builder.say(phase="install numpy"))
    world.after(20, lambda: builder.say(phase="pack"))
    world.after(30, builder.end)
    assert not world.had_turn()
    who = "elsewhere, process 77, since 2026-07-01T10:00:00Z"
    assert [f"wait  {KEY.short} is built by {who}"] == world.report.remarks
    assert [f"wait {who}", f"wait {who}: install numpy", f"wait {who}: pack"] == list(dict.fromkeys(world.shown))
    assert ["wait"] == list(world.report.seconds)
    assert "" == world.report.doing


def test_who_waits_does_not_ask_all_the_time(world: World) -> None:
    """A store is asked every second or two, and not by all who wait at the same moments."""
    builder = Elsewhere(world)
    heartbeats(world, builder, 4)
    world.after(100, builder.end)
    world.had_turn()
    assert 30 < len(world.shown) < 100


# Trouble with the store.


class Troubled(MemoryStore):
    """A store that fails from one of its steps on."""

    def __init__(self, step: str, error: Exception, *, after: int = 0) -> None:
        super().__init__()
        self.step, self.error, self.after = step, error, after

    def check(self, step: str) -> None:
        if step == self.step:
            self.after -= 1
            if self.after < 0:
                raise self.error

    def read(self, name: str) -> Object | None:
        self.check("look")
        return super().read(name)

    def create(self, name: str, data: bytes) -> bool:
        self.check("take")
        return super().create(name, data)

    def replace(self, name: str, data: bytes, version: str) -> bool:
        self.check("renew")
        return super().replace(name, data, version)


TROUBLES = [StoreRefusedError("the store refuses to say"), StoreUnreachableError("the store timed out")]


@pytest.mark.parametrize("error", TROUBLES, ids=["refused", "unreachable"])
def test_a_lease_that_cannot_be_seen_keeps_nobody_from_building(world: World, error: Exception) -> None:
    """A remark says that others are not told; it is no warning, for nothing is lost but their time."""
    world.store = Troubled("look", error)
    with world.flight().turn() as ours:
        assert ours
    assert [f"other machines cannot be told of this build, and may build too: {error}"] == world.report.remarks
    assert [] == world.report.warnings


@pytest.mark.parametrize("error", TROUBLES, ids=["refused", "unreachable"])
def test_a_store_that_cannot_be_written_keeps_nobody_from_building(world: World, error: Exception) -> None:
    """A remark says so before the work; the warning comes once, when what was built cannot be published either."""
    world.store = Troubled("take", error)
    with world.flight().turn() as ours:
        assert [f"other machines cannot be told of this build, and may build too: {error}"] == world.report.remarks
        assert ours
    assert [] == world.report.warnings


@pytest.mark.parametrize("error", TROUBLES, ids=["refused", "unreachable"])
def test_trouble_while_waiting_ends_the_wait(world: World, error: Exception) -> None:
    """Who has not heard of the other builder for a time to live builds."""
    world.store = Troubled("look", error, after=5)
    Elsewhere(world)
    started = world.now
    assert world.had_turn()
    assert TTL <= world.now - started <= TTL + 7 * SLOWEST_POLL
    assert f"other machines cannot be told of this build, and may build too: {error}" == world.report.remarks[-1]


@pytest.mark.parametrize("error", TROUBLES, ids=["refused", "unreachable"])
def test_a_silence_is_ridden_out(world: World, error: Exception) -> None:
    """A store that says nothing for less than a time to live is asked on, and who waited hears of the end."""
    world.store = store = Troubled("", error)
    builder = Elsewhere(world)
    world.after(10, lambda: setattr(store, "step", "look"))
    world.after(50, lambda: setattr(store, "step", ""))
    world.after(55, builder.end)
    started = world.now
    assert not world.had_turn()
    assert 55 <= world.now - started <= 55 + SLOWEST_POLL


@pytest.mark.parametrize("error", TROUBLES, ids=["refused", "unreachable"])
def test_who_must_publish_does_not_build_what_it_cannot_tell_of(world: World, error: StoreRefusedError) -> None:
    """Where publishing is required, a lease that can be neither seen nor taken ends the run before the build."""
    for step in ("look", "take"):
        world.store = Troubled(step, error)
        flight = Flight(world.store, KEY, locks=world.locks, patience=Patience(60), required=True, report=world.report)
        with pytest.raises(type(error), match=str(error)), flight.turn():
            raise AssertionError


def test_a_farewell_that_nobody_takes_is_short(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer when a build has ended keeps its builder no longer than a few seconds."""
    answers = Event()

    class Stuck(MemoryStore):
        def replace(self, name: str, data: bytes, version: str) -> bool:
            assert answers.wait(60)
            return super().replace(name, data, version)

    monkeypatch.setattr("terrastore.store.lease._FAREWELL", 0.05)
    world.store = Stuck()
    assert world.had_turn()
    assert BUILDING == world.note().state
    answers.set()


@pytest.mark.parametrize("error", TROUBLES, ids=["refused", "unreachable"])
@pytest.mark.parametrize("failure", [None, BuildError("no matching distribution")], ids=["built", "failed"])
def test_trouble_at_the_end_changes_nothing(world: World, error: Exception, failure: BuildError | None) -> None:
    """That the end could not be told is nobody's failure, and hides none."""
    world.store = Troubled("renew", error)
    if failure is None:
        assert world.had_turn()
    else:
        with pytest.raises(BuildError, match="no matching distribution"):
            fail(world, failure)
    assert BUILDING == world.note().state
    assert [] == world.report.warnings


# Others on this machine: real processes with real locks.


def hold(root: str, locks: str, connection: Connection) -> None:
    """Have a turn, say what it is, and end it as told: an empty message is success."""
    flight = Flight(DirectoryStore(root), KEY, locks=Path(locks), patience=Patience(60), report=Report())
    with suppress(BuildError), flight.turn() as ours:
        connection.send((ours, os.getpid()))
        if message := connection.recv():
            raise BuildError(message)


@dataclass
class Neighbour:
    """Another process of this machine that builds."""

    process: Any
    connection: Connection
    pid: int

    def end(self, message: str = "") -> None:
        """Let it succeed, or fail with a message."""
        self.connection.send(message)

    def kill(self) -> None:
        """End it without a word."""
        os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def shared(world: World, tmp_path: Path) -> World:
    """Return a world that other processes are in too: a real clock, and a store in a directory."""
    root = tmp_path / "store"
    root.mkdir()
    world.store = DirectoryStore(str(root))
    return world


@contextmanager
def neighbour(world: World) -> Iterator[Neighbour]:
    """Yield a process that builds."""
    assert isinstance(world.store, DirectoryStore)
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=hold, args=(world.store.root, str(world.locks), theirs))
    process.start()
    try:
        builds, pid = ours.recv()
        assert builds
        yield Neighbour(process, ours, pid)
    finally:
        process.kill()
        process.join()


def real_turn(world: World, *, wait: float = 60.0, waiting: Callable[[], object] | None = None) -> bool:
    """Have a turn on a real clock; ``waiting`` is called once it has to wait."""

    class Calling(Kept):
        def remark(self, message: str) -> None:
            super().remark(message)
            if waiting is not None:
                waiting()

    world.report = Calling()
    flight = Flight(world.store, KEY, locks=world.locks, patience=Patience(wait), report=world.report)
    with flight.turn() as ours:
        return ours


def test_a_neighbour_is_waited_for(shared: World) -> None:
    """Another process of this machine builds: wait for its lock, and look what came of it."""
    with neighbour(shared) as builder:
        assert not real_turn(shared, waiting=builder.end)
    (remark,) = shared.report.remarks
    who = f"{socket.gethostname()}, process {builder.pid}, since "
    assert remark.startswith(f"wait  {KEY.short} is built by {who}")
    assert ["wait"] == list(shared.report.seconds)
    assert OVER == shared.note().state


def test_a_neighbours_failure_is_told(shared: World) -> None:
    """Who waited for it on the same machine hears of it as others do."""
    with (
        neighbour(shared) as builder,
        pytest.raises(BuildError, match=f"on {socket.gethostname()}: no matching distribution"),
    ):
        real_turn(shared, waiting=lambda: builder.end("no matching distribution"))
    assert [] == os.listdir(shared.locks)
    assert real_turn(shared)


def test_a_neighbours_death_is_noticed_at_once(shared: World) -> None:
    """The kernel frees its lock: who waited looks, and builds; the note of the dead is in nobody's way."""
    with neighbour(shared) as builder:
        dead = shared.note()
        started = time.monotonic()
        assert not real_turn(shared, waiting=builder.kill)
        assert BUILDING == shared.note().state
        assert real_turn(shared)
        assert 5 > time.monotonic() - started
    assert dead.holder != shared.note().holder


def test_patience_with_a_neighbour_ends(shared: World) -> None:
    """After as long as asked, with 10, and the neighbour goes on."""
    with neighbour(shared) as builder:
        started = time.monotonic()
        with pytest.raises(WaitError, match=rf"waited 0 s for .* built by .*process {builder.pid}") as caught:
            real_turn(shared, wait=0.3)
        assert 0.3 <= time.monotonic() - started < 5
        assert 10 == caught.value.exit_code
        builder.end()
        builder.process.join(10)
        assert OVER == shared.note().state


@pytest.fixture
def locked_by_a_neighbour(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """Yield what holds this machine's lock until it is closed, where waiting for that takes no real time."""
    monkeypatch.setattr("terrastore.atomic.time", SimpleNamespace(monotonic=lambda: world.now, sleep=world.sleep))
    world.locks.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(atomic.locked(str(world.locks / KEY.text)))
        yield stack


def test_a_neighbour_that_stands_still_is_taken_over(world: World, locked_by_a_neighbour: ExitStack) -> None:
    """It has the lock and says nothing for a time to live, as one that was stopped: another process builds."""
    with locked_by_a_neighbour:
        Elsewhere(world, place=place_of(world), host="here")
        started = world.now
        with world.flight().turn() as ours:
            assert ours
            assert TTL <= world.now - started <= TTL + 2 * SLOWEST_POLL
            assert "" == world.note().place
    since = "here, process 77, since 2026-07-01T10:00:00Z"
    assert f"take  {KEY.short} from {since}, not heard of for 60 s" == world.report.remarks[-1]


def test_who_took_over_without_the_lock_is_not_taken_for_dead(world: World, locked_by_a_neighbour: ExitStack) -> None:
    """Whoever gets the lock then waits for it, by its heartbeat."""
    Elsewhere(world, place="")
    locked_by_a_neighbour.close()
    with pytest.raises(WaitError):
        world.had_turn(wait=TTL - 1)


def test_a_neighbour_that_has_nobody_told_is_waited_for(world: World, locked_by_a_neighbour: ExitStack) -> None:
    """There is no note of what it does, for the store takes none; its lock is enough."""
    world.after(30, locked_by_a_neighbour.close)
    started = world.now
    assert not world.had_turn()
    assert 30 <= world.now - started <= 30 + SLOWEST_POLL
    assert [f"wait  {KEY.short} is built by another process of this machine"] == world.report.remarks


def test_who_waits_behind_a_neighbour_hears_of_another_machine(world: World, locked_by_a_neighbour: ExitStack) -> None:
    """All of a machine hear who builds elsewhere and that it is done, not one after the other."""
    builder = Elsewhere(world)
    world.after(10, builder.end)
    with locked_by_a_neighbour:
        assert not world.had_turn()
    assert [f"wait  {KEY.short} is built by elsewhere, process 77, since 2026-07-01T10:00:00Z"] == world.report.remarks


def test_a_sweep_is_no_builder(world: World, locked_by_a_neighbour: ExitStack) -> None:
    """A lock that is held for a moment, to see whether its holder is dead, keeps nobody waiting."""
    world.after(0.05, locked_by_a_neighbour.close)
    assert world.had_turn()
    assert [] == world.report.remarks


def place_of(world: World) -> str:
    """Return what notes of this machine say of where their writers are."""
    return world.flight()._place()


def test_who_does_not_wait_builds_beside_a_neighbour(shared: World) -> None:
    """With no patience the lock is nothing to wait for either."""
    with neighbour(shared):
        assert real_turn(shared, wait=0)
    assert [] == shared.report.remarks


def test_a_lock_that_nobody_holds_is_nobodys(world: World) -> None:
    """A file that a killed process left is no lock."""
    world.locks.mkdir(parents=True)
    (world.locks / KEY.text).touch()
    assert world.had_turn()
    assert [] == os.listdir(world.locks)


def test_a_failure_is_told_to_the_neighbours_of_who_waited(world: World) -> None:
    """One process waits for another machine, and a second one for the first: both hear why the build failed."""
    builder = Elsewhere(world)
    world.locks.mkdir(parents=True)
    with ExitStack() as first:
        first.enter_context(atomic.locked(str(world.locks / KEY.text)))

        class Ending(Kept):
            def remark(self, message: str) -> None:
                super().remark(message)
                builder.end(FAILED, "no matching distribution")
                first.close()

        world.report = Ending()
        with pytest.raises(BuildError, match="on elsewhere: no matching distribution"):
            world.had_turn()


def test_a_failure_of_before_is_not_ours_when_the_store_was_silent(world: World) -> None:
    """Who waited for a neighbour, and could not read then how the last build had ended, is not told of that one."""
    world.store = store = Troubled("", StoreUnreachableError("the store timed out"))
    Elsewhere(world).end(FAILED, "no matching distribution")
    store.step = "look"
    world.locks.mkdir(parents=True)
    with ExitStack() as first:
        first.enter_context(atomic.locked(str(world.locks / KEY.text)))

        class Ending(Kept):
            def remark(self, message: str) -> None:
                super().remark(message)
                store.step = ""
                first.close()

        world.report = Ending()
        assert not world.had_turn()
    assert world.had_turn()

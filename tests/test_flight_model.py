"""Single flight whatever happens: thousands of worlds in which machines want the same and things go wrong.

What must hold is in :mod:`tests.flight_invariants`, what happens in :mod:`tests.flight_world`. ``MODEL_SEEDS`` is how
many worlds there are for each kind of store; ``MODEL_SEED`` is the seed of a single one, which runs alone.
"""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from terrastore.errors import BuildError, StoreUnreachableError, WaitError
from terrastore.flight import _has_ended, _Turn, _Watch
from terrastore.publish import Publication
from terrastore.run import BUILT, FETCHED, KEPT
from terrastore.store import layout
from terrastore.store.lease import BUILDING, Generations, Lease, OneObject, _generation
from terrastore.upkeep.tidying import Tidying
from tests.flight_invariants import Violation
from tests.flight_world import (
    ARCHIVE_PRUNED,
    CRASH,
    DISASTERS,
    ENSURE,
    FREEZE,
    PASSED_ON,
    PIN,
    PINNED,
    POINTER_PRUNED,
    PRUNE,
    REBUILD,
    REMOVE,
    SPOIL,
    STALL,
    TAKEN_OVER,
    UNREACHABLE,
    Ground,
    Weather,
    World,
)
from tests.simulation import CarelessStore, SharedDirectory, SharedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from terrastore.catalogue import Published
    from terrastore.store.lease import Note
    from terrastore.store.protocol import Listed, Object
    from terrastore.upkeep.prune import _Removal

SEEDS: Final = int(os.environ.get("MODEL_SEEDS", "300"))
"""Ten thousand before a release."""
SEED: Final = os.environ.get("MODEL_SEED")
ENOUGH: Final = 200
"""In so many worlds everything happens that can."""
FOUND: Final = {
    "one_object": (5198,),
    "generations": (11973, 19864, 22657, 28278),
    "careless": (),
}
"""Worlds in which flaws showed, as long as seeds mean the same: who had not waited was told of a failure when the store
had been silent or had denied the lease; who lost a lease to a build that had failed by then waited for that one."""
MANY: Final = 1000
"""So many worlds need not be looked at before a flaw shows."""
STORES: Final = {"one_object": SharedStore, "generations": SharedDirectory, "careless": CarelessStore}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Return what worlds have in common; threads that take turns are on one processor, where that takes a third."""
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if processors:
        os.sched_setaffinity(0, {random.choice(sorted(processors))})
    yield Ground(tmp_path_factory.mktemp("ground"))
    if processors:
        os.sched_setaffinity(0, processors)


@pytest.mark.parametrize("kind", STORES)
def test_whatever_happens(kind: str, ground: Ground) -> None:
    """Everything that must hold does, in every world; and in many worlds everything happens that can."""
    seen: Counter[str] = Counter()
    seeds = [*FOUND[kind], *range(SEEDS)] if SEED is None else [int(SEED)]
    for seed in seeds:
        world = World(seed, STORES[kind], ground)
        try:
            world.run()
        except BaseException as error:
            test = f"tests/test_flight_model.py::test_whatever_happens[{kind}]"
            error.add_note(f"this world alone: MODEL_SEED={seed} python -m pytest '{test}'")
            raise
        seen += world.tally
    print(f"{kind}: {len(seeds)} worlds, {dict(seen.most_common())}")
    ends = {KEPT, FETCHED, BUILT, *(error.__name__ for error in (BuildError, WaitError, StoreUnreachableError))}
    happens = {*DISASTERS, *ends, PASSED_ON, TAKEN_OVER, POINTER_PRUNED, ARCHIVE_PRUNED, PINNED}
    assert len(seeds) < ENOUGH or happens <= set(seen)


@pytest.mark.parametrize("kind", STORES)
def test_a_world_can_be_seen_again(kind: str, ground: Ground) -> None:
    """The same seed is the same world, step by step; another one is another."""
    stories = []
    for seed in (7, 7, 8):
        world = World(seed, STORES[kind], ground)
        world.run()
        stories.append(world.story())
    assert stories[0] == stories[1] != stories[2]


def test_a_violation_tells_its_story(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads of one sees the weather, and every step that led to it."""
    monkeypatch.setattr(_Turn, "_wait", lose_patience)
    with pytest.raises(Violation) as caught:
        explore("one_object", ground, Weather())
    (story,) = caught.value.__notes__
    assert story.startswith("Weather(")
    assert "ends: waited no longer" in story.splitlines()[-1]


def explore(kind: str, ground: Ground, weather: Weather) -> None:
    """Let everything happen in some worlds of one weather."""
    for seed in range(MANY):
        World(seed, STORES[kind], ground, weather).run()


# What breaks the protocol, and the invariant that finds it.

TAKE, RENEW, BEGUN, LOOK = OneObject.take, Lease._renew, _Turn.begun, _Watch.look
POINT, UNNAMED = Publication._point, Tidying._unnamed
PRUNING: Final = (ENSURE, ENSURE, PRUNE, PRUNE)
SHORT_GRACE: Final = {"tests.flight_world.GRACE": 300.0}
"""Enough where nothing goes wrong; what happens then happens close together."""


def give_to_all(board: OneObject, data: bytes, seen: Object | None) -> bool:
    TAKE(board, data, seen)
    return True


def take_and_tidy_nothing(board: Generations, data: bytes, seen: Object | None) -> bool:
    return board._store.create(board._name(_generation(seen)[0] + 1 if seen is not None else 1), data)


def renew_and_hear_nothing(lease: Lease, **said: Any) -> None:
    RENEW(lease, **said)
    lease.lost = False


def lose_patience(turn: _Turn) -> None:
    raise WaitError(f"waited no longer for {turn._flight.key.short}")


def tell_newcomers(turn: _Turn) -> AbstractContextManager[None] | None:
    turn._watch.look()
    _has_ended(turn._watch.note, None)
    return BEGUN(turn)


def tell_nobody(note: Note | None, before: Note | None) -> bool:
    return note is not None and note.state != BUILDING and note != before


def take_silence_for_no_note(watch: _Watch) -> None:
    LOOK(watch)
    watch._has_looked = True


def point_before_the_upload_ends(publication: Publication, envelope: bytes) -> Published | None:
    if publication._upload is not None:
        with publication._trouble():
            publication._there = publication._point(envelope)
            publication._stack.close()
    return publication._there


def point_and_take_back(publication: Publication, envelope: bytes) -> Published:
    published = POINT(publication, envelope)
    assert isinstance(published.store, SharedStore)
    published.store.remove(layout.pointer(published.key.text))
    return published


def take_all_for_old(tidying: Tidying) -> list[Listed]:
    since, tidying._since = tidying._since, math.inf
    try:
        return UNNAMED(tidying)
    finally:
        tidying._since = since


def record_nothing(removal: _Removal, advance: Callable[[int], None]) -> None:
    removal._until = math.inf
    for victim in removal._victims:
        removal._take(victim.environment)


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is done instead of what, the weather in which that shows, and the invariant that it violates."""

    violates: str
    instead: Mapping[str, object]
    weather: Weather
    store: str = "one_object"


FLAWS: Final = {
    "the pointer is put up before its archive": Flaw(
        "pointer has its archive",
        {"terrastore.publish.Publication.end": point_before_the_upload_ends},
        Weather(),
    ),
    "a pointer that does not stay": Flaw(
        "published stays",
        {"terrastore.publish.Publication._point": point_and_take_back},
        Weather(patient=False),
    ),
    "an archive that is gone is not replaced": Flaw(
        "next ensure heals",
        {"terrastore.supply.Layer.heals": False},
        Weather(disasters={SPOIL: 0.05}),
    ),
    "what is read is not verified": Flaw(
        "installed is sound and shared",
        {"tests.flight_world.verified": lambda *_: b""},
        Weather(disasters={SPOIL: 0.05}),
    ),
    "who was late keeps what it built": Flaw(
        "installed is sound and shared",
        {"terrastore.obtaining.Obtaining._theirs": lambda *_: None},
        Weather(patient=False),
    ),
    "a heartbeat that never hears that it was taken over": Flaw(
        "one believes",
        {"terrastore.store.lease.Lease._renew": renew_and_hear_nothing},
        Weather(disasters={FREEZE: 0.05}),
    ),
    "a board that gives the lease to all": Flaw(
        "built once",
        {"terrastore.store.lease.OneObject.take": give_to_all},
        Weather(latency=0.5),
    ),
    "a lock that counts on other machines": Flaw(
        "built once",
        {"terrastore.flight.Flight._place": lambda *_: "everywhere"},
        Weather(),
    ),
    "a watch that takes nobody over": Flaw(
        "dead are taken over",
        {"terrastore.flight._Watch.is_dead": False},
        Weather(disasters={CRASH: 0.02}),
    ),
    "patience without an end": Flaw(
        "patience",
        {"terrastore.patience.Patience.left": 60.0},
        Weather(patient=False),
    ),
    "a failure that everybody is told": Flaw(
        "failure is no newcomer's",
        {"terrastore.flight._Turn.begun": tell_newcomers},
        Weather(failures=0.8),
    ),
    "a store that says nothing has no note": Flaw(
        "failure is no newcomer's",
        {"terrastore.flight._Watch.look": take_silence_for_no_note},
        Weather(latency=2.0, failures=1.0, disasters={UNREACHABLE: 0.1}),
    ),
    "a failure that nobody is told": Flaw(
        "failure reaches who waited",
        {"terrastore.flight._has_ended": tell_nobody},
        Weather(failures=0.8),
    ),
    "what is removed is an error": Flaw(
        "removal is a miss",
        {"terrastore.supply._is_refusal": lambda *_: False},
        Weather(latency=0.5, errands=(ENSURE, ENSURE, REMOVE)),
    ),
    "who has patience does not use it": Flaw(
        "end has a reason",
        {"terrastore.flight._Turn._wait": lose_patience},
        Weather(),
    ),
    "who waits does not sleep": Flaw(
        "an end",
        {"terrastore.flight._Turn._wait": lambda turn: turn._watch.look()},
        Weather(latency=0.0),
    ),
    "generations that stay": Flaw(
        "nothing is left",
        {"terrastore.store.lease.Generations.take": take_and_tidy_nothing},
        Weather(),
        "generations",
    ),
    "no grace for what is on its way": Flaw(
        "a reader keeps its archive",
        {"terrastore.upkeep.tidying.Tidying._unnamed": take_all_for_old},
        Weather(latency=2.0, disasters={STALL: 0.05}, errands=PRUNING),
    ),
    "pointers that go without a record": Flaw(
        "a reader keeps its archive",
        SHORT_GRACE | {"terrastore.upkeep.prune._Removal.run": record_nothing},
        Weather(latency=1.0, disasters={STALL: 0.1}, errands=PRUNING),
    ),
    "pointers that go whatever they are by now": Flaw(
        "a renewed pointer stays",
        {"tests.simulation.SharedStore.remove_listed": lambda store, listed: store.remove(listed.name)},
        Weather(latency=2.0, errands=(*PRUNING, REBUILD)),
    ),
    "pins that are read but once": Flaw(
        "published stays",
        {"terrastore.upkeep.prune._Removal._needed": lambda _: set()},
        Weather(latency=2.0, errands=(*PRUNING, PIN)),
    ),
    "locks that stay": Flaw(
        "nothing is left",
        {"terrastore.flight.Flight._remove_locks_of_the_dead": lambda *_: None},
        Weather(disasters={CRASH: 0.05}),
    ),
}


@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_is_found(name: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one step of the protocol done wrong, the invariant that it is for does not hold in some world."""
    flaw = FLAWS[name]
    for step, wrong in flaw.instead.items():
        monkeypatch.setattr(step, wrong)
    with pytest.raises(Violation) as caught:
        explore(flaw.store, ground, flaw.weather)
    assert flaw.violates == caught.value.invariant

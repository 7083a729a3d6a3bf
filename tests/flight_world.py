"""A world of machines that want the same environments while things go wrong.

The code of a run is the real one, from :mod:`terrastore.ensuring` down to the notes of a lease, in processes of
:mod:`tests.simulation` that have one store in common. Three steps take time instead of doing work: installing
packages, packing them, and unpacking, which reads and verifies every byte all the same.
"""

from __future__ import annotations

import math
import os
import random
import shutil
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest

from terrastore import catalogue, ensuring
from terrastore.archive.frames import verified
from terrastore.archive.staging import StagingPrefix
from terrastore.archive.unpack import Taken
from terrastore.archive.ustar import MalformedError
from terrastore.build import Built
from terrastore.errors import (
    HEAL,
    ArchiveRefusedError,
    BuildError,
    RequirementsError,
    StoreUnreachableError,
    TerrastoreError,
    UsageError,
)
from terrastore.flight import Flight
from terrastore.inputs import Inputs
from terrastore.install import Installed
from terrastore.key import EnvKey, Request
from terrastore.patience import Patience
from terrastore.place import Target
from terrastore.pointer import PointerError
from terrastore.report import Report
from terrastore.run import Outcome, Policy
from terrastore.store import layout
from terrastore.store.lease import BUILDING, FAILED, Lease, Note
from terrastore.trust import Trust
from terrastore.upkeep import pins, prune
from terrastore.upkeep.known import Known
from terrastore.upkeep.prune import Criteria
from tests.flight_invariants import (
    LOCK_POLL,
    Violation,
    check_built_once,
    check_dead_are_taken_over,
    check_end_has_a_reason,
    check_failure_is_no_newcomers,
    check_failure_reaches_who_waited,
    check_installed_is_sound_and_shared,
    check_next_ensure_heals,
    check_nothing_is_left,
    check_one_believes,
    check_patience,
    check_pointer_has_its_archive,
    check_published_stays,
    check_reader_keeps_its_archive,
    check_removal_is_a_miss,
    check_renewed_stays,
    check_silence_ends_the_wait,
)
from tests.published import Archive, make_tree, pack_tree
from tests.simulation import KilledError, Process, SharedStore, Simulation, Threading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import tzinfo
    from pathlib import Path

    from terrastore.archive.framing import Sink
    from terrastore.archive.manifest import Manifest
    from terrastore.archive.pack import Packed
    from terrastore.archive.reading import Archive as Reading
    from terrastore.requirements.pip_lines import ForPip
    from terrastore.requirements.uv_lines import ForUv
    from terrastore.store.lease import Board

ENSURE, BUILD, REBUILD, REMOVE, TURN = "ensure", "build", "rebuild", "remove", "have a turn"
PRUNE, PIN = "prune", "pin"
CRASH, REBOOT, FREEZE, SUSPEND, STALL = "crash", "reboot", "freeze", "suspend", "stall"
UNREACHABLE, LOST_REPLY, CUT_OFF, SPOIL = "unreachable", "lost reply", "cut off", "spoil"
PASSED_ON, TAKEN_OVER = "failure passed on", "taken over"
POINTER_PRUNED, ARCHIVE_PRUNED, PINNED = "pointer pruned", "archive pruned", "pinned"
DISASTERS: Final = (CRASH, REBOOT, FREEZE, SUSPEND, STALL, UNREACHABLE, LOST_REPLY, CUT_OFF, SPOIL)
RATES: Final = (0.003, 0.01, 0.05)
MOST_DISASTERS: Final = 8
DISASTER_TIMES: Final = (5.0, 150.0)
"""Seconds that something that is wrong for a while may be wrong, the shortest and the longest."""
WAITS: Final = (0.0, 3.0, 30.0, 59.0, 70.0, 120.0, 600.0)
PATIENT: Final = 10_000.0
BUILD_TIMES: Final = (0.0, 5.0, 30.0, 150.0)
MOST_STEPS: Final = 50_000
GRACE: Final = 3000.0
"""Longer than anybody is kept from going on by all that goes wrong in a world, as a day is in ours."""
EPOCH: Final = 1_700_000_000.0
"""What a store's clock says when a world begins."""


class Asked(Inputs):
    """Inputs that were read before."""

    answer: tuple[Request, ForPip | ForUv]

    def read(self) -> tuple[Request, ForPip | ForUv]:
        return self.answer


class Ground:
    """What worlds have in common: two keys, archives that builds of each may come to, directories of machines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        file = folder / "requirements.txt"
        file.touch()
        request, said = Inputs(requirements=(str(file),)).read()
        self.inputs: dict[EnvKey, Asked] = {}
        self.archives: dict[EnvKey, list[Archive]] = {}
        for salt in ("one", "two"):
            asked = Asked(requirements=(str(file),))
            asked.answer = request._replace(salt=salt), said
            key = EnvKey.of(asked.request())
            self.inputs[key] = asked
            self.archives[key] = [self._packed(key, f"{salt} {number}") for number in range(3)]

    def machine(self, number: int) -> Path:
        """Return the directory of a machine."""
        cache = self._folder / f"machine{number}"
        (cache / "locks").mkdir(parents=True)
        return cache

    def _packed(self, key: EnvKey, name: str) -> Archive:
        """Return what one build comes to: layers that differ from those of others, so that a mixture is found out."""
        pieces: list[bytes] = []
        tree = make_tree(self._folder / name, one=name.encode(), two=name.encode() * 2)
        return pack_tree(tree, [SimpleNamespace(write=pieces.append)], key), b"".join(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What goes wrong in a world, and what is wanted there.

    ``latency`` is the longest that an operation takes when nothing is wrong, in seconds; ``disasters`` says how likely
    each is at an operation, ``failures`` how likely a build fails; ``errands`` is what is wanted, each as likely as
    the next; who is ``patient`` waits long enough for anything.
    """

    latency: float = 0.0
    disasters: Mapping[str, float] = field(default_factory=dict)
    failures: float = 0.0
    errands: tuple[str, ...] = (ENSURE,)
    patient: bool = True

    @classmethod
    def drawn(cls, chance: random.Random) -> Weather:
        """Return one of many; one of five is calm."""
        latency = chance.choice((0.0, 0.5, 2.0))
        errands = (ENSURE,) * 6 + (BUILD,) * chance.randrange(3)
        if chance.random() < 0.2:
            return cls(latency=latency, errands=errands)
        likely = chance.choice((0.2, 0.5))
        return cls(
            latency=latency,
            disasters={kind: chance.choice(RATES) for kind in DISASTERS if chance.random() < likely},
            failures=chance.choice((0.0, 0.0, 0.3, 0.8)),
            errands=errands
            + (REMOVE,) * chance.choice((0, 0, 1, 2))
            + (REBUILD,) * chance.randrange(2)
            + (PRUNE,) * chance.choice((0, 0, 2, 4))
            + (PIN,) * chance.randrange(2),
            patient=chance.random() < 0.3,
        )

    @property
    def is_calm(self) -> bool:
        """Whether nobody disturbs anybody, so that one build of a key is enough."""
        return not self.disasters and not self.failures and self.patient and {ENSURE, BUILD}.issuperset(self.errands)

    @property
    def prunes(self) -> bool:
        """Whether somebody prunes."""
        return PRUNE in self.errands

    @property
    def loses_archives(self) -> bool:
        """Whether somebody removes archives that are pointed to, or spoils them."""
        return REMOVE in self.errands or SPOIL in self.disasters


@dataclass(eq=False)
class Machine:
    """A directory with locks, a clock of its own, and a line to the store that may be cut."""

    name: str
    cache: Path
    clock_ahead: float
    cut_off_until: float = 0.0
    suspended_until: float = 0.0
    _latest: float = -math.inf

    @property
    def locks(self) -> Path:
        return self.cache / "locks"

    def clock(self, now: float) -> float:
        """Return its monotonic time."""
        # What was added when it was suspended may differ by a rounding from what passed.
        self._latest = max(self._latest, now + self.clock_ahead)
        return self._latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a process does next: after how many seconds, and how long it waits for others."""

    kind: str
    key: EnvKey
    after: float = 0.0
    wait: float = PATIENT


@dataclass(eq=False)
class Visit:
    """An errand while it is done, and what came of it.

    ``began`` is a step, ``deadline`` a time on the machine's clock. ``delayed`` is how long it was kept from going on,
    in seconds, ``watching`` when it began to wait for a machine that it could hear of, ``silent_since`` since when the
    store says nothing of leases, each with how much it had been delayed by then,
    ``steady_since`` when its heartbeat was in trouble last, ``troubles`` how often the store did not answer.
    ``last_read`` is the note that it read last, if it ``has_looked``, and since which it may have waited; ``to_hear``
    the failure that it read of. ``listed`` is the step at which a prune listed pointers. ``got`` is the digest of what
    was installed, ``failure`` that of its own build.
    """

    errand: Errand
    began: int
    report: Report = field(default_factory=Report)
    deadline: float = 0.0
    delayed: float = 0.0
    steady_since: float = 0.0
    troubles: int = 0
    watching: tuple[float, float] | None = None
    silent_since: tuple[float, float] | None = None
    last_read: bytes | None = None
    has_looked: bool = False
    has_waited: bool = False
    to_hear: str = ""
    listed: int = 0
    lease: Lease | None = None
    holder: str = ""
    got: str = ""
    failure: TerrastoreError | None = None
    outcome: Outcome | None = None
    error: TerrastoreError | None = None

    @property
    def believes(self) -> bool:
        """Whether it takes a lease for its own."""
        return self.lease is not None and not self.lease.lost and not self.lease._stop.is_set()


@dataclass(eq=False)
class Actor(Process):
    """A process that does one errand after the other."""

    machine: Machine = field(kw_only=True)
    errands: list[Errand] = field(kw_only=True)
    visits: list[Visit] = field(default_factory=list)
    locks_left: Sequence[str] = ()


class World:
    """A few machines, processes with errands, one store; all that happens follows from the seed."""

    def __init__(self, seed: int, store: type[SharedStore], ground: Ground, weather: Weather | None = None) -> None:
        self.chance = random.Random(seed)
        self.drawn = self.weather = weather or Weather.drawn(self.chance)
        self.simulation = Simulation(self.chance)
        self.store = store(self._operation, self._changed)
        self.tally: Counter[str] = Counter()
        self.builds: Counter[EnvKey] = Counter()
        self.pointed: defaultdict[EnvKey, set[str]] = defaultdict(set)
        """Digests of all archives that a pointer ever named."""
        self.counting: dict[EnvKey, tuple[str | None, float]] = {}
        """Whose note counts, and since when."""
        self.put_up: dict[EnvKey, int] = {}
        """The step at which the pointer of a key became what it is, or was last."""
        self.pinned: set[EnvKey] = set()
        self._ground = ground
        self._pointers: dict[EnvKey, bytes] = {}
        self._there: set[EnvKey] = set()
        self._notes: dict[EnvKey, tuple[bytes | None, float]] = {}
        self._told: dict[str, float] = {}
        self._owners: dict[str, Actor] = {}
        self._actors: list[Actor] = []
        self._trace: list[tuple[float, str, str]] = []
        self._disasters_left = MOST_DISASTERS
        self._caches: list[Path] = []
        self._keys = list(ground.inputs)[: 1 + (self.chance.random() < 0.2)]
        self._machines = [self._new_machine() for _ in range(self.chance.randint(1, 3))]

    def run(self) -> None:
        """Let it all happen, let it calm down, and check what is left.

        :raises Violation: when an invariant does not hold; its notes say what happened
        """
        try:
            with self._stood_in():
                for _ in range(self.chance.randint(1, 8 if self.weather.prunes else 5)):
                    self._enter(self.chance.choice(self._machines), self._drawn_errands())
                self.simulation.run()
                self._settle()
        except BaseException as error:
            error.add_note(self.story())
            raise
        finally:
            for cache in self._caches:
                shutil.rmtree(cache)

    def story(self) -> str:
        """Return what happened, a line for each step."""
        return "\n".join([repr(self.drawn), *(f"{now:9.2f}  {who:10}  {what}" for now, who, what in self._trace)])

    def _settle(self) -> None:
        """Let one come to each key when all is quiet, and take its lease; then let each machine have a turn for any."""
        self.weather = Weather()
        for machine in self._machines:
            machine.cut_off_until = 0.0
        for key in self._keys:
            is_published = key in self.pinned if self.drawn.prunes else bool(self.pointed[key])
            newcomer = self._enter(self._new_machine(), [Errand(kind=kind, key=key) for kind in (ENSURE, ENSURE, TURN)])
            self.simulation.run()
            check_published_stays(self, newcomer.visits[0], is_published=is_published)
            check_next_ensure_heals(self, key, newcomer.visits)
        for machine in self._machines:
            self._enter(machine, [Errand(kind=TURN, key=self._keys[0])])
            self.simulation.run()
        check_nothing_is_left(self, self._keys, self._machines)

    # What is known of it.

    @property
    def actor(self) -> Actor:
        """Whose turn it is."""
        actor = self.simulation.process
        assert isinstance(actor, Actor)
        return actor

    @property
    def visit(self) -> Visit:
        """What is being done."""
        return self.actor.visits[-1]

    @property
    def clock(self) -> float:
        """The time on the machine whose turn it is."""
        return self.actor.machine.clock(self.simulation.now)

    @property
    def is_heart(self) -> bool:
        """Whether it is a thread beside the one that does the errand."""
        return self.simulation.current is not self.actor.threads[0]

    def note(self, key: EnvKey) -> tuple[Note | None, float]:
        """Return the note that counts, and since when it does."""
        data, since = self._notes.get(key, (None, 0.0))
        return (Note.parse(data) if data is not None else None), since

    def died(self, holder: str) -> float | None:
        """Return when somebody died who wrote a note."""
        return self._owners[holder].died

    def told(self, error: TerrastoreError | None) -> float | None:
        """Return the step at which others were told of the failure that an error is about; None when there was none."""
        return next((step for message, step in self._told.items() if error and message in error.message), None)

    def packed(self, digest: str) -> bytes:
        """Return the archive of a digest, nothing when nobody packed it."""
        archives = chain.from_iterable(self._ground.archives.values())
        return next((data for packed, data in archives if packed.sha256 == digest), b"")

    def tell(self, what: str) -> None:
        """Keep what happens."""
        self._trace.append((self.simulation.now, f"{self.actor.name}{' heart' if self.is_heart else ''}", what))

    def judge(self, check: Callable[..., None], *facts: Any) -> None:
        """End all of it when an invariant does not hold, before the code under test can do anything about that."""
        try:
            check(self, *facts)
        except Violation as violation:
            self.simulation.fail(violation)

    # Processes.

    def _new_machine(self) -> Machine:
        self._caches.append(self._ground.machine(len(self._caches)))
        return Machine(f"m{len(self._caches)}", self._caches[-1], self.chance.uniform(-1e6, 1e6))

    def _drawn_errands(self) -> list[Errand]:
        chance = self.chance
        return [
            Errand(
                kind=chance.choice(self.weather.errands),
                key=chance.choice(self._keys),
                after=chance.choice((0.0, chance.uniform(0, 5), chance.uniform(0, 120), *self._late())),
                wait=PATIENT if self.weather.patient else chance.choice(WAITS),
            )
            for _ in range(chance.randint(1, 2))
        ]

    def _late(self) -> tuple[float, ...]:
        """Return when something happens that shows what a prune left to a later one: close to other such things."""
        if not self.weather.prunes:
            return ()
        return tuple(times * GRACE + self.chance.uniform(0, 40) for times in (1.1, 2.2))

    def _enter(self, machine: Machine, errands: Iterable[Errand]) -> Actor:
        actor = Actor(f"{machine.name}p{len(self._actors)}", machine=machine, errands=[*errands])
        actor.frozen_until = machine.suspended_until
        self._actors.append(actor)
        self.simulation.start(actor, lambda: self._live(actor))
        return actor

    def _live(self, actor: Actor) -> None:
        try:
            while actor.errands:
                self.simulation.sleep(actor.errands[0].after)
                visit = Visit(actor.errands.pop(0), self.simulation.steps)
                actor.visits.append(visit)
                self._do(visit)
        except KilledError:
            # A kernel frees the locks of the dead, and leaves their files.
            for name in actor.locks_left:
                (actor.machine.locks / name).touch()
            raise

    def _do(self, visit: Visit) -> None:
        errand, cache = visit.errand, self.actor.machine.cache
        self.tell(f"{errand.kind} {errand.key.short}, waits {errand.wait:.0f} s")
        inputs = self._ground.inputs[errand.key]
        policy = Policy(wait=errand.wait, rebuild=errand.kind == REBUILD)
        try:
            if errand.kind == REMOVE:
                catalogue.remove(self.store, errand.key)
            elif errand.kind == TURN:
                self._have_turn(errand)
            elif errand.kind == PRUNE:
                known = Known(self.store, cache / "known", visit.report)
                prune.prune(self.store, Criteria(keep_last=0), known=known, report=visit.report)
            elif errand.kind == PIN:
                self._pin(errand.key)
            elif errand.kind == BUILD:
                visit.outcome = ensuring.build(
                    inputs, store=self.store, cache=cache, policy=policy, report=visit.report
                )
            else:
                target = Target(str(cache / f"{self.actor.name} {len(self.actor.visits)}"))
                visit.outcome = ensuring.ensure(
                    inputs, target, store=self.store, cache=cache, policy=policy, report=visit.report
                )
        except TerrastoreError as error:
            visit.error = error
        visit.lease = None
        self.simulation.end_daemons()
        end = visit.error or (visit.outcome.outcome if visit.outcome else "done")
        self.tell(f"ends: {end}")
        self.tally[type(visit.error).__name__ if visit.error else str(end)] += 1
        self.judge(check_removal_is_a_miss, visit)
        if isinstance(visit.error, BuildError) and visit.error is not visit.failure:
            self.tally[PASSED_ON] += 1
            self.judge(check_failure_is_no_newcomers, visit)
        self.judge(check_failure_reaches_who_waited, visit)
        self.judge(check_end_has_a_reason, visit)

    def _pin(self, key: EnvKey) -> None:
        with suppress(UsageError):  # there is none, or none any more
            pins.put(self.store, f"pin-{self._keys.index(key)}", key)
            self.pinned.add(key)
            self.tally[PINNED] += 1

    def _have_turn(self, errand: Errand) -> None:
        locks = self.actor.machine.locks
        patience = self._patience(errand.wait)
        flight = Flight(self.store, errand.key, locks=locks, patience=patience, report=Report())
        with flight.turn():
            pass

    # What stands in for the standard library, and for work that takes time alone.

    @contextmanager
    def _stood_in(self) -> Iterator[None]:
        time = SimpleNamespace(monotonic=lambda: self.clock, sleep=self._wait_for_lock)
        random_id = SimpleNamespace(token_hex=self._token)
        stand_ins = {
            "terrastore.atomic.time": time,
            "terrastore.atomic._LOCK_POLL_SECONDS": LOCK_POLL,
            "terrastore.archive.pack.pack": self._pack,
            "terrastore.build.built": self._built,
            "terrastore.obtaining.Patience": self._patience,
            "terrastore.run.Patience": self._patience,
            "terrastore.flight.Lease": self._lease,
            "terrastore.flight.random": self.chance,
            "terrastore.flight.secrets": random_id,
            "terrastore.install.install": self._install,
            # It tells people what differs, in threads of its own, and decides nothing.
            "terrastore.nearest.find": lambda *_, **__: None,
            "terrastore.publish.secrets": random_id,
            "terrastore.store.lease.threading": Threading(self.simulation),
            "terrastore.upkeep.uses.threading": Threading(self.simulation),
            "terrastore.upkeep.uses.datetime": SimpleNamespace(now=self._now),
            "terrastore.store.memory.time": SimpleNamespace(time=lambda: EPOCH + self.simulation.now),
            # One after the other: threads take turns here anyway.
            "terrastore.upkeep.abreast.mapped": lambda function, items, _threads: [function(item) for item in items],
            "terrastore.upkeep.prune.secrets": random_id,
            "terrastore.upkeep.prune._clock": lambda: self.simulation.now,
            "terrastore.upkeep.prune._LASTS": GRACE / 10,
            "terrastore.upkeep.tidying.GRACE": GRACE,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, stand_in in stand_ins.items():
                patch.setattr(name, stand_in)
            yield

    def _now(self, zone: tzinfo) -> datetime:
        return datetime.fromtimestamp(EPOCH + self.simulation.now, zone)

    def _token(self, size: int) -> str:
        token = self.chance.randbytes(size).hex()
        self._owners[token] = self.actor
        return token

    def _patience(self, seconds: float) -> Patience:
        self.visit.deadline = self.clock + seconds
        return Patience(seconds, clock=lambda: self.clock, sleep=self._wait)

    def _lease(self, board: Board, note: Note, phase: Callable[[], str], *, every: float) -> Lease:
        visit = self.visit
        visit.lease, visit.holder = Lease(board, note, phase, every=every), note.holder
        visit.steady_since = self.simulation.now
        return visit.lease

    def _wait(self, seconds: float) -> None:
        """Wait for another machine."""
        self.judge(check_silence_ends_the_wait, self.visit)
        self._wait_for_somebody(seconds)

    def _wait_for_lock(self, seconds: float) -> None:
        """Wait for another process of this machine, which may stand still while another machine's builder dies."""
        self._wait_for_somebody(seconds)

    def _wait_for_somebody(self, seconds: float) -> None:
        visit = self.visit
        if visit.watching is None:
            visit.watching = (self.simulation.now, visit.delayed)
        self.judge(check_dead_are_taken_over, visit)
        self._sleep_in_vain(seconds)

    def _sleep_in_vain(self, seconds: float) -> None:
        self.judge(check_patience, self.visit, seconds)
        self.visit.has_waited = True
        self.simulation.sleep(seconds)

    @contextmanager
    def _built(self, recipe: object, *, cache: Path, report: Report) -> Iterator[Built]:
        """Install packages, or fail at it: for everybody, or for this machine alone."""
        key = self.visit.errand.key
        self.builds[key] += 1
        self.judge(check_built_once, key)
        number = sum(self.builds.values())
        self.tell(f"builds, number {number}")
        with report.phase("install", unit="steps"):
            self._work(self.chance.choice(BUILD_TIMES))
        if self.chance.random() < self.weather.failures:
            message = f"build number {number} failed"
            self._told[message] = math.inf
            self.visit.failure = self.chance.choice((BuildError, RequirementsError))(message)
            self.tell(message)
            raise self.visit.failure
        work = cache / f"work {number}"
        work.mkdir()
        try:
            prefix = StagingPrefix(str(work))
            none: frozenset[str] = frozenset()
            yield Built(
                prefix=prefix, python="", skeleton=none, work=str(work), compiled=none, downloads={}, installer={}
            )
        finally:
            shutil.rmtree(work)

    def _pack(self, prefix: StagingPrefix, sinks: Sequence[Sink], **_: Any) -> Packed:
        packed, data = self.chance.choice(self._ground.archives[self.visit.errand.key])
        half = len(data) // 2
        for piece in (data[:half], data[half:]):
            self._work(self.chance.choice((0.0, 2.0)))
            for sink in sinks:
                sink.write(piece)
        return packed

    def _work(self, seconds: float) -> None:
        while seconds > 0:
            self._meet_disaster(STALL, UNREACHABLE, LOST_REPLY)
            self.simulation.sleep(min(seconds, 15.0))
            seconds -= 15.0

    def _install(self, manifest: Manifest, archive: Reading, target: Target, *, state: Any, **_: Any) -> Installed:
        """Read and verify every byte, and write none."""
        frames = list(manifest.frames())
        pieces = [archive.read(offset, frame.packed) for offset, frame in frames]
        try:
            for piece, (_offset, frame) in zip(pieces, frames, strict=True):
                verified(piece, frame)
        except MalformedError as error:
            raise ArchiveRefusedError(f"the archive is corrupt: {error}", hint=HEAL) from error
        self.visit.got = state.archive
        self.tell(f"installs {state.archive[:8]}")
        self.judge(check_installed_is_sound_and_shared, self.visit, state.archive, b"".join(pieces))
        return Installed(None, Taken(0, 0))

    # The store.

    def _operation(self, verb: str, name: str, changes: bool) -> bool:
        """Let others go on before an operation, and let something go wrong; return whether its reply is to be lost."""
        visit, disaster = self.visit, self._meet_disaster(*(() if changes else (LOST_REPLY,)))
        latency = self.chance.uniform(*DISASTER_TIMES if disaster == STALL else (0.0, self.weather.latency))
        if not self.is_heart:
            visit.delayed += latency
        elif disaster == STALL:
            visit.steady_since = math.inf
        self.simulation.sleep(latency)
        is_away = disaster == UNREACHABLE or self.simulation.now < self.actor.machine.cut_off_until
        shown = name.removeprefix("v1/").replace(visit.errand.key.text, visit.errand.key.short)
        self.tell(f"{verb} {shown}{' in vain' if is_away else ''}")
        if not self.is_heart:
            self._follow(visit, verb, name, is_away=is_away)
        self._check_all()
        if not is_away and visit.errand.kind == PRUNE and (verb, name) == ("list", layout.POINTERS):
            visit.listed = self.simulation.steps
        if not is_away and verb == "read range of" and layout.archive_of(name) and visit.errand.kind != PRUNE:
            self.judge(check_reader_keeps_its_archive, name)
        if is_away or disaster == LOST_REPLY:
            visit.troubles += 1
        if self.is_heart and (is_away or disaster):
            visit.steady_since = self.simulation.now
        if is_away:
            raise StoreUnreachableError("nobody answers")
        return disaster == LOST_REPLY

    def _follow(self, visit: Visit, verb: str, name: str, *, is_away: bool) -> None:
        """Keep what a waiter reads of the lease, to know what it must have heard."""
        if not is_away:
            visit.silent_since = None
        if not name.startswith((layout.lease(visit.errand.key.text), layout.leases(visit.errand.key.text))):
            visit.watching = None
        elif is_away:
            visit.has_looked = False
            visit.watching = None
            visit.silent_since = visit.silent_since or (self.simulation.now, visit.delayed)
        elif verb == "read":
            data = self.store.peek(name)
            note = Note.parse(data) if data is not None else None
            is_news = visit.has_looked and visit.has_waited and data != visit.last_read
            if is_news and note and note.state == FAILED and self._told[note.message] >= visit.began:
                visit.to_hear = note.message
            visit.last_read, visit.has_looked, visit.has_waited = data, True, False

    def _check_all(self) -> None:
        if self.simulation.steps > MOST_STEPS:
            self.simulation.fail(Violation("an end", "it goes on and on"))
        visits = [actor.visits[-1] for actor in self._actors if actor.died is None and actor.visits]
        self.judge(check_one_believes, [visit for visit in visits if visit.lease is not None])

    def _changed(self, name: str) -> None:
        key = next((key for key in self._keys if key.text in name), None)
        if key is None or name.startswith(layout.USES):
            return
        if name == layout.pointer(key.text):
            if (data := self.store.peek(name)) is None:
                if self.visit.errand.kind == PRUNE and key in self._there:
                    self.tally[POINTER_PRUNED] += 1
                    self.judge(check_renewed_stays, key, self.visit)
                self._there.discard(key)
            else:
                self._there.add(key)
                if data != self._pointers.get(key):
                    # What a prune gives back is no other one.
                    self._pointers[key], self.put_up[key] = data, self.simulation.steps
                with suppress(PointerError):
                    self.pointed[key].add(Trust().judge(data, key=key.text).pointer.archive.sha256)
                    self.judge(check_pointer_has_its_archive, key, data)
        elif not name.startswith(layout.archives(key.text)):
            self._note_changed(key)
        elif self.visit.errand.kind == PRUNE:
            self.tally[ARCHIVE_PRUNED] += 1

    def _note_changed(self, key: EnvKey) -> None:
        names = self.store.names(layout.lease(key.text), layout.leases(key.text))
        data = self.store.peek(names[-1]) if names else None
        before, _ = self.note(key)
        if data == self._notes.get(key, (None, 0.0))[0]:
            return
        self._notes[key] = (data, self.simulation.now)
        note, _ = self.note(key)
        if note is not None and note.state == FAILED:
            self._told[note.message] = min(self._told[note.message], self.simulation.steps)
        self.tell(f"= {note.state}, said {self._owners[note.holder].name}" if note else "= no note")
        holder = note.holder if note is not None else None
        if holder != self.counting.get(key, (None, 0.0))[0]:
            self.counting[key] = (holder, self.simulation.now)
            if before is not None and note is not None and before.state == BUILDING:
                self.tally[TAKEN_OVER] += 1

    # Disasters.

    def _meet_disaster(self, *impossible: str) -> str:
        """Let something go wrong, or nothing; return what."""
        draw, kind = self.chance.random(), ""
        for each, rate in self.weather.disasters.items():
            if 0 <= draw < rate:
                kind = each
            draw -= rate
        if not kind or kind in impossible or not self._disasters_left:
            return ""
        self._disasters_left -= 1
        self.tally[kind] += 1
        self.tell(f"* {kind}")
        self._strike(kind)
        return kind

    def _strike(self, kind: str) -> None:
        actor = self.actor if self.chance.random() < 0.7 else self.chance.choice(self._living())
        neighbours = [other for other in self._living() if other.machine is actor.machine]
        seconds = self.chance.uniform(*DISASTER_TIMES)
        if kind == CRASH:
            self._kill([actor], actor.machine)
        elif kind == REBOOT:
            machine = self._new_machine()
            self._machines[self._machines.index(actor.machine)] = machine
            self._kill(neighbours, machine)
        elif kind == FREEZE:
            self._freeze(actor, seconds)
        elif kind == SUSPEND:
            self._suspend(neighbours, seconds)
        elif kind == CUT_OFF:
            actor.machine.cut_off_until = self.simulation.now + seconds
        elif kind == SPOIL:
            self._spoil()

    def _living(self) -> list[Actor]:
        return [actor for actor in self._actors if actor.died is None and not actor.threads[0].ended]

    def _kill(self, victims: list[Actor], machine: Machine) -> None:
        """Kill processes, and let some be started again on ``machine``: our own last, for then we are gone."""
        for victim in sorted(victims, key=lambda victim: victim is self.actor):
            self.tell(f"* {victim.name} dies")
            victim.locks_left = os.listdir(victim.machine.locks)
            if self.chance.random() < 0.5:
                again = [replace(visit.errand, after=self.chance.uniform(0, 90)) for visit in victim.visits[-1:]]
                self._enter(machine, [*again, *victim.errands])
            self.simulation.kill(victim)

    def _freeze(self, actor: Actor, seconds: float) -> None:
        """Stop a process for a while, which then goes on as if nothing had been."""
        self.tell(f"* {actor.name} stands still for {seconds:.1f} s")
        actor.frozen_until = max(actor.frozen_until, self.simulation.now + seconds)
        for visit in actor.visits[-1:]:
            visit.delayed += seconds
            visit.steady_since = max(visit.steady_since, actor.frozen_until)

    def _suspend(self, neighbours: list[Actor], seconds: float) -> None:
        """Stop a machine for a while, and its clock."""
        machine = neighbours[0].machine
        if self.simulation.now < machine.suspended_until:
            return
        machine.suspended_until = self.simulation.now + seconds
        machine.clock_ahead -= seconds
        for actor in neighbours:
            self._freeze(actor, seconds)
            for thread in actor.threads:
                thread.wakes += seconds

    def _spoil(self) -> None:
        """Remove an object, or write something else in its place."""
        name = self.chance.choice([*self.store.names(""), ""])
        data = self.store.peek(name)
        if data is None:
            return
        spoilt = [None, b"scribble"]
        if "/archives/" in name:
            at = self.chance.randrange(len(data))
            spoilt += [data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]]
        choice = self.chance.choice(spoilt)
        self.tell(f"* {name} is {'removed' if choice is None else 'spoilt'}")
        self.store.spoil(name, choice)

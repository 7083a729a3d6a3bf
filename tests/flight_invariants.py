"""What must hold while many want the same environments and things go wrong: each thing is a check of its own.

A check raises :class:`Violation`. A :class:`tests.flight_world.World` makes each at the moments it is about.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from terrastore.errors import (
    ArchiveRefusedError,
    BuildError,
    NotInStoreError,
    StoreUnreachableError,
    UsageError,
    WaitError,
)
from terrastore.run import FETCHED
from terrastore.store import layout
from terrastore.store.lease import BUILDING, OVER, TTL
from terrastore.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from terrastore.key import EnvKey
    from tests.flight_world import Machine, Visit, World

LONGEST_POLL: Final = 3.0
LOCK_POLL: Final = 1.0
"""A tenth of a second, as it is, would be most of what is simulated."""
TOLERANCE: Final = 1e-6
"""Seconds that are lost by rounding where clocks are far from zero."""


class Violation(AssertionError):  # noqa: N818 -- a finding, and no trouble of a program
    """An invariant does not hold: which one, and what happened."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


# Pointers and archives.


def check_pointer_has_its_archive(world: World, key: EnvKey, envelope: bytes) -> None:
    """Check that a pointer that is put up names an archive that is there, whole, where nobody removes or spoils any."""
    pointer = Trust().judge(envelope, key=key.text).pointer
    data = world.store.peek(layout.archive(key.text, pointer.archive.name))
    is_sound = data is not None and pointer.archive.sha256 == hashlib.sha256(data).hexdigest()
    if not is_sound and not world.drawn.loses_archives:
        raise Violation("pointer has its archive", f"{pointer.archive.name} is not there whole")


def check_next_ensure_heals(world: World, key: EnvKey, visits: Sequence[Visit]) -> None:
    """Check that whatever is left, when all is quiet an ensure succeeds, and what it leaves the next one fetches."""
    first, second, *_ = visits
    if first.outcome is None:
        raise Violation("next ensure heals", f"it ended with {first.error!r}")
    if second.outcome is None or second.outcome.outcome != FETCHED:
        raise Violation("next ensure heals", "the one after it did not fetch what it left")
    envelope = world.store.peek(layout.pointer(key.text))
    if envelope is None or Trust().judge(envelope, key=key.text).pointer.archive.sha256 != second.got:
        raise Violation("next ensure heals", "what was fetched is not what the pointer names")


def check_published_stays(world: World, first: Visit, *, is_published: bool) -> None:
    """Check that what was published is there for whoever comes when all is quiet, where nobody removes or spoils it.

    What is pinned is there too although others are pruned, unless a prune broke off.
    """
    is_fetched = first.outcome is not None and first.outcome.outcome == FETCHED
    is_pruned = world.drawn.prunes and (first.errand.key not in world.pinned or bool(world.drawn.disasters))
    if is_published and not is_fetched and not is_pruned and not world.drawn.loses_archives:
        raise Violation("published stays", "it was built again")


def check_reader_keeps_its_archive(world: World, name: str) -> None:
    """Check that who follows a pointer finds the archive, whatever is pruned, where nobody removes or spoils any."""
    if world.store.peek(name) is None and not world.drawn.loses_archives:
        raise Violation("a reader keeps its archive", f"{name} is gone")


def check_renewed_stays(world: World, key: EnvKey, visit: Visit) -> None:
    """Check that a prune removes no pointer that came after it listed them, where the store can see to that."""
    if world.store.conditional and world.store.swaps and world.put_up.get(key, -1) > visit.listed:
        raise Violation("a renewed pointer stays", f"{key.short} is as it was put up after all was listed")


def check_installed_is_sound_and_shared(world: World, visit: Visit, digest: str, data: bytes) -> None:
    """Check that what is installed was packed by somebody, and that a pointer named it, so that all have the same.

    It may be another when no pointer is there, or when a warning says why.
    """
    if not world.packed(digest).startswith(data):
        raise Violation("installed is sound and shared", "what was installed is not what was packed")
    is_own = digest not in world.pointed[visit.errand.key]
    if is_own and not visit.report.warnings and world.store.peek(layout.pointer(visit.errand.key.text)) is not None:
        raise Violation("installed is sound and shared", f"{digest[:8]} was installed, which no pointer ever named")


# Leases.


def check_one_believes(world: World, visits: Iterable[Visit]) -> None:
    """Check that who was taken over knows it after a time to live in which its heartbeat could reach the store."""
    for visit in visits:
        holder, since = world.counting.get(visit.errand.key, (None, 0.0))
        if visit.believes and holder not in {visit.holder, None}:
            late = world.simulation.now - max(since, visit.steady_since)
            if late > TTL + TOLERANCE:
                raise Violation("one believes", f"{visit.holder[:8]} was taken over {late:.1f} s ago and does not know")


def check_built_once(world: World, key: EnvKey) -> None:
    """Check that a key is built once where nobody dies, sleeps, fails or hurries, and the store is as it should be."""
    if world.drawn.is_calm and world.store.conditional and world.builds[key] > 1:
        raise Violation("built once", f"{key.short} is built for the second time")


def check_dead_are_taken_over(world: World, visit: Visit) -> None:
    """Check that nobody waits for a dead holder longer than a time to live and two polls, on its own clock.

    That is a poll until it sees the last note, a time to live without another one, and a poll until it looks again;
    what keeps itself from looking comes on top.
    """
    note, since = world.note(visit.errand.key)
    died = world.died(note.holder) if note is not None and note.state == BUILDING else None
    assert visit.watching is not None
    watching_since, delayed = visit.watching
    if died is not None:
        waited = world.simulation.now - max(died, since, watching_since) - (visit.delayed - delayed)
        if waited > TTL + 2 * LONGEST_POLL + TOLERANCE:
            raise Violation("dead are taken over", f"somebody waited {waited:.1f} s for one that is dead")


def check_silence_ends_the_wait(world: World, visit: Visit) -> None:
    """Check that who cannot hear of the holder waits no longer than a time to live and two polls, on its own clock."""
    if visit.silent_since is not None:
        since, delayed = visit.silent_since
        waited = world.simulation.now - since - (visit.delayed - delayed)
        if waited > TTL + 2 * LONGEST_POLL + TOLERANCE:
            raise Violation("silence ends the wait", f"somebody waited {waited:.1f} s for a store that says nothing")


# Those who wait.


def check_patience(world: World, visit: Visit, seconds: float) -> None:
    """Check that nobody goes to sleep beyond its deadline, but for a poll of a lock."""
    late = world.clock + seconds - visit.deadline
    if late > LOCK_POLL + TOLERANCE:
        raise Violation("patience", f"somebody waits {late:.1f} s longer than asked")


def check_failure_is_no_newcomers(world: World, visit: Visit) -> None:
    """Check that a failure that is passed on is a real one, and that others had not been told when its hearer came."""
    told = world.told(visit.error)
    if told is None or told < visit.began:
        raise Violation("failure is no newcomer's", f"somebody heard who had not waited: {visit.error}")


def check_failure_reaches_who_waited(_world: World, visit: Visit) -> None:
    """Check that who looked, waited, and then read of a failure ends with that."""
    if visit.to_hear and visit.to_hear not in str(visit.error):
        raise Violation("failure reaches who waited", f"{visit.to_hear!r} was read, and it ended with {visit.error!r}")


# How it ends.


def check_removal_is_a_miss(_world: World, visit: Visit) -> None:
    """Check that what somebody removes or spoils under a run's hands is built anew, and is nobody's error."""
    if isinstance(visit.error, (ArchiveRefusedError, NotInStoreError)):
        raise Violation("removal is a miss", str(visit.error))


def check_end_has_a_reason(world: World, visit: Visit) -> None:
    """Check that a run that fails had a build that failed, waited for one, waited too long, or had lost the store."""
    error = visit.error
    has_reason = (
        error is None
        or error is visit.failure
        or (isinstance(error, BuildError) and world.told(error) is not None)
        or (isinstance(error, WaitError) and visit.errand.wait > 0 and world.clock >= visit.deadline - TOLERANCE)
        or (isinstance(error, StoreUnreachableError) and (visit.troubles > 0 or world.drawn.loses_archives))
        # Of a prune whose probe or pin was spoilt.
        or (isinstance(error, UsageError) and world.drawn.prunes and world.drawn.loses_archives)
    )
    if not has_reason:
        raise Violation("end has a reason", repr(error))


def check_nothing_is_left(world: World, keys: Iterable[EnvKey], machines: Iterable[Machine]) -> None:
    """Check that once each lease was taken again, and each machine had a turn, there is a note per key and no lock."""
    for key in keys:
        names = world.store.names(layout.lease(key.text), layout.leases(key.text))
        note, _ = world.note(key)
        if len(names) != 1 or note is None or note.state != OVER:
            raise Violation("nothing is left", f"the last of the notes {names} is {note}")
    for machine in machines:
        if locks := sorted(path.name for path in machine.locks.iterdir()):
            raise Violation("nothing is left", f"locks on {machine.name}: {locks}")

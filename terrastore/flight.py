"""One of many builds, and the others wait for it: on a machine by a lock, between machines by a lease in the store."""

from __future__ import annotations

import os
import random
import secrets
import socket
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from terrastore import atomic, room
from terrastore.errors import BuildError, StoreRefusedError, StoreUnreachableError, TerrastoreError, WaitError
from terrastore.report import plain
from terrastore.store.lease import BUILDING, FAILED, HEARTBEAT, OVER, TTL, Lease, Note, board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from terrastore.key import EnvKey
    from terrastore.patience import Patience
    from terrastore.report import Phase, Report
    from terrastore.store.lease import Board
    from terrastore.store.protocol import Object, WritableStore

_POLL_SECONDS: Final = (1.0, 3.0)
_SWEEP_SECONDS: Final = 0.2
"""Longest that somebody holds a lock only to see whether its holder is dead."""


class Flight:
    """The builds of one key, as one run sees them.

    ``locks`` is a directory on this machine's own disk; ``patience`` how long this run waits for others, none to build
    at once; ``required`` whether what is built must be published, so that nothing is built for a store that cannot be
    written.
    """

    def __init__(
        self,
        store: WritableStore,
        key: EnvKey,
        *,
        locks: Path,
        patience: Patience,
        required: bool = False,
        report: Report,
    ) -> None:
        self.key = key
        self.board = board(store, key.text)
        self.patience = patience
        self.report = report
        self._locks = locks
        self._required = required
        self._watch: _Watch | None = None

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Wait until nobody else builds. Yield whether the body is to build, else it is to look what came of it.

        While the body builds, others wait for it. Trouble with the lease keeps nobody from building, unless
        publishing is required.

        :raises BuildError: when the build that was waited for failed
        :raises WaitError: when somebody builds for longer than this run waits
        :raises HostError: when this machine's own lock cannot be had
        """
        with ExitStack() as stack:
            with self._writing():
                self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._remove_locks_of_the_dead()
                self._watch = self._watch or _Watch(self.board, self.patience.clock, self._place())
                building = _Turn(self, self._watch, stack).begun()
            if building is None:
                stack.close()  # whoever looks for what others made keeps nobody waiting
                yield False
            else:
                with building:
                    yield True

    def locked(self, patience: float) -> AbstractContextManager[None]:
        """Hold the lock that keeps other processes of this machine away; ``patience`` in seconds.

        :raises TimeoutError: when it could not be had in time
        """
        return atomic.locked(str(self._locks / self.key.text), patience=patience)

    def taken(self, seen: Object | None, place: str) -> AbstractContextManager[None] | None:
        """Return the lease, None when somebody was faster; ``place`` is empty where no lock vouches for its holder."""
        own = Note(
            holder=secrets.token_hex(16),
            host=socket.gethostname(),
            pid=os.getpid(),
            place=place,
            since=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        try:
            if not self.board.take(own.to_json(), seen):
                return None
        except (StoreRefusedError, StoreUnreachableError) as error:
            return self.untold(error)
        return _building(Lease(self.board, own, lambda: self.report.doing, every=HEARTBEAT))

    def untold(self, error: TerrastoreError) -> AbstractContextManager[None]:
        """Return what to hold when nobody can be told of the build; whether it can be published will be seen."""
        if self._required:
            raise error
        self.report.remark(f"other machines cannot be told of this build, and may build too: {error.message}")
        return nullcontext()

    def _place(self) -> str:
        """Return what tells the locks of this directory from all others, as long as this machine runs."""
        facts = os.stat(self._locks)
        return f"{atomic.lock_domain()}-{facts.st_dev:x}-{facts.st_ino:x}"

    def _writing(self) -> AbstractContextManager[None]:
        otherwise = "name a directory elsewhere with --cache-dir"
        return room.writing(str(self._locks), what="the lock of a build", otherwise=otherwise)

    def _remove_locks_of_the_dead(self) -> None:
        """Remove locks of other keys that nobody holds; our own goes with our turn."""
        for lock in self._locks.iterdir():
            if lock.name != self.key.text:
                with suppress(OSError), atomic.locked(str(lock), patience=0):
                    pass


class _Turn:
    """One turn while it begins: whether the lock of this machine is ours, and what is seen of builds elsewhere."""

    def __init__(self, flight: Flight, watch: _Watch, stack: ExitStack) -> None:
        self._flight = flight
        self._watch = watch
        self._stack = stack
        self._phase: Phase | None = None
        self._has_lock = False
        self._outlasted_neighbour = False

    def begun(self) -> AbstractContextManager[None] | None:
        """Return what to hold for the length of a build, or None once a build that was waited for has ended.

        :raises BuildError: when that one failed
        :raises WaitError: when it goes on for longer than this run waits
        """
        self._try_lock(min(_SWEEP_SECONDS, self._flight.patience.left))
        self._watch.look()
        with ExitStack() as waiting:
            while not self._is_over():
                if (building := self._building()) is not None:
                    return building
                if self._is_over():
                    break  # somebody was faster, and is done by now
                if self._phase is None:
                    self._phase = waiting.enter_context(self._shown())
                self._wait()
        return None

    def _building(self) -> AbstractContextManager[None] | None:
        """Return what to hold when it is for us to build."""
        watch, flight = self._watch, self._flight
        if watch.trouble is not None:
            # Who waits already rides out what another machine's heartbeat may ride out too.
            if self._has_lock and (self._phase is None or watch.silence >= TTL):
                return flight.untold(watch.trouble)
        elif watch.is_dead or (self._has_lock and watch.is_free):
            building = flight.taken(watch.seen, watch.place if self._has_lock else "")
            if building is not None:
                self._tell_whom_it_follows()
                return building
            watch.look()  # somebody was faster
        return None if flight.patience.seconds else nullcontext()

    def _is_over(self) -> bool:
        """Whether a build that was waited for has ended.

        :raises BuildError: when it failed
        """
        watch = self._watch
        if not watch.has_waited or watch.trouble is not None:
            return False
        return watch.hears_of_an_end() or self._outlasted_neighbour

    def _wait(self) -> None:
        """Wait a little, for our neighbours' lock where that is not ours, and look again.

        :raises WaitError: when there is no patience left
        """
        patience, who, doing = self._flight.patience, self._who, self._watch.doing
        if not patience.left:
            raise WaitError(
                f"waited {patience.seconds:.0f} s for {self._flight.key.short}, which is built by {who}",
                hint="wait longer with --wait SECONDS; --wait 0 builds at once",
            )
        self._watch.has_waited = True
        if self._phase is not None:
            self._phase.say(f"{who}: {doing}" if doing else who)
        seconds = random.uniform(*_POLL_SECONDS)  # noqa: S311 -- spreads those who wait
        if self._has_lock:
            patience.sleep(seconds)
        else:
            self._outlasted_neighbour = self._try_lock(min(seconds, patience.left))
        self._watch.look()

    def _try_lock(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            self._stack.enter_context(self._flight.locked(seconds))
            self._has_lock = True
        return self._has_lock

    @property
    def _who(self) -> str:
        is_told = self._has_lock or self._watch.says_building
        return self._watch.who if is_told else "another process of this machine"

    @contextmanager
    def _shown(self) -> Iterator[Phase]:
        """Show that this run waits."""
        self._flight.report.remark(f"wait  {self._flight.key.short} is built by {self._who}")
        with self._flight.report.phase("wait", unit="steps") as phase:
            yield phase

    def _tell_whom_it_follows(self) -> None:
        watch = self._watch
        if watch.says_building:
            why = f"not heard of for {TTL:.0f} s" if watch.is_dead else "which was killed"
            self._flight.report.remark(f"take  {self._flight.key.short} from {watch.who}, {why}")


class _Watch:
    """What one run sees of a lease in all its turns, by a clock of its own.

    ``seen`` is what counts, ``note`` what it says, None when this version does not understand it; ``trouble`` why the
    store could not be asked just now. ``place`` is where this run is, ``has_waited`` whether it waited for anybody.
    """

    def __init__(self, board: Board, clock: Callable[[], float], place: str) -> None:
        self._board = board
        self._clock = clock
        self._changed = self._answered = clock()
        self._has_looked = False
        self._before: Note | None = None
        self.place = place
        self.has_waited = False
        self.seen: Object | None = None
        self.note: Note | None = None
        self.trouble: TerrastoreError | None = None

    def look(self) -> None:
        """See what the lease is now; what was seen before stays when the store cannot be asked."""
        try:
            seen = self._board.look()
        except (StoreRefusedError, StoreUnreachableError) as error:
            self.trouble = error
            return
        self.trouble, self._answered = None, self._clock()
        if self.seen is None or seen is None or seen.version != self.seen.version:
            self._changed = self._answered
        self.seen, self.note = seen, Note.parse(seen.data) if seen is not None else None
        if not self._has_looked:
            self._has_looked, self._before = True, self.note

    def hears_of_an_end(self) -> bool:
        """Whether a build has ended since this run came, or since it was told so last.

        :raises BuildError: when it failed
        """
        is_news = _has_ended(self.note, self._before)
        if is_news:
            self._before = self.note
        return is_news

    @property
    def says_building(self) -> bool:
        """Whether somebody is said to build; what is not understood may say so."""
        return self.seen is not None and (self.note is None or self.note.state == BUILDING)

    @property
    def is_free(self) -> bool:
        """Whether nobody builds, as who holds the lock of this place may judge."""
        # The writer of a note of this place held the lock that is ours now: it was killed.
        return not self.says_building or (self.note is not None and self.note.place == self.place)

    @property
    def is_dead(self) -> bool:
        """Whether who builds said nothing for a time to live, wherever it is."""
        return self.says_building and self._clock() - self._changed >= TTL

    @property
    def silence(self) -> float:
        """Seconds since the store answered."""
        return self._clock() - self._answered

    @property
    def who(self) -> str:
        """Who builds, for people."""
        note = self.note
        return plain(f"{note.host}, process {note.pid}, since {note.since}") if note else "somebody"

    @property
    def doing(self) -> str:
        """What is being done there."""
        return plain(self.note.phase) if self.note and self.note.state == BUILDING else ""


@contextmanager
def _building(lease: Lease) -> Iterator[None]:
    """Hold a lease, and tell how the build ended; only what would fail elsewhere too is told as a failure."""
    lease.hold()
    try:
        yield
    except BuildError as error:
        if error.here:
            lease.release(OVER)
        else:
            lease.release(FAILED, error.message)
        raise
    except BaseException:
        lease.release(OVER)
        raise
    lease.release(OVER)


def _has_ended(note: Note | None, before: Note | None) -> bool:
    """Whether a note tells of the end of a build, and is not the one that was there before this run waited.

    :raises BuildError: when that build failed
    """
    if note is None or note.state == BUILDING or note == before:
        return False
    if note.state == FAILED:
        host, message = plain(note.host), "\n".join(map(plain, note.message.split("\n")))
        raise BuildError(
            f"the build that this run waited for failed, on {host}: {message}",
            hint=f"the whole output is in the log on {host}; run again to build here",
        )
    return True

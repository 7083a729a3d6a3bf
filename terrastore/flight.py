"""One of many builds, and the others wait for it: on a machine by a lock, between machines by a lease in the store."""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from terrastore import atomic, room
from terrastore.errors import BuildError, StoreRefusedError, StoreUnreachableError, WaitError
from terrastore.report import plain
from terrastore.store.lease import BUILDING, FAILED, HEARTBEAT, OVER, TTL, Lease, Note, board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from terrastore.key import EnvKey
    from terrastore.report import Phase, Report
    from terrastore.store.protocol import Object, WritableStore

_POLL_SECONDS: Final = (1.0, 3.0)


class Flight:
    """The builds of one key, as one run sees them.

    ``locks`` is a directory on this machine's own disk; ``wait`` the most seconds that this run waits for others, 0 to
    build at once; ``required`` whether what is built must be published, so that nothing is built for a store that
    cannot be written.
    """

    def __init__(
        self,
        store: WritableStore,
        key: EnvKey,
        *,
        locks: Path,
        wait: float,
        required: bool = False,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._required = required
        self._key = key
        self._board = board(store, key.text)
        self._locks = locks
        self._report = report
        self._clock = clock
        self._patience = _Patience(key, wait, report, clock, sleep)

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
                building = self._begun(stack)
            if building is None:
                stack.close()  # whoever looks for what others made keeps nobody waiting
                yield False
            else:
                with building:
                    yield True

    def _begun(self, stack: ExitStack) -> AbstractContextManager[None] | None:
        """Return what to hold for the length of a build, or None once somebody else's build has ended."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = str(self._locks / self._key.text)
        self._remove_locks_of_the_dead()
        try:
            stack.enter_context(atomic.locked(path, patience=0))
        except TimeoutError:
            if not self._patience.left:
                return nullcontext()
            self._wait_here(stack, path)
            return None
        return self._leased()

    def _writing(self) -> AbstractContextManager[None]:
        otherwise = "name a directory elsewhere with --cache-dir"
        return room.writing(str(self._locks), what="the lock of a build", otherwise=otherwise)

    def _remove_locks_of_the_dead(self) -> None:
        """Remove locks of other keys that nobody holds; our own goes with our turn."""
        for lock in self._locks.iterdir():
            if lock.name != self._key.text:
                with suppress(OSError), atomic.locked(str(lock), patience=0):
                    pass

    def _wait_here(self, stack: ExitStack, path: str) -> None:
        """Wait until another process of this machine has built."""
        is_known, before = self._noted()
        with self._patience.shown("another process of this machine"):
            try:
                stack.enter_context(atomic.locked(path, patience=self._patience.left))
            except TimeoutError:
                raise self._patience.exhausted("another process of this machine") from None
        _, after = self._noted()
        if is_known:
            _has_ended(after, before)

    def _leased(self) -> AbstractContextManager[None] | None:
        """Return the lease where it can be had, or None once the build of another machine has ended."""
        watch = _Watch(self._clock, self._place())
        try:
            with ExitStack() as stack:
                waited = False
                seen, note = self._seen()
                before = note
                while True:
                    if watch.is_free(seen, note):
                        if (building := self._taken(seen)) is not None:
                            return building
                        seen, note = self._seen()  # somebody was faster
                        if waited and _has_ended(note, before):
                            return None
                    if not self._patience.left and not waited:
                        return nullcontext()
                    who = plain(f"{note.host}, process {note.pid}, since {note.since}") if note else "somebody"
                    if not waited:
                        phase = stack.enter_context(self._patience.shown(who))
                        waited = True
                    self._patience.spend(phase, who, plain(note.phase) if note else "")
                    seen, note = self._seen()
                    if _has_ended(note, before):
                        return None
        except (StoreRefusedError, StoreUnreachableError) as error:
            if self._required:
                raise
            self._report.remark(f"others are not told that this is built here: {error.message}")
            return nullcontext()

    def _taken(self, seen: Object | None) -> AbstractContextManager[None] | None:
        """Return the lease, None when somebody was faster."""
        own = self._own_note()
        try:
            if not self._board.take(own.to_json(), seen):
                return None
        except (StoreRefusedError, StoreUnreachableError) as error:
            if self._required:
                raise
            self._report.warn(f"{error.message}; it is built here all the same, and may not be published")
            return nullcontext()
        return _building(Lease(self._board, own, lambda: self._report.doing, every=HEARTBEAT))

    def _seen(self) -> tuple[Object | None, Note | None]:
        seen = self._board.look()
        return seen, Note.parse(seen.data) if seen is not None else None

    def _noted(self) -> tuple[bool, Note | None]:
        """Return whether the store said what the note is, and the note."""
        with suppress(StoreRefusedError, StoreUnreachableError):
            return True, self._seen()[1]
        return False, None

    def _own_note(self) -> Note:
        return Note(
            holder=secrets.token_hex(16),
            host=socket.gethostname(),
            pid=os.getpid(),
            place=self._place(),
            since=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _place(self) -> str:
        """Return what tells the locks of this directory from all others, as long as this machine runs."""
        facts = os.stat(self._locks)
        return f"{atomic.lock_domain()}-{facts.st_dev:x}-{facts.st_ino:x}"


class _Watch:
    """Judges by a clock of its own whether a lease may be taken."""

    def __init__(self, clock: Callable[[], float], place: str) -> None:
        self._clock = clock
        self._place = place
        self._version: str | None = None
        self._changed = clock()

    def is_free(self, seen: Object | None, note: Note | None) -> bool:
        """Whether nobody builds: there is no note, it says so, or whoever wrote it is dead."""
        if seen is None:
            return True
        if seen.version != self._version:
            self._version, self._changed = seen.version, self._clock()
        if note is not None and (note.state != BUILDING or note.place == self._place):
            # We hold the lock that the writer of this note held on this machine: it was killed.
            return True
        return self._clock() - self._changed >= TTL


class _Patience:
    """Waits a little at a time, shows for whom, and ends."""

    def __init__(
        self, key: EnvKey, seconds: float, report: Report, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._key = key
        self._report = report
        self._clock = clock
        self._sleep = sleep
        self._seconds = seconds
        self._deadline = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._deadline - self._clock())

    @contextmanager
    def shown(self, who: str) -> Iterator[Phase]:
        """Show that this run waits."""
        self._report.remark(f"wait  {self._key.short} is built by {who}")
        with self._report.phase("wait", unit="steps") as phase:
            yield phase

    def spend(self, phase: Phase, who: str, doing: str) -> None:
        """Wait a little.

        :raises WaitError: when there is no patience left
        """
        if not self.left:
            raise self.exhausted(who)
        phase.say(f"{who}: {doing}" if doing else who)
        self._sleep(min(random.uniform(*_POLL_SECONDS), self.left))  # noqa: S311 -- spreads those who wait

    def exhausted(self, who: str) -> WaitError:
        """Return the error for having waited too long."""
        return WaitError(
            f"waited {self._seconds:.0f} s for {self._key.short}, which is built by {who}",
            hint="wait longer with --wait SECONDS; --wait 0 builds at once",
        )


@contextmanager
def _building(lease: Lease) -> Iterator[None]:
    """Hold a lease, and tell how the build ended; only what would fail elsewhere too is told as a failure."""
    lease.hold()
    try:
        yield
    except BuildError as error:
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

"""Who builds a key: a note in a store that saves work and never guards correctness.

A holder writes its note and renews it as long as it builds. Whoever comes later waits, and takes over when the note
did not change for :data:`TTL` by a monotonic clock of its own: nobody's wall clock counts. Two who believe that they
hold the lease build twice, and what they publish is sound.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from terrastore.errors import TerrastoreError
from terrastore.store import layout
from terrastore.store.protocol import ListableStore, Object

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.store.protocol import WritableStore

TTL: Final = 60.0
"""Seconds without a change after which a holder counts as dead."""
HEARTBEAT: Final = 20.0
"""Seconds between two notes of a holder."""
_FAREWELL: Final = 4.0
"""Most seconds that a holder takes to say how it ended, when the store does not answer."""
SCHEMA: Final = 1
BUILDING: Final = "building"
OVER: Final = "over"
FAILED: Final = "failed"
_STATES: Final = (BUILDING, OVER, FAILED)
_MESSAGE_LIMIT: Final = 4000
_GENERATION: Final = re.compile(r"[0-9]{8}|[1-9][0-9]{8,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a holder says.

    ``state`` is ``building``, ``over`` or ``failed``; ``since`` is a time in UTC, for people to read. ``place`` is
    equal for holders of one machine, who keep each other away by a lock there, and empty for one that holds no such
    lock. ``holder`` is random, so that no two
    notes of different holders are equal; ``sequence`` counts the notes of one.
    """

    holder: str
    host: str
    pid: int
    place: str
    since: str
    sequence: int = 0
    state: str = BUILDING
    phase: str = ""
    message: str = ""

    def to_json(self) -> bytes:
        """Return the note as it is stored."""
        return json.dumps({"schema": SCHEMA} | asdict(self), sort_keys=True).encode()

    @classmethod
    def parse(cls, data: bytes) -> Note | None:
        """Return what ``data`` says, None when this version does not understand it."""
        try:
            said = json.loads(data)
            if said["schema"] != SCHEMA or said["state"] not in _STATES:
                return None
            return cls(
                holder=str(said["holder"]),
                host=str(said["host"]),
                pid=int(said["pid"]),
                place=str(said["place"]),
                since=str(said["since"]),
                sequence=int(said["sequence"]),
                state=said["state"],
                phase=str(said["phase"]),
                message=str(said["message"]),
            )
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            return None


class Board(Protocol):
    """Where the notes of one key are put up; the last one counts."""

    def look(self) -> Object | None:
        """Return the note that counts, None when there never was one."""

    def take(self, data: bytes, seen: Object | None) -> bool:
        """Put up a note in place of ``seen``; of several who saw the same, one is told True."""

    def renew(self, data: bytes, own: Object) -> bool:
        """Put up a note in place of one's own; return False when another one counts by now."""


class OneObject:
    """A board on a store that replaces by version in one step: ``leases/<key>.json``."""

    def __init__(self, store: WritableStore, key: str) -> None:
        self._store = store
        self._name = layout.lease(key)

    def look(self) -> Object | None:
        return self._store.read(self._name)

    def take(self, data: bytes, seen: Object | None) -> bool:
        if seen is None:
            return self._store.create(self._name, data)
        return self._store.replace(self._name, data, seen.version)

    def renew(self, data: bytes, own: Object) -> bool:
        return self._store.replace(self._name, data, own.version)


class Generations:
    """A board on a store where only creating is decided in one step: ``leases/<key>/<generation>``, the highest counts.

    Each holder owns a generation, and alone replaces it. Versions begin with the generation.
    """

    def __init__(self, store: WritableStore, listing: ListableStore, key: str) -> None:
        self._store = store
        self._listing = listing
        self._folder = layout.leases(key)

    def look(self) -> Object | None:
        while numbers := self._numbers():
            number = max(numbers)
            # Another holder may have tidied it away since it was listed: then there is a higher one.
            if (found := self._store.read(self._name(number))) is not None:
                return Object(found.data, f"{number} {found.version}")
        return None

    def take(self, data: bytes, seen: Object | None) -> bool:
        number = _generation(seen)[0] + 1 if seen is not None else 1
        if not self._store.create(self._name(number), data):
            return False
        current = self.look()
        # Somebody who slept long finds a number free that was tidied away long ago.
        if current is None or current.data != data:
            return False
        # What counts for nothing may stay where it cannot be removed, as another user's in a sticky directory.
        with suppress(TerrastoreError):
            for old in self._numbers():
                if old < number:
                    self._listing.remove(self._name(old))
        return True

    def renew(self, data: bytes, own: Object) -> bool:
        current = self.look()
        if current is None or current.version != own.version:
            return False
        number, version = _generation(own)
        return self._store.replace(self._name(number), data, version)

    def _numbers(self) -> list[int]:
        """Return the generations that are there; whatever else lies among them is somebody else's."""
        names = [listed.name.removeprefix(self._folder) for listed in self._listing.list(self._folder)]
        return [int(name) for name in names if _GENERATION.fullmatch(name)]

    def _name(self, number: int) -> str:
        return f"{self._folder}{number:08}"


def _generation(note: Object) -> tuple[int, str]:
    """Return the generation of a note that was seen, and the version of its object."""
    number, _, version = note.version.partition(" ")
    return int(number), version


def board(store: WritableStore, key: str) -> Board:
    """Return where the notes for ``key`` are put up in ``store``."""
    if not store.swaps and isinstance(store, ListableStore):
        return Generations(store, store, key)
    return OneObject(store, key)


class Lease:
    """A lease that is held: renewed by a thread, each time after ``every`` seconds, until :meth:`release`.

    ``lost`` is set when somebody took over; what the holder does is sound all the same.
    """

    def __init__(self, board: Board, note: Note, phase: Callable[[], str], *, every: float) -> None:
        self._board = board
        self._holder = note.holder
        self._phase = phase
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._end: dict[str, str] = {}
        self.lost = False

    def hold(self) -> None:
        """Begin to renew it."""
        self._thread.start()

    def release(self, state: str, message: str = "") -> None:
        """Say how it ended; that nobody hears it costs the others the time to live."""
        self._end = {"state": state, "message": message[-_MESSAGE_LIMIT:]}
        self._stop.set()
        self._thread.join(_FAREWELL)

    def _live(self) -> None:
        """Renew it until it is released, or another holder has it."""
        while not self.lost and not self._stop.wait(self._every):
            # A store that does not answer now may answer next time, before the time to live is over.
            with suppress(TerrastoreError):
                self._renew(phase=self._phase())
        if not self.lost:
            with suppress(TerrastoreError):
                self._renew(**self._end)

    def _renew(self, *, state: str = BUILDING, phase: str = "", message: str = "") -> None:
        for _ in range(2):
            own = self._board.look()
            current = Note.parse(own.data) if own is not None else None
            if own is None or current is None or current.holder != self._holder:
                self.lost = True
                return
            # By the one that is there, whether or not we were told that it is: each is to differ from the one before.
            note = replace(current, sequence=current.sequence + 1, state=state, phase=phase, message=message)
            # Told False, it may have been our own earlier try whose reply was lost.
            if self._board.renew(note.to_json(), own):
                return

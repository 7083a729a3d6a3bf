"""Processes of several machines in one: chance decides which thread goes on, and time passes only while all sleep.

What runs is real code in real threads, each of which waits for its turn. The same chance gives the same run.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from terrastore.errors import StoreUnreachableError
from terrastore.store.memory import MemoryStore, _version

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from terrastore.store.protocol import Listed, Object, Upload


class KilledError(BaseException):
    """Unwinds a thread of a killed process: whatever it still tries raises this too, and comes to nothing."""


@dataclass(eq=False)
class Process:
    """Threads that freeze and die together."""

    name: str
    threads: list[Thread] = field(default_factory=list)
    frozen_until: float = 0.0
    died: float | None = None


class Thread:
    """A thread that has its turn when its time has come, or earlier when its condition holds."""

    def __init__(self, process: Process, wakes: float) -> None:
        self.process = process
        self.wakes = wakes
        self.condition: Callable[[], bool] | None = None
        self.ended = False
        self.doomed = False
        self.killer: Thread | None = None
        self.baton = threading.Lock()
        self.baton.acquire()

    @property
    def due(self) -> float:
        """When it goes on, as far as that can be known now."""
        wakes = 0.0 if self.condition is not None and self.condition() else self.wakes
        return max(wakes, self.process.frozen_until)


class Simulation:
    """Who goes on, and what time it is: ``now`` in seconds."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.steps = 0
        self.current: Thread | None = None
        self._threads: list[Thread] = []
        self._failure: BaseException | None = None
        self._over = threading.Lock()
        self._over.acquire()

    @property
    def process(self) -> Process:
        """Whose turn it is."""
        assert self.current is not None
        return self.current.process

    def start(self, process: Process, body: Callable[[], object]) -> Thread:
        """Let a process have one more thread."""
        thread = Thread(process, self.now)
        process.threads.append(thread)
        self._threads.append(thread)
        threading.Thread(target=self._live, args=(thread, body), daemon=True).start()
        return thread

    def run(self) -> None:
        """Go on until every thread has ended, and raise what made one of them fail."""
        self._hand_on()
        self._over.acquire()
        if self._failure is not None:
            raise self._failure

    def sleep(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Let others go on for so long, or until a condition holds."""
        thread = self.current
        assert thread is not None
        self._end_if_doomed(thread)
        thread.wakes, thread.condition = self.now + seconds, until
        if self._hand_on() is not thread:
            thread.baton.acquire()
        self._end_if_doomed(thread)

    def kill(self, process: Process) -> None:
        """End a process at once, wherever its threads are: nobody goes on before they are gone."""
        killer = self.current
        assert killer is not None
        process.died = self.now
        for thread in [thread for thread in process.threads if not thread.ended]:
            thread.doomed = True
            if thread is not killer:
                thread.killer, self.current = killer, thread
                thread.baton.release()
                killer.baton.acquire()
                self.current = killer
        self._end_if_doomed(killer)

    def end_daemons(self) -> None:
        """Let the threads that a process started beside the one that goes on end with it, wherever they are."""
        for thread in self.process.threads:
            if thread is not self.current and not thread.ended:
                thread.doomed, thread.wakes, thread.condition = True, self.now, None

    def fail(self, failure: BaseException) -> None:
        """End all of it."""
        self._failure = self._failure or failure
        raise KilledError

    def _live(self, thread: Thread, body: Callable[[], object]) -> None:
        thread.baton.acquire()
        try:
            self._end_if_doomed(thread)
            body()
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 -- raised to who started all of it
            self._failure = self._failure or error
        thread.ended = True
        self._threads.remove(thread)
        if thread.killer is not None:
            thread.killer.baton.release()
        elif self._threads:
            self._hand_on()
        else:
            self._over.release()

    def _hand_on(self) -> Thread:
        """Choose who goes on, and wake it unless that is who chooses; from then on nothing here is ours."""
        before, chosen = self.current, self._chosen()
        self.current = chosen
        self.steps += 1
        if chosen is not before:
            chosen.baton.release()
        return chosen

    def _chosen(self) -> Thread:
        dues = [thread.due for thread in self._threads]
        self.now = max(self.now, min(dues))
        if math.isinf(self.now):
            self._failure = self._failure or AssertionError("everybody waits for somebody")
        if self._failure is not None:
            return self._threads[0]
        ready = [thread for thread, due in zip(self._threads, dues, strict=True) if due <= self.now]
        return ready[0] if len(ready) == 1 else self.chance.choice(ready)

    def _end_if_doomed(self, thread: Thread) -> None:
        if thread.doomed or self._failure is not None:
            raise KilledError


class Threading:
    """What a module finds in ``threading``, driven by a simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def Thread(self, *, target: Callable[[], object], daemon: bool) -> SimulatedThread:  # noqa: N802 -- as there
        assert daemon
        return SimulatedThread(self._simulation, target)

    def Event(self) -> SimulatedEvent:  # noqa: N802 -- as there
        return SimulatedEvent(self._simulation)


class SimulatedThread:
    """``threading.Thread``."""

    def __init__(self, simulation: Simulation, target: Callable[[], object]) -> None:
        self._simulation = simulation
        self._target = target
        self._thread: Thread | None = None

    def start(self) -> None:
        self._thread = self._simulation.start(self._simulation.process, self._target)

    def join(self, timeout: float) -> None:
        self._simulation.sleep(timeout, until=lambda: self._thread is not None and self._thread.ended)


class SimulatedEvent:
    """``threading.Event``."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout: float) -> bool:
        self._simulation.sleep(timeout, until=self.is_set)
        return self._is_set


class SharedStore(MemoryStore):
    """A store in memory that tells before every operation, which may raise, or let the reply to a change be lost.

    ``operation`` is given verb and name, and whether anything changes; it returns whether to lose the reply.
    ``changed`` is given the name of what changed.
    """

    def __init__(self, operation: Callable[[str, str, bool], bool], changed: Callable[[str], None]) -> None:
        super().__init__()
        self._operation = operation
        self._changed = changed

    def read(self, name: str) -> Object | None:
        self._operation("read", name, False)
        return super().read(name)

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        self._operation("read range of", name, False)
        return super().read_range(name, offset, size)

    def create(self, name: str, data: bytes) -> bool:
        with self._changing("create", name):
            return super().create(name, data)

    def replace(self, name: str, data: bytes, version: str) -> bool:
        with self._changing("replace", name):
            return super().replace(name, data, version)

    @contextmanager
    def upload(self, name: str) -> Iterator[Upload]:
        self._operation("begin", name, False)
        upload = _Pieces(self, name)
        yield upload
        with self._changing("end", name), super().upload(name) as whole:
            whole.write(b"".join(upload.pieces))

    def list(self, prefix: str) -> Iterator[Listed]:
        self._operation("list", prefix, False)
        return super().list(prefix)

    def remove(self, name: str) -> bool:
        with self._changing("remove", name):
            return super().remove(name)

    def remove_listed(self, listed: Listed) -> bool:
        with self._changing("remove as listed", listed.name):
            return super().remove_listed(listed)

    def peek(self, name: str) -> bytes | None:
        """Return an object for who only looks on."""
        return self._objects.get(name)

    def names(self, *prefixes: str) -> tuple[str, ...]:
        """Return the names of objects for who only looks on, sorted."""
        return tuple(sorted(name for name in self._objects if name.startswith(prefixes)))

    def spoil(self, name: str, data: bytes | None) -> None:
        """Change an object behind everybody's back, or remove it."""
        if data is None:
            del self._objects[name]
        else:
            self._objects[name] = data
        self._changed(name)

    @contextmanager
    def _changing(self, verb: str, name: str) -> Iterator[None]:
        reply_is_lost = self._operation(verb, name, True)
        yield
        self._changed(name)
        if reply_is_lost:
            raise StoreUnreachableError(f"the reply was lost to {verb} {name}")


class SharedDirectory(SharedStore):
    """The same as a directory has it: replacing is reading first and writing then, and a listing is no instant.

    What is removed as it was listed is taken aside, looked at, and put back when it is another.
    """

    swaps = False

    def replace(self, name: str, data: bytes, version: str) -> bool:
        current = self.read(name)
        if current is None or current.version != version:
            return False
        with self._changing("rename over", name):
            self._put(name, data)
        return True

    def remove_listed(self, listed: Listed) -> bool:
        current = self.read(listed.name)
        if current is None or current.version != listed.version:
            return False
        with self._changing("take aside", listed.name):
            data = self._objects.pop(listed.name, None)
        is_it = data is not None and _version(data) == listed.version
        if data is not None and not is_it:
            self.create(listed.name, data)
        return is_it

    def list(self, prefix: str) -> Iterator[Listed]:
        found = list(super().list(prefix))
        self._operation("list the rest of", prefix, False)
        return (listed for listed in found if listed.name in self._objects)


class CarelessStore(SharedStore):
    """The same as a bucket has it whose server ignores conditions: looking comes before writing, and after creating."""

    conditional = False

    def create(self, name: str, data: bytes) -> bool:
        if self.read(name) is not None:
            return False
        self._write_over(name, data)
        found = self.read(name)
        return found is not None and found.data == data

    def replace(self, name: str, data: bytes, version: str) -> bool:
        current = self.read(name)
        if current is None or current.version != version:
            return False
        self._write_over(name, data)
        return True

    def remove_listed(self, listed: Listed) -> bool:
        current = self.read(listed.name)
        return current is not None and current.version == listed.version and self.remove(listed.name)

    def _write_over(self, name: str, data: bytes) -> None:
        with self._changing("write over", name):
            self._put(name, data)


class _Pieces:
    """An upload that nobody sees yet."""

    def __init__(self, store: SharedStore, name: str) -> None:
        self._store = store
        self._name = name
        self.pieces: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self._store._operation("write", self._name, False)
        self.pieces.append(data)

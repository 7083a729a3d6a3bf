"""Processes that write the pieces of an archive's layers, as many as there are processors.

Each is worked by a thread of its own, which waits for it: they go on at the same time, as threads alone would not, for
Python lets one of them run at a time, and hands over at every file that is written. What is small is written here,
before another process would have begun.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from terrastore.archive._piece import Hand, receive, send
from terrastore.archive.pieces import LostError, umask
from terrastore.archive.ustar import MalformedError
from terrastore.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

_RUN: Final = "import sys; sys.path[:] = sys.argv[1:]; from terrastore.archive._piece import main; main()"
_MOST: Final = 8
_SHARE: Final = 16 * 1024 * 1024
"""How many bytes another process is worth."""
_SMALL: Final = 16 * 1024 * 1024


class Job(NamedTuple):
    """A piece that is being written: where the next one begins, which is known first, and what came of it."""

    end: Future[Any]
    written: Future[Any]


class Crew:
    """Processes that write ``size`` bytes below ``root``, at most ``most`` of them.

    Leaving it waits for what they do, or ends them when something failed.
    """

    def __init__(self, root: str, held: Collection[str], *, size: int, most: int) -> None:
        self.count = max(1, min(most, _MOST, size // _SHARE))
        self._idle: SimpleQueue[_Other | _Here] = SimpleQueue()
        setup = (root, sorted(held), umask())
        self._pool: Executor = _AtOnce() if size < _SMALL else ThreadPoolExecutor(self.count)
        self._hands = [_Here(setup)] if size < _SMALL else [_Other(setup) for _ in range(self.count)]
        for hand in self._hands:
            self._idle.put(hand)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            for hand in self._hands:
                hand.kill()
        self._pool.shutdown(cancel_futures=True)
        for hand in self._hands:
            hand.close()

    def write(
        self, name: str, *arguments: Any, data: bytes | memoryview = b"", start: Future[Any] | None = None
    ) -> Job:
        """Have a piece written that begins at ``start``, None for a layer's beginning.

        See :mod:`terrastore.archive._piece` for what else there is to say.
        """
        end: Future[Any] = Future()
        return Job(end, self._pool.submit(self._write, start, end, name, arguments, data))

    def do(self, name: str, *arguments: Any) -> Future[Any]:
        """Have something else done."""
        return self._pool.submit(self._do, (name, *arguments))

    def _write(
        self, start: Future[Any] | None, end: Future[Any], name: str, arguments: Any, data: bytes | memoryview
    ) -> Any:
        try:
            return self._do((name, *arguments), data, start, end.set_result)
        except BaseException as error:
            if not end.done():
                end.set_exception(error)
            raise

    def _do(
        self,
        job: Any,
        data: bytes | memoryview = b"",
        start: Future[Any] | None = None,
        tell: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        hand = self._idle.get()
        try:
            return hand.do(job, data, start, tell)
        finally:
            self._idle.put(hand)


class _AtOnce(Executor):
    """Does what it is given while it takes it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 -- raised where it is waited for
            done.set_exception(error)
        return done


class _Here:
    """This process."""

    def __init__(self, setup: Any) -> None:
        self._start: Future[Any] | None = None
        self._tell: Callable[[Any], None] | None = None
        self._hand = Hand(self._ask, self._told, *setup)

    def do(self, job: Any, data: bytes | memoryview, start: Future[Any] | None, tell: Callable[[Any], None]) -> Any:
        """Do a job; see :meth:`_Other.do`."""
        self._start, self._tell = start, tell
        name, *arguments = job
        return getattr(self._hand, name)(data, *arguments)

    def _told(self, end: Any) -> None:
        if self._tell is not None:
            self._tell(end)

    def _ask(self) -> Any:
        return self._start.result() if self._start is not None else None

    def kill(self) -> None:
        """Do nothing: what is being done is small."""

    def close(self) -> None:
        """Do nothing."""


class _Other:
    """Another process."""

    def __init__(self, setup: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _RUN, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._process.stdin is not None  # noqa: S101 -- for the reader of types: both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._jobs, self._results = self._process.stdin, self._process.stdout
        self._setup = setup

    def do(self, job: Any, data: bytes | memoryview, start: Future[Any] | None, tell: Callable[[Any], None]) -> Any:
        """Have a job done; return what came of it, and ``tell`` where its end is, which is known before.

        :raises MalformedError: for what is not as the format says
        :raises LostError: for what is not kept any more
        :raises OSError: for what cannot be written
        :raises HostError: when the process is ended by somebody else
        """
        try:
            if self._setup is not None:
                send(self._jobs, self._setup)
                self._setup = None
            send(self._jobs, job, data)
            if start is not None:
                send(self._jobs, self._known(start))
            kind, value = receive(self._results)[0]
            while kind == "end":
                tell(value)
                kind, value = receive(self._results)[0]
        except (EOFError, BrokenPipeError):
            how = self._process.wait()
            raise HostError(
                f"a process that unpacks was ended by {f'signal {-how}' if how < 0 else f'exit code {how}'}",
                hint="see whether memory ran out, in the kernel's log",
            ) from None
        if kind == "malformed":
            raise MalformedError(value)
        if kind == "lost":
            raise LostError(value)
        if kind == "os":
            raise OSError(*value)
        if kind == "defect":
            raise RuntimeError(value)
        return value

    def _known(self, start: Future[Any]) -> Any:
        try:
            return start.result()
        except BaseException:
            self.kill()  # it waits for what will never be
            raise

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def close(self) -> None:
        """Let it end, and wait for that."""
        self._jobs.close()
        self._process.wait()
        self._results.close()

"""What is drawn on standard error: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from terrastore.messages import print_line
from terrastore.report import Phase, Report, plain, plain_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

_PATIENCE: Final = 0.4
_FRAME: Final = 0.1
_LINE_EVERY: Final = 10.0


class TerminalReport(Report):
    """Draws phases, remarks and warnings.

    ``quiet`` 1 leaves out progress and remarks, 2 warnings too; ``verbose`` adds what tools say, line by line. Nothing
    is drawn, and ``rich`` is not imported, for work that is done within 0.4 s.
    """

    def __init__(self, *, quiet: int, verbose: int = 0) -> None:
        super().__init__()
        self._quiet = quiet
        self._verbose = verbose
        self._open: dict[int, tuple[Phase, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Progress | None = None
        self._drawn: dict[int, Any] = {}

    def remark(self, message: str) -> None:
        if self._quiet < 1:
            self._line(plain_lines(message))

    def warn(self, message: str) -> None:
        super().warn(message)
        if self._quiet < 2:  # noqa: PLR2004
            self._line(f"terrastore: warning: {plain_lines(message)}")

    def told(self, line: str) -> None:
        if self._verbose and self._quiet < 1:
            self._line(f"  {plain(line)}")

    def begun(self, phase: Phase) -> None:
        with self._lock:
            self._open[id(phase)] = phase, time.monotonic()
        if self._quiet < 1 and self._thread is None:
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()

    def ended(self, phase: Phase) -> None:
        with self._lock:
            self._open.pop(id(phase), None)

    def close(self) -> None:
        """Stop drawing and leave the terminal as it was."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _line(self, text: str) -> None:
        if self._live is not None:
            from terrastore import terminal  # noqa: PLC0415 -- as what draws

            text = terminal.fitted(plain_lines(text), sys.stderr)
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print_line(plain_lines(text), sys.stderr)

    def _draw(self) -> None:
        if self._stop.wait(_PATIENCE):
            return
        if sys.stderr.isatty():
            self._draw_live()
        else:
            while not self._stop.wait(_LINE_EVERY):
                self._draw_lines()

    def _draw_lines(self) -> None:
        with self._lock:
            now = [(phase, time.monotonic() - since) for phase, since in self._open.values()]
        for phase, seconds in now:
            done = f" {_amount(phase)}" if phase.total or phase.done else ""
            status = f" ({phase.status})" if phase.status else ""
            print(f"{phase.name}{done} after {seconds:.0f} s{status}", file=sys.stderr, flush=True)

    def _draw_live(self) -> None:
        from terrastore.cli.display import Display  # noqa: PLC0415 -- imported only when it is drawn

        # Lines that are told go through it before it begins and until it is gone, or one of them would cut it in two.
        self._live = live = Display()
        with _without_echo_of_controls(sys.stderr.fileno()), live:
            while not self._stop.wait(_FRAME):
                self._update(live)
        self._live = None

    def _update(self, live: Progress) -> None:
        with self._lock:
            now = {number: phase for number, (phase, _) in self._open.items()}
        for number in [number for number in self._drawn if number not in now]:
            live.remove_task(self._drawn.pop(number))
        for number, phase in now.items():
            if number not in self._drawn:
                self._drawn[number] = live.add_task(phase.name, total=phase.total, amount="", status="")
            live.update(self._drawn[number], completed=phase.done, amount=_amount(phase), status=phase.status)


@contextmanager
def _without_echo_of_controls(fd: int) -> Iterator[None]:
    """Keep the terminal from writing ``^C``, which would push a line as wide as the terminal out of reach.

    Only in the foreground: a background process that changes the terminal is stopped (tcsetattr(3), SIGTTOU).
    """
    import termios  # noqa: PLC0415 -- most runs draw nothing

    before = None
    with suppress(OSError, termios.error):
        if os.tcgetpgrp(fd) == os.getpgrp():
            before = termios.tcgetattr(fd)
            changed = [*before[:3], before[3] & ~termios.ECHOCTL, *before[4:]]
            termios.tcsetattr(fd, termios.TCSANOW, changed)
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, before)


def _amount(phase: Phase) -> str:
    if phase.unit == "steps":
        return ""
    if phase.unit == "bytes":
        done, total = f"{phase.done / 1e6:.1f}", f"/{phase.total / 1e6:.1f}" if phase.total else ""
        return f"{done}{total} MB"
    total = f"/{phase.total:,}" if phase.total else ""
    return f"{phase.done:,}{total} {phase.unit}"

"""What a run tells whoever watches it: phases with progress, remarks, warnings; figures as people read them.

The base class keeps the figures and draws nothing, so every layer can report without
knowing whether a terminal, a log or nobody listens.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_KILO: Final = 1000
# Also what turns the order of letters, or cannot be seen (Unicode, Bidi_Control and others).
_CONTROLS: Final = r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"


def size(count: int) -> str:
    """Return a number of bytes as a person reads it, in decimal units.

    >>> size(68_600_000)
    '68.6 MB'
    """
    value, units = float(count), iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while round(value, 1) >= _KILO and (larger := next(units, None)):
        value, unit = value / _KILO, larger
    return number(count, "byte") if unit == "bytes" else f"{value:.1f} {unit}"


def number(count: int, singular: str) -> str:
    """Return a count and its noun."""
    return f"{count:,} {singular}" if count == 1 else f"{count:,} {singular}s"


def listed(texts: Sequence[str], most: int = 5) -> str:
    """Return texts as a person lists them, the first few alone.

    >>> listed(["one", "two", "three"], 2)
    'one, two and 1 more'
    """
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def plain(text: str) -> str:
    r"""Return a line that somebody else wrote with spaces for what a terminal would obey.

    >>> plain("\x1b[31mred\n")
    ' [31mred '
    """
    return re.sub(_CONTROLS, " ", text)


def plain_lines(text: str) -> str:
    """Return a text with :func:`plain` lines; that it has several may be meant."""
    return "\n".join(map(plain, text.split("\n")))


class Phase:
    """One stretch of work. ``total`` and ``done`` are in ``unit``: bytes, or a count of the unit's plural."""

    def __init__(
        self,
        name: str,
        *,
        total: int | None,
        unit: str,
        tell: Callable[[str], None] | None = None,
        moved: Callable[[Phase], object] | None = None,
    ) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self.status = ""
        self._tell = tell
        self._moved = moved
        self._lock = threading.Lock()

    def advance(self, amount: int) -> None:
        """Add to ``done``; safe from any thread."""
        with self._lock:
            self.done += amount
        if self._moved is not None:
            self._moved(self)

    def say(self, status: str) -> None:
        """Show what is being worked on right now."""
        self.status = status

    def tell(self, line: str) -> None:
        """Pass on a line of a tool that is at work, without secrets."""
        if self._tell is not None:
            self._tell(line)


class Report:
    """Collects ``seconds`` by phase and ``warnings``; subclasses draw."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self._phases: list[Phase] = []

    @contextmanager
    def phase(self, name: str, *, total: int | None = None, unit: str = "bytes") -> Iterator[Phase]:
        """Measure a stretch of work; phases may overlap, and one that comes again adds up."""
        phase = Phase(name, total=total, unit=unit, tell=self.told, moved=self.moved)
        started = time.perf_counter()
        self._phases.append(phase)
        self.begun(phase)
        try:
            yield phase
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
            self._phases.remove(phase)
            self.ended(phase)

    @property
    def doing(self) -> str:
        """What the phase that began last says of itself, "" between phases."""
        phases = self._phases[-1:]
        return " ".join(f"{phase.name} {phase.status}".strip() for phase in phases)

    def warn(self, message: str) -> None:
        """Tell of something that went wrong and did not stop the run."""
        self.warnings.append(message)

    def remark(self, message: str) -> None:
        """Tell of a decision or a wait, such as the miss before a build."""

    def told(self, line: str) -> None:
        """Show what a tool says, for who wants to see everything."""

    def begun(self, phase: Phase) -> None:
        """Start to draw ``phase``."""

    def moved(self, phase: Phase) -> None:
        """Hear of a step of ``phase``, from whichever thread makes it."""

    def ended(self, phase: Phase) -> None:
        """Stop drawing ``phase``."""

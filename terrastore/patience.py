"""How long one run waits for others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Patience:
    """``seconds`` that a run waits, for all others together, from now on; 0 is not to wait for anybody."""

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.seconds = seconds
        self.clock = clock
        self._sleep = sleep
        self._deadline = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._deadline - self.clock())

    def sleep(self, seconds: float) -> None:
        """Sleep as long, or until nothing is left."""
        self._sleep(min(seconds, self.left))

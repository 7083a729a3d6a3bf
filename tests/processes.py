"""What tests ask of processes that they did not start themselves."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 60.0


def until(condition: Callable[[], object], *, patience: float = PATIENCE) -> None:
    """Wait for what processes do, ``patience`` seconds at most."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process is more than a record of how it ended."""
    if Path("/proc/self/root").exists():
        return Path(f"/proc/{pid}/root").exists()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

"""A terminal to run commands in: a pseudo-terminal of some columns, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Self

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_LINES = 60
_LONGEST = 120.0
"""Seconds after which a command that has not ended is a failure; none takes as long."""


class Terminal:
    """A command in the foreground of a terminal; ``screen`` is what a person sees, ``code`` how it ended."""

    def __init__(self, command: Sequence[str], *, columns: int, cwd: Path, env: Mapping[str, str]) -> None:
        self.screen = pyte.Screen(columns, _LINES)
        self.code: int | None = None
        self._stream = pyte.ByteStream(self.screen)
        self._ours, self._theirs = os.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
        self.settings = termios.tcgetattr(self._theirs)
        own = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES", "NO_COLOR", "CI"}}
        # The terminal is its own, as a shell's foreground job has it: Ctrl-C reaches it.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command],
            cwd=cwd,
            env=own | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for each in (self._ours, self._theirs):
            os.close(each)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without what is empty below."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")

    @property
    def settings_now(self) -> list[object]:
        """How the terminal is set."""
        return termios.tcgetattr(self._theirs)

    def press(self, keys: bytes) -> None:
        """Send what a person types."""
        os.write(self._ours, keys)

    def until(self, seen: Callable[[], bool]) -> None:
        """Read what is written until something is to be seen."""
        while not seen():
            assert self._read(), "it ended before"

    def end(self) -> list[str]:
        """Wait for the end of the command, and return what is on the screen then."""
        while self._read():
            pass
        self.code = self._process.wait()
        return self.lines

    def _read(self) -> bool:
        """Take what comes next; False when the command has ended and all is read."""
        began = time.monotonic()
        while time.monotonic() - began < _LONGEST:
            ended = self._process.poll() is not None
            if select.select([self._ours], [], [], 0 if ended else 0.05)[0]:
                # Terminals draw nothing for the echo of Ctrl-C; this one would go to the next line before it does so.
                self._stream.feed(os.read(self._ours, 65536).replace(b"\x03", b""))
                return True
            if ended:
                return False
        msg = "it has not ended"
        raise AssertionError(msg)

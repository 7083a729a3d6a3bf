"""Runs a command, and ends it with all that it started when the process that wanted it is no more.

``python -I -S _supervise.py PIPE COMMAND…``, as the leader of a process group of its own: ``PIPE`` is the reading end
of a pipe whose only writing end is held by who wants the command. However that process ends, the kernel closes its
end, and the whole group is killed; after SIGTERM to the group so is what outlives the command. It is this process's
own group, whose number nobody else can get as long as it lives. Otherwise this process ends as the command does.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys

EX_CANNOT_RUN = 127
"""Exit code when there is no such command, as of shells."""


def main() -> None:
    """Run the command to its end, or until nobody wants it."""
    pipe, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(pipe, False)
    interrupted: list[int] = []
    # Who interrupts the group lets the command tidy up, and waits for this process. Handlers do not outlive exec.
    signal.signal(signal.SIGTERM, lambda number, _: interrupted.append(number))
    try:
        # What Python ignores is not for others to ignore.
        child = os.posix_spawnp(command[0], command, os.environ, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])
    except OSError as error:
        os.write(2, os.fsencode(f"{command[0]} cannot be run: {error.strerror}\n"))
        sys.exit(EX_CANNOT_RUN)
    _thread.start_new_thread(_end_with, (pipe,))
    status = os.waitpid(child, 0)[1]
    if interrupted:
        os.kill(0, signal.SIGKILL)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def _end_with(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

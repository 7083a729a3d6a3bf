"""Runs commands one after the other and says what each took; a process of its own, started by measuring.py.

A process inherits the peak memory of the one that started it (exec in Linux keeps the larger figure), and a large one
takes longer to start another. So this one imports next to nothing and stays small.

A line of JSON in, ``{"command", "variables", "errors"}``; a line out, ``{"started", "wall", "cpu", "memory", "code"}``:
seconds of the monotonic clock, seconds from before exec to after exit, user and system seconds of the command and all
that it waited for, bytes of the largest process among those, and the exit code.
"""

import json
import os
import sys
import time

NOTHING = os.open(os.devnull, os.O_RDWR)


def run(command: str, variables: dict[str, str], errors: str) -> dict[str, float]:
    """Run a command of sh, what it says on standard error going to a file, and return what it took."""
    said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    files = [(os.POSIX_SPAWN_DUP2, NOTHING, 0), (os.POSIX_SPAWN_DUP2, NOTHING, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
    started = time.monotonic()
    process = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ | variables, file_actions=files)
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - started
    os.close(said)
    return {
        "started": started,
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
        "code": os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)

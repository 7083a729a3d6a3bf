"""What kind of filesystem a path is on, as the kernel tells (proc(5))."""

from __future__ import annotations

import os
import re
from contextlib import suppress

_OCTAL = re.compile(rb"\\([0-7]{3})")


def kind(path: str) -> str:
    """Return the kind of the filesystem that ``path``, or what will be above it, is on, such as ``ext4`` or ``nfs4``.

    It is "" where the kernel does not tell.
    """
    real = os.path.realpath(path)
    found, longest = "", -1
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields, _, rest = line.partition(b" - ")
            mount = os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields.split(b" ")[4]))
            # Of several on one place the last one counts.
            if f"{real}/".startswith(mount.rstrip("/") + "/") and len(mount) >= longest:
                found, longest = os.fsdecode(rest.split(b" ")[0]), len(mount)
    return found

"""What is made where an environment stands, and is therefore never a member of an archive."""

from __future__ import annotations

import re
from typing import Final

INTERPRETERS: Final = re.compile(r"bin/python(\d+(\.\d+)?t?)?")
"""Names of the interpreter in an environment; they and ``pyvenv.cfg`` are written anew on every machine."""
_RESERVED: Final = re.compile(r"pyvenv\.cfg(/.*)?|\.terrastore(/.*)?|" + INTERPRETERS.pattern + r"(/.*)?")
_STARTS: Final = frozenset("pPbB.")
"""How a reserved path may begin; most others begin with ``lib``, and need no closer look."""


def is_reserved(path: str) -> bool:
    """Whether ``path``, which is not empty, is taken, on filesystems that fold case too."""
    return path[0] in _STARTS and _RESERVED.fullmatch(path.casefold()) is not None

"""URLs of files and directories that are named beside others."""

from __future__ import annotations

import os
import posixpath
from pathlib import PurePosixPath

from terrastore.redaction import without_secrets
from terrastore.requirements.lines import LineError, is_url


def file_url(beside: str, name: str) -> str:
    """Return the ``file:`` URL (RFC 8089) of what ``name``, a path, leads to for the file ``beside``.

    :raises LineError: when that one is not on this machine
    """
    if is_url(beside):
        msg = f"{name} is beside {without_secrets(beside)}, which is not on this machine"
        raise LineError(msg, hint="download all of it, and name the copy")
    place = os.path.abspath(posixpath.join(posixpath.dirname(beside), name))
    return PurePosixPath(place).as_uri()

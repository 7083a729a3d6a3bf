"""URLs of files and directories that are named beside others."""

from __future__ import annotations

import os
import posixpath
from pathlib import PurePosixPath


def file_url(beside: str, name: str) -> str:
    """Return the ``file:`` URL (RFC 8089) of what ``name``, a path, leads to for the file ``beside``."""
    place = os.path.abspath(posixpath.join(posixpath.dirname(beside), name))
    return PurePosixPath(place).as_uri()

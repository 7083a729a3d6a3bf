"""uv itself: where it is, and which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from typing import Final

from packaging.version import Version

from terrastore.errors import UsageError

OLDEST: Final = Version("0.8.13")
"""The first that notes in the environment which packages it built from source, as far as tried."""
HINT: Final = "install 'terrastore[uv]' in place of terrastore, with pip, pipx or uv tool"


def found(hint: str = HINT) -> tuple[str, Version]:
    """Return where uv is, beside our interpreter or else on the path, and its version.

    :param hint: what to do when it cannot be used
    :raises UsageError: when it is nowhere, does not run, or is too old
    """
    beside = os.path.join(sysconfig.get_path("scripts"), "uv")
    binary = beside if os.access(beside, os.X_OK) else shutil.which("uv")
    if binary is None:
        raise UsageError("uv is not installed", hint=hint)
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=30)
        version = Version(said.stdout.split()[1])
    except (OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
        raise UsageError(f"{binary} does not say which uv it is", hint=hint) from error
    if version < OLDEST:
        raise UsageError(f"{binary} is uv {version}, and {OLDEST} or later is needed", hint=hint)
    return binary, version

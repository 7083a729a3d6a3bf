"""Where files of a user and of a machine stand (XDG Base Directory Specification 0.8), as platformdirs tells it.

Every run asks, most find nothing there, and the library takes longer to load than all of these files to read. So it
is asked by those alone who are not on Linux, or have no home there.
"""

from __future__ import annotations

import os
import sys
from typing import Final

NAME: Final = "terrastore"


def user_config() -> str:
    """Return the directory of the user's settings."""
    return _of_user("XDG_CONFIG_HOME", ".config") or _library("user_config_dir")


def site_config() -> str:
    """Return the directory of the machine's settings, the first where there are several."""
    if sys.platform != "linux":
        return _library("site_config_dir")
    named = os.environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)
    return os.path.join(next(filter(os.path.isabs, named), "/etc/xdg"), NAME)


def user_data() -> str:
    """Return the directory of what the user keeps."""
    return _of_user("XDG_DATA_HOME", ".local/share") or _library("user_data_dir")


def user_cache() -> str:
    """Return the directory of what the user can do without."""
    return _of_user("XDG_CACHE_HOME", ".cache") or _library("user_cache_dir")


def _of_user(variable: str, usual: str) -> str | None:
    """Return our directory in the one that ``variable`` names, else in the ``usual`` one at home; None without a home.

    A relative path counts as none, as the specification has it.
    """
    named, home = os.environ.get(variable, ""), os.environ.get("HOME", "")
    if sys.platform != "linux" or not os.path.isabs(home):
        return None
    return os.path.join(named if os.path.isabs(named) else os.path.join(home, usual), NAME)


def _library(what: str) -> str:
    import platformdirs  # noqa: PLC0415 -- see above

    folder: str = getattr(platformdirs, what)(NAME)
    return folder

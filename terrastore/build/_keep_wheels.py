"""Runs pip, and keeps a second name of every wheel that pip opens: it deletes them, downloaded or made.

``python -I _keep_wheels.py FOLDER ARGUMENTS…``, by the interpreter of the environment that pip is in. What is kept
stands in ``FOLDER/made`` where pip made it from source, else in ``FOLDER/taken``, each in a directory of its own that
is named by a number. An audit hook (PEP 578) sees the files, whatever pip's version.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from contextlib import suppress


def main() -> None:
    """Hand over to pip."""
    folder = sys.argv.pop(1)
    # What pip makes goes to its cache of wheels, or to a directory of this name.
    places = (os.path.join(os.environ["PIP_CACHE_DIR"], "wheels") + os.sep, "pip-ephem-wheel-cache")
    seen = set()

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or not str(arguments[0]).endswith(".whl") or "r" not in str(arguments[1]):
            return
        path = os.path.abspath(str(arguments[0]))
        # Before it is copied, which opens it again.
        if path not in seen and os.path.isfile(path):
            seen.add(path)
            kind = "made" if any(place in path for place in places) else "taken"
            with suppress(OSError):
                _keep(path, os.path.join(folder, kind, f"{len(seen):06}"))

    sys.addaudithook(hear)
    sys.argv[0] = "pip"
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


def _keep(path: str, folder: str) -> None:
    os.makedirs(folder)
    place = os.path.join(folder, os.path.basename(path))
    try:
        os.link(path, place)
    except OSError:
        # On another disk, or somebody else's.
        shutil.copyfile(path, place)


if __name__ == "__main__":
    main()

"""``python -m terrastore``, and what the console script runs."""

from __future__ import annotations

import gc
from typing import Final, NoReturn

_NEW: Final = 20_000
"""How many objects come to be before somebody looks for garbage among them; a run that does nothing makes less."""


def main() -> NoReturn:
    """Run the command line; nobody looks for garbage among what lives as long as the process.

    Modules and classes are full of cycles, and there are ten thousand of them. To go through them while they are
    imported, and once more in the end, takes a third of a run that has nothing to do.
    """
    gc.disable()
    try:
        from terrastore.cli import main  # noqa: PLC0415 -- only now

        gc.freeze()
        gc.set_threshold(_NEW)
        gc.enable()
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()

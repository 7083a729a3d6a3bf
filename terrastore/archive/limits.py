"""How much of what an archive may hold; ``FORMAT.md`` sections 3 and 5."""

from __future__ import annotations

from typing import Final

FRAME_LIMIT: Final = 8 * 1024 * 1024
"""Most bytes a frame may have before compression."""
MEMBERS_LIMIT: Final = 1024 * 1024
"""Most members of an archive."""
NAMES_LIMIT: Final = 128 * 1024 * 1024
"""Most characters that all paths and targets of an archive have together."""
SIZE_LIMIT: Final = 4 * 1024 * 1024
"""Most bytes a manifest may have before compression."""


def is_swollen(size: int, packed: int) -> bool:
    """Whether so few ``packed`` bytes that become ``size`` were made to fill a disk, and not to hold an environment."""
    return size > 1000 * packed + 1024 * 1024 * 1024

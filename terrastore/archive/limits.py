"""How much of what an archive may hold; ``FORMAT.md`` sections 3 and 5."""

from __future__ import annotations

from typing import Final

FRAME_LIMIT: Final = 8 * 1024 * 1024
"""Most bytes a frame may have before compression."""
SIZE_LIMIT: Final = 4 * 1024 * 1024
"""Most bytes a manifest may have before compression."""

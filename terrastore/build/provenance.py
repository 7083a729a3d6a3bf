"""Where installed packages say that they came from (``direct_url.json``, PEP 610), without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from terrastore.archive import record

if TYPE_CHECKING:
    from collections.abc import Callable


def redact_direct_urls(tree: str, redacted: Callable[[str], str]) -> None:
    """Take secrets out of every ``direct_url.json`` below ``tree``: installers leave tokens in queries and paths."""
    for place in Path(tree).glob("lib/*/site-packages/*.dist-info/direct_url.json"):
        before = place.read_text()
        if (after := redacted(before)) == before:
            continue
        place.write_text(after)
        listing = place.parent / "RECORD"
        changed = {place.relative_to(tree).as_posix(): after.encode()}
        rows = record.parse(listing.read_bytes())
        listing.write_bytes(record.write(record.updated(rows, listing.relative_to(tree).as_posix(), changed)))

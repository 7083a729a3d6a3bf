"""Where installed packages and checkouts say that they came from, without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terrastore.archive import record
from terrastore.archive.installed import names, read

_CHECKOUTS: Final = (
    "src/*/.git/**/config",
    "src/*/.git/**/FETCH_HEAD",
    "src/*/.hg/hgrc",
    "src/*/.bzr/branch/branch.conf",
)
"""Files in which a checkout keeps the URL it was made from."""

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


def redact_direct_urls(tree: str, redacted: Callable[[str], str]) -> None:
    """Take secrets out of every ``direct_url.json`` (PEP 610) below ``tree``: installers leave tokens in them."""
    for place in Path(tree).glob("lib/*/site-packages/*.dist-info/direct_url.json"):
        before = place.read_text()
        if (after := redacted(before)) == before:
            continue
        place.write_text(after)
        listing = place.parent / "RECORD"
        changed = {place.relative_to(tree).as_posix(): after.encode()}
        rows = record.parse(listing.read_bytes())
        listing.write_bytes(record.write(record.updated(rows, listing.relative_to(tree).as_posix(), changed)))


def redact_checkouts(tree: str, redacted: Callable[[str], str]) -> None:
    """Take secrets out of checkouts of editable installs below ``tree``, which note their URL as it was said."""
    for pattern in _CHECKOUTS:
        for place in Path(tree).glob(pattern):
            before = place.read_text(encoding="utf-8", errors="surrogateescape")
            if (after := redacted(before)) != before:
                place.write_text(after, encoding="utf-8", errors="surrogateescape")


def unpinned(tree: str, pinned: Collection[str], skeleton: Collection[str]) -> Iterator[str]:
    """Yield the names of what is installed below ``tree`` from an index, or from a branch of a repository.

    Not of those in ``pinned``, of which a requirement names the version or the commit, nor in the ``skeleton``.
    """
    for each in names(tree):
        if each.name not in pinned and each.info not in skeleton and _moves(read(tree, f"{each.info}/direct_url.json")):
            yield each.name


def _moves(origin: bytes) -> bool:
    """Whether what a ``direct_url.json`` names may be another one tomorrow; nothing names what an index had."""
    if not origin:
        return True
    said = json.loads(origin).get("vcs_info")
    return said is not None and said.get("requested_revision") != said.get("commit_id")

"""Puts results into a document, between comments that say what goes there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK: Final = re.compile(r"(?P<begin><!-- bench:begin (?P<name>[^>]*) -->\n).*?(?P<end><!-- bench:end -->)", re.DOTALL)


def filled(document: str, blocks: Mapping[str, str]) -> str:
    """Return a document with what is between ``<!-- bench:begin NAME -->`` and ``<!-- bench:end -->`` made anew.

    What was not measured says so. ValueError: a comment has no counterpart.
    """
    opened = document.count("<!-- bench:begin")
    if opened != document.count("<!-- bench:end") or opened != len(BLOCK.findall(document)):
        raise ValueError("a block of results does not begin or does not end")
    return BLOCK.sub(
        lambda match: match["begin"] + blocks.get(match["name"], "Not measured.\n") + match["end"], document
    )

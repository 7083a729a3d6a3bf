"""Tables of the page, and what stands in their cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.overview.markup import NOTHING, Markup, element
from terrastore.report import number as counted

if TYPE_CHECKING:
    from collections.abc import Iterable

BARS: Final = 50
"""Steps that a bar comes in."""


class Head(NamedTuple):
    """The head of a column: ``n`` is one of figures, ``spare`` one that is left out where there is little room."""

    name: str
    kind: str = ""
    order: str | None = None


def table(
    caption: str,
    heads: Iterable[Head],
    rows: Iterable[Markup],
    *,
    class_: str | None = None,
    id_: str | None = None,
    is_sortable: bool = False,
    is_slim: bool = False,
) -> Markup:
    """Return a table that scrolls by itself where it is wider than the page, by keyboard too."""
    head = element(
        "tr",
        *(element("th", each.name, scope="col", class_=each.kind or None, aria_sort=each.order) for each in heads),
    )
    inner = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *rows),
        class_=class_,
        id_=id_,
        data_sorts=is_sortable,
    )
    return element(
        "div",
        inner,
        class_="scroll slim" if is_slim else "scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def figure(text: str, value: float, *, title: str | None = None, is_spare: bool = False) -> Markup:
    """Return a cell of a figure, which tables sort by; one that is spare is not shown where there is little room."""
    return element("td", text, class_="n spare" if is_spare else "n", data_v=value, title=title)


def bar(value: int, largest: int) -> Markup:
    """Return a bar of a value, in steps that the style sheet has widths for."""
    steps = max(1, round(BARS * value / largest)) if largest and value else 0
    return element("span", class_=f"bar b{steps}") if steps else NOTHING


def unlisted(count: int, noun: str) -> Markup:
    """Return a remark that so many are not listed, nothing for none."""
    verb = "is" if count == 1 else "are"
    return element("p", f"{counted(count, noun)} {verb} not listed.", class_="faint") if count > 0 else NOTHING


def percent(part: float, whole: float) -> str:
    """Return a part as people write it."""
    return f"{100 * part / whole:.0f} %" if whole else "0 %"

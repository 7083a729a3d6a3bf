"""A treemap: numbers as areas of one rectangle, each as square as it can be.

The layout is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Rectangle(NamedTuple):
    """A place: its left upper corner, width and height, in any unit."""

    x: float
    y: float
    width: float
    height: float


def squarified(weights: Sequence[float], within: Rectangle) -> list[Rectangle]:
    """Return a rectangle for each of ``weights``, which are positive and fall, of its share of the area of ``within``.

    They cover it, and none lies on another.
    """
    total = sum(weights)
    if not weights or total <= 0:
        return []
    scale = within.width * within.height / total
    areas, placed, first = [weight * scale for weight in weights], list[Rectangle](), 0
    while first < len(areas):
        side = min(within.width, within.height)
        last = first + 1
        while last < len(areas) and _worst(areas[first : last + 1], side) <= _worst(areas[first:last], side):
            last += 1
        row, within = _laid(areas[first:last], within)
        placed += row
        first = last
    return placed


def _worst(areas: Sequence[float], side: float) -> float:
    """Return the ratio of the sides of the least square of ``areas`` that stand in a row along ``side``."""
    if side <= 0:
        return 1.0
    thickness = sum(areas) / side
    return max(max(area / thickness**2, thickness**2 / area) for area in areas)


def _laid(areas: Sequence[float], within: Rectangle) -> tuple[list[Rectangle], Rectangle]:
    """Return the places of a row along the shorter side, and what is left beside it."""
    x, y, width, height = within
    is_upright = height <= width
    side = height if is_upright else width
    thickness = sum(areas) / side if side > 0 else 0.0
    row, at = [], 0.0
    for area in areas:
        length = area / thickness if thickness > 0 else 0.0
        row.append(Rectangle(x, y + at, thickness, length) if is_upright else Rectangle(x + at, y, length, thickness))
        at += length
    if is_upright:
        return row, Rectangle(x + thickness, y, max(0.0, width - thickness), height)
    return row, Rectangle(x, y + thickness, width, max(0.0, height - thickness))

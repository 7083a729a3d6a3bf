from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from terrastore.overview.treemap import Rectangle, squarified

WEIGHTS = st.lists(st.integers(1, 10**10), min_size=1, max_size=60).map(lambda each: sorted(each, reverse=True))
WITHIN = Rectangle(3.0, 5.0, 1200.0, 500.0)


@given(WEIGHTS)
def test_every_area_is_its_share(weights: list[int]) -> None:
    """Areas are as weights, in their order."""
    placed = squarified(weights, WITHIN)
    whole = WITHIN.width * WITHIN.height
    assert len(weights) == len(placed)
    for weight, each in zip(weights, placed, strict=True):
        assert math.isclose(whole * weight / sum(weights), each.width * each.height, rel_tol=1e-6)


@given(WEIGHTS)
def test_nothing_lies_outside_or_on_another(weights: list[int]) -> None:
    """Areas are within the whole, and no two of them overlap by more than rounding."""
    placed = squarified(weights, WITHIN)
    for each in placed:
        assert each.x >= WITHIN.x - 1e-3
        assert each.y >= WITHIN.y - 1e-3
        assert each.x + each.width <= WITHIN.x + WITHIN.width + 1e-3
        assert each.y + each.height <= WITHIN.y + WITHIN.height + 1e-3
    for number, one in enumerate(placed):
        for other in placed[number + 1 :]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            along = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, along) < 1e-3


def test_areas_are_near_squares() -> None:
    """The example of the paper: its worst area has sides of 1 to 2.8."""
    placed = squarified([6, 6, 4, 3, 2, 2, 1], Rectangle(0, 0, 6, 4))
    assert (Rectangle(0, 0, 3, 2), Rectangle(0, 2, 3, 2)) == (placed[0], placed[1])
    assert max(max(each.width / each.height, each.height / each.width) for each in placed) < 2.8


def test_nothing_has_no_areas() -> None:
    """A store without layers has no treemap, and that is no error."""
    assert [] == squarified([], WITHIN)

"""What is asked for is what must come, to the byte."""

import pytest

from terrastore.store.ranges import NotThatRangeError, announced, wanted


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [
        (0, 1, "bytes=0-0"),
        (0, 10, "bytes=0-9"),
        (5, 3, "bytes=5-7"),
        (2**40, 2**50, f"bytes={2**40}-{2**40 + 2**50 - 1}"),
    ],
)
def test_asking(offset: int, size: int, expected: str) -> None:
    """The last byte is named, not the one behind it."""
    assert expected == wanted(offset, size)


@pytest.mark.parametrize(
    ("content_range", "offset", "size", "expected"),
    [
        ("bytes 0-9/10", 0, 10, 10),
        ("bytes 0-9/100", 0, 10, 10),
        ("bytes 0-9/*", 0, 10, 10),
        ("bytes 5-5/100", 5, 1, 1),
        ("bytes 5-9/10", 5, 100, 5),
        ("bytes 5-9/*", 5, 100, 5),
        ("bytes 5-9/10", 5, 2**50, 5),
    ],
)
def test_what_was_asked_for(content_range: str, offset: int, size: int, expected: int) -> None:
    """As much as was asked for follows, or less where the object ends."""
    assert expected == announced(content_range, offset, size)


@pytest.mark.parametrize(
    "content_range",
    [
        "bytes 0-9/100",
        "bytes 4-9/100",
        "bytes 6-9/100",
        "bytes 5-10/100",
        "bytes 5-4/100",
        "bytes 5-99/100",
        "bytes 5-7/100",
    ],
)
def test_another_range(content_range: str) -> None:
    """One that begins elsewhere, is too long or ends before the object does is refused; both are named."""
    with pytest.raises(NotThatRangeError) as caught:
        announced(content_range, 5, 5)
    assert f"it was asked for bytes=5-9 and sent {content_range}" == str(caught.value)


@pytest.mark.parametrize(
    "content_range",
    [
        None,
        "",
        "bytes */100",
        "bytes 5-9",
        "bytes=5-9/100",
        "items 5-9/100",
        "bytes -5-9/100",
        "bytes 5-9/100, 0-1/100",
    ],
)
def test_no_range_at_all(content_range: str | None) -> None:
    """An answer that does not say which bytes follow is of the whole object, for all we know."""
    with pytest.raises(NotThatRangeError, match="the whole object for a range"):
        announced(content_range, 5, 5)

"""Numbers of bytes."""

import pytest

from terrastore.sizes import parse_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1, "1b"),
        (1500, "1500"),
        (1500, "1.5k"),
        (2_000_000, "2M"),
        (2_000_000, " 2 mb "),
        (50_000_000_000, "50GB"),
        (1_610_612_736, "1.5 GiB"),
        (1024, "1KiB"),
        (4_000_000_000_000, "4T"),
        (2**40, "1TiB"),
        (9_007_199_254_740_993, "9007199254740993"),
        (1, "1.9"),
    ],
)
def test_a_size(size: int, text: str) -> None:
    """Units are powers of 1000, or of 1024; a number alone is bytes, every one of them counted."""
    assert size == parse_size(text)


@pytest.mark.parametrize(
    "text", ["", " ", "GB", "1P", "-1", "-1GB", "1e3", "1,5GB", "1 2", "1i", "nan", "inf", "True", "٣", "9" * 400]
)
def test_no_size(text: str) -> None:
    """Nothing is guessed at."""
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)

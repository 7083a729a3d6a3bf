"""Points in time and lengths of time."""

from datetime import UTC, datetime, timedelta

import pytest

from terrastore import times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0"),
        (90.0, "90"),
        (1.5, "1.5"),
        (30.0, "30s"),
        (5400.0, "1h30m"),
        (5400.0, " 1H30M "),
        (86400.0, "24h"),
        (86400.0, "1d"),
        (604800.0, "7d"),
        (604800.0, "1w"),
        (129600.0, "1.5d"),
    ],
)
def test_a_length_of_time(seconds: float, text: str) -> None:
    """Weeks to seconds, one after the other; a number alone is seconds."""
    assert seconds == times.parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", " ", "h", "1y", "-1h", "-1", "1h-30m", "90 minutes", "nan", "inf", "1e3", "True", "1,5h"]
)
def test_no_length_of_time(text: str) -> None:
    """Nothing is guessed at."""
    with pytest.raises(ValueError, match="is no length of time"):
        times.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0 s", 0), ("90 s", 90), ("90.5 s", 90.5), ("90 min", 5400), ("25 h", 90000), ("7 d", 604800)],
)
def test_a_length_of_time_for_people(text: str, seconds: float) -> None:
    """In its largest whole unit."""
    assert text == times.duration(seconds)


def test_how_long_ago() -> None:
    """What was written an hour ago was an hour ago, and the future is not old."""
    then = datetime.now(UTC) - timedelta(hours=1)
    assert 3600 == pytest.approx(times.seconds_since(then.strftime("%Y-%m-%dT%H:%M:%SZ")), abs=60)
    assert times.seconds_since("2999-01-01T00:00:00Z") < 0
    assert 0 == pytest.approx(times.seconds_since(times.now()), abs=60)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00+00:00"])
def test_what_is_no_point_in_time_was_always(text: str) -> None:
    """What does not say when it was made is too old for everybody who asks."""
    assert float("inf") == times.seconds_since(text)

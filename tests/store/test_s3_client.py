"""The client of S3: what it reads out of answers."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from botocore.utils import parse_timestamp

from terrastore.store.s3.client import _moment


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC), "2026-01-31T12:00:05Z"),
        (datetime(2026, 1, 31, 12, 0, 5, 123000, tzinfo=UTC), "2026-01-31T12:00:05.123Z"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-31T12:00:00+02:00"),
        (datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC), "Sat, 31 Jan 2026 12:00:05 GMT"),
        (datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC), 1769860805),
        (datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC), "1769860805"),
    ],
    ids=repr,
)
def test_times_are_those_of_botocore(expected: datetime, value: object) -> None:
    """Whatever form an answer has them in."""
    assert expected == _moment(value) == parse_timestamp(value)

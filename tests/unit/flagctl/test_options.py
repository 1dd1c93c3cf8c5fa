"""Durations and times as people type them."""

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import InvalidInputError
from flagctl.options import parse_duration, parse_time

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("8h", timedelta(hours=8)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("36525d", timedelta(days=36_525)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7 d", "-7d", "+7d", "1.5h", "7D", "7days", "٧d", "1h30m", "7d\n", "1e3s"],
)
def test_no_durations(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no duration") as raised:
        parse_duration(text)
    assert raised.value.hint == "as in 90s, 30m, 8h, 7d or 2w"


@pytest.mark.parametrize("text", ["36526d", "999999w", "9999999s"])
def test_durations_too_long(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T10:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ("2027-01-31 10:00:30+02:00", datetime(2027, 1, 31, 8, 0, 30, tzinfo=UTC)),
        ("2027-01-31T10:00:00Z", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ("30d", datetime(2026, 5, 31, 12, tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    assert parse_time(text, now=NOW, future=True) == expected


@pytest.mark.parametrize("text", ["1969-12-31", "0001-01-02", "9999-01-01T00:00:00Z", "9999-12-31"])
def test_times_that_nobody_means(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not within 1970 to 9999"):
        parse_time(text, now=NOW, future=True)


def test_a_duration_can_count_backwards() -> None:
    assert parse_time("2h", now=NOW, future=False) == NOW - timedelta(hours=2)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2027-02-30", "31.01.2027", "2027-01-31T25:00", "10:00", "1e9"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_no_times(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no date"):
        parse_time(text, now=NOW, future=True)

from datetime import UTC, datetime, timedelta

import pytest

from flagctl.times import relative

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (59, "now"),
        (-59, "now"),
        (60, "1 min ago"),
        (-61, "in 1 min"),
        (3_599, "59 min ago"),
        (3_600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 d ago"),
        (-86_400 * 30, "in 30 d"),
        (86_400 * 800, "2 y ago"),
    ],
)
def test_how_long_ago(seconds: int, said: str) -> None:
    assert relative(NOW - timedelta(seconds=seconds), now=NOW) == said


def test_what_never_was() -> None:
    assert relative(None) == ""

"""Names in Redis."""

from datetime import date

from core.cache import keys
from core.cache.keys import snapshot_key
from core.snapshot import codec


def test_the_environment_is_the_hash_tag_and_the_format_is_named() -> None:
    assert snapshot_key("0123456789abcdef") == "flagctl:{0123456789abcdef}:3:snapshot"


def test_what_two_releases_write_differently_has_two_names() -> None:
    assert keys.FORMAT == codec.FORMAT


def test_counts_outlive_a_format_of_snapshots() -> None:
    day = keys.usage_key("0123456789abcdef", date(2026, 1, 31))
    assert day == "flagctl:{0123456789abcdef}:1:usage-2026-01-31"
    assert keys.usage_began_key("0123456789abcdef") == "flagctl:{0123456789abcdef}:1:usage-began"

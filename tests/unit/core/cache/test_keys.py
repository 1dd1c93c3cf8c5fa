"""Names in Redis."""

from core.cache import keys
from core.cache.keys import snapshot_key
from core.snapshot import codec


def test_the_environment_is_the_hash_tag_and_the_format_is_named() -> None:
    assert snapshot_key("0123456789abcdef") == "flagctl:{0123456789abcdef}:3:snapshot"


def test_what_two_releases_write_differently_has_two_names() -> None:
    assert keys.FORMAT == codec.FORMAT

"""Names in Redis."""

from core.cache.keys import snapshot_key


def test_the_environment_is_the_hash_tag_and_the_format_is_named() -> None:
    assert snapshot_key("0123456789abcdef") == "flagctl:{0123456789abcdef}:1:snapshot"

"""Which version is newer, and which is enough."""

import pytest

from core.snapshot.document import Version


@pytest.mark.parametrize(
    ("version", "other", "newer"),
    [
        (Version("e", 2, "a"), Version("e", 1, "b"), True),
        (Version("e", 1, "a"), Version("e", 1, "b"), False),
        (Version("e", 1, "a"), Version("e", 2, "b"), False),
        (Version("f", 1, "a"), Version("e", 2, "b"), True),
    ],
)
def test_newer(version: Version, other: Version, newer: bool) -> None:
    assert version.is_newer_than(other) is newer


@pytest.mark.parametrize(
    ("version", "other", "enough"),
    [
        (Version("e", 2, "a"), Version("e", 1, "b"), True),
        (Version("e", 2, "a"), Version("e", 2, "a"), True),
        (Version("e", 2, "a"), Version("e", 2, ""), True),
        (Version("e", 2, "a"), Version("e", 2, "b"), False),
        (Version("e", 2, "a"), Version("e", 3, ""), False),
        (Version("f", 9, "a"), Version("e", 1, ""), False),
    ],
)
def test_at_least(version: Version, other: Version, enough: bool) -> None:
    assert version.is_at_least(other) is enough

"""Receipts: which version follows which."""

import pytest

from core.cache.receipts import Served


@pytest.mark.parametrize(
    ("served", "follows"),
    [
        (Served("7000.1.1", 5, "a"), True),
        (Served("7000.1.1", 6, "b"), True),
        (Served("7000.1.1", 4, "a"), False),
        (Served("7000.1.1", 5, "another history"), False),
        (Served("7000.2.1", 6, "a"), False),
    ],
)
def test_it_is_that_version_or_came_after_it(served: Served, follows: bool) -> None:
    assert served.is_at_least("7000.1.1", 5, "a") is follows
    assert served.render() == f"{served.epoch} {served.revision} {served.stamp}"

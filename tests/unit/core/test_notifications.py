import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.notifications import Notification, parse


@given(st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.integers(0, 10**17))
def test_what_is_sent_is_read(environment_id: str, revision: int) -> None:
    sent = Notification(environment_id, revision)
    assert parse(sent.render()) == sent
    assert parse(sent.render().encode()) == sent


@pytest.mark.parametrize(
    "payload",
    [
        "",
        " ",
        "abc",
        "abc ",
        " 1",
        "abc -1",
        "abc 1.0",
        "abc 1 2",
        "abc ١",
        "abc " + "9" * 19,
        b"\xff",
    ],
)
def test_what_cannot_be_understood_is_ignored(payload: str | bytes) -> None:
    assert parse(payload) is None

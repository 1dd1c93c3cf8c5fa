"""Tokens of streams: how long they are the same, how long they are good, and for whom."""

from dataclasses import replace

import pytest

from core.auth import stream_urls
from core.auth.stream_urls import HALF_DAY, is_genuine, parse, secret_of, token

ENVIRONMENT = "0123456789abcdef"
SECRET = secret_of(b"k" * 32, ENVIRONMENT)
TOKEN = token(SECRET, ENVIRONMENT, "1a2b3c4d", 41_205)


def test_a_token_says_what_it_is_for() -> None:
    claimed = parse(TOKEN)
    assert claimed is not None
    assert (claimed.environment_id, claimed.key_id, claimed.half_day) == (
        ENVIRONMENT,
        "1a2b3c4d",
        41_205,
    )
    assert is_genuine(claimed, SECRET)


def test_it_is_the_same_in_every_release() -> None:
    """Readers of two releases answer one client in turns."""
    assert TOKEN == "0123456789abcdef.1a2b3c4d.41205.43Aihwef5qthSq2ZZhFURT_M9CA1Bb8L"


def test_whatever_is_altered_is_not_genuine() -> None:
    claimed = parse(TOKEN)
    assert claimed is not None
    for altered in (
        replace(claimed, environment_id="0123456789abcdee"),
        replace(claimed, key_id="1a2b3c4e"),
        replace(claimed, half_day=41_206),
        replace(claimed, text=TOKEN[:-1] + "_"),
    ):
        assert not is_genuine(altered, SECRET)
    assert not is_genuine(claimed, secret_of(b"j" * 32, ENVIRONMENT))
    assert not is_genuine(claimed, secret_of(b"k" * 32, "fedcba9876543210"))
    empty = parse(token(b"", ENVIRONMENT, "1a2b3c4d", 41_205))
    assert empty is not None
    assert not is_genuine(empty, b""), "a snapshot without a secret opens nothing"


@pytest.mark.parametrize(
    "text",
    [
        "",
        TOKEN + "\n",
        TOKEN.upper(),
        TOKEN[:-1],
        TOKEN.replace("41205", "041205"),
        TOKEN.replace("41205", "-1"),
        TOKEN.replace("41205", "4" * 10),
        TOKEN.replace("41205", "٤"),
        TOKEN.replace(".", ","),
    ],
)
def test_other_texts_are_no_tokens(text: str) -> None:
    assert parse(text) is None


def test_good_for_thirty_six_hours() -> None:
    claimed = parse(TOKEN)
    assert claimed is not None
    first = 41_205 * HALF_DAY
    assert stream_urls.half_day_of(first) == 41_205
    assert stream_urls.half_day_of(first + HALF_DAY - 0.1) == 41_205
    assert claimed.ends_at == first + 36 * 3_600
    assert claimed.is_good(first)
    assert claimed.is_good(first + 36 * 3_600 - 0.1)
    assert not claimed.is_good(first + 36 * 3_600)
    assert claimed.is_good(first - 60), "another server's clock is ahead"
    assert not claimed.is_good(first - HALF_DAY - 1)

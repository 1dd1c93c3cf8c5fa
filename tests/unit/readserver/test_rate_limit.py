"""Token buckets by key and address, on a clock that the test turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from readserver.client_address import ClientAddresses
from readserver.rate_limit import ClientLimit


class Limit:
    """A limit whose clock stands at `now`."""

    def __init__(self, *, rate: float = 10, burst: float = 3, most: int = 100) -> None:
        self.now = 1_000_000.0
        self.buckets = ClientLimit(
            rate=rate,
            burst=burst,
            addresses=ClientAddresses(()),
            clock=lambda: self.now,
            most=most,
        )

    def take(self, key: bytes = b"key", host: str = "192.0.2.1") -> bool:
        return self.buckets.take(key, {"client": (host, 1), "headers": []})

    def taken(self, asked: int) -> int:
        return sum(self.take() for _ in range(asked))


def test_a_burst_and_then_the_rate() -> None:
    limit = Limit()
    assert limit.taken(10) == 3
    limit.now += 0.1
    assert limit.taken(10) == 1
    limit.now += 0.25
    assert limit.taken(10) == 2
    limit.now += 60
    assert limit.taken(10) == 3


def test_keys_and_addresses_have_their_own() -> None:
    limit = Limit(burst=1)
    assert limit.take() is True
    assert limit.take() is False
    assert limit.take(b"other") is True
    assert limit.take(host="192.0.2.2") is True


def test_it_says_when_to_come_back() -> None:
    limit = Limit(rate=0.1, burst=1)
    scope = {"client": ("192.0.2.1", 1), "headers": []}
    limit.buckets.check(b"key", scope)
    limit.now += 2.5
    with pytest.raises(HTTPException) as caught:
        limit.buckets.check(b"key", scope)
    assert caught.value.status_code == 429
    assert caught.value.headers == {"Retry-After": "8"}
    limit.now += 8
    limit.buckets.check(b"key", scope)


def test_memory_is_bounded_and_the_one_in_use_stays() -> None:
    limit = Limit(burst=1, most=10)
    limit.take(b"busy")
    for number in range(1_000):
        limit.take(str(number).encode())
        assert limit.take(b"busy") is False
    assert len(limit.buckets) == 10


@given(
    st.lists(st.floats(0, 2), max_size=200),
    st.floats(0.5, 100),
    st.integers(1, 20),
)
def test_never_more_than_burst_and_rate(pauses: list[float], rate: float, burst: int) -> None:
    limit = Limit(rate=rate, burst=burst)
    began, taken = limit.now, 0
    for pause in pauses:
        limit.now += pause
        taken += limit.take()
        assert taken <= burst + (limit.now - began) * rate + 0.01

import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import InvalidInputError
from core.names import check_new_key
from core.services.json_schemas import check_against
from core.time_limits import time_limit

ENDLESS = "^(a+)+$"
VICTIM = "a" * 60 + "!"


def test_a_pattern_that_explodes_is_ended() -> None:
    long = pytest.raises(InvalidInputError, match="matching it takes too long")
    with long, time_limit(0.05, what="matching it"):
        re.match(ENDLESS, VICTIM)


def test_nothing_is_left_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(10, what="it"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) == before


def test_a_thread_has_no_limit() -> None:
    def work() -> int:
        with time_limit(0.001, what="it"):
            return sum(range(1000))

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 499_500


def test_a_schema_cannot_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.json_schemas._PATIENCE_SECONDS", 0.05)
    with pytest.raises(InvalidInputError, match="checking the value against its schema takes too"):
        check_against(VICTIM, {"type": "string", "pattern": ENDLESS}, what="the value")


def test_a_key_pattern_cannot_hang() -> None:
    with pytest.raises(InvalidInputError, match="key pattern takes too long"):
        check_new_key(VICTIM, noun="flag", pattern=ENDLESS)

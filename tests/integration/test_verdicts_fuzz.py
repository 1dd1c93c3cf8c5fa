"""Postgres and PyJWT give one verdict on whatever a fuzz makes of good tokens.

The same changes in each run; FLAGCTL_TEST_FUZZ=100000 (`make fuzz`) takes as many other ones.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from core.auth.tokens import Claims
from tests.support.installations import Cluster
from tests.support.tokens.in_postgres import Judge, agree, judge
from tests.support.tokens.maker import maker, verdict
from tests.support.tokens.mutations import mutated_tokens

KEY = maker()
MORE = int(os.environ.get("FLAGCTL_TEST_FUZZ", "0"))
AT_ONCE = 10


@pytest.fixture(scope="module")
def postgres(cluster: Cluster) -> Iterator[Judge]:
    with cluster.installation() as installation, judge(installation, KEY) as made:
        yield made


@pytest.mark.timeout(0 if MORE else 120)
@settings(
    max_examples=(MORE or 1_500) // AT_ONCE,
    derandomize=not MORE,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(tokens=st.lists(mutated_tokens(KEY), min_size=AT_ONCE, max_size=AT_ONCE))
def test_one_verdict(tokens: list[str], postgres: Judge) -> None:
    for token, found in zip(tokens, postgres.verdicts(tokens), strict=True):
        said = verdict(KEY, token)
        if not agree(found, said):
            note(f"{token!r}\nin Postgres: {found}\nPyJWT: {said}")
            pytest.fail("two verdicts", pytrace=False)


_FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(2**53, 2**80).map(float),
    st.tuples(st.integers(1, 10**17), st.integers(-340, 290)).map(
        lambda n: float(f"{n[0]}e{n[1]}")
    ),
)


@settings(max_examples=(MORE or 2_000) // 100, derandomize=not MORE, database=None)
@given(floats=st.lists(_FLOATS, min_size=100, max_size=100))
def test_the_shortest_number(floats: list[float], postgres: Judge) -> None:
    """Postgres finds what Python writes, and refuses what it writes itself in its place."""
    query = (
        "SELECT flagctl.is_exact_number(python), flagctl.is_exact_number(own) = (own = python),"
        " python FROM unnest(%s::text[], %s::float8[]) AS f (python, value),"
        " LATERAL (SELECT CASE WHEN value::text::numeric = python::numeric THEN python"
        " ELSE value::text END) AS o (own)"
    )
    found = postgres.connection.execute(query, ([repr(f) for f in floats], floats)).fetchall()
    assert [row for row in found if row[:2] != (True, True)] == []


def test_what_is_made_is_good_and_bad() -> None:
    """A fuzz that makes only junk would prove nothing."""
    seen: list[bool] = []

    @settings(max_examples=300, derandomize=True, database=None, phases=(Phase.generate,))
    @given(mutated_tokens(KEY))
    def look(token: str) -> None:
        seen.append(isinstance(verdict(KEY, token), Claims))

    look()
    assert seen.count(True) > 50
    assert seen.count(False) > 100

"""Postgres and PyJWT give one verdict on every token of the table."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from core.auth.tokens import Claims
from tests.support.installations import Cluster
from tests.support.tokens.in_postgres import Judge, agree, judge
from tests.support.tokens.maker import NOW, SIZES, Maker, maker, verdict
from tests.support.tokens.table import table_for


@pytest.fixture(scope="module", params=SIZES)
def key(request: pytest.FixtureRequest) -> Maker:
    """A key of each size."""
    return maker(request.param)


@pytest.fixture(scope="module")
def postgres(cluster: Cluster, key: Maker) -> Iterator[Judge]:
    with cluster.installation() as installation, judge(installation, key) as made:
        yield made


def test_the_whole_table(postgres: Judge, key: Maker) -> None:
    table = table_for(key.private.key_size)
    tokens = {name: case.build(key) for name, case in table.items()}
    found = dict(zip(tokens, postgres.verdicts(list(tokens.values())), strict=True))
    said = {name: verdict(key, token) for name, token in tokens.items()}
    assert {n: (found[n], said[n]) for n in tokens if not agree(found[n], said[n])} == {}
    good = {name for name, case in table.items() if case.accepted}
    assert {n for n in tokens if isinstance(found[n], Claims)} == good


def test_a_remembered_token_is_judged_by_its_times_again(postgres: Judge, key: Maker) -> None:
    postgres.remember(key.good)
    for hours in (-2, -1, 0, 1, 2):
        at = NOW + timedelta(hours=hours)
        [found] = postgres.verdicts([key.good], at)
        assert isinstance(found, Claims) == (hours in (0, 1)), hours
        assert agree(found, verdict(key, key.good, at))


def test_a_remembered_token_is_worth_nothing_under_another_key(
    cluster: Cluster, key: Maker
) -> None:
    """A key that took over the name of the one that signed it."""
    other = replace(key, private=key.foreign, foreign=key.private)
    with cluster.installation() as installation:
        with judge(installation, key) as postgres:
            postgres.remember(key.good)
        with judge(installation, other) as postgres:
            found = postgres.verdicts([key.good, other.good])
    assert [isinstance(one, Claims) for one in found] == [False, True]

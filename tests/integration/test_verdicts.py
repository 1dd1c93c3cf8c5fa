"""Postgres and PyJWT give one verdict on every token of the table."""

from collections.abc import Iterator

import pytest

from core.auth.tokens import Claims
from tests.support.installations import Cluster
from tests.support.tokens.in_postgres import Judge, agree, judge
from tests.support.tokens.maker import SIZES, Maker, maker, verdict
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

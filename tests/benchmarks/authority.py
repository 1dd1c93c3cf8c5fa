"""What it costs that Postgres itself decides: tokens, policies, events, the gate.

Usage: python -m tests.benchmarks.authority

Everything runs on one durable Postgres, over connections that stay open, by turns in one run.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from core.links import Link, link
from core.services.change import Options, running
from core.services.overrides import set_override, wish
from core.sessions import begin
from core.settings import Secret
from tests.benchmarks.figures import Figure, show
from tests.support.installations import Cluster, Installation
from tests.support.redis_users import RedisAddresses
from tests.support.servers import embedded_postgres, superuser_url

ROUNDS = 300
FLAGS = 5_000
FACTOR = 10
MEMBERS = 10_000
_LIST = "SELECT * FROM flagctl.flags WHERE organization_id = 1 ORDER BY key"
_STATES = (
    "SELECT o.* FROM flagctl.overrides o WHERE o.flag_id IN"
    " (SELECT f.id FROM flagctl.flags f WHERE f.organization_id = 1)"
)


def measure() -> list[dict[str, Any]]:
    """On a Postgres started for it, with fsync as in production."""
    with tempfile.TemporaryDirectory(prefix="flagctl-bench-") as name:
        folder = Path(name)
        with embedded_postgres(folder, durable=True) as postgres:
            nowhere = RedisAddresses(*[Secret("")] * 3)
            cluster = Cluster(superuser_url(postgres), nowhere, folder / "keys")
            try:
                with cluster.installation() as installation:
                    return [asdict(figure) for figure in _figures(installation)]
            finally:
                cluster.close()


def _figures(installation: Installation) -> Iterator[Figure]:
    yield from _one_set(installation)
    yield _token(installation)
    seconds = [_change_of(installation, FLAGS), _change_of(installation, FLAGS * FACTOR)]
    yield Figure(f"a change of {FLAGS:,} flags in one transaction", seconds[0], "s", 2.0)
    growth = seconds[1] / seconds[0]
    detail = f"{seconds[1]:.2f} s"
    yield Figure(f"{FLAGS * FACTOR:,} flags / {FLAGS:,} flags", growth, "×", 12.0, detail)
    yield _listing(installation)


def _one_set(installation: Installation) -> Iterator[Figure]:
    """What `flagctl set` sends against an insert and a commit, on one connection that stays."""
    with installation.change() as change:
        change.session.execute(text(_new_flags(1)))
    installation.run("CREATE TABLE public.plain (id bigint GENERATED ALWAYS AS IDENTITY, t text)")
    installation.run(f"GRANT INSERT ON public.plain TO {installation.prefix}_admin")
    installation.run(f"GRANT USAGE ON SCHEMA public TO {installation.prefix}_admin")
    spot = ("flag_1_1", "prod")
    with link(installation.admin_url, application_name="bench") as connection:

        def write(number: int) -> None:
            state, options = ("on", "off")[number % 2], Options()
            wanted = wish(*spot, state, None, options)
            opened = begin(connection, installation.token, read_only=False, wish=wanted)
            with running(opened, options) as change:
                set_override(change, *spot, state)

        def insert(number: int) -> None:
            connection.driver.execute("INSERT INTO public.plain (t) VALUES (%s)", [number])
            connection.commit()

        rounds = [
            (_timed(connection, write, n), _timed(connection, insert, n))
            for n in range(ROUNDS + 10)
        ]
        installation.run(_new_members(MEMBERS))
        crowded = statistics.median(_timed(connection, write, n)[0] for n in range(ROUNDS))
    for place, what in enumerate(("in Postgres", "with the client's")):
        pairs = [(a[place], b[place]) for a, b in rounds[10:]]
        ratio = statistics.median(a / b for a, b in pairs)
        medians = [statistics.median(column) * 1e3 for column in zip(*pairs, strict=True)]
        detail = f"{medians[0]:.2f} ms / {medians[1]:.2f} ms"
        bound = None if place else 3.0
        yield Figure(f"time {what} of a set / insert and commit", ratio, "×", bound, detail)
    yield Figure("the first set of a connection, in Postgres", rounds[0][0][0] * 1e3, "ms", None)
    growth = crowded / statistics.median(a[0] for a, _ in rounds[10:])
    yield Figure(f"a set among {MEMBERS:,} members / among one", growth, "×", None)


def _timed(connection: Link, work: Callable[[int], None], number: int) -> tuple[float, float]:
    """Seconds that Postgres has a statement or a commit of this connection, and seconds in all.

    The first is the time between sending and having the whole answer: with both ways through the
    socket, and the wait for the processor.
    """
    driver = connection.driver
    waited = 0.0
    wait = driver.wait

    def timed(*arguments: Any, **options: Any) -> Any:
        nonlocal waited
        began = time.perf_counter()
        try:
            return wait(*arguments, **options)
        finally:
            waited += time.perf_counter() - began

    driver.wait = timed  # type: ignore[method-assign]
    started = time.perf_counter()
    try:
        work(number)
    finally:
        driver.wait = wait  # type: ignore[method-assign]
    return waited, time.perf_counter() - started


def _token(installation: Installation) -> Figure:
    token = installation.token.reveal()
    with installation.connect() as connection:
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            connection.execute("SELECT flagctl.verify_token(%s, NULL)", [token])
            times.append(time.perf_counter() - began)
    return Figure("verifying a token (3,072 bits)", statistics.median(times) * 1e3, "ms", None)


def _new_members(count: int) -> str:
    return (
        "SET session_replication_role = replica; INSERT INTO flagctl.members"
        " (organization_id, issuer_id, subject, email, role)"
        " SELECT 1, 1, 'u' || i, 'u' || i || '@example.com', 'editor'"
        f" FROM generate_series(1, {count}) i"
    )


def _new_flags(count: int) -> str:
    return (
        "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
        f""" SELECT 1, 'flag_{count}_' || i, 'boolean', '{{"on": true, "off": false}}', 'on',"""
        f" 'off' FROM generate_series(1, {count}) i"
    )


def _change_of(installation: Installation, count: int) -> float:
    """Seconds for turning the global default of so many flags, by the CLI's login."""
    with installation.change() as change:
        change.session.execute(text("SET LOCAL statement_timeout = '5min'"))
        change.session.execute(text(_new_flags(count)))
    installation.run("ANALYZE")
    turned = text(
        "UPDATE flagctl.flags SET default_enabled = NOT default_enabled WHERE key LIKE :keys"
    )
    began = time.perf_counter()
    with installation.change() as change:
        change.session.execute(text("SET LOCAL statement_timeout = '5min'"))
        done = change.session.execute(turned, {"keys": f"flag\\_{count}\\_%"})
        assert done.rowcount == count
    took = time.perf_counter() - began
    with installation.change(confirmed=True) as change:
        change.session.execute(text("SET LOCAL statement_timeout = '5min'"))
        keep = FLAGS if count == FLAGS else 0
        if not keep:
            change.session.execute(
                text("DELETE FROM flagctl.flags WHERE key LIKE :keys"),
                {"keys": f"flag\\_{count}\\_%"},
            )
    installation.run("VACUUM ANALYZE")
    return took


def _listing(installation: Installation) -> Figure:
    """All flags, read with the policies and, by the owner, without."""
    with _reading(installation, "admin") as member, _reading(installation, "owner") as owner:

        def read(connection: psycopg.Connection[Any]) -> float:
            began = time.perf_counter()
            rows = connection.execute(_LIST).fetchall()
            connection.execute(_STATES).fetchall()
            assert len(rows) > FLAGS
            return time.perf_counter() - began

        pairs = [(read(member), read(owner)) for _ in range(ROUNDS // 6)]
    ratio = statistics.median(a / b for a, b in pairs)
    medians = [statistics.median(column) * 1e3 for column in zip(*pairs, strict=True)]
    detail = f"{medians[0]:.1f} ms / {medians[1]:.1f} ms"
    return Figure(f"list of {FLAGS:,} flags with / without policies", ratio, "×", 1.3, detail)


@contextmanager
def _reading(installation: Installation, login: str) -> Iterator[psycopg.Connection[Any]]:
    with installation.connect(login) as connection, connection.transaction():
        if login == "owner":
            connection.execute(f"SET ROLE {installation.prefix}_owner".encode())
        else:
            connection.execute(
                "SELECT flagctl.begin_change(%s, NULL, NULL, 'bench')",
                [installation.token.reveal()],
            )
        yield connection


if __name__ == "__main__":
    show(measure())
    sys.exit(0)

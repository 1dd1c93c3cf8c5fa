"""One installation's Postgres taken away, while others use the same server."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support.installations import Installation


def elsewhere(installation: Installation) -> str:
    """A superuser's address of another database."""
    own = installation.superuser_url.reveal()
    return own.replace(f"/{installation.name}?", "/postgres?")


@contextmanager
def without_postgres(installation: Installation) -> Iterator[None]:
    """This database alone takes no connections, and loses those that it has."""
    with psycopg.connect(elsewhere(installation), autocommit=True) as connection:

        def allow(word: str) -> None:
            statement = f"ALTER DATABASE {installation.name} ALLOW_CONNECTIONS {word}"
            connection.execute(statement.encode())

        allow("false")
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [installation.name],
            )
            yield
        finally:
            allow("true")

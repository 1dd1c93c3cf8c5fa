"""Whether functions and triggers are those that the migrations make.

How Postgres prints a definition depends on its version, so nothing is kept to compare with: the
same Postgres prints those of a schema that is made anew, beside, in a transaction that is taken
back. Nobody else sees that one or waits for it, but another upgrade.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import Connection, text

from core.alchemy import connect
from core.db import translated
from core.services import schema
from core.services.privileges import Finding
from core.settings import Secret

# The order of mending: a trigger needs its function.
_DEFINITIONS: Final = text("""
SELECT 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = 'flagctl'::regnamespace AND p.prokind IN ('f', 'p')
UNION ALL
SELECT format('trigger %I ON %s', t.tgname, t.tgrelid::regclass), pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'flagctl'::regnamespace AND NOT t.tgisinternal
ORDER BY 1
""")
_SET_ASIDE: Final = text("ALTER SCHEMA flagctl RENAME TO flagctl_as_found")
_CREATE: Final = text("CREATE SCHEMA flagctl")


def examine(url: Secret, *, prefix: str) -> list[Finding]:
    """What differs, what is missing or is too many; nothing where migrations are pending.

    Raises UnavailableError unless the login acts as the owner, ConflictError during an upgrade.
    """
    with connect(url, application_name="flagctl db") as connection:
        if schema.status(connection).pending:
            return []
    with schema.as_owner(url, prefix) as connection, translated():
        found = _definitions(connection)
        connection.execute(_SET_ASIDE)
        connection.execute(_CREATE)
        schema.run_migrations(connection)
        expected = _definitions(connection)
        connection.rollback()
    return list(_compare(found, expected))


def _definitions(connection: Connection) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(_DEFINITIONS)}


def _compare(found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted(found.keys() - expected.keys()):
        yield Finding("more", f"the {_shown(name)} is not flagctl's", f"DROP {name}")
    for name, definition in expected.items():
        if name not in found:
            yield Finding("missing", f"the {_shown(name)}", definition)
        elif found[name] != definition:
            anew = definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)
            yield Finding("more", f"the {_shown(name)} is another", anew)


def _shown(name: str) -> str:
    return name.replace(" ON flagctl.", " of ")

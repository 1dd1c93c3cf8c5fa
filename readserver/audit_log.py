"""Pages of the audit log, from the function in Postgres that checks whose they are."""

import asyncio
import json
from datetime import timedelta
from typing import Any, Final

import psycopg

from core import clock
from core.auth import tokens
from core.auth.tokens import TrustedKey
from core.errors import UnauthenticatedError
from core.settings import Secret
from readserver.audit_filters import AuditFilters
from readserver.connections import open_connection

_SECONDS: Final = 5.0
_KEY_SQL: Final = """
SELECT k.public_key, i.audience, i.max_lifetime_seconds
FROM flagctl.issuers i JOIN flagctl.issuer_keys k ON k.issuer_id = i.id
WHERE i.issuer = %s AND k.key_id = %s AND k.revoked_at IS NULL
"""
# As text: every value in a document reaches the caller as Postgres prints it.
_PAGE_SQL: Final = """
SELECT (page ->> 'id')::bigint, page::text
FROM flagctl.audit_page(%s, %s, %s::jsonb) AS page
"""


class AuditLog:
    """Reads with the caller's token: this process alone can show nobody's history."""

    def __init__(self, url: Secret, slot: asyncio.Lock) -> None:
        """`slot`: short connections of this process are made one at a time."""
        self._url = url
        self._slot = slot

    async def page(self, token: Secret, filters: AuditFilters) -> bytes:
        """`{"items": […], "next_cursor"}` as JSON. Raises UnauthenticatedError, ForbiddenError,
        UnavailableError."""
        origin = tokens.origin(token.reveal())  # refuses what is no token before connecting
        async with self._slot, open_connection(self._url, seconds=_SECONDS) as connection:
            key = await _trusted_key(connection, origin)
            tokens.verify(token.reveal(), key, clock.now())
            # One more than asked for tells whether there is a next page.
            conditions = filters.conditions | {"limit": str(filters.limit + 1)}
            cursor = await connection.execute(
                _PAGE_SQL, (token.reveal(), filters.organization, json.dumps(conditions))
            )
            rows = await cursor.fetchall()
        shown = rows[: filters.limit]
        next_cursor = json.dumps(str(shown[-1][0]) if len(rows) > filters.limit else None)
        items = ",".join(row[1] for row in shown)
        return f'{{"items": [{items}], "next_cursor": {next_cursor}}}'.encode()


async def _trusted_key(
    connection: psycopg.AsyncConnection[Any], origin: tokens.Origin
) -> TrustedKey:
    if "\0" in origin.issuer + origin.key_id:
        raise UnauthenticatedError("the token's issuer is not trusted")
    cursor = await connection.execute(_KEY_SQL, (origin.issuer, origin.key_id))
    row = await cursor.fetchone()
    if row is None:
        raise UnauthenticatedError(
            "the token's issuer or its key is not trusted here",
            hint="get a new one with `flagctl token issue EMAIL`",
        )
    return TrustedKey(origin.issuer, origin.key_id, row[0], row[1], timedelta(seconds=row[2]))

"""Pages of the audit log, from the function in Postgres that checks whose they are."""

import asyncio
import json
from typing import Any, Final

import psycopg
from starlette.exceptions import HTTPException

from core import clock
from core.auth import tokens
from core.errors import UnauthenticatedError
from core.settings import Secret
from readserver.audit_filters import AuditFilters
from readserver.stores.postgres import PostgresStore
from readserver.trusted_keys import TrustedKeys

_SECONDS: Final = 5.0
_MOST_WAITING: Final = 16
# For the page's transaction alone: the connection is that of the loads.
_LIMITS: Final = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
    f" SET LOCAL statement_timeout = '{_SECONDS:.0f}s'"
)
# As text: every value in a document reaches the caller as Postgres prints it.
_PAGE_SQL: Final = """
SELECT (page ->> 'id')::bigint, page::text
FROM flagctl.audit_page(%s, %s, %s::jsonb) AS page
"""


class AuditLog:
    """Reads with the caller's token, which Postgres verifies: this process alone can show nobody's
    history."""

    def __init__(self, postgres: PostgresStore, keys: TrustedKeys) -> None:
        """Pages are read between loads, on their connection: a load that comes is not kept waiting,
        and a page that it interrupts is read again."""
        self._postgres = postgres
        self._keys = keys
        self._slot = asyncio.Lock()  # one page at a time
        self._asking = 0

    async def page(self, token: Secret, filters: AuditFilters) -> bytes:
        """`{"items": […], "next_cursor"}` as JSON. Raises UnauthenticatedError, ForbiddenError,
        UnavailableError, and HTTPException when too many wait."""
        # What needs no connection comes first: whoever cannot sign cannot use one.
        _verify(token, await self._keys.find(tokens.origin(token.reveal())))
        if self._asking > _MOST_WAITING:
            raise HTTPException(
                503, "too many read the audit log at the moment", {"Retry-After": "1"}
            )
        self._asking += 1
        try:
            async with self._slot:
                rows = await self._rows(token, filters)
        finally:
            self._asking -= 1
        shown = rows[: filters.limit]
        next_cursor = json.dumps(str(shown[-1][0]) if len(rows) > filters.limit else None)
        items = ",".join(row[1] for row in shown)
        return f'{{"items": [{items}], "next_cursor": {next_cursor}}}'.encode()

    async def _rows(self, token: Secret, filters: AuditFilters) -> list[tuple[Any, ...]]:
        # One more than asked for tells whether there is a next page.
        conditions = filters.conditions | {"limit": str(filters.limit + 1)}
        parameters = (token.reveal(), filters.organization, json.dumps(conditions))

        def read(connection: "psycopg.Connection[Any]") -> list[tuple[Any, ...]]:
            connection.execute(_LIMITS)
            return connection.execute(_PAGE_SQL, parameters).fetchall()

        return await self._postgres.between_loads(read, seconds=_SECONDS)


def _verify(token: Secret, keys: list[tokens.TrustedKey]) -> None:
    """Good for one organization that trusts the key is good enough to ask Postgres which."""
    for last, key in enumerate(keys, start=1):
        try:
            tokens.verify(token.reveal(), key, clock.now())
        except UnauthenticatedError:
            if last == len(keys):
                raise
        else:
            return

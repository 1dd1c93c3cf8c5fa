"""The keys that a shell completes. On the driver alone: SQLAlchemy takes longer to import than
somebody who pressed Tab waits.
"""

import socket
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from core.addresses import parameters
from core.settings import Secret

_BEGIN: Final[LiteralString] = (
    "SELECT set_config('lock_timeout', '1s', true), set_config('statement_timeout', '1s', true),"
    " set_config('transaction_read_only', 'on', true),"
    " flagctl.begin_change(%s, %s, NULL, 'flagctl completion') ->> 'organization_id'"
)
_KEYS: Final = sql.SQL(
    "SELECT key FROM {} WHERE organization_id = %s AND starts_with(key, %s){}"
    " ORDER BY key LIMIT 200"
)
_OF: Final[dict[str, tuple[str, LiteralString]]] = {
    "flag": ("flags", " AND archived_at IS NULL"),
    "archived flag": ("flags", " AND archived_at IS NOT NULL"),
    "config": ("configs", ""),
    "environment": ("environments", ""),
    "segment": ("segments", ""),
}


def keys(
    url: Secret, token: Secret, noun: str, start: str, *, organization: str | None
) -> list[str]:
    """Those that begin with `start`. Raises whatever goes wrong: nobody is told."""
    parts = parameters(url) | {"application_name": "flagctl completion", "connect_timeout": 2}
    with psycopg.connect(**_resolved(parts), prepare_threshold=None) as connection:
        row = connection.execute(_BEGIN, [token.reveal(), organization]).fetchone()
        organization_id = int(row[-1]) if row else 0
        table, condition = _OF[noun]
        query = _KEYS.format(sql.Identifier("flagctl", table), sql.SQL(condition))
        found = connection.execute(query, [organization_id, start]).fetchall()
        connection.rollback()
    return [key for (key,) in found]


def _resolved(parts: dict[str, Any]) -> dict[str, Any]:
    """With the addresses of its hosts: libpq would look them up without letting go of the
    interpreter, which then could not give up in time.
    """
    hosts = [host for host in str(parts.get("host") or "").split(",") if host]
    if not hosts or parts.get("hostaddr") or any(host.startswith(("/", "@")) for host in hosts):
        return parts
    found = [socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0] for host in hosts]
    return parts | {"hostaddr": ",".join(str(address) for address in found)}

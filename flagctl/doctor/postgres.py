"""Postgres: every address that is set, and what the server behind it is like."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, Final

import psycopg

from core import clock
from core.addresses import is_local
from core.db import open_driver_connection, translated
from core.services import schema
from core.services.grants import Group, group_name
from core.services.privileges import examine as examine_privileges
from core.sessions import session
from core.settings import Settings
from flagctl.doctor import logs
from flagctl.doctor.checks import Check, guarded, ok, skipped, wrong

# By setting, the one that commands use first.
_GROUPS: Final = {
    "database_url": Group.ADMIN,
    "reader_database_url": Group.READER,
    "listen_database_url": Group.READER,
    "owner_database_url": Group.OWNER,
}
_MOST_SKEW: Final = timedelta(seconds=10)  # Postgres forgives a token's times 30
_VERIFY: Final = (
    "say sslmode=verify-full in the address, and sslrootcert=FILE for your own authority"
)
_ROLE: Final = """
SELECT session_user, pg_has_role(session_user, to_regrole(%s), 'MEMBER'), rolsuper
FROM pg_roles WHERE rolname = session_user
"""


def examine(settings: Settings) -> Iterator[Check]:
    """Each address, and through the first of them the server."""
    is_first = True
    for name, group in _GROUPS.items():
        if getattr(settings, name) is None:
            if name != "listen_database_url":  # needed behind a pooler only
                mend = f"set FLAGCTL_{name.upper()} to have it looked at"
                yield skipped(name, "not set", mend)
            continue
        yield from guarded(name, partial(_address, settings, name, group, is_first))
        is_first = False
    yield from guarded("token", partial(_token, settings))


def _address(settings: Settings, name: str, group: Group, is_first: bool) -> Iterator[Check]:  # noqa: FBT001
    url = settings.require(name)
    with open_driver_connection(
        url, application_name="flagctl doctor", autocommit=True
    ) as connection:
        yield _transport(name, connection)
        yield _role(name, connection, group_name(settings.role_prefix, group), group)
        if is_first:
            yield _clock(connection)
            yield from guarded("schema", partial(_schema, connection))
            yield from guarded("privileges", partial(_privileges, connection, settings))
        # Tokens are parameters here: of the commands, and of who reads the audit log over HTTP.
        if is_first or name == "reader_database_url":
            check = "logs" if is_first else f"{name}, logs"
            yield from guarded(check, partial(logs.examine, connection, check))


def _transport(name: str, connection: psycopg.Connection[Any]) -> Check:
    version = connection.info.parameter_status("server_version") or ""
    server = f"Postgres {version.partition(' ')[0]}"
    if is_local(connection.info.host):
        return ok(name, f"{server}, on this machine")
    if not connection.pgconn.ssl_in_use:
        return wrong(name, f"{server}, over the network without TLS", _VERIFY)
    if connection.info.get_parameters().get("sslmode") not in ("verify-full", "verify-ca"):
        return wrong(name, f"{server}, over TLS, but whose it is is not verified", _VERIFY)
    return ok(name, f"{server}, over TLS")


def _role(name: str, connection: psycopg.Connection[Any], group_role: str, group: Group) -> Check:
    check = f"{name}, login"
    with translated():
        login, is_member, is_superuser = connection.execute(_ROLE, [group_role]).fetchone() or (
            *("", False, False),
        )
    grant = f"a DBA runs `flagctl db grants --login {login} --as {group}`"
    if is_superuser and group != Group.OWNER:
        return wrong(check, f"{login} is a superuser, whom no policy holds", grant)
    if not is_member:
        return wrong(check, f"{login} is not in the group {group_role}", grant)
    return ok(check, f"{login} is in {group_role}")


def _clock(connection: psycopg.Connection[Any]) -> Check:
    before = clock.now()
    with translated():
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    middle = before + (clock.now() - before) / 2
    skew = (row[0] if row else middle) - middle
    seconds = skew.total_seconds()
    if abs(skew) > _MOST_SKEW:
        way = "ahead of" if seconds > 0 else "behind"
        what = f"Postgres is {abs(seconds):.0f} s {way} this machine"
        return wrong("clock", what, "let NTP set both: tokens are valid by the clock of Postgres")
    return ok("clock", f"{abs(seconds):.1f} s apart from Postgres")


def _schema(connection: psycopg.Connection[Any]) -> Iterator[Check]:
    with translated():
        row = connection.execute("SELECT version_num FROM flagctl.schema_version").fetchone()
    current, head = row[0] if row else "none", schema.head()
    if current == head:
        yield ok("schema", f"at {head}")
    else:
        mend = "run `flagctl db upgrade`, or the release of flagctl that made it"
        yield wrong("schema", f"at {current}, while this release is at {head}", mend)


def _privileges(connection: psycopg.Connection[Any], settings: Settings) -> Iterator[Check]:
    findings = examine_privileges(connection, settings.role_prefix)
    if findings:
        what = f"{len(findings)} not as needed, first: {findings[0].kind}: {findings[0].what}"
        yield wrong("privileges", what, "see `flagctl doctor grants`")
    else:
        yield ok("privileges", "every one is needed, and none is missing")


def _token(settings: Settings) -> Iterator[Check]:
    if settings.database_url is None:
        yield skipped("token", "no database to ask about it", "set FLAGCTL_DATABASE_URL")
        return
    token = settings.admin_token()
    with session(settings.require("database_url"), token, organization=settings.org) as opened:
        yield ok("token", f"{opened.actor.name} in {opened.organization}")

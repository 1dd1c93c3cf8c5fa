"""Sets up the local installation: roles, schema, the demo admin with a token, demo data."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import select

from core.db import open_driver_connection
from core.models import ApiKey, Environment, Issuer
from core.services import api_keys, configs, flags, grants, installation, schema, tokens
from core.services.change import Change, Options, change, owner_change
from core.services.grants import Group, group_name
from core.services.key_files import key_file
from core.settings import Secret
from core.value_types import ValueType
from flagctl.dev.folder import Folder, Passwords
from flagctl.embedded.postgres import SUPERUSER, EmbeddedPostgres

if TYPE_CHECKING:
    from core.services.tokens import IssuedToken

DATABASE = "flagctl"
PREFIX = "flagctl"
ADMIN = "admin@example.com"
TOKEN_LIFETIME = timedelta(hours=24)
_LOGINS = (Group.OWNER, Group.ADMIN, Group.READER)
_DEMO_KEY = "demo"
_DEMO_ENVIRONMENT = "prod"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The same database, for each of the three groups' logins."""

    owner: Secret
    admin: Secret
    reader: Secret


def provision(postgres: EmbeddedPostgres, passwords: Passwords) -> Addresses:
    """Database, groups and logins, as a DBA would make them. Again and again is fine."""
    logins = {f"{DATABASE}_dev_{group}": group for group in _LOGINS}

    def superuser(database: str) -> Secret:
        return Secret(postgres.url(SUPERUSER, passwords.superuser, database))

    with open_driver_connection(
        superuser("postgres"), application_name="flagctl dev", autocommit=True
    ) as connection:
        known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        for other in ("postgres", "template1"):
            connection.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(other))
            )
    with open_driver_connection(
        superuser(DATABASE), application_name="flagctl dev", autocommit=True
    ) as connection:
        grants.apply(connection, grants.cluster_statements(PREFIX, DATABASE, logins))
        for login, group in logins.items():
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(login),
                    sql.Literal(_verifier(connection, login, getattr(passwords, group))),
                )
            )
    return Addresses(
        *(
            Secret(postgres.url(login, getattr(passwords, group), DATABASE))
            for login, group in logins.items()
        )
    )


def _verifier(connection: psycopg.Connection[Any], login: str, password: str) -> str:
    """What Postgres keeps instead of the password: a statement that fails would be logged."""
    made = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    return made.decode()


def set_up(addresses: Addresses, folder: Folder) -> tuple["IssuedToken", str | None]:
    """Schema, first admin, demo data; a fresh token. The API key only when it was made just now."""
    schema.upgrade(addresses.owner, prefix=PREFIX)
    token, is_new = _as_owner(addresses, lambda opened: _admin_token(opened, folder))
    return token, _make_demo(addresses, Secret(token.token)) if is_new else None


def renew_token(addresses: Addresses, folder: Folder) -> "IssuedToken":
    """Another token for the demo admin: one lives a day at most."""
    return _as_owner(addresses, lambda opened: _admin_token(opened, folder))[0]


def replace_key(addresses: Addresses, token: "IssuedToken") -> str:
    """A new demo key, for when the old one was lost with config.toml."""

    def apply(opened: Change) -> str:
        live = opened.session.execute(
            select(ApiKey.public_id)
            .join(Environment, Environment.id == ApiKey.environment_id)
            .where(Environment.key == _DEMO_ENVIRONMENT, ApiKey.name == _DEMO_KEY)
            .where(ApiKey.revoked_at.is_(None))
        ).scalars()
        for key_id in live.all():
            api_keys.revoke_key(opened, key_id, _DEMO_ENVIRONMENT)
        return api_keys.create_key(opened, _DEMO_KEY, _DEMO_ENVIRONMENT).key

    with change(addresses.admin, Secret(token.token), Options(confirmed=True)) as opened:
        return apply(opened)


def _admin_token(opened: Change, folder: Folder) -> tuple["IssuedToken", bool]:
    known = opened.session.execute(select(Issuer.id).where(Issuer.built_in)).first()
    if known is None:
        _forget_unused_key(opened, folder)
        file = installation.initialise(opened, ADMIN, key_folder=folder.keys)
    else:
        file = key_file(installation.installation_id(opened), folder.keys)
    issued = tokens.issue_token(opened, ADMIN, file, lifetime=TOKEN_LIFETIME, as_owner=True)
    return issued, known is None


def _forget_unused_key(opened: Change, folder: Folder) -> None:
    """A key file from a start that was killed before its commit: nobody trusts it."""
    path = key_file(installation.installation_id(opened), folder.keys).path
    path.unlink(missing_ok=True)


def _make_demo(addresses: Addresses, token: Secret) -> str:
    def apply(opened: Change) -> str:
        flags.create_flag(
            opened, flags.Definition("dark_mode", description="Dark colours, for those who ask")
        )
        configs.define_config(
            opened,
            configs.Definition(
                "max_items", ValueType.INTEGER, description="Most items a basket may hold"
            ),
        )
        for environment in ("dev", "staging", "prod"):
            configs.set_value(opened, "max_items", environment, 5)
        return api_keys.create_key(opened, _DEMO_KEY, _DEMO_ENVIRONMENT).key

    with change(addresses.admin, token, Options(reason="demo data")) as opened:
        return apply(opened)


def _as_owner(addresses: Addresses, apply: Callable[[Change], T]) -> T:
    role = group_name(PREFIX, Group.OWNER)
    options = Options(reason="flagctl dev")
    with owner_change(addresses.owner, options, owner_role=role) as opened:
        return apply(opened)

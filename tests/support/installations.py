"""Installations of flagctl to test with: each in a database of its own, cloned from a template."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo, sql

from core.auth.actor import Role
from core.services import change as changes
from core.services import members, schema
from core.services import tokens as token_service
from core.services.change import Change, Options
from core.services.grants import Group, apply, cluster_statements, group_name
from core.services.installation import initialise, installation_id
from core.services.key_files import KeyFile, key_file
from core.services.tokens import IssuedToken
from core.sessions import Session
from core.sessions import session as open_session
from core.settings import Secret
from tests.support.kept_connections import KeptConnection
from tests.support.redis_users import RedisAddresses
from tests.support.servers import FAST_PASSWORDS

ADMIN_EMAIL = "admin@example.com"


@dataclass(frozen=True)
class Database:
    """A database in which the groups and logins of `prefix` may work; it may have no schema yet."""

    name: str
    prefix: str
    superuser_url: Secret
    owner_url: Secret
    admin_url: Secret
    reader_url: Secret
    trust_url: Secret

    @contextmanager
    def connect(self, login: str = "superuser") -> Iterator[psycopg.Connection[Any]]:
        """A plain psycopg connection, in autocommit, of one of the logins."""
        url: Secret = getattr(self, f"{login}_url")
        with psycopg.connect(url.reveal(), autocommit=True) as connection:
            yield connection

    def ask(
        self, query: str, parameters: Any = None, *, login: str = "superuser"
    ) -> list[tuple[Any, ...]]:
        """All rows that a query gives."""
        if login == "superuser":
            return self._superuser.execute(query, parameters)
        with self.connect(login) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def run(self, statement: str, parameters: Any = None, *, login: str = "superuser") -> None:
        if login == "superuser":
            self._superuser.execute(statement, parameters)
            return
        with self.connect(login) as connection:
            connection.execute(statement.encode(), parameters)

    def hang_up(self) -> None:
        """Before it is cloned or dropped: leave the database."""
        self._superuser.close()

    @cached_property
    def _superuser(self) -> KeptConnection:
        return KeptConnection(self.superuser_url)

    def govern(self, *statements: str, parameters: Any = None) -> None:
        """Raw SQL in a change of the owner's, as `flagctl issuer` and `flagctl org` make it."""
        with self.connect("superuser") as connection, connection.transaction():
            connection.execute("SELECT flagctl.begin_owner_change('default', 'test', 'test')")
            for statement in statements:
                connection.execute(statement.encode(), parameters)


@dataclass(frozen=True)
class Installation(Database):
    """A whole installation: migrated, with an admin, in a database that is this test's alone.

    Its environments dev, staging and prod have ids of their own, so that tests can share a Redis.
    """

    redis: RedisAddresses
    token: Secret
    key_folder: Path
    admin_email: str = ADMIN_EMAIL

    def change(
        self, token: Secret | None = None, options: Options | None = None, **more: Any
    ) -> AbstractContextManager[Change]:
        """A write as the admin, or as the bearer of `token`; `more` are fields of Options."""
        return changes.change(self.admin_url, token or self.token, options or Options(**more))

    def owner_change(
        self, *, organization: str = "default", **options: Any
    ) -> AbstractContextManager[Change]:
        role = group_name(self.prefix, Group.OWNER)
        return changes.owner_change(
            self.owner_url, Options(**options), owner_role=role, organization=organization
        )

    def session(self, token: Secret | None = None) -> AbstractContextManager[Session]:
        """A read as the admin, or as the bearer of `token`."""
        return open_session(self.admin_url, token or self.token)

    def issue(self, email: str, *, lifetime: timedelta = timedelta(hours=1)) -> IssuedToken:
        """A new token for somebody who is a member."""
        with self.change() as open_change:
            return token_service.issue_token(
                open_change, email, self.signing_key, lifetime=lifetime
            )

    def token_for(self, role: Role | str, *environments: str, email: str | None = None) -> Secret:
        """The token of a new member with a role, in these environments or in all together."""
        email = email or f"{role}-{token_hex(3)}@example.com"
        with self.change() as open_change:
            for environment in environments or (None,):
                members.add_member(open_change, email, Role(role), environment)
            issued = token_service.issue_token(
                open_change, email, self.signing_key, lifetime=timedelta(hours=1)
            )
        return Secret(issued.token)

    @property
    def signing_key(self) -> KeyFile:
        """The private key of the built-in issuer."""
        return KeyFile(next(self.key_folder.iterdir()))

    def environ(self) -> dict[str, str]:
        """The settings of a program that uses this installation, as environment variables."""
        return {
            "FLAGCTL_DATABASE_URL": self.admin_url.reveal(),
            "FLAGCTL_OWNER_DATABASE_URL": self.owner_url.reveal(),
            "FLAGCTL_READER_DATABASE_URL": self.reader_url.reveal(),
            "FLAGCTL_REDIS_URL": self.redis.writer.reveal(),
            "FLAGCTL_TOKEN": self.token.reveal(),
            "FLAGCTL_ROLE_PREFIX": self.prefix,
        }

    def environment_id(self, key: str) -> str:
        """The public id of an environment."""
        query = "SELECT public_id FROM flagctl.environments WHERE key = %s"
        return str(self.ask(query, [key])[0][0])

    def revisions(self) -> dict[str, int]:
        """The revision of every environment."""
        return dict(self.ask("SELECT key, revision FROM flagctl.environments ORDER BY id"))

    def last_event(self) -> int:
        """The highest number in the audit log of the default organization; 0 without events."""
        query = "SELECT coalesce(max(seq), 0) FROM flagctl.audit_events WHERE organization_id = 1"
        return int(self.ask(query)[0][0])

    def last_change(self) -> int:
        """The same without what was only tried."""
        query = (
            "SELECT coalesce(max(seq), 0) FROM flagctl.audit_events"
            " WHERE organization_id = 1 AND action <> 'denied'"
        )
        return int(self.ask(query)[0][0])


class Cluster:
    """One Postgres server: makes databases there, and removes all that it made.

    Roles are cluster-wide: a random prefix keeps two runs on one server apart.
    """

    def __init__(self, superuser_url: Secret, redis: RedisAddresses, folder: Path) -> None:
        self.prefix = f"t{token_hex(4)}"
        self._superuser_url = superuser_url
        self._redis = redis
        self._folder = folder
        self._password = token_hex(16)
        self._logins = {f"{self.prefix}_{group}_login": group for group in Group}
        self._databases: list[str] = []
        self._template: Installation | None = None
        self._server = KeptConnection(Secret(self._url()))

    @contextmanager
    def installation(self, template: Installation | None = None) -> Iterator[Installation]:
        """A clone: of another one that nobody is connected to, or of a fresh one."""
        template = template or self._template or self._make_template()
        name = f"{self.prefix}_{token_hex(4)}"
        template.hang_up()
        # Copying files is as fast as anything here, and steadier: 30 to 50 ms.
        self._run(f"CREATE DATABASE {name} TEMPLATE {template.name} STRATEGY FILE_COPY")
        self._databases.append(name)
        folder = self._folder / name
        shutil.copytree(template.key_folder, folder)
        try:
            clone = Installation(
                **self._addresses(name),
                redis=template.redis,
                token=template.token,
                key_folder=folder,
            )
            self._allow_connections(clone)
            clone.run("UPDATE flagctl.environments SET public_id = left(md5(random()::text), 16)")
            yield clone
        finally:
            clone.hang_up()
            self._drop(name)
            shutil.rmtree(folder)

    @contextmanager
    def empty_database(self) -> Iterator[Database]:
        """A database with the groups' rights and nothing in it, for migrations."""
        name = f"{self.prefix}_{token_hex(4)}"
        self._create(name)
        made = Database(**self._addresses(name))
        try:
            yield made
        finally:
            made.hang_up()
            self._drop(name)

    def close(self) -> None:
        for name in tuple(self._databases):
            self._drop(name)
        for role in (*self._logins, *(group_name(self.prefix, group) for group in Group)):
            self._run(f"DROP ROLE IF EXISTS {role}")
        self._server.close()

    def _make_template(self) -> Installation:
        name = f"{self.prefix}_template"
        self._create(name)
        addresses = self._addresses(name)
        key_folder = self._folder / "template"
        schema.upgrade(addresses["owner_url"], prefix=self.prefix)
        with changes.owner_change(
            addresses["owner_url"], Options(), owner_role=group_name(self.prefix, Group.OWNER)
        ) as open_change:
            initialise(open_change, ADMIN_EMAIL, key_folder=key_folder)
            issued = token_service.issue_token(
                open_change,
                ADMIN_EMAIL,
                key_file(installation_id(open_change), key_folder),
                lifetime=timedelta(hours=24),
                as_owner=True,
            )
        self._template = Installation(
            **addresses,
            redis=self._redis,
            token=Secret(issued.token),
            key_folder=key_folder,
        )
        # As after the first change: Postgres knows the token, and need not do sums for it.
        query = "SELECT flagctl.begin_change(%s, NULL, NULL, 'test')"
        self._template.run(query, [issued.token], login="admin")
        return self._template

    def _create(self, name: str) -> None:
        self._run(f"CREATE DATABASE {name}")
        self._databases.append(name)
        with psycopg.connect(self._url(name), autocommit=True) as connection:
            apply(connection, cluster_statements(self.prefix, name, self._logins))
            connection.execute(FAST_PASSWORDS)
            for login in self._logins:
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(login), sql.Literal(self._password)
                    )
                )

    def _allow_connections(self, clone: Installation) -> None:
        """A clone has the template's rights on schemas and tables, not those on the database."""
        texts = (s.as_string(None) for s in cluster_statements(self.prefix, clone.name, {}))
        clone.run("; ".join(text for text in texts if " ON DATABASE " in text))

    def _addresses(self, name: str) -> dict[str, Any]:
        urls = {
            f"{group}_url": Secret(self._url(name, login)) for login, group in self._logins.items()
        }
        superuser = Secret(self._url(name))
        return {"name": name, "prefix": self.prefix, "superuser_url": superuser} | urls

    def _url(self, database: str | None = None, login: str | None = None) -> str:
        parts: dict[str, Any] = dict(conninfo.conninfo_to_dict(self._superuser_url.reveal()))
        user, password = parts.pop("user", ""), parts.pop("password", "")
        name = parts.pop("dbname", "postgres")
        if login:
            user, password = login, self._password
        credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{credentials}@/{quote(database or name)}?{urlencode(parts)}"

    def _drop(self, name: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._databases.remove(name)

    def _run(self, statement: str) -> None:
        self._server.execute(statement)

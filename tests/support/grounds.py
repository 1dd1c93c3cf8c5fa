"""What attackers start from: a login of the CLI's group, raw SQL, and tokens of little worth."""

from dataclasses import dataclass, replace
from typing import Any

import psycopg

from core.auth.actor import Role
from core.services import api_keys, configs, flags
from core.services.organizations import create_organization
from core.services.tokens import issue_token
from core.settings import Secret
from core.value_types import ValueType
from tests.support.installations import Installation
from tests.support.raw_sql import TOKEN_LIFETIME


@dataclass(frozen=True)
class Ground:
    """Two organizations with something in them, and the tokens of people with few rights."""

    installation: Installation
    admin: Secret
    viewer: Secret
    editor_of_dev: Secret
    admin_of_dev: Secret
    foreign_admin: Secret  # of the organization acme

    def ask(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.installation.ask(query, parameters)

    def revisions(self) -> dict[str, int]:
        """Of the first organization's environments."""
        query = "SELECT key, revision FROM flagctl.environments WHERE organization_id = 1"
        return dict(self.ask(query))

    def on(self, clone: Installation) -> "Ground":
        """The same in a clone of its database: the tokens are good there, too."""
        return replace(self, installation=clone)

    def connect(self, login: str = "admin") -> psycopg.Connection[Any]:
        """Not in autocommit: a transaction begins with the first statement."""
        url: Secret = getattr(self.installation, f"{login}_url")
        return psycopg.connect(url.reveal())

    def state(self) -> tuple[Any, ...]:
        """All that an attack could have changed, but for what was refused."""
        tables = (
            *(
                "organizations",
                "environments",
                "flags",
                "overrides",
                "configs",
                "config_values",
                "segments",
            ),
            *("api_keys", "members", "tokens", "issuers", "issuer_keys"),
        )
        queries = [
            *(
                f"SELECT md5(string_agg(t::text, ',' ORDER BY t.id)) FROM flagctl.{t} t"
                for t in tables
            ),
            "SELECT md5(string_agg(a::text, ',' ORDER BY a.organization_id, a.seq))"
            " FROM flagctl.audit_events a WHERE action <> 'denied'",
        ]
        with self.installation.connect() as connection:
            return tuple(connection.execute(query.encode()).fetchone() for query in queries)


def prepare(made: Installation) -> Ground:
    """Two organizations in a fresh installation."""
    with made.change(confirmed=True) as change:
        flags.create_flag(change, flags.Definition("checkout"))
        configs.define_config(change, configs.Definition("limit", ValueType.INTEGER))
        for place in ("dev", "prod"):
            configs.set_value(change, "limit", place, 5)
            api_keys.create_key(change, "web", place)
    with made.owner_change() as change:
        create_organization(change, "acme", name="Acme", admin_email="ann@example.com")
    with made.owner_change(organization="acme") as change:
        foreign = issue_token(
            change, "ann@example.com", made.signing_key, lifetime=TOKEN_LIFETIME, as_owner=True
        )
    with made.change(Secret(foreign.token), confirmed=True) as change:
        flags.create_flag(change, flags.Definition("theirs", description="their secret"))
        configs.define_config(change, configs.Definition("salary", ValueType.INTEGER))
        configs.set_value(change, "salary", "prod", 123_456)
        api_keys.create_key(change, "web", "prod")
    return Ground(
        made,
        made.token,
        made.token_for(Role.VIEWER),
        made.token_for(Role.EDITOR, "dev"),
        made.token_for(Role.ADMIN, "dev"),
        Secret(foreign.token),
    )

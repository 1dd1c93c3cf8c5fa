"""How Alembic runs a migration here: one transaction each, on the connection it is handed."""

from alembic import context
from sqlalchemy import Connection

from core.models import Base

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "5min"


def run() -> None:
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table="schema_version",
        version_table_schema="flagctl",
        include_schemas=True,
        transaction_per_migration=True,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        context.run_migrations()


run()

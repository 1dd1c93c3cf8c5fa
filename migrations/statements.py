"""Runs SQL scripts as written: several statements at once, no bind parameters."""

from alembic import op


def execute(script: str) -> None:
    context = op.get_context()
    if context.as_sql:  # `db upgrade --plan` wants to read it
        context.impl.static_output(script)
        return
    cursor = op.get_bind().connection.cursor()
    try:
        cursor.execute(script)
    finally:
        cursor.close()

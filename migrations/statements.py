"""Runs SQL scripts as written: several statements at once, no bind parameters."""

from alembic import op


def execute(script: str) -> None:
    cursor = op.get_bind().connection.cursor()
    try:
        cursor.execute(script)
    finally:
        cursor.close()

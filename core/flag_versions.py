"""A flag's version in one environment: a short name of everything of its own that decides its value
there.

It is made from the texts that Postgres stores, so every reader has the same. The salt is part of
it: who sees a version cannot guess the rules behind it.
"""

import hashlib
from datetime import UTC
from typing import Any, Final

from sqlalchemy import Text, cast

from core.models import Flag, Override

_LENGTH: Final = 12  # hexadecimal digits
_UNTOUCHED: Final = '{"rules": [], "format": 1}'  # as Postgres prints it: no row is the empty one

# What `version_of` reads, for a query over flags joined with the overrides of one environment.
VERSIONED: Final = (
    Flag.type,
    cast(Flag.variants, Text).label("variants_text"),
    Flag.on_variant,
    Flag.off_variant,
    Flag.default_enabled,
    Flag.salt,
    Flag.expires_at,
    Override.enabled.label("own_enabled"),
    cast(Override.targeting, Text).label("targeting_text"),
)


def version_of(row: Any) -> str:
    """Of a row with the columns `VERSIONED`. No text of Postgres's has the character between."""
    enabled = row.default_enabled if row.own_enabled is None else row.own_enabled
    expires_at = row.expires_at.astimezone(UTC).isoformat() if row.expires_at is not None else ""
    said = "\0".join(
        (
            *(row.type, row.variants_text, row.on_variant, row.off_variant, row.salt, expires_at),
            "on" if enabled else "off",
            row.targeting_text or _UNTOUCHED,
        )
    )
    return hashlib.sha256(said.encode()).hexdigest()[:_LENGTH]

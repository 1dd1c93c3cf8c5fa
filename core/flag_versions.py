"""A flag's version in one environment: a short name of everything of its own that decides its value
there.

It is made from the texts that Postgres stores, so every reader has the same. The salt is part of
it: who sees a version cannot guess the rules behind it.
"""

import hashlib
from datetime import UTC
from typing import Any, Final

_LENGTH: Final = 12  # hexadecimal digits
_UNTOUCHED: Final = '{"rules": [], "format": 1}'  # as Postgres prints it: no row is the empty one

# What `version_of` reads, of flags f joined with the overrides o of one environment.
VERSIONED: Final = """
    f.type, f.variants::text AS variants_text, f.on_variant, f.off_variant, f.default_enabled,
    f.salt, f.expires_at, o.enabled AS own_enabled, o.targeting::text AS targeting_text
"""


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

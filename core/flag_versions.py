"""A flag's version in one environment: a short name of everything of its own that decides its value
there. Postgres makes it, from the texts that it stores, so that every reader has the same.

The salt is part of it: who sees a version cannot guess the rules behind it.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Text, cast, func, literal
from sqlalchemy.dialects.postgresql import JSONB

from core.models import Flag, Override

_LENGTH: Final = 12  # hexadecimal digits
_UNTOUCHED: Final[dict[str, Any]] = {"format": 1, "rules": []}


def _served_version() -> ColumnElement[str]:
    of = func.pg_catalog
    decides = of.jsonb_build_array(
        Flag.type,
        Flag.variants,
        Flag.on_variant,
        Flag.off_variant,
        Flag.salt,
        # As a number: a time's text is that of the session's time zone.
        func.extract("epoch", Flag.expires_at),
        func.coalesce(Override.enabled, Flag.default_enabled),
        func.coalesce(Override.targeting, literal(_UNTOUCHED, JSONB)),
    )
    digest = of.sha256(of.convert_to(cast(decides, Text), "UTF8"))
    return of.left(of.encode(digest, "hex"), _LENGTH, type_=Text)


# For a query over flags joined with the overrides of one environment.
SERVED_VERSION: Final = _served_version().label("served_version")

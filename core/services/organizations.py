"""The organization's own settings."""

from sqlalchemy import update

from core.auth.actor import Permission
from core.errors import InvalidInputError
from core.models import Organization
from core.names import check_pattern, check_text
from core.services.change import Change


def update_organization(
    change: Change, *, name: str | None = None, key_pattern: str | None = None
) -> None:
    """`key_pattern` is a regular expression that whole new keys must match."""
    change.require(Permission.GOVERN)
    change.expect_log()
    values: dict[str, str] = {}
    if name is not None:
        if not name.strip():
            raise InvalidInputError("the name is empty")
        values["name"] = check_text(name, what="the name", at_most=255)
    if key_pattern is not None:
        values["key_pattern"] = check_pattern(key_pattern)
    if not values:
        raise InvalidInputError(
            "nothing to change is named", hint="see `flagctl org update --help`"
        )
    change.session.execute(
        update(Organization)
        .where(Organization.id == change.session.organization_id)
        .values(**values)
    )

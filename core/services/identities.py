"""How a member is recognised: a subject of an issuer, or claims that its tokens carry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from core.errors import InvalidInputError, NotFoundError
from core.models import Issuer
from core.names import check_text, closest
from core.services.change import Change

_MAX_CLAIMS = 16
# Every token has them, and they say nothing of who holds it.
_NOT_CONDITIONS = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti"})
# Issuers that sign tokens for anybody: without one of these claims a condition holds for strangers.
_OWNER_CLAIMS = {
    "https://token.actions.githubusercontent.com": frozenset(
        {
            *("sub", "repository", "repository_id"),
            *("repository_owner", "repository_owner_id"),
        }
    ),
    "https://gitlab.com": frozenset(
        {
            *("sub", "project_path", "project_id"),
            *("namespace_path", "namespace_id"),
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A subject, or claims, exactly one of both. `issuer` None is flagctl's own."""

    issuer: str | None = None
    subject: str | None = None
    claims: Mapping[str, str] | None = None


def check_identity(identity: Identity, issuer: str) -> None:
    """Raises InvalidInputError for what could never match, or would match strangers."""
    if (identity.subject is None) == (identity.claims is None):
        raise InvalidInputError(
            f"say whom {issuer} means", hint="either --subject SUB or --claim NAME=VALUE, repeated"
        )
    if identity.subject is not None:
        if not identity.subject:
            raise InvalidInputError("the subject is empty")
        check_text(identity.subject, what="the subject", at_most=255)
        return
    claims = identity.claims or {}
    if not 1 <= len(claims) <= _MAX_CLAIMS:
        raise InvalidInputError(f"name between one and {_MAX_CLAIMS} claims")
    for name, value in claims.items():
        if not name or not value or name in _NOT_CONDITIONS:
            raise InvalidInputError(
                f"the claim {name!r} cannot be a condition", hint="as in repository=acme/shop"
            )
        check_text(name, what="the name of a claim", at_most=64)
        check_text(value, what=f"the claim {name}", at_most=255)
    owners = _OWNER_CLAIMS.get(issuer.rstrip("/"))
    if owners is not None and not owners & claims.keys():
        raise InvalidInputError(
            f"{issuer} signs tokens for everybody: these claims would let strangers in",
            hint=f"name one of {', '.join(sorted(owners))} as well",
        )


def find_issuer(change: Change, issuer: str | None) -> Row[Any]:
    """An issuer that this organization trusts; None is flagctl's own. Raises NotFoundError."""
    rows = change.session.execute(
        select(
            Issuer.id, Issuer.issuer, Issuer.audience, Issuer.max_lifetime_seconds, Issuer.built_in
        ).where(
            Issuer.built_in | (Issuer.organization_id == change.session.organization_id),
        )
    ).all()
    wanted = (row for row in rows if (row.built_in if issuer is None else row.issuer == issuer))
    found = next(wanted, None)
    if found is not None:
        return found
    if issuer is None:
        raise NotFoundError("flagctl's own issuer is not set up", hint="run `flagctl init`")
    known = [row.issuer for row in rows if not row.built_in]
    raise NotFoundError(
        f"{change.session.organization} does not trust the issuer {issuer!r}",
        hint=closest(issuer, known) or "the owner adds one with `flagctl issuer add`",
    )

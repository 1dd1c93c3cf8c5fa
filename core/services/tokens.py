"""Tokens of flagctl's own issuer: signed with a key file, registered here, revoked by id."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import insert, select, update

from core import clock
from core.auth import tokens
from core.auth.actor import Permission
from core.errors import InvalidInputError, NotFoundError
from core.models import Member, Token
from core.names import closest
from core.services.change import Change
from core.services.identities import find_issuer
from core.services.key_files import KeyFile
from core.services.signing_keys import live_keys


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`token` is the JWT itself; nothing can show it again."""

    id: UUID
    token: str
    email: str
    expires_at: datetime


def issue_token(
    change: Change, email: str, key_file: KeyFile, *, lifetime: timedelta, as_owner: bool = False
) -> IssuedToken:
    """Sign a token for a member and register it. Raises InvalidInputError for a foreign key."""
    if not as_owner:
        change.require(Permission.GOVERN)
    change.expect_log()
    issuer = find_issuer(change, None)
    limit = timedelta(seconds=issuer.max_lifetime_seconds)
    if not timedelta(minutes=1) <= lifetime <= limit:
        raise InvalidInputError(
            f"a token lives between one minute and {limit}, not {lifetime}", hint="--ttl 8h"
        )
    _check_member(change, email, issuer.id)
    trusted = [key.key_id for key in live_keys(change, issuer.id)]
    if not trusted:
        raise InvalidInputError(
            "this installation has no signing key",
            hint="log in with `flagctl login`; `flagctl signing-key rotate` makes a key",
        )
    key_file = key_file.newest(trusted)
    private_key, key_id = key_file.read()
    if key_id not in trusted:
        raise InvalidInputError(
            f"the signing key {key_file.path} is not trusted by this installation",
            hint="it belongs to another one, or it was revoked",
        )
    now = clock.now().replace(microsecond=0)
    issued = IssuedToken(uuid4(), "", email, now + lifetime)
    claims = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "sub": email,
        "jti": str(issued.id),
        "iat": int(now.timestamp()),
        "exp": int(issued.expires_at.timestamp()),
    }
    change.session.execute(
        insert(Token).values(
            organization_id=change.session.organization_id,
            issuer_id=issuer.id,
            jti=issued.id,
            subject=email,
            expires_at=issued.expires_at,
        )
    )
    token = tokens.sign(claims, private_key, key_id)
    return IssuedToken(issued.id, token, email, issued.expires_at)


def revoke_token(change: Change, token_id: str) -> None:
    """By its id (jti). A revoked token is refused from the next transaction on."""
    change.require(Permission.GOVERN)
    change.expect_log()
    try:
        jti = UUID(token_id)
    except ValueError:
        raise InvalidInputError(
            f"{token_id!r} is no token id", hint="`flagctl token list` shows the ids"
        ) from None
    row = change.session.execute(
        select(Token.id, Token.revoked_at).where(
            Token.organization_id == change.session.organization_id, Token.jti == jti
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no token {token_id}", hint="see `flagctl token list`")
    if row.revoked_at is None:
        change.session.execute(
            update(Token).where(Token.id == row.id).values(revoked_at=clock.now())
        )


def _check_member(change: Change, email: str, issuer_id: int) -> None:
    known = set(
        change.session.execute(
            select(Member.subject).where(
                Member.organization_id == change.session.organization_id,
                Member.issuer_id == issuer_id,
            )
        ).scalars()
    )
    if email not in known:
        raise NotFoundError(
            f"{email!r} is not a member of {change.session.organization}",
            hint=closest(email, known) or f"first `flagctl member add {email} --role editor`",
        )

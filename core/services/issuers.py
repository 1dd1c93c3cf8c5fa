"""Foreign issuers that one organization trusts, with the keys that were fetched from them.

Fetching is not done here: nobody is to wait for the organization's lock while an issuer answers.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, delete, func, insert, select, text, update

from core import clock
from core.auth.actor import Role
from core.errors import ConflictError, ForbiddenError, InvalidInputError
from core.models import Issuer, IssuerKey, Member
from core.names import check_text
from core.services.change import Change
from core.services.identities import find_issuer
from core.services.openid.urls import check_https, check_issuer

if TYPE_CHECKING:
    from core.services.openid.key_sets import KeySet, SigningKey

SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(hours=24)
_MAX_LENGTH: Final = 512


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """What is believed of an issuer's tokens. `jwks_url` None: its discovery document says it."""

    issuer: str
    audience: str
    max_lifetime: timedelta
    jwks_url: str | None = None

    def check(self) -> None:
        """Before anybody is asked. Raises InvalidInputError."""
        check_issuer(self.issuer)
        if self.jwks_url is not None:
            check_https(self.jwks_url, what="the address of the keys")
        check_text(self.audience, what="the audience", at_most=_MAX_LENGTH)
        if not self.audience or len(self.issuer) > _MAX_LENGTH:
            raise InvalidInputError(
                f"issuer and audience have 1 to {_MAX_LENGTH} characters", hint="--audience A"
            )
        if not SHORTEST <= self.max_lifetime <= LONGEST:
            raise InvalidInputError(
                f"a token may live between one minute and 24 hours, not {self.max_lifetime}",
                hint="--max-lifetime 1h",
            )


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Key ids. `replaced` are those under which the issuer has another key than before."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    revoked: tuple[str, ...]


def add_issuer(change: Change, issuer: TrustedIssuer, keys: "KeySet") -> int:
    """Trust an issuer, for the organization of the change alone; gives its row's id."""
    change.expect_log()
    issuer.check()
    here = Issuer.organization_id == change.session.organization_id
    known = select(Issuer.id).where(here, Issuer.issuer == issuer.issuer)
    if change.session.execute(known).first() is not None:
        raise ConflictError(
            f"{change.session.organization} trusts the issuer {issuer.issuer} already",
            hint="`flagctl issuer refresh` fetches its keys; to change it, remove it first",
        )
    issuer_id = change.session.execute(
        insert(Issuer)
        .values(
            organization_id=change.session.organization_id,
            issuer=issuer.issuer,
            audience=issuer.audience,
            max_lifetime_seconds=int(issuer.max_lifetime.total_seconds()),
            jwks_url=issuer.jwks_url,
            refreshed_at=clock.now(),
        )
        .returning(Issuer.id)
    ).scalar_one()
    for key in keys.keys:
        _insert(change, issuer_id, key)
    return int(issuer_id)


def refresh_issuer(change: Change, issuer: str, keys: "KeySet") -> Refreshed:
    """Trust what the issuer shows now, and nothing that it does not show any more."""
    change.expect_log()
    issuer_id = _existing(change, issuer)
    held = {
        row.key_id: row
        for row in change.session.execute(
            select(IssuerKey.id, IssuerKey.key_id, IssuerKey.modulus, IssuerKey.revoked_at).where(
                IssuerKey.issuer_id == issuer_id
            )
        )
    }
    shown = {key.key_id: key for key in keys.keys}
    refreshed = Refreshed(
        tuple(i for i in shown if i not in held or _returns(shown[i], held[i])),
        tuple(i for i in shown if i in held and _differs(shown[i], held[i])),
        tuple(i for i, row in held.items() if i not in shown and row.revoked_at is None),
    )
    for key_id in refreshed.added + refreshed.replaced:
        _renew(change, issuer_id, shown[key_id], held.get(key_id))
    for key_id in refreshed.revoked:
        _set_revoked(change, held[key_id], clock.now())
    change.session.execute(
        update(Issuer).where(Issuer.id == issuer_id).values(refreshed_at=clock.now())
    )
    return refreshed


def remove_issuer(change: Change, issuer: str) -> tuple[str, ...]:
    """Trust it no more. Whoever is a member through it goes with it, after asking back.

    Gives their names. Raises ConflictError when nobody would be left who is admin.
    """
    change.expect_log()
    issuer_id = _existing(change, issuer)
    members = change.session.execute(
        select(Member.email, Member.role, Member.environment_id)
        .where(Member.issuer_id == issuer_id)
        .order_by(Member.id)
    ).all()
    names = tuple(dict.fromkeys(member.email for member in members))
    if any(member.role == Role.ADMIN and member.environment_id is None for member in members):
        _keep_an_admin(change, issuer_id)
    change.confirm(
        bool(names), f"{', '.join(names)} of {change.session.organization} would go with {issuer}"
    )
    if names:
        _remove_members(change, issuer_id)
    change.session.execute(delete(IssuerKey).where(IssuerKey.issuer_id == issuer_id))
    change.session.execute(delete(Issuer).where(Issuer.id == issuer_id))
    return names


def _remove_members(change: Change, issuer_id: int) -> None:
    """The keepers of trust may name members, not remove them."""
    allowed = "SELECT has_table_privilege('flagctl.members', 'DELETE')"
    if not change.session.execute(text(allowed)).scalar_one():
        raise ForbiddenError(
            "only the owner's own login may remove an issuer together with its members",
            hint="first have an admin remove them: `flagctl member remove`",
        )
    change.session.execute(delete(Member).where(Member.issuer_id == issuer_id))


def _returns(key: "SigningKey", held: Row[Any]) -> bool:
    """Whether the issuer shows a key again that it had withdrawn."""
    return held.revoked_at is not None and not _differs(key, held)


def _differs(key: "SigningKey", held: Row[Any]) -> bool:
    return bool(held.modulus != key.modulus_bytes)


def _renew(change: Change, issuer_id: int, key: "SigningKey", held: Row[Any] | None) -> None:
    if held is not None and not _differs(key, held):
        _set_revoked(change, held, None)
        return
    if held is not None:
        change.session.execute(delete(IssuerKey).where(IssuerKey.id == held.id))
    _insert(change, issuer_id, key)


def _insert(change: Change, issuer_id: int, key: "SigningKey") -> None:
    change.session.execute(
        insert(IssuerKey).values(issuer_id=issuer_id, key_id=key.key_id, modulus=key.modulus_bytes)
    )


def _set_revoked(change: Change, held: Row[Any], revoked_at: Any) -> None:
    change.session.execute(
        update(IssuerKey).where(IssuerKey.id == held.id).values(revoked_at=revoked_at)
    )


def _existing(change: Change, issuer: str) -> int:
    """Never the built-in one, which has commands of its own. Raises NotFoundError."""
    found = find_issuer(change, issuer)
    if found.built_in:
        raise InvalidInputError(
            f"{issuer} is flagctl's own issuer", hint="`flagctl signing-key` keeps its keys"
        )
    return int(found.id)


def _keep_an_admin(change: Change, issuer_id: int) -> None:
    others = change.session.execute(
        select(func.count()).where(
            Member.organization_id == change.session.organization_id,
            Member.role == Role.ADMIN,
            Member.environment_id.is_(None),
            Member.issuer_id != issuer_id,
        )
    ).scalar_one()
    if not others:
        raise ConflictError(
            f"{change.session.organization} would have no admin any more",
            hint="first make another, of another issuer: `flagctl member add … --role admin`",
        )

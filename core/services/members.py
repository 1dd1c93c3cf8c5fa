"""Members: who has which role, in one environment or in the whole organization."""

from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from core.auth.actor import Permission, Role
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.lookups import find_environment
from core.models import Member
from core.names import check_text, closest
from core.services.change import Change
from core.services.identities import Identity, check_identity, find_issuer


def add_member(
    change: Change,
    name: str,
    role: Role,
    environment_key: str | None,
    *,
    identity: Identity | None = None,
) -> None:
    """Give a role, or change the one held there. Without an identity, `name` is an e-mail and the
    subject at flagctl's own issuer; with one it is how people know the member."""
    change.require(Permission.GOVERN)
    change.expect_log()
    give_role(change, name, role, environment_key, identity=identity)


def give_role(
    change: Change,
    name: str,
    role: Role,
    environment_key: str | None = None,
    *,
    identity: Identity | None = None,
) -> None:
    """The same without asking for a right: for the owner, who makes the first admin."""
    if identity is None:
        _check_email(name)
        identity = Identity(subject=name)
    if not check_text(name, what="the name", at_most=255).strip():
        raise InvalidInputError("the name of the member is empty")
    issuer = find_issuer(change, identity.issuer)
    check_identity(identity, issuer.issuer)
    environment = find_environment(change.session, environment_key) if environment_key else None
    environment_id = environment.id if environment is not None else None
    held = _held(change, issuer.id, identity, environment_id)
    if held is None:
        change.session.execute(
            insert(Member).values(
                organization_id=change.session.organization_id,
                issuer_id=issuer.id,
                subject=identity.subject,
                claims=None if identity.claims is None else dict(identity.claims),
                email=name,
                environment_id=environment_id,
                role=role,
            )
        )
        return
    if held.role == Role.ADMIN and role is not Role.ADMIN:
        _keep_an_admin(change, held)
    change.session.execute(update(Member).where(Member.id == held.id).values(role=role, email=name))


def remove_member(
    change: Change, name: str, environment_key: str | None, *, issuer: str | None = None
) -> None:
    """Take the role in one environment, or without one: every role of the member. `issuer` tells
    apart who has the same name at several."""
    change.require(Permission.GOVERN)
    change.expect_log()
    environment = find_environment(change.session, environment_key) if environment_key else None
    at = find_issuer(change, issuer).id if issuer is not None else None
    rows = [
        row
        for row in _of_tenant(change)
        if row.email == name
        and (environment is None or row.environment_id == environment.id)
        and at in (None, row.issuer_id)
    ]
    if not rows:
        known = {row.email for row in _of_tenant(change)}
        where = f" in {environment_key}" if environment_key else ""
        raise NotFoundError(
            f"{name!r} has no role{where}",
            hint=closest(name, known) or "see `flagctl member list`",
        )
    if len({row.issuer_id for row in rows}) > 1:
        raise ConflictError(
            f"{name} is known at several issuers", hint="name one with --issuer URL"
        )
    for row in rows:
        _keep_an_admin(change, row)
        change.session.execute(delete(Member).where(Member.id == row.id))


def _held(
    change: Change, issuer_id: int, identity: Identity, environment_id: int | None
) -> Row[Any] | None:
    return next(
        (
            row
            for row in _of_tenant(change)
            if (row.issuer_id, row.subject, row.claims, row.environment_id)
            == (issuer_id, identity.subject, identity.claims, environment_id)
        ),
        None,
    )


def _of_tenant(change: Change) -> list[Row[Any]]:
    return list(
        change.session.execute(
            select(
                Member.id,
                Member.issuer_id,
                Member.subject,
                Member.claims,
                Member.email,
                Member.role,
                Member.environment_id,
            ).where(Member.organization_id == change.session.organization_id)
        )
    )


def _keep_an_admin(change: Change, row: Row[Any]) -> None:
    if row.role != Role.ADMIN or row.environment_id is not None:
        return
    others = change.session.execute(
        select(func.count()).where(
            Member.organization_id == change.session.organization_id,
            Member.role == Role.ADMIN,
            Member.environment_id.is_(None),
            Member.id != row.id,
        )
    ).scalar_one()
    if not others:
        raise ConflictError(
            f"{row.email} is the last admin of {change.session.organization}",
            hint="first make another: `flagctl member add EMAIL --role admin`",
        )


def _check_email(email: str) -> None:
    check_text(email, what="the e-mail", at_most=255)
    name, _, domain = email.partition("@")
    if not name or not domain or "@" in domain or any(c.isspace() or c == "#" for c in email):
        raise InvalidInputError(f"{email!r} is no e-mail address", hint="as in ann@example.com")

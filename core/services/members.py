"""Members: who has which role, in one environment or in the whole organization."""

from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from core.auth.actor import Permission, Role
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.lookups import find_environment
from core.models import Issuer, Member
from core.names import check_text, closest
from core.services.change import Change


def add_member(change: Change, email: str, role: Role, environment_key: str | None) -> None:
    """Give a role, or change the one held there. The subject is the e-mail, at flagctl's issuer."""
    change.require(Permission.GOVERN)
    change.expect_log()
    give_role(change, email, role, environment_key)


def give_role(change: Change, email: str, role: Role, environment_key: str | None = None) -> None:
    """The same without asking for a right: for the owner, who makes the first admin."""
    _check_email(email)
    environment = find_environment(change.session, environment_key) if environment_key else None
    environment_id = environment.id if environment is not None else None
    held = _held(change, email, environment_id)
    if held is None:
        change.session.execute(
            insert(Member).values(
                organization_id=change.session.organization_id,
                issuer_id=built_in_issuer(change).id,
                subject=email,
                email=email,
                environment_id=environment_id,
                role=role,
            )
        )
        return
    if held.role == Role.ADMIN and role is not Role.ADMIN:
        _keep_an_admin(change, held)
    change.session.execute(update(Member).where(Member.id == held.id).values(role=role))


def remove_member(change: Change, email: str, environment_key: str | None) -> None:
    """Take the role in one environment, or without one: every role of the member."""
    change.require(Permission.GOVERN)
    change.expect_log()
    environment = find_environment(change.session, environment_key) if environment_key else None
    rows = [
        row
        for row in _of_tenant(change)
        if row.email == email and (environment is None or row.environment_id == environment.id)
    ]
    if not rows:
        known = {row.email for row in _of_tenant(change)}
        where = f" in {environment_key}" if environment_key else ""
        raise NotFoundError(
            f"{email!r} has no role{where}",
            hint=closest(email, known) or "see `flagctl member list`",
        )
    for row in rows:
        _keep_an_admin(change, row)
        change.session.execute(delete(Member).where(Member.id == row.id))


def built_in_issuer(change: Change) -> Row[Any]:
    """flagctl's own issuer, whose tokens `token issue` signs."""
    row = change.session.execute(
        select(Issuer.id, Issuer.issuer, Issuer.audience, Issuer.max_lifetime_seconds).where(
            Issuer.built_in
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError("flagctl's own issuer is not set up", hint="run `flagctl init`")
    return row


def _held(change: Change, email: str, environment_id: int | None) -> Row[Any] | None:
    return next(
        (
            row
            for row in _of_tenant(change)
            if row.email == email and row.environment_id == environment_id
        ),
        None,
    )


def _of_tenant(change: Change) -> list[Row[Any]]:
    return list(
        change.session.execute(
            select(Member.id, Member.email, Member.role, Member.environment_id).where(
                Member.organization_id == change.session.organization_id
            )
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

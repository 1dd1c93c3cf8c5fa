"""API keys: made, rotated with overlap, revoked. A key itself is seen once, by its maker."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update

from core import clock
from core.auth import api_keys
from core.auth.actor import Permission
from core.auth.api_keys import KeyKind
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.lookups import find_environment
from core.models import ApiKey
from core.names import check_text, closest
from core.services.change import Change


@dataclass(frozen=True, slots=True)
class NewKey:
    """`key` is the secret itself; nothing can show it again."""

    id: str
    key: str
    name: str
    kind: KeyKind
    environment: str
    expires_at: datetime | None


def create_key(
    change: Change,
    name: str,
    environment_key: str,
    *,
    kind: KeyKind = KeyKind.SERVER,
    expires_at: datetime | None = None,
) -> NewKey:
    environment = find_environment(change.session, environment_key)
    change.require(Permission.ADMINISTER, in_environments=[environment])
    change.expect(environment.revision, what=f"the revision of {environment_key}")
    if not name or not check_text(name, what="the name", at_most=128).strip():
        raise InvalidInputError("the name of the key is empty")
    if expires_at is not None and expires_at <= clock.now():
        raise InvalidInputError(f"the key would have expired already: {expires_at.isoformat()}")
    if any(row.name == name for row in _live_keys(change, environment)):
        raise ConflictError(
            f"{environment_key} has a key named {name!r} already",
            hint=f"choose another name, or `flagctl key rotate {name} --env {environment_key}`",
        )
    return _insert(change, environment, name, kind, expires_at)


def rotate_key(
    change: Change, name: str, environment_key: str, *, overlap: timedelta
) -> tuple[NewKey, datetime]:
    """A new key of the same name and kind; the old one works for `overlap` more.

    Returns the new key and when the old one ends.
    """
    environment, old = _find(change, name, environment_key)
    ends = clock.now() + overlap
    if old.expires_at is not None:
        ends = min(ends, old.expires_at)
    change.session.execute(update(ApiKey).where(ApiKey.id == old.id).values(expires_at=ends))
    return _insert(change, environment, old.name, KeyKind(old.kind), None), ends


def revoke_key(change: Change, name: str, environment_key: str) -> None:
    """The key named so, or with this id, is refused as soon as the readers hear of it."""
    _, old = _find(change, name, environment_key)
    change.session.execute(update(ApiKey).where(ApiKey.id == old.id).values(revoked_at=clock.now()))


def _insert(
    change: Change,
    environment: Row[Any],
    name: str,
    kind: KeyKind,
    expires_at: datetime | None,
) -> NewKey:
    key = api_keys.generate(kind, environment.public_id)
    public_id = change.session.execute(
        insert(ApiKey)
        .values(
            organization_id=environment.organization_id,
            environment_id=environment.id,
            name=name,
            kind=kind,
            digest=api_keys.digest(key),
            expires_at=expires_at,
        )
        .returning(ApiKey.public_id)
    ).scalar_one()
    return NewKey(public_id, key, name, kind, environment.key, expires_at)


def _live_keys(change: Change, environment: Row[Any]) -> list[Row[Any]]:
    live = (ApiKey.expires_at.is_(None)) | (ApiKey.expires_at > clock.now())
    return list(
        change.session.execute(
            select(ApiKey.id, ApiKey.public_id, ApiKey.name, ApiKey.kind, ApiKey.expires_at)
            .where(ApiKey.environment_id == environment.id, ApiKey.revoked_at.is_(None), live)
            .order_by(ApiKey.id)
        )
    )


def _find(change: Change, name: str, environment_key: str) -> tuple[Row[Any], Row[Any]]:
    environment = find_environment(change.session, environment_key)
    change.require(Permission.ADMINISTER, in_environments=[environment])
    change.expect(environment.revision, what=f"the revision of {environment_key}")
    keys = _live_keys(change, environment)
    by_id = [row for row in keys if row.public_id == name]
    found = by_id or [row for row in keys if row.name == name]
    if not found:
        raise NotFoundError(
            f"{environment_key} has no live key {name!r}",
            hint=closest(name, [row.name for row in keys])
            or f"see `flagctl key list --env {environment_key}`",
        )
    if len(found) > 1:
        ids = ", ".join(row.public_id for row in found)
        raise ConflictError(
            f"{environment_key} has {len(found)} live keys named {name!r}",
            hint=f"name one by its id: {ids}",
        )
    return environment, found[0]

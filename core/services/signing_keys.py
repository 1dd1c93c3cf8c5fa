"""The keys of flagctl's own issuer: a new one before the old one goes, and the end of one at once.

Public halves are rows, private halves files. The new file is there before its key is trusted, and
no file is ever removed: at no moment, also not in a crash, is there a trusted key that nobody has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, insert, select, update

from core import clock
from core.auth import tokens
from core.errors import InvalidInputError, NotFoundError
from core.models import IssuerKey
from core.names import closest
from core.services.change import Change
from core.services.identities import find_issuer
from core.services.key_files import KeyFile

ISSUER_PREFIX: Final = "urn:flagctl:"
MAX_OVERLAP: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """`path` is None in a dry run. The keys in `ending` are trusted until `ends`."""

    id: str
    path: Path | None
    ending: tuple[str, ...]
    ends: datetime


def live_keys(change: Change, issuer_id: int) -> Sequence[Row[Any]]:
    """The keys that may sign now, newest first."""
    return change.session.execute(
        select(IssuerKey.id, IssuerKey.key_id, IssuerKey.expires_at)
        .where(
            IssuerKey.issuer_id == issuer_id,
            IssuerKey.revoked_at.is_(None),
            IssuerKey.expires_at.is_(None) | (IssuerKey.expires_at > clock.now()),
        )
        .order_by(IssuerKey.id.desc())
    ).all()


def installation_of(change: Change) -> str:
    """The id that the files are named by. The keepers of trust may not read where it stands."""
    return str(find_issuer(change, None).issuer).removeprefix(ISSUER_PREFIX)


def rotate_key(
    change: Change, file: KeyFile, key_pair: tuple[str, str], *, overlap: timedelta
) -> RotatedKey:
    """Trust the new key from now on, the others for `overlap` longer.

    `file` is the installation's first one; what protects it protects the new one. The pair is made
    by the caller, before anybody waits for the lock.
    """
    change.expect_log()
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise InvalidInputError(
            f"keys overlap for {MAX_OVERLAP.days} days at most, not {overlap}",
            hint="--overlap 24h, as long as a token lives",
        )
    issuer = find_issuer(change, None)
    old = live_keys(change, issuer.id)
    private_key, public_key = key_pair
    key_id = tokens.key_id_of(public_key)
    ends = clock.now() + overlap
    _end(change, old, ends)
    change.session.execute(
        insert(IssuerKey).values(
            issuer_id=issuer.id, key_id=key_id, modulus=tokens.modulus_of(public_key)
        )
    )
    new = file.of_key(key_id)
    if not change.options.dry_run:
        new.write(private_key)  # last: whatever fails before it leaves no file behind
    path = None if change.options.dry_run else new.path
    return RotatedKey(key_id, path, tuple(key.key_id for key in old), ends)


def _end(change: Change, keys: Sequence[Row[Any]], ends: datetime) -> None:
    for key in keys:
        if key.expires_at is None or key.expires_at > ends:
            change.session.execute(
                update(IssuerKey).where(IssuerKey.id == key.id).values(expires_at=ends)
            )


def revoke_key(change: Change, key_id: str) -> None:
    """Refuse, from now on, every token that this key signed. Asks back for the last one."""
    change.expect_log()
    issuer = find_issuer(change, None)
    rows = change.session.execute(
        select(IssuerKey.id, IssuerKey.key_id, IssuerKey.revoked_at).where(
            IssuerKey.issuer_id == issuer.id
        )
    ).all()
    found = next((row for row in rows if row.key_id == key_id), None)
    if found is None:
        raise NotFoundError(
            f"there is no signing key {key_id}",
            hint=closest(key_id, [row.key_id for row in rows]) or "see `flagctl signing-key list`",
        )
    if found.revoked_at is not None:
        return
    lasting = [key for key in live_keys(change, issuer.id) if key.expires_at is None]
    change.confirm(
        [key.key_id for key in lasting] == [key_id],
        f"{key_id} is the last signing key that lasts: without it nobody can issue tokens for long",
    )
    change.session.execute(
        update(IssuerKey).where(IssuerKey.id == found.id).values(revoked_at=clock.now())
    )

"""Snapshot ↔ bytes, sealed with an HMAC. Whatever does not fit exactly is refused.

The bytes are JSON with a format number. A reader takes its own format only: in doubt it loads from
Postgres, which costs time and never truth.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from core.auth import stream_urls
from core.auth.api_keys import KeyKind
from core.evaluation.ruleset import Ruleset
from core.snapshot.document import Auth, Config, KeyGrant, Served, Snapshot, Version

FORMAT: Final = 3


class RefusedError(ValueError):
    """These bytes are not a snapshot that this reader may use. The message never repeats them."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A snapshot as it lies in Redis. `mac` is 32 bytes over everything else."""

    environment_id: str
    version: Version
    data: bytes
    mac: bytes


def seal(snapshot: Snapshot, secret: bytes) -> Sealed:
    """Encode and sign. `secret` is flagctl.snapshot_key's."""
    data = encode(snapshot)
    mac = _mac(snapshot.environment_id, snapshot.version, data, secret)
    return Sealed(snapshot.environment_id, snapshot.version, data, mac)


def unseal(sealed: Sealed, secret: bytes) -> Snapshot:
    """Verify and decode. Raises RefusedError; nothing is parsed before the seal is verified."""
    expected = _mac(sealed.environment_id, sealed.version, sealed.data, secret)
    if not hmac.compare_digest(expected, sealed.mac):
        raise RefusedError("the seal is wrong")
    snapshot = decode(sealed.data)
    if (snapshot.environment_id, snapshot.version) != (sealed.environment_id, sealed.version):
        raise RefusedError("it is of another environment or version than its seal")
    stream_secret = stream_urls.secret_of(secret, sealed.environment_id)
    return replace(snapshot, auth=replace(snapshot.auth, stream_secret=stream_secret))


def _mac(environment_id: str, version: Version, data: bytes, secret: bytes) -> bytes:
    # As JSON, so that no two lists of fields give the same bytes.
    head = json.dumps([environment_id, FORMAT, version.epoch, version.revision, version.stamp])
    message = len(head).to_bytes(8, "big") + head.encode() + data
    return hmac.digest(secret, message, hashlib.sha256)


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as compact JSON, ASCII only, without the secret of its streams; equal ones give
    the same bytes."""
    document = {
        "format": FORMAT,
        "environment_id": snapshot.environment_id,
        "key": snapshot.key,
        "version": [snapshot.epoch, snapshot.revision, snapshot.stamp],
        "flags": [_encode_flag(flag) for flag in snapshot.served.flags],
        "segments": snapshot.served.segments,
        "configs": [
            [config.key, config.type, config.client_visible, config.text]
            for config in snapshot.served.configs
        ],
        "keys": [
            [digest.hex(), grant.id, grant.kind, _encode_time(grant.expires_at)]
            for digest, grant in sorted(snapshot.auth.keys.items())
        ],
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _encode_flag(flag: Ruleset) -> list[Any]:
    return [
        flag.key,
        flag.type,
        flag.variants,
        flag.on_variant,
        flag.off_variant,
        flag.enabled,
        flag.targeting,
        flag.salt,
        flag.client_visible,
        _encode_time(flag.expires_at),
        flag.version,
    ]


def _encode_time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def decode(data: bytes) -> Snapshot:
    """Read what `encode` wrote, in this format. Raises RefusedError for anything else."""
    try:
        document = json.loads(data)
        known = document.get("format")
    except (ValueError, AttributeError, RecursionError):
        raise RefusedError("it is not a snapshot") from None
    if known != FORMAT:
        raise RefusedError(f"its format is not {FORMAT}")
    try:
        return _snapshot(document)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise RefusedError("it is not a whole snapshot") from None


def _snapshot(document: dict[str, Any]) -> Snapshot:
    epoch, revision, stamp = document["version"]
    return Snapshot(
        environment_id=document["environment_id"],
        key=document["key"],
        epoch=epoch,
        revision=revision,
        stamp=stamp,
        served=Served(
            flags=tuple(map(_decode_flag, document["flags"])),
            configs=tuple(Config(*fields) for fields in document["configs"]),
            segments=dict(document["segments"]),
        ),
        auth=Auth(
            {
                bytes.fromhex(digest): KeyGrant(id_, KeyKind(kind), _decode_time(expires_at))
                for digest, id_, kind, expires_at in document["keys"]
            }
        ),
    )


def _decode_flag(fields: list[Any]) -> Ruleset:
    fields[9] = _decode_time(fields[9])
    return Ruleset(*fields)


def _decode_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

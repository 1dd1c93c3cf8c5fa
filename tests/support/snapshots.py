"""Snapshots to test with, made by hand."""

from datetime import UTC, datetime
from typing import Any

from core.auth.api_keys import KeyKind, _checksum, digest
from core.evaluation.ruleset import Ruleset
from core.snapshot.document import Auth, Config, KeyGrant, Served, Snapshot

ENVIRONMENT_ID = "0123456789abcdef"
EPOCH = "7000.1.1"


def _key(prefix: str, letter: str) -> str:
    """A well-formed key that is the same in every run: it stands in the names of tests."""
    body = f"{prefix}_{ENVIRONMENT_ID}{letter * 32}"
    return body + _checksum(body)


KEY, CLIENT_KEY, EXPIRED_KEY = _key("fcs", "A"), _key("fcc", "B"), _key("fcs", "C")
UNKNOWN_KEY = _key("fcs", "D")


def flag(key: str = "dark_mode", **fields: Any) -> Ruleset:
    """A boolean flag that is on."""
    defaults: dict[str, Any] = {
        "key": key,
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "on_variant": "on",
        "off_variant": "off",
        "enabled": True,
    }
    return Ruleset(**(defaults | fields))


def snapshot(revision: int = 1, **fields: Any) -> Snapshot:
    """prod at a revision, with one flag, one config and three keys."""
    defaults: dict[str, Any] = {
        "environment_id": ENVIRONMENT_ID,
        "key": "prod",
        "epoch": EPOCH,
        "revision": revision,
        "stamp": f"stamp-{revision}",
        "served": Served((flag(),), (Config("max_items", "integer", False, "5"),)),
        "auth": Auth(
            {
                digest(KEY): KeyGrant("aaaa", KeyKind.SERVER, None),
                digest(CLIENT_KEY): KeyGrant("bbbb", KeyKind.CLIENT, None),
                digest(EXPIRED_KEY): KeyGrant(
                    "cccc", KeyKind.SERVER, datetime(2020, 1, 1, tzinfo=UTC)
                ),
            }
        ),
    }
    return Snapshot(**(defaults | fields))

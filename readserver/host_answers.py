"""What a check found, as the one who asked tells it to the other workers of the host."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from core.auth.tokens import TrustedKey
from core.snapshot.document import Version
from core.snapshot.load import State


@dataclass(frozen=True, slots=True)
class Answer:
    """`asked_at` is by time.monotonic, which is that of the host. Without a state, Postgres could
    not be reached; without keys, they could not be read."""

    asked_at: float
    state: State | None = None
    keys: Sequence[TrustedKey] | None = None


def encode(answer: Answer) -> bytes:
    """For memory that nobody but this server's processes has: the secret is in it."""
    state, keys = answer.state, answer.keys
    document = {
        "asked_at": answer.asked_at,
        "state": state
        and {
            "epoch": state.epoch,
            "secret": state.secret.hex(),
            "versions": {id_: (v.revision, v.stamp) for id_, v in state.versions.items()},
        },
        "keys": None if keys is None else [_key_row(key) for key in keys],
    }
    return json.dumps(document).encode()


def decode(data: bytes) -> Answer:
    document = json.loads(data)
    state, keys = document["state"], document["keys"]
    return Answer(
        document["asked_at"],
        state
        and State(
            state["epoch"],
            bytes.fromhex(state["secret"]),
            {id_: Version(state["epoch"], *found) for id_, found in state["versions"].items()},
        ),
        None if keys is None else [_key(*row) for row in keys],
    )


def _key_row(key: TrustedKey) -> tuple[str, str, str, str, float]:
    seconds = key.max_lifetime.total_seconds()
    return key.issuer, key.key_id, key.modulus.hex(), key.audience, seconds


def _key(issuer: str, key_id: str, modulus: str, audience: str, seconds: float) -> TrustedKey:
    return TrustedKey(issuer, key_id, bytes.fromhex(modulus), audience, timedelta(seconds=seconds))

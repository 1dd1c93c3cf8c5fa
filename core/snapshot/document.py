"""A snapshot: everything one environment serves, at one revision, immutable.

It has two parts. `served` may leave a reader; `auth` never does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from core.auth.api_keys import KeyKind
from core.evaluation.ruleset import Ruleset, Segments


@dataclass(frozen=True, slots=True)
class Version:
    """Which state of an environment.

    `revision` rises by one with each change, within one `epoch` (which Postgres the revisions are
    of). `stamp` is random for each revision: it tells apart two histories that both reached it.
    """

    epoch: str
    revision: int
    stamp: str

    def is_newer_than(self, other: "Version") -> bool:
        """Whether this may replace `other`. Which of two epochs is the later nobody can tell
        from them: whoever brings another epoch must have it from Postgres."""
        return self.epoch != other.epoch or self.revision > other.revision

    def is_at_least(self, other: "Version") -> bool:
        """Whether this is `other` or came after it. `other.stamp` may be empty: not known."""
        if self.epoch != other.epoch or self.revision < other.revision:
            return False
        return self.revision > other.revision or other.stamp in ("", self.stamp)


@dataclass(frozen=True, slots=True)
class Config:
    """A config with a value here. `text` is that value as Postgres prints it: no digit and no
    character of it passes through a Python value."""

    key: str
    type: str
    client_visible: bool
    text: str


@dataclass(frozen=True, slots=True)
class Served:
    """What may leave a reader. Sorted by key; archived flags are left out."""

    flags: tuple[Ruleset, ...]
    configs: tuple[Config, ...]
    segments: Segments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """An API key that is not revoked; it may have expired (`expires_at`, aware)."""

    id: str
    kind: KeyKind
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Auth:
    """What authenticates: SHA-256 digests of the live API keys, and the secret of streams'
    addresses (core.auth.stream_urls). That is not in the bytes of a snapshot, so not in Redis:
    whoever may unseal them can make it."""

    keys: Mapping[bytes, KeyGrant]
    stream_secret: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One environment at one revision. `environment_id` is the public id."""

    environment_id: str
    key: str
    epoch: str
    revision: int
    stamp: str
    served: Served
    auth: Auth

    @property
    def version(self) -> Version:
        return Version(self.epoch, self.revision, self.stamp)

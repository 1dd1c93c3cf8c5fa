"""A read server with flags of every type and every reason, for those who speak OFREP to it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openfeature.contrib.provider.ofrep import OFREPProvider
from sqlalchemy import update

from core.auth.api_keys import KeyKind
from core.models import Flag
from core.services import flags, overrides, rules, segments
from core.services.api_keys import create_key
from core.value_types import ValueType
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.readers import Answer, Reader

BULK = "/ofrep/v1/evaluate/flags"
# What may be written says nothing about what is read.
BOUNDS = {
    "FLAGCTL_CONDITION_DEPTH": "1",
    "FLAGCTL_LIST_VALUES": "1",
    "FLAGCTL_CONTEXT_DEPTH": "24",
    "FLAGCTL_CONTEXT_BYTES": "1000000",
}
LAYOUT = flags.Definition(
    "checkout_layout",
    ValueType.STRING,
    {"classic": "classic", "compact": "compact"},
    on_variant="classic",
    off_variant="classic",
)
BETA: Any = {"attr": "country", "op": "in", "values": ["DE", "FR"]}
NEW_ENOUGH: Any = {"attr": "app_version", "op": "semver_gte", "value": "2.1.0"}


@dataclass(frozen=True)
class World:
    """A reader of an installation with flags of every type and every reason."""

    installation: Installation
    reader: Reader
    server_key: str
    client_key: str

    def ask(self, path: str, body: Any, *, key: str | None = None, **headers: str) -> Answer:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.reader.ask("POST", path, key or self.server_key, body=sent, headers=headers)

    def one(self, flag: str, body: Any, **more: Any) -> Any:
        return self.ask(f"{BULK}/{flag}", body, **more).json()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.reader.port}"

    def provider(self, key: str | None = None) -> OFREPProvider:
        return OFREPProvider(
            self.url,
            headers_factory=lambda: {"Authorization": f"Bearer {key or self.server_key}"},
        )


def define(installation: Installation) -> tuple[str, str]:
    """Flags of every type and every reason; (server key, client key) of prod."""
    values: dict[ValueType, tuple[Any, Any]] = {
        ValueType.INTEGER: (2**70, 0),
        ValueType.NUMBER: (10.0, 0.5),
        ValueType.OBJECT: ({"größe": [1, 1.0]}, {}),
    }
    with installation.change() as change:
        flags.create_flag(change, flags.Definition("new_checkout", client_visible=True))
        flags.create_flag(change, flags.Definition("off", client_visible=True))
        flags.create_flag(change, flags.Definition("over"))
        flags.create_flag(change, LAYOUT)
        long = {"on": "x" * 2_000, "off": ""}
        flags.create_flag(
            change, flags.Definition("large", ValueType.STRING, long, default_enabled=True)
        )
        for type_, (on, off) in values.items():
            variants = {"on": on, "off": off}
            flags.create_flag(change, flags.Definition(str(type_), type_, variants))
        segments.create_segment(change, "beta", BETA)
        overrides.set_override(change, "new_checkout", "prod", "on", overrides.Rollout(25))
        for key in ("checkout_layout", *map(str, values)):
            overrides.set_override(change, key, "prod", "on")
        server = create_key(change, "app", "prod").key
        client = create_key(change, "web", "prod", kind=KeyKind.CLIENT).key
    with installation.change() as change:
        when: Any = {"all": [{"segment": "beta"}, NEW_ENOUGH]}
        expired = {"expires_at": datetime(2026, 1, 31, tzinfo=UTC), "default_enabled": True}
        change.session.execute(update(Flag).where(Flag.key == "over").values(**expired))
        new = rules.NewRule(when=when, serve={"variant": "compact"}, id="beta")
        rules.add_rule(change, "checkout_layout", "prod", new)
    return server, client


@contextmanager
def running(cluster: Cluster, folder: Path) -> Iterator[World]:
    """Such a world in an installation of its own."""
    with cluster.installation() as installation:
        server, client = define(installation)
        settings = readers.settings_for(installation) | BOUNDS
        with readers.running(folder, settings) as reader:
            yield World(installation, reader, server, client)

"""A flag and the segments as an environment has them: data, as they lie in a snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.json_text import JsonValue


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything that decides a flag's value in one environment.

    `enabled` is the override, or the global default where the environment inherits. `on_variant`
    and `off_variant` are keys of `variants`. `targeting` is the document of targeting.py, None
    where the flag was never touched; `salt` spreads its splits. From `expires_at` (aware) on it is
    off. `version` names this definition: another one has another.
    """

    key: str
    type: str
    variants: Mapping[str, JsonValue]
    on_variant: str
    off_variant: str
    enabled: bool
    targeting: Any = None  # JSON
    salt: str = ""
    client_visible: bool = False
    expires_at: datetime | None = None
    version: str = ""


Segments = Mapping[str, JsonValue]  # key → condition

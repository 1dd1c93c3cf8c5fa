"""A flag as one environment has it, prepared so that evaluation cannot fail."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.json_text import JsonValue

TARGETING_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything that decides a flag's value in one environment.

    `enabled` is the override, or the global default where the environment inherits. `serve` names
    the variant to serve instead of `on_variant`. `on_variant`, `off_variant` and `serve` (unless
    None) are keys of `variants`. `readable` is False when the stored targeting is of a format that
    this release does not know: such a flag serves its off variant, because a rule that cannot be
    read may well be the one that keeps a feature from somebody.
    """

    key: str
    type: str
    variants: Mapping[str, JsonValue]
    on_variant: str
    off_variant: str
    enabled: bool
    serve: str | None = None
    archived: bool = False
    client_visible: bool = False
    readable: bool = True


def prepare(
    *,
    key: str,
    type: str,  # noqa: A002 - the column's name
    variants: Mapping[str, JsonValue],
    on_variant: str,
    off_variant: str,
    default_enabled: bool,
    override_enabled: bool | None,
    targeting: JsonValue,
    archived: bool = False,
    client_visible: bool = False,
) -> Ruleset:
    """Resolve inheritance and read the targeting document (None: there is no override)."""
    serve, readable = _read_targeting(targeting, variants)
    return Ruleset(
        key=key,
        type=type,
        variants=variants,
        on_variant=on_variant,
        off_variant=off_variant,
        enabled=default_enabled if override_enabled is None else override_enabled,
        serve=serve,
        archived=archived,
        client_visible=client_visible,
        readable=readable,
    )


def _read_targeting(
    targeting: JsonValue, variants: Mapping[str, JsonValue]
) -> tuple[str | None, bool]:
    """(variant to serve, whether all of it was understood)."""
    if targeting is None:
        return None, True
    if not isinstance(targeting, dict) or targeting.get("format") != TARGETING_FORMAT:
        return None, False
    if targeting.get("rules"):
        return None, False
    serve = targeting.get("serve")
    if serve is None:
        return None, True
    variant = serve.get("variant") if isinstance(serve, dict) else None
    if isinstance(variant, str) and variant in variants:
        return variant, True
    return None, False

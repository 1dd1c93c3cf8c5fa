"""What can be done to a flag's definition. The state in one environment is in overrides.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any, Literal

from sqlalchemy import Row, delete, insert, select, update

from core import clock
from core.auth.actor import Permission
from core.errors import ConflictError, InvalidInputError
from core.json_text import JsonValue
from core.lookups import environments, find_flag
from core.models import Flag, Override
from core.names import check_new_key, check_text, closest
from core.services.change import Change
from core.value_types import ValueType, check_value

RESERVED_VARIANTS = frozenset({"inherit"})
_BOOLEAN_VARIANTS: Mapping[str, JsonValue] = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Definition:
    """What a new flag is. `variants` empty means the two of a boolean."""

    key: str
    type: ValueType = ValueType.BOOLEAN
    variants: Mapping[str, JsonValue] | None = None
    on_variant: str | None = None
    off_variant: str | None = None
    default_enabled: bool = False
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    expires_at: datetime | None = None
    permanent: bool = False
    client_visible: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change; None leaves a field as it is. `expires_at` None is no change, False never."""

    variants: Mapping[str, JsonValue] | None = None
    removed_variants: tuple[str, ...] = ()
    on_variant: str | None = None
    off_variant: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] | None = None
    expires_at: datetime | Literal[False] | None = None
    permanent: bool | None = None
    client_visible: bool | None = None


def create_flag(change: Change, definition: Definition) -> None:
    """Raises ConflictError when the key is taken, also by an archived flag."""
    session = change.session
    change.require_everywhere(Permission.EDIT)
    check_new_key(definition.key, noun="flag", pattern=session.key_pattern)
    existing = session.execute(
        select(Flag.archived_at, Flag.version).where(
            Flag.organization_id == session.organization_id, Flag.key == definition.key
        )
    ).one_or_none()
    if existing is not None:
        archived = existing.archived_at is not None
        raise ConflictError(
            f"the flag {definition.key!r} exists already" + (", archived" if archived else ""),
            hint=f"`flagctl unarchive {definition.key}` brings it back" if archived else "",
        )
    change.expect(0, what=f"the version of {definition.key} (which does not exist)")
    _check_time(definition.key, definition.expires_at, permanent=definition.permanent)
    variants = dict(definition.variants or _default_variants(definition.type))
    on_variant, off_variant = _serving(definition, variants)
    _check_variants(definition.type, variants, on_variant, off_variant)
    session.execute(
        insert(Flag).values(
            organization_id=session.organization_id,
            key=definition.key,
            type=definition.type,
            variants=variants,
            on_variant=on_variant,
            off_variant=off_variant,
            default_enabled=definition.default_enabled,
            description=check_text(definition.description, what="the description"),
            owner=check_text(definition.owner, what="the owner", at_most=255),
            tags=_check_tags(definition.tags),
            expires_at=definition.expires_at,
            permanent=definition.permanent,
            client_visible=definition.client_visible,
        )
    )


def update_flag(change: Change, key: str, edit: Edit) -> None:
    change.require_everywhere(Permission.EDIT)
    flag = _existing(change, key)
    variants = {**flag.variants, **(edit.variants or {})}
    for name in edit.removed_variants:
        _remove_variant(flag, variants, name)
    on_variant = edit.on_variant or flag.on_variant
    off_variant = edit.off_variant or flag.off_variant
    _check_variants(ValueType(flag.type), variants, on_variant, off_variant)
    values: dict[str, Any] = {
        "variants": variants,
        "on_variant": on_variant,
        "off_variant": off_variant,
    }
    if edit.description is not None:
        values["description"] = check_text(edit.description, what="the description")
    if edit.owner is not None:
        values["owner"] = check_text(edit.owner, what="the owner", at_most=255)
    if edit.tags is not None:
        values["tags"] = _check_tags(edit.tags)
    values |= _time_values(flag, edit)
    if edit.client_visible is not None:
        values["client_visible"] = edit.client_visible
    if variants != flag.variants or on_variant != flag.on_variant:
        from core.services.targeting import check_states  # deferred: few writes need it

        check_states(change, flag.key, flag.id, variants, on_variant)
    _update(change, flag, values)


def reshuffle(change: Change, key: str) -> None:
    """A new salt: every split of the flag chooses anew."""
    change.require_everywhere(Permission.EDIT)
    _update(change, _existing(change, key), {"salt": token_hex(8)})


def set_default(change: Change, key: str, *, enabled: bool) -> None:
    """The global default: what environments serve that do not override it."""
    change.require_everywhere(Permission.EDIT)
    _update(change, _existing(change, key), {"default_enabled": enabled})


def archive_flag(change: Change, key: str) -> None:
    """Nothing serves it any more; its history and state stay."""
    change.require_everywhere(Permission.EDIT)
    flag = _existing(change, key)
    if flag.archived_at is None:
        _check_not_required(change, key)
        _update(change, flag, {"archived_at": clock.now()})


def unarchive_flag(change: Change, key: str) -> None:
    change.require_everywhere(Permission.EDIT)
    _update(change, _existing(change, key), {"archived_at": None})


def delete_flag(change: Change, key: str) -> None:
    """The flag and its state in every environment are gone; the audit log keeps them."""
    flag = _existing(change, key)
    change.require(Permission.ADMINISTER, in_environments=environments(change.session))
    _check_not_required(change, key)
    change.session.execute(delete(Override).where(Override.flag_id == flag.id))
    change.session.execute(delete(Flag).where(Flag.id == flag.id))


def _check_not_required(change: Change, key: str) -> None:
    from core.services.prerequisites import check_not_required  # deferred: few writes need it

    check_not_required(change, key)


def _existing(change: Change, key: str) -> Any:
    flag = find_flag(change.session, key)
    change.expect(flag.version, what=f"the version of {key}")
    return flag


def _update(change: Change, flag: Row[Any], values: dict[str, Any]) -> None:
    change.session.execute(update(Flag).where(Flag.id == flag.id).values(**values))


def _time_values(flag: Row[Any], edit: Edit) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if edit.permanent is not None:
        values["permanent"] = edit.permanent
    if edit.expires_at is not None:
        values["expires_at"] = edit.expires_at or None
    if values:
        permanent = values.get("permanent", flag.permanent)
        until = values.get("expires_at", flag.expires_at)
        is_new = "expires_at" in values and until != flag.expires_at
        _check_time(flag.key, until, permanent=permanent, is_new=is_new)
    return values


def _check_time(
    key: str, expires_at: datetime | None, *, permanent: bool, is_new: bool = True
) -> None:
    if expires_at is None:
        return
    if permanent:
        raise InvalidInputError(
            f"{key} cannot both expire and be permanent",
            hint="`--expires never` takes the date away, `--temporary` the mark",
        )
    if is_new and expires_at <= clock.now():
        raise InvalidInputError(
            f"{key} would have expired already: {expires_at.isoformat()}",
            hint="it is a time to come, as in 2027-01-31 (from midnight UTC on) or 30d",
        )


def _default_variants(type_: ValueType) -> Mapping[str, JsonValue]:
    if type_ is ValueType.BOOLEAN:
        return _BOOLEAN_VARIANTS
    raise InvalidInputError(
        f"a {type_} flag needs its variants",
        hint="give each as --variant NAME=JSON, with --on-variant NAME and --off-variant NAME",
    )


def _serving(definition: Definition, variants: Mapping[str, JsonValue]) -> tuple[str, str]:
    on_variant = definition.on_variant or ("on" if "on" in variants else None)
    off_variant = definition.off_variant or ("off" if "off" in variants else None)
    if on_variant is None or off_variant is None:
        missing = "--on-variant" if on_variant is None else "--off-variant"
        raise InvalidInputError(
            f"say which variant {definition.key} serves when it is "
            f"{'on' if on_variant is None else 'off'}",
            hint=f"{missing} {' or '.join(variants)}",
        )
    return on_variant, off_variant


def _check_variants(
    type_: ValueType, variants: Mapping[str, JsonValue], on_variant: str, off_variant: str
) -> None:
    for name, value in variants.items():
        if not name or len(name) > 128 or not name.isprintable() or name in RESERVED_VARIANTS:
            raise InvalidInputError(f"{name!r} cannot name a variant")
        check_value(value, type_, what=f"the variant {name!r}")
    for role, name in (("on", on_variant), ("off", off_variant)):
        if name not in variants:
            raise InvalidInputError(
                f"the {role} variant {name!r} does not exist",
                hint=closest(name, variants) or f"variants are {', '.join(variants)}",
            )


def _remove_variant(flag: Row[Any], variants: dict[str, JsonValue], name: str) -> None:
    if variants.pop(name, None) is None:
        raise InvalidInputError(
            f"the flag {flag.key!r} has no variant {name!r}", hint=closest(name, variants)
        )


def _check_tags(tags: tuple[str, ...]) -> list[str]:
    for tag in tags:
        if not tag or len(tag) > 64 or not tag.isprintable():
            raise InvalidInputError(f"{tag!r} cannot be a tag", hint="at most 64 characters")
    return sorted(set(tags))

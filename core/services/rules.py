"""The rules of a flag in one environment, and the flags that it requires there."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.json_text import JsonValue
from core.names import check_text, closest
from core.services.change import Change
from core.services.overrides import EMPTY_TARGETING, check_editable, look_up, write
from core.services.targeting import check_targeting

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewRule:
    """`when` and `serve` as in core/evaluation; `position` counts from 1, None is the end."""

    when: JsonValue
    serve: JsonValue
    description: str = ""
    position: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class RuleEdit:
    """What to change; None leaves it."""

    when: JsonValue = None
    serve: JsonValue = None
    description: str | None = None


def add_rule(change: Change, key: str, environment: str, new: NewRule) -> Document:
    """The rule as it was written, with its id."""
    rule: Document = {"id": new.id or token_hex(3), "when": new.when, "serve": new.serve}
    if new.description:
        rule["description"] = check_text(new.description, what="the description")

    def add(targeting: Document) -> None:
        rules = targeting.setdefault("rules", [])
        rules.insert(_index(new.position, len(rules) + 1), rule)

    _edit(change, key, environment, add)
    return rule


def update_rule(change: Change, key: str, environment: str, id_: str, edit: RuleEdit) -> None:
    def update(targeting: Document) -> None:
        rule = find_rule(targeting, key, environment, id_)
        if edit.when is not None:
            rule["when"] = edit.when
        if edit.serve is not None:
            rule["serve"] = edit.serve
        if edit.description is not None:
            rule["description"] = check_text(edit.description, what="the description")

    _edit(change, key, environment, update)


def move_rule(change: Change, key: str, environment: str, id_: str, position: int) -> None:
    def move(targeting: Document) -> None:
        rules = targeting.get("rules", [])
        rule = find_rule(targeting, key, environment, id_)
        index = _index(position, len(rules))
        rules.remove(rule)
        rules.insert(index, rule)

    _edit(change, key, environment, move)


def remove_rule(change: Change, key: str, environment: str, id_: str) -> None:
    def remove(targeting: Document) -> None:
        targeting["rules"].remove(find_rule(targeting, key, environment, id_))

    _edit(change, key, environment, remove)


def require(change: Change, key: str, environment: str, other: str, variants: list[str]) -> None:
    """Serve the flag only where another one serves one of these variants."""

    def add(targeting: Document) -> None:
        wanted = [r for r in targeting.get("requires", []) if r["flag"] != other]
        targeting["requires"] = [*wanted, {"flag": other, "variants": variants}]

    _edit(change, key, environment, add)


def unrequire(change: Change, key: str, environment: str, other: str) -> None:
    """Raises NotFoundError."""

    def remove(targeting: Document) -> None:
        before = targeting.get("requires", [])
        after = [r for r in before if r["flag"] != other]
        if len(after) == len(before):
            raise NotFoundError(
                f"{key} does not require {other} in {environment}",
                hint=closest(other, [r["flag"] for r in before]),
            )
        targeting["requires"] = after
        if not after:
            del targeting["requires"]

    _edit(change, key, environment, remove)


def find_rule(targeting: Document, key: str, environment: str, id_: str) -> Document:
    """Raises NotFoundError."""
    rules: list[Document] = targeting.get("rules", [])
    for rule in rules:
        if rule["id"] == id_:
            return rule
    raise NotFoundError(
        f"{key} has no rule {id_!r} in {environment}",
        hint=closest(id_, [rule["id"] for rule in rules])
        or f"see `flagctl rule list {key} --env {environment}`",
    )


def _index(position: int | None, count: int) -> int:
    if position is None:
        return count - 1
    if not 1 <= position <= count:
        raise InvalidInputError(f"the position is 1 to {count}, not {position}")
    return position - 1


def _edit(change: Change, key: str, environment_key: str, edit: Callable[[Document], None]) -> None:
    environment, flag, current = look_up(change, key, environment_key)
    check_editable(change, flag, environment)
    change.expect(environment.revision, what=f"the revision of {environment_key}")
    before = current.targeting if current is not None else EMPTY_TARGETING
    if before.get("format") != EMPTY_TARGETING["format"]:
        raise ConflictError(
            f"the rules of {key} were written by a newer flagctl", hint="upgrade this one"
        )
    targeting = deepcopy(before)
    edit(targeting)
    if targeting == before:
        return
    check_targeting(change, flag, environment, targeting, before)
    enabled = current.enabled if current is not None else None
    write(change, flag, environment, enabled, targeting)

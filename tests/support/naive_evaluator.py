"""A second evaluator, written from the description of evaluation alone: slow, interpreted, and with
no code in common with core.evaluation. What it and the engine do not agree on is a fault of one.

Flags, segments and contexts are JSON as it stands in a snapshot. Documents are taken to be valid.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import re2

BUCKETS = 100_000
Json = Any


@dataclass(frozen=True)
class Answer:
    """What a flag is, and why."""

    variant: str
    reason: str
    rule: str | None = None
    error: str | None = None
    prerequisite: str | None = None
    expired: bool = False


def evaluate(
    flags: Mapping[str, Json], segments: Mapping[str, Json], key: str, context: Json, at: datetime
) -> Answer:
    flag = flags[key]
    off = flag["off_variant"]
    if flag["expires_at"] is not None and at >= flag["expires_at"]:
        return Answer(off, "DISABLED", expired=True)
    if not flag["enabled"]:
        return Answer(off, "DISABLED")
    targeting = flag["targeting"] or {}
    for required in targeting.get("requires", []):
        other = evaluate(flags, segments, required["flag"], context, at)
        if other.error is not None or other.variant not in required["variants"]:
            return Answer(off, "DISABLED", prerequisite=required["flag"])
    rules = targeting.get("rules", [])
    for rule in rules:
        if holds(rule["when"], segments, context):
            variant = served(rule["serve"], flag["salt"], context)
            if variant is not None:
                reason = "SPLIT" if "split" in rule["serve"] else "TARGETING_MATCH"
                return Answer(variant, reason, rule["id"])
    default = targeting.get("serve", {"variant": flag["on_variant"]})
    variant = served(default, flag["salt"], context)
    if variant is None:
        return Answer(off, "ERROR", error="TARGETING_KEY_MISSING")
    if "split" in default:
        return Answer(variant, "SPLIT")
    return Answer(variant, "DEFAULT" if rules else "STATIC")


def served(serve: Json, salt: str, context: Json) -> str | None:
    """The variant; None for a split with nothing to spread by."""
    if "variant" in serve:
        return str(serve["variant"])
    split = serve["split"]
    for path in split.get("by", {}).get("attributes", ["targetingKey"]):
        text = as_text(attribute(context, path))
        if text is not None:
            break
    else:
        return None
    bucket = murmur3(f"{salt}:{text}".encode()) % BUCKETS
    total, before = sum(arm["weight"] for arm in split["arms"]), 0
    for arm in split["arms"]:
        start = before * BUCKETS // total
        before += arm["weight"]
        if start <= bucket < before * BUCKETS // total:
            return str(arm["serve"]["variant"])
    raise AssertionError("the arms cover every bucket")


def holds(condition: Json, segments: Mapping[str, Json], context: Json) -> bool:
    if condition is True:
        return True
    if "all" in condition:
        return all(holds(part, segments, context) for part in condition["all"])
    if "any" in condition:
        return any(holds(part, segments, context) for part in condition["any"])
    if "not" in condition:
        return not holds(condition["not"], segments, context)
    if "segment" in condition:
        return holds(segments[condition["segment"]], segments, context)
    found = attribute(context, condition["attr"])
    op = condition["op"]
    if op in ("ne", "not_in"):
        return not asked({"ne": "eq", "not_in": "in"}[op], found, condition)
    return asked(op, found, condition)


def attribute(context: Json, path: str) -> Json:
    for name in path.split("."):
        context = context.get(name) if isinstance(context, dict) else None
    return context


def asked(op: str, found: Json, condition: Json) -> bool:
    """One attribute against an operator's operand."""
    if op == "exists":
        return found is not None
    if op == "in":
        ones = found if isinstance(found, list) else [found]
        return any(same(one, value) for one in ones for value in condition["values"])
    if op == "cidr":
        return within(found, condition["values"])
    value = condition["value"]
    if op == "eq":
        return same(found, value)
    if op == "contains" and isinstance(found, list):
        return any(same(element, value) for element in found)
    if op in ("lt", "lte", "gt", "gte"):
        both = (is_number(found) and is_number(value)) or (is_text(found) and is_text(value))
        return both and ordered(op, (found > value) - (found < value))
    if not (is_text(found) and is_text(value)):
        return False
    if op.startswith("semver_"):
        version, wanted = semver(found), semver(value)
        if version is None or wanted is None:
            return False
        return ordered(op.removeprefix("semver_"), compare_versions(version, wanted))
    if op in ("before", "after"):
        moment, bound = rfc3339(found), rfc3339(value)
        if moment is None or bound is None:
            return False
        return moment < bound if op == "before" else moment > bound
    if op == "contains":
        return value in found
    if op == "starts_with":
        return bool(found[: len(value)] == value)
    if op == "ends_with":
        return value == "" or bool(found[-len(value) :] == value)
    assert op == "matches"
    return re2.search(value, found) is not None


def same(one: Json, other: Json) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    both = (is_number(one) and is_number(other)) or (is_text(one) and is_text(other))
    return bool(both and one == other)


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: Json) -> bool:
    return isinstance(value, str)


def ordered(op: str, sign: int) -> bool:
    """`sign` is that of the attribute less the operand."""
    return sign in {"eq": (0,), "lt": (-1,), "lte": (-1, 0), "gt": (1,), "gte": (0, 1)}[op]


def within(found: Json, networks: list[str]) -> bool:
    try:
        address = ipaddress.ip_address(found) if is_text(found) else None
    except ValueError:
        return False
    return address is not None and any(address in ipaddress.ip_network(n) for n in networks)


def semver(text: str) -> tuple[list[int], list[str]] | None:
    """(major, minor, patch) and the identifiers of a pre-release, by SemVer 2.0.0; no build."""
    number, word = r"(?:0|[1-9]\d*)", r"[0-9A-Za-z-]+"
    identifier = rf"(?:{number}|\d*[A-Za-z-][0-9A-Za-z-]*)"
    core, more = rf"({number})\.({number})\.({number})", rf"(?:\.{identifier})*"
    form = rf"{core}(?:-({identifier}{more}))?(?:\+{word}(?:\.{word})*)?"
    match = re.fullmatch(form, text, re.ASCII)
    if match is None:
        return None
    return [int(match[i]) for i in (1, 2, 3)], match[4].split(".") if match[4] else []


def compare_versions(a: tuple[list[int], list[str]], b: tuple[list[int], list[str]]) -> int:
    if a[0] != b[0]:
        return 1 if a[0] > b[0] else -1
    if not a[1] or not b[1]:  # a release comes after its pre-releases
        return bool(b[1]) - bool(a[1])
    for one, other in zip(a[1], b[1], strict=False):
        if one != other:
            if one.isdigit() and other.isdigit():
                return 1 if int(one) > int(other) else -1
            if one.isdigit() or other.isdigit():  # numbers come before words
                return -1 if one.isdigit() else 1
            return 1 if one > other else -1
    return (len(a[1]) > len(b[1])) - (len(a[1]) < len(b[1]))


def rfc3339(text: str) -> datetime | None:
    form = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
    if re.fullmatch(form, text, re.ASCII) is None:
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


def as_text(value: Json) -> str | None:
    """As JavaScript writes it; None for what is missing, a list or an object."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        double = float(value)
        if double.is_integer() and abs(double) < 1e21:
            digits = f"{Decimal(repr(abs(double))):f}".removesuffix(".0")
            return f"-{digits}" if double < 0 else digits
        return re.sub(r"e([+-])0+", r"e\1", repr(double))
    return value if is_text(value) else None


def murmur3(data: bytes) -> int:
    """MurmurHash3, x86, 32 bits, seed 0."""
    mask, state = 0xFFFFFFFF, 0

    def turned(value: int, by: int) -> int:
        return ((value << by) | (value >> (32 - by))) & mask

    def mixed(block: bytes) -> int:
        return turned(int.from_bytes(block, "little") * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask

    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        state = (turned(state ^ mixed(data[at : at + 4]), 13) * 5 + 0xE6546B64) & mask
    state ^= mixed(data[whole:]) ^ len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & mask
    state = (state ^ state >> 13) * 0xC2B2AE35 & mask
    return state ^ state >> 16

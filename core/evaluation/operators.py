"""What a condition can ask of one attribute. Each operator reads its operand once, when it is
compiled, and gives a test that cannot fail.

A missing attribute and one of a wrong type make every test false; `ne` and `not_in`, which deny
one, are true then. To add an operator: a function here, its line in OPERATORS, a word in
core/language, and a case in tests/conformance/operators.json.
"""

import ipaddress
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import re2

from core.evaluation.faults import Fault
from core.evaluation.limits import Limits
from core.evaluation.moments import moment
from core.evaluation.versions import version_key

Test = Callable[[Any], bool]
Compare = Callable[[Any, Any], bool]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_number(value: object) -> bool:
    kind = type(value)
    return kind is int or kind is float


def _scalar(value: object) -> str | int | float | bool:
    if isinstance(value, str | bool | int) or (isinstance(value, float) and value - value == 0):
        return value
    raise Fault("a text, a number, true or false")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise Fault("a text")


def _equals(value: object, _: Limits) -> Test:
    wanted = _scalar(value)
    if isinstance(wanted, bool):
        return lambda found: found is wanted
    if isinstance(wanted, str):
        return lambda found: type(found) is str and found == wanted
    return lambda found: _is_number(found) and found == wanted


def _ordered(compare: Compare) -> Callable[[object, Limits], Test]:
    def make(value: object, _: Limits) -> Test:
        if _is_number(value) and value - value == 0:  # type: ignore[operator]
            return lambda found: _is_number(found) and compare(found, value)
        if isinstance(value, str):
            return lambda found: type(found) is str and compare(found, value)
        raise Fault("a number or a text")

    return make


def _member(values: object, limits: Limits) -> Test:
    if not isinstance(values, list):
        raise Fault("a list")
    if len(values) > limits.values:
        raise Fault(f"a list of at most {limits.values} values, not {len(values)}", limit="values")
    texts: set[Any] = set()
    numbers: set[Any] = set()
    truths: set[Any] = set()
    for index, value in enumerate(values):
        try:
            wanted = _scalar(value)
        except Fault as fault:
            raise fault.under(f"[{index}]") from None
        kind = texts if isinstance(wanted, str) else truths if isinstance(wanted, bool) else numbers
        kind.add(wanted)
    by_type: dict[type, set[Any]] = {str: texts, int: numbers, float: numbers, bool: truths}

    def has(found: Any) -> bool:
        wanted = by_type.get(type(found))
        if wanted is not None:
            return found in wanted
        return type(found) is list and any(
            element in by_type.get(type(element), ()) for element in found
        )

    return has


def _contains(value: object, limits: Limits) -> Test:
    is_equal = _equals(value, limits)

    def contains(found: Any) -> bool:
        if type(found) is list:
            return any(map(is_equal, found))
        return type(found) is str and isinstance(value, str) and value in found

    return contains


def _starts(value: object, _: Limits) -> Test:
    start = _text(value)
    return lambda found: type(found) is str and found.startswith(start)


def _ends(value: object, _: Limits) -> Test:
    end = _text(value)
    return lambda found: type(found) is str and found.endswith(end)


def _matches(value: object, limits: Limits) -> Test:
    pattern = _text(value)
    if len(pattern) > limits.pattern:
        raise Fault(f"a pattern of at most {limits.pattern} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise Fault(f"not a pattern of RE2: {reason}") from None

    def matches(found: Any) -> bool:
        try:
            return type(found) is str and search(found) is not None
        except UnicodeEncodeError:  # half a surrogate pair is no text
            return False

    return matches


def _cidr(values: object, limits: Limits) -> Test:
    if not isinstance(values, list) or not values:
        raise Fault("a list of networks")
    if len(values) > limits.values:
        raise Fault(
            f"a list of at most {limits.values} networks, not {len(values)}", limit="values"
        )
    networks: list[_Network] = []
    for index, value in enumerate(values):
        try:
            networks.append(ipaddress.ip_network(_text(value)))
        except Fault as fault:
            raise fault.under(f"[{index}]") from None
        except ValueError as error:
            raise Fault(f"not a network: {error}", f"[{index}]") from None

    def within(found: Any) -> bool:
        if type(found) is not str:
            return False
        try:
            address = ipaddress.ip_address(found)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in networks)

    return within


def _read_as(
    read: Callable[[str], Any], example: str, compare: Compare
) -> Callable[[object, Limits], Test]:
    """Texts that stand for something else; `read` gives None for one that does not."""

    def make(value: object, _: Limits) -> Test:
        wanted = read(_text(value))
        if wanted is None:
            raise Fault(f"{value!r} is not {example}")

        def test(found: Any) -> bool:
            actual = read(found) if type(found) is str else None
            return actual is not None and compare(actual, wanted)

        return test

    return make


def _version(compare: Compare) -> Callable[[object, Limits], Test]:
    return _read_as(version_key, "a version like 2.1.0", compare)


def _moment(compare: Compare) -> Callable[[object, Limits], Test]:
    return _read_as(moment, "a moment like 2026-01-31T09:00:00Z", compare)


def _denied(make: Callable[[object, Limits], Test]) -> Callable[[object, Limits], Test]:
    def deny(value: object, limits: Limits) -> Test:
        test = make(value, limits)
        return lambda found: not test(found)

    return deny


def _exists(_: object, __: Limits) -> Test:
    return lambda found: found is not None


# name → what makes its test from the operand, which stands under "value" but for MANY and NONE.
OPERATORS: Final[Mapping[str, Callable[[object, Limits], Test]]] = {
    "eq": _equals,
    "ne": _denied(_equals),
    "in": _member,
    "not_in": _denied(_member),
    "lt": _ordered(operator.lt),
    "lte": _ordered(operator.le),
    "gt": _ordered(operator.gt),
    "gte": _ordered(operator.ge),
    "contains": _contains,
    "starts_with": _starts,
    "ends_with": _ends,
    "matches": _matches,
    "exists": _exists,
    "cidr": _cidr,
    "semver_eq": _version(operator.eq),
    "semver_lt": _version(operator.lt),
    "semver_lte": _version(operator.le),
    "semver_gt": _version(operator.gt),
    "semver_gte": _version(operator.ge),
    "before": _moment(operator.lt),
    "after": _moment(operator.gt),
}
MANY: Final = frozenset({"in", "not_in", "cidr"})  # their operand is a list, under "values"
NONE: Final = frozenset({"exists"})  # they have none

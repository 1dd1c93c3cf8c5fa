"""Random environments and contexts: a few flags with rules, segments and prerequisites."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from core.evaluation.operators import MANY, NONE, OPERATORS
from core.evaluation.ruleset import Ruleset

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EXPIRIES = (None, None, *(NOW + timedelta(hours=hours) for hours in (-1, 0, 1, 2)))
VARIANTS: dict[str, Any] = {"on": True, "off": False}
ATTRIBUTES = ("targetingKey", "plan", "n", "user.id")
_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["", "a", "b", "pro", "1.0.0", "2.1.0-rc.1", "2026-01-01T00:00:00Z"]),
    st.sampled_from(["10.0.0.1", "::1", "é", "1.0", "2.1.0+7", "2.1.0-rc.10", "2.1.0-1"]),
    st.sampled_from(["2025-06-01T10:00:00z", "2025-06-01 12:00:00.5+02:00"]),
    st.integers(-2, 2),
    st.sampled_from([0.5, 1.0, 1e21]),
    st.booleans(),
)
_OPERANDS: dict[str, st.SearchStrategy[Any]] = {
    "cidr": st.lists(st.sampled_from(["10.0.0.0/8", "::/0", "1.2.3.4"]), min_size=1, max_size=3),
    "matches": st.sampled_from(["a", "^(?i)PRO$", r"\d+", ""]),
    **dict.fromkeys(("in", "not_in"), st.lists(_VALUES, max_size=4)),
    **dict.fromkeys(("starts_with", "ends_with"), st.text(max_size=3)),
    **dict.fromkeys(("lt", "lte", "gt", "gte"), _VALUES.filter(lambda v: v not in (True, False))),
    **dict.fromkeys(("before", "after"), st.just("2025-06-01T12:00:00+02:00")),
    **dict.fromkeys(
        ("semver_eq", "semver_lt", "semver_lte", "semver_gt", "semver_gte"),
        st.sampled_from(["1.0.0", "2.1.0", "2.1.0-rc.1"]),
    ),
}
_OPERANDS["lt"] = _OPERANDS["lte"] = _OPERANDS["gt"] = _OPERANDS["gte"] = _VALUES.filter(
    lambda v: not isinstance(v, bool)
)


_COINS: st.SearchStrategy[bool] = st.booleans()


@st.composite
def _tests(draw: st.DrawFn) -> Any:
    op = draw(st.sampled_from(sorted(OPERATORS)))
    document: dict[str, Any] = {"attr": draw(st.sampled_from(ATTRIBUTES)), "op": op}
    if op not in NONE:
        document["values" if op in MANY else "value"] = draw(_OPERANDS.get(op, _VALUES))
    return document


def conditions(segments: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Conditions that compile where these segments are."""
    leaves = st.one_of(
        st.just(True),
        _tests(),
        *([st.sampled_from(segments).map(lambda key: {"segment": key})] if segments else []),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda members: {"all": members}),
            st.lists(inner, max_size=3).map(lambda members: {"any": members}),
            inner.map(lambda member: {"not": member}),
        ),
        max_leaves=6,
    )


def serves() -> st.SearchStrategy[Any]:
    variant = st.sampled_from(sorted(VARIANTS)).map(lambda name: {"variant": name})
    arms = st.lists(
        st.tuples(variant, st.integers(0, 10)).map(lambda a: {"serve": a[0], "weight": a[1]}),
        min_size=1,
        max_size=3,
    ).filter(lambda found: any(arm["weight"] for arm in found))
    by = st.sampled_from([None, ["plan"], ["user.id", "targetingKey"]])
    splits = st.tuples(arms, by).map(
        lambda s: {"split": {"arms": s[0], **({"by": {"attributes": s[1]}} if s[1] else {})}}
    )
    return st.one_of(variant, splits)


@st.composite
def environments(draw: st.DrawFn) -> tuple[list[Ruleset], dict[str, Any]]:
    """(flags, segments); each flag may require one that comes before it."""
    segments = {"inner": draw(conditions()), "outer": draw(conditions(("inner",)))}
    flags: list[Ruleset] = []
    for number in range(draw(st.integers(1, 3))):
        document: dict[str, Any] = {"format": 1}
        rules = draw(st.lists(st.tuples(conditions(("inner", "outer")), serves()), max_size=3))
        document["rules"] = [
            {"id": f"r{n}", "when": when, "serve": serve} for n, (when, serve) in enumerate(rules)
        ]
        if draw(_COINS):
            document["serve"] = draw(serves())
        requires = draw(_COINS)
        if flags and requires:
            variants = draw(st.sampled_from([["on"], ["off"], ["on", "off"]]))
            document["requires"] = [{"flag": flags[-1].key, "variants": variants}]
        enabled = draw(st.sampled_from([True, True, True, False]))
        flags.append(
            Ruleset(
                *(f"f{number}", "boolean", VARIANTS, "on", "off", enabled, document, f"s{number}"),
                expires_at=draw(st.sampled_from(EXPIRIES)),
            )
        )
    return flags, segments


def contexts() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "targetingKey": st.one_of(st.text(max_size=4), _VALUES),
            "plan": st.one_of(_VALUES, st.lists(_VALUES, max_size=3), st.none()),
            "n": _VALUES,
            "user": st.one_of(st.fixed_dictionaries({"id": _VALUES}), _VALUES),
        },
    )

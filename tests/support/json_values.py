"""JSON values for hypothesis: everything that flagctl takes, the awkward corners above all."""

from hypothesis import strategies as st

from core.json_text import JsonValue

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
AWKWARD_FLOATS = st.sampled_from(
    [
        0.1,
        100.0,
        1e15,
        1e16,
        1e17,
        1.5e300,
        1e308,
        -1.7976931348623157e308,
        5e-324,
        1e-7,
        2**53 + 0.0,
    ]
)
NUMBERS = (
    st.integers()
    | st.integers(-(10**600), 10**600)
    | st.floats(allow_nan=False, allow_infinity=False)
    | AWKWARD_FLOATS
)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def same(a: JsonValue, b: JsonValue) -> bool:
    """Equal with equal types all the way down; -0.0 is 0.0, as in Postgres."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b

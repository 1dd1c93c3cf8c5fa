"""The condition language: what is printed parses back, and what is wrong is named by its column."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.evaluation.conditions import Scope, compile_condition
from core.language.parser import parse_condition
from core.language.printer import print_condition
from tests.support.rulesets import conditions


@given(conditions(("beta", "a b", 'with "quotes"')))
def test_what_is_printed_parses_back(document: Any) -> None:
    again = parse_condition(print_condition(document))
    assert json.dumps(again) == json.dumps(document)  # 1, 1.0 and true are three things


@pytest.mark.parametrize("path", ["in", "not", "a b", "a.b c", "segment", "é", "9", "in.x", "-"])
def test_any_attribute_can_be_named(path: str) -> None:
    document: Any = {"attr": path, "op": "eq", "value": 1}
    assert parse_condition(print_condition(document)) == document


@pytest.mark.parametrize(
    ("text", "document"),
    [
        (
            'country in ["DE", "FR"] and app_version >= semver("2.1.0")',
            {
                "all": [
                    {"attr": "country", "op": "in", "values": ["DE", "FR"]},
                    {"attr": "app_version", "op": "semver_gte", "value": "2.1.0"},
                ]
            },
        ),
        (
            'email ends_with "@example.com" or segment("beta")',
            {
                "any": [
                    {"attr": "email", "op": "ends_with", "value": "@example.com"},
                    {"segment": "beta"},
                ]
            },
        ),
        (
            'not (plan == "free") and ip in cidr("10.0.0.0/8")',
            {
                "all": [
                    {"not": {"attr": "plan", "op": "eq", "value": "free"}},
                    {"attr": "ip", "op": "cidr", "values": ["10.0.0.0/8"]},
                ]
            },
        ),
        (
            'exists(user.id) and name matches "^(?i)a.*"',
            {
                "all": [
                    {"attr": "user.id", "op": "exists"},
                    {"attr": "name", "op": "matches", "value": "^(?i)a.*"},
                ]
            },
        ),
        (
            "a == 1 or b == true and not c != 1.5",
            {
                "any": [
                    {"attr": "a", "op": "eq", "value": 1},
                    {
                        "all": [
                            {"attr": "b", "op": "eq", "value": True},
                            {"not": {"attr": "c", "op": "ne", "value": 1.5}},
                        ]
                    },
                ]
            },
        ),
        ("india not in [1]", {"attr": "india", "op": "not_in", "values": [1]}),
        ("beforehand == 1", {"attr": "beforehand", "op": "eq", "value": 1}),
    ],
)
def test_it_reads_as_it_is_meant(text: str, document: Any) -> None:
    assert json.dumps(parse_condition(text)) == json.dumps(document)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "an attribute"),
        ("plan", 5, "=="),
        ("plan ==", 8, 'a text in "…"'),
        ("plan == pro", 9, 'a text in "…"'),
        ("plan == 'pro'", 9, 'a text in "…"'),
        ("(plan == 1", 11, ")"),
        ("plan == 1 city == 2", 11, "and"),
        ("plan in (1)", 9, "["),
        ("plan === 1", 8, "a number"),
        ("v >= semver(1)", 13, 'a text in "…"'),
        ("n > 01", 5, "a number"),
    ],
)
def test_an_error_names_the_column_and_what_was_expected(
    text: str, column: int, expected: str
) -> None:
    with pytest.raises(InvalidInputError) as raised:
        parse_condition(text)
    assert f"column {column} of the condition" in raised.value.message
    assert expected in raised.value.message


@pytest.mark.parametrize(
    "text", ["(" * 60_000, "not " * 16_000 + "true", "x" * 70_000, 'a == "\\ud800"', "a > 1e999"]
)
def test_no_input_hangs_or_crashes_it(text: str) -> None:
    with pytest.raises(InvalidInputError):
        _checked(text)


@given(st.text(alphabet='ab()[]",. =!<>1-\\\n\tétruenoisdx', max_size=40))
def test_random_input_is_read_or_refused(text: str) -> None:
    try:
        document = parse_condition(text)
    except InvalidInputError:
        return
    assert json.dumps(parse_condition(print_condition(document))) == json.dumps(document)


def _checked(text: str) -> None:
    from core.evaluation.faults import Fault

    try:
        compile_condition(parse_condition(text), Scope())
    except Fault as fault:
        raise InvalidInputError(str(fault)) from None

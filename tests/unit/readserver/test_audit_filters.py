"""Filters of the audit log: understood, or refused with a name."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from readserver.audit_filters import NAMES, parse


def test_defaults() -> None:
    filters = parse({})
    assert (filters.limit, filters.organization, filters.conditions) == (50, None, {})


def test_all_of_them() -> None:
    filters = parse(
        {
            "entity_type": "feature",
            "entity_key": "dark_mode",
            "environment": "prod",
            "actor": "a@example.com",
            "action": "update",
            "since": "2026-01-31",
            "until": "2026-01-31T12:00:00+02:00",
            "limit": "1000",
            "cursor": "42",
            "organization": "default",
        }
    )
    assert (filters.limit, filters.organization) == (1000, "default")
    assert filters.conditions == {
        "entity_type": "feature",
        "entity_key": "dark_mode",
        "environment": "prod",
        "actor": "a@example.com",
        "action": "update",
        "since": "2026-01-31T00:00:00+00:00",
        "until": "2026-01-31T10:00:00+00:00",
        "cursor": "42",
    }


def test_a_plus_that_became_a_blank_is_still_an_offset() -> None:
    filters = parse({"since": "2026-01-31T12:00:00 02:00"})
    assert filters.conditions["since"] == "2026-01-31T10:00:00+00:00"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "٣"),
        ("limit", "9" * 40),
        ("cursor", ""),
        ("cursor", "x"),
        ("cursor", "0"),
        ("since", "yesterday"),
        ("since", ""),
        ("until", "2026-13-01"),
        ("until", "0001-01-01T00:00:00+14:00"),
        ("entity_type", "flag"),
        ("entity_key", ""),
        ("actor", "a" * 513),
        ("organization", ""),
        ("entiy_key", "x"),
    ],
)
def test_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=name if name in NAMES else "no query parameter"):
        parse({name: value})


def test_a_typo_gets_a_hint() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse({"entity_typ": "feature"})
    assert "entity_type" in caught.value.hint


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=40)))
def test_no_filter_is_another_error(parameters: dict[str, str]) -> None:
    with contextlib.suppress(InvalidInputError):
        parse(parameters)

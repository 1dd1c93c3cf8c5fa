import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.names import (
    check_environment_key,
    check_key,
    check_new_key,
    check_text,
    closest,
)

GOOD = ["a", "0", "new_checkout", "a-b.c_d", "web2-ui", "x" * 128]
BAD = [
    ("", "is empty"),
    ("New", "'New' is not a valid flag key"),
    ("a b", "not a valid flag key"),
    ("a__b", "not a valid flag key"),
    ("_a", "not a valid flag key"),
    ("a-", "not a valid flag key"),
    ("a\n", "does not print"),
    ("a\x00", "does not print"),
    ("\u202ea", "does not print"),
    ("ünder", "not a valid flag key"),
    ("１", "not a valid flag key"),
    ("x" * 129, "is longer than 128"),
    ("x" * 256, "is longer than 255"),
]


@pytest.mark.parametrize("key", GOOD)
def test_good_new_keys(key: str) -> None:
    assert check_new_key(key, noun="flag") == key


@pytest.mark.parametrize(("key", "words"), BAD)
def test_bad_new_keys(key: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        check_new_key(key, noun="flag")


def test_a_refused_key_is_told_how_keys_look() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_new_key("New Checkout", noun="flag")
    assert "new_checkout" in caught.value.hint


def test_an_organization_may_have_another_pattern() -> None:
    assert check_new_key("AB-1", noun="flag", pattern="[A-Z]+-[0-9]+") == "AB-1"
    with pytest.raises(InvalidInputError) as caught:
        check_new_key("ab", noun="flag", pattern="[A-Z]+-[0-9]+")
    assert caught.value.hint == "keys match [A-Z]+-[0-9]+"


@pytest.mark.parametrize("key", ["Feature 1", "ключ", "🚀", "x" * 255, "a/b"])
def test_imported_keys_may_be_any_printable_text(key: str) -> None:
    assert check_key(key, noun="flag") == key


@given(st.text(max_size=300))
def test_a_key_is_printable_or_refused(key: str) -> None:
    if key and len(key) <= 255 and key.isprintable():
        assert check_key(key, noun="flag") == key
    else:
        with pytest.raises(InvalidInputError, match="the flag key"):
            check_key(key, noun="flag")


@pytest.mark.parametrize("key", ["dev", "prod-eu", "a_b", "x" * 64])
def test_good_environment_keys(key: str) -> None:
    assert check_environment_key(key) == key


@pytest.mark.parametrize("key", ["", "Dev", "a.b", "a b", "-a", "x" * 65, "dev\n", "é"])
def test_bad_environment_keys(key: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a valid environment key"):
        check_environment_key(key)


def test_free_text() -> None:
    assert check_text("two\nlines\tand 😀", what="the reason") == "two\nlines\tand 😀"
    with pytest.raises(InvalidInputError, match="the reason is longer than 2000 characters"):
        check_text("x" * 2_001, what="the reason")


@pytest.mark.parametrize("character", ["\0", "\x1b", "\r", "\u202e", "\ud800", "\x7f", "\u2028"])
def test_free_text_that_would_harm_a_terminal_or_postgres(character: str) -> None:
    with pytest.raises(InvalidInputError, match="the reason has a character that does not print"):
        check_text(f"a{character}b", what="the reason")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("new_chekout", "did you mean new_checkout?"),
        ("pord", "did you mean prod?"),
        ("something_else", ""),
        ("", ""),
    ],
)
def test_closest_matches(name: str, hint: str) -> None:
    assert closest(name, ["new_checkout", "dark_mode", "prod"]) == hint


def test_several_close_matches_are_named_best_first() -> None:
    assert closest("item", ["items", "item_s", "zzz"]) == "did you mean items or item_s?"

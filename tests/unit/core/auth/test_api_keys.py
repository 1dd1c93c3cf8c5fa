import hashlib
import math

import pytest

from core.auth.api_keys import KeyKind, ParsedKey, digest, generate, parse

ENVIRONMENT = "0123456789abcdef"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Keys of a release must be good in every later one: these never change.
VECTORS = [
    (
        "fcs_0123456789abcdef" + "A" * 32 + "1LTCcm",
        KeyKind.SERVER,
    ),
    ("fcc_0123456789abcdef" + "0aZ9" * 8 + "2qYHvJ", KeyKind.CLIENT),
]


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_key_says_its_kind_and_environment(kind: KeyKind) -> None:
    key = generate(kind, ENVIRONMENT)
    assert parse(key) == ParsedKey(kind, ENVIRONMENT, hashlib.sha256(key.encode()).digest())
    assert key.startswith({"server": "fcs_", "client": "fcc_"}[kind] + ENVIRONMENT)
    assert len(key) == 4 + 16 + 32 + 6
    assert key.isascii()
    assert key.replace("_", "").isalnum()


@pytest.mark.parametrize(("key", "kind"), VECTORS)
def test_keys_of_old_are_still_good(key: str, kind: KeyKind) -> None:
    assert parse(key) == ParsedKey(kind, ENVIRONMENT, digest(key))


def test_secrets_are_random_and_long() -> None:
    secrets = [generate(KeyKind.SERVER, ENVIRONMENT)[20:52] for _ in range(500)]
    assert len(set(secrets)) == 500
    assert set("".join(secrets)) == set(ALPHABET)
    assert 32 * math.log2(len(ALPHABET)) >= 160


def changes(key: str) -> list[str]:
    """Every key that differs in one character, of the alphabet or just outside of it."""
    return [
        key[:place] + character + key[place + 1 :]
        for place in range(len(key))
        for character in ALPHABET + "_- é"
        if character != key[place]
    ]


def swaps(key: str) -> list[str]:
    return [
        key[:place] + key[place + 1] + key[place] + key[place + 2 :]
        for place in range(len(key) - 1)
        if key[place] != key[place + 1]
    ]


@pytest.mark.parametrize("kind", list(KeyKind))
def test_every_single_slip_is_noticed(kind: KeyKind) -> None:
    key = generate(kind, ENVIRONMENT)
    assert [wrong for wrong in changes(key) if parse(wrong)] == []
    assert [wrong for wrong in swaps(key) if parse(wrong)] == []


def test_missing_and_extra_characters_are_noticed() -> None:
    key = generate(KeyKind.SERVER, ENVIRONMENT)
    shorter = [key[:place] + key[place + 1 :] for place in range(len(key))]
    longer = [key[:place] + "a" + key[place:] for place in range(len(key) + 1)]
    framed = [f" {key}", f"{key} ", f"{key}\n", f"{key}\0", key + key, key.upper(), key.lower()]
    assert [wrong for wrong in shorter + longer + framed if parse(wrong)] == []


@pytest.mark.parametrize(
    "text", ["", "fcs_", "fcs_" + "0" * 54, "ＦＣＳ_", "fcs_" + "é" * 54, "\0"]
)
def test_what_is_no_key_at_all(text: str) -> None:
    assert parse(text) is None

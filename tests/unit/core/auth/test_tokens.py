"""PyJWT and our checks: the table of tokens that Postgres answers too (test_verdicts.py)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from core.auth import tokens
from core.auth.tokens import Claims
from core.errors import InvalidInputError, UnauthenticatedError
from tests.support.tokens.maker import (
    ALPHABET,
    ISSUER,
    KEY_ID,
    NOW,
    SIZES,
    SUBJECT,
    maker,
    verdict,
)
from tests.support.tokens.table import CASES, SIGNED

KEY = maker()
OTHER = maker(2_049)
GOOD = KEY.good


def test_a_good_token() -> None:
    assert tokens.verify(GOOD, KEY.trusted, NOW) == Claims(
        ISSUER, SUBJECT, NOW, NOW + timedelta(hours=1), "7"
    )


@pytest.mark.parametrize("name", CASES)
def test_the_table(name: str) -> None:
    token = CASES[name].build(KEY)
    said = verdict(KEY, token)
    if CASES[name].accepted:
        assert isinstance(said, Claims)
        return
    assert isinstance(said, str)
    assert CASES[name].words in said
    assert token not in said or not token


@pytest.mark.parametrize("bits", SIZES[1:])
def test_the_signatures_of_other_keys(bits: int) -> None:
    key = maker(bits)
    said = {name: verdict(key, case.build(key)) for name, case in SIGNED.items()}
    good = {name for name, case in SIGNED.items() if case.accepted}
    assert {name for name, answer in said.items() if isinstance(answer, Claims)} == good


def test_every_single_change_is_refused() -> None:
    accepted = []
    for place, character in enumerate(GOOD):
        nearby = ALPHABET.find(character)
        for other in {ALPHABET[(nearby + step) % 64] for step in (1, 2, 16, 32)} - {character}:
            changed = GOOD[:place] + other + GOOD[place + 1 :]
            try:
                tokens.verify(changed, KEY.trusted, NOW)
            except UnauthenticatedError:
                continue
            accepted.append((place, other))
    assert accepted == []


def test_every_missing_or_doubled_character_is_refused() -> None:
    accepted = []
    for place in range(len(GOOD)):
        for changed in (
            GOOD[:place] + GOOD[place + 1 :],
            GOOD[:place] + GOOD[place] + GOOD[place:],
        ):
            try:
                tokens.verify(changed, KEY.trusted, NOW)
            except UnauthenticatedError:
                continue
            accepted.append(place)
    assert accepted == []


def test_a_key_of_another_kind_verifies_nothing() -> None:
    modulus = KEY.modulus
    for wrong in (b"", b"\x03", modulus[1:], modulus * 3, OTHER.modulus):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(GOOD, replace(KEY.trusted, modulus=wrong), NOW)


def test_what_is_signed_with_a_key_pair() -> None:
    private, public = tokens.generate_key_pair(2_048)
    key = replace(KEY.trusted, modulus=tokens.modulus_of(public))
    token = tokens.sign(KEY.claims, private, KEY_ID)
    assert tokens.verify(token, key, NOW).subject == SUBJECT
    assert tokens.origin(token) == tokens.Origin(ISSUER, KEY_ID)


def test_a_damaged_key_signs_nothing() -> None:
    private, _ = tokens.generate_key_pair(2_048)
    numbers = tokens.load_private_key(private.encode()).private_numbers()
    damaged = RSAPrivateNumbers(
        **{name: getattr(numbers, name) for name in ("p", "q", "dmq1", "iqmp", "public_numbers")},
        d=numbers.d + 2,
        dmp1=numbers.dmp1 + 2,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    pem = damaged.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(InvalidInputError, match="key 7f is damaged: what it signs cannot be"):
        tokens.sign(KEY.claims, pem, "7f")


def test_key_pairs_are_fresh_and_named_by_their_public_half() -> None:
    (private, public), (_, other) = (tokens.generate_key_pair(2_048) for _ in range(2))
    assert private.startswith("-----BEGIN PRIVATE KEY-----")
    assert public.startswith("-----BEGIN PUBLIC KEY-----")
    found = tokens.load_private_key(private.encode()).public_key()
    assert found == load_pem_public_key(public.encode())
    assert tokens.key_id_of(public) == tokens.key_id_of(public) != tokens.key_id_of(other)
    assert len(tokens.key_id_of(public)) == 16

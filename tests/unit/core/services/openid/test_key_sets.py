"""Which keys of a set are taken, and what is said about the others."""

from typing import Any

import pytest

from core.errors import InvalidInputError
from core.services.openid.key_sets import KeySet, SigningKey, usable_keys
from tests.support.openid_issuers import Key, elliptic_jwk, rsa_key

SOURCE = "https://id.example.com/keys"
GOOD = rsa_key()
OTHER = rsa_key("other")


def chosen(*keys: object) -> KeySet:
    return usable_keys({"keys": list(keys)}, source=SOURCE)


def taken(key: Key) -> SigningKey:
    return SigningKey(key.key_id, key.modulus)


def sentence_about(key: object) -> str:
    """What is said about a key that stands beside a good one; alone, it is what is refused."""
    key_set = chosen(key, OTHER.jwk())
    assert key_set.keys == (taken(OTHER),)
    (said,) = key_set.left_out
    with pytest.raises(InvalidInputError) as caught:
        chosen(key)
    assert caught.value.message == f"the key set at {SOURCE} has no key to trust\n  {said}"
    return said


def test_keys_in_their_order() -> None:
    assert chosen(OTHER.jwk(), GOOD.jwk()) == KeySet((taken(OTHER), taken(GOOD)))
    assert taken(GOOD).modulus.bit_length() == 2_048


@pytest.mark.parametrize(
    "changed",
    [{"use": None}, {"alg": None}, {"key_ops": ["verify"]}, {"x5c": ["MII"], "unknown": 1}],
)
def test_what_a_key_may_leave_out_or_add(changed: dict[str, Any]) -> None:
    assert chosen(GOOD.jwk(**changed)).keys == (taken(GOOD),)


@pytest.mark.parametrize("bits", [2_048, 2_056, 4_096])
def test_sizes_that_are_taken(bits: int) -> None:
    key = rsa_key("sized", bits)
    assert chosen(key.jwk()).keys == (taken(key),)


@pytest.mark.parametrize("bits", [1_024, 2_040, 4_104])
def test_sizes_that_are_not(bits: int) -> None:
    key = rsa_key("sized", bits)
    assert sentence_about(key.jwk()) == f"key 'sized' has {bits} bits, not 2048 to 4096"


def test_another_exponent() -> None:
    key = rsa_key("three", exponent=3)
    assert sentence_about(key.jwk()) == "key 'three' has the exponent 3, not 65537"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"use": "enc"}, "is not for signatures: use is 'enc'"),
        ({"use": 1}, "is not for signatures: use is nothing that is known"),
        ({"key_ops": ["encrypt"]}, "is not for signatures: key_ops lacks verify"),
        ({"key_ops": 5}, "is not for signatures: key_ops lacks verify"),
        ({"alg": "RS512"}, "is not for RS256: alg is 'RS512'"),
        ({"alg": "PS256"}, "is not for RS256: alg is 'PS256'"),
        ({"alg": "none"}, "is not for RS256: alg is 'none'"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "is not an RSA key: 'oct'"),
        ({"kty": None}, "is not an RSA key: nothing that is known"),
        ({"d": "AQAB"}, "shows its private half: anyone can sign with it"),
        ({"n": None}, "cannot be read"),
        ({"e": None}, "cannot be read"),
        ({"n": ""}, "cannot be read"),
        ({"n": 5}, "cannot be read"),
        ({"n": ["AQAB"]}, "cannot be read"),
        ({"n": "é"}, "cannot be read"),
        ({"e": "AA"}, "cannot be read"),
        ({"e": "Ag"}, "cannot be read"),
    ],
)
def test_keys_of_another_kind(changed: dict[str, Any], message: str) -> None:
    assert sentence_about(GOOD.jwk(**changed)) == f"key 'first' {message}"


def test_an_elliptic_key() -> None:
    assert sentence_about(elliptic_jwk("curve")) == "key 'curve' is not an RSA key: 'EC'"


@pytest.mark.parametrize("key_id", [None, "", 5, ["first"]])
def test_a_key_without_an_id(key_id: object) -> None:
    assert sentence_about(GOOD.jwk(kid=key_id)) == "key number 1 has no id (kid)"


@pytest.mark.parametrize("key_id", ["x" * 256, "a\nb", "\x1b[2J"])
def test_an_id_that_nothing_can_hold_or_show(key_id: str) -> None:
    said = sentence_about(GOOD.jwk(kid=key_id))
    assert said.endswith(" has an id of more than 255 or unprintable characters")
    assert said.isprintable()
    assert len(said) < 150


@pytest.mark.parametrize("entry", [None, 5, "key", []])
def test_what_is_no_key_at_all(entry: object) -> None:
    assert sentence_about(entry) == "key number 1 is not an object"


def test_an_id_that_two_keys_have() -> None:
    """Neither is taken: what one of them signed would be checked with the other."""
    twin = OTHER.jwk(kid="first")
    third = rsa_key("third")
    said = "key 'first' is there 2 times: which one signs cannot be told"
    assert chosen(GOOD.jwk(), third.jwk(), twin) == KeySet((taken(third),), (said,))
    with pytest.raises(InvalidInputError, match="is there 2 times"):
        chosen(GOOD.jwk(), twin)


def test_an_id_that_only_one_usable_key_has() -> None:
    key_set = chosen(elliptic_jwk("first"), GOOD.jwk(), GOOD.jwk(use="enc"))
    assert key_set.keys == (taken(GOOD),)
    assert len(key_set.left_out) == 2


def test_every_reason_is_given_up_to_a_point() -> None:
    with pytest.raises(InvalidInputError) as caught:
        chosen(*[elliptic_jwk(f"curve{i}") for i in range(23)])
    lines = caught.value.message.splitlines()
    assert lines[1] == "  key 'curve0' is not an RSA key: 'EC'"
    assert (len(lines), lines[-1]) == (22, "  and 3 more")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"keys": []}, "has no key to trust: it is empty"),
        ({}, "has no list of keys"),
        ({"keys": None}, "has no list of keys"),
        ({"keys": {"kid": 1}}, "has no list of keys"),
    ],
)
def test_sets_of_nothing(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        usable_keys(document, source=SOURCE)
    assert caught.value.message == f"the key set at {SOURCE} {message}"

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from core.errors import InvalidInputError
from core.services.openid.identity import Identity, identify
from core.settings import Secret
from tests.support.openid_issuers import rsa_key

ISSUER = "https://id.example.com"
CLAIMS = {"iss": ISSUER, "sub": "ann", "aud": "flagctl", "exp": 2_000_000_000}


def token(claims: dict[str, Any], key_id: str | None = "first") -> Secret:
    headers = {"kid": key_id} if key_id else {}
    return Secret(jwt.encode(claims, rsa_key().private, algorithm="RS256", headers=headers))


def fault(of: Secret) -> str:
    with pytest.raises(InvalidInputError) as caught:
        identify(of, issuer=ISSUER, audience="flagctl")
    assert of.reveal() not in caught.value.message
    return caught.value.message


def test_who_it_is() -> None:
    given = token(CLAIMS)
    expires_at = datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
    identity = identify(given, issuer=ISSUER, audience="flagctl")
    assert identity == Identity(given, ISSUER, "ann", "flagctl", expires_at)
    assert given.reveal() not in repr(identity)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"iss": ISSUER + "/"}, f"the id token is of '{ISSUER}/', not of '{ISSUER}'"),
        ({"aud": "else"}, "the id token is for 'else', not for 'flagctl'"),
        ({"aud": []}, "the id token is for [], not for 'flagctl'"),
        ({"aud": ["flagctl"]}, "the id token is for ['flagctl'], not for 'flagctl'"),
        ({"sub": ""}, "the id token does not say who it is for: it has no `sub`"),
        ({"exp": "soon"}, "the id token does not say when it expires"),
        ({"exp": 10**30}, "the id token does not say when it expires"),
    ],
)
def test_tokens_that_flagctl_could_not_use(claims: dict[str, Any], message: str) -> None:
    assert fault(token(CLAIMS | claims)) == message


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "exp"])
def test_what_a_token_has_to_say(missing: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    assert fault(token(claims)).startswith("the id token ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: jwt.encode(CLAIMS, "k" * 32),
            "the id token is signed with 'HS256', flagctl takes RS256",
        ),
        (lambda: token(CLAIMS, None).reveal(), "the id token does not name its key (kid)"),
        (lambda: "a.b.c", f"what {ISSUER} gave as id_token is not a JWT"),
        (lambda: "é", f"what {ISSUER} gave as id_token is not a JWT"),
    ],
)
def test_signatures_that_flagctl_could_not_check(make: Callable[[], str], message: str) -> None:
    assert fault(Secret(make())) == message

"""Logging in through another screen, at an issuer that takes its time; ours is not taken."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from core.errors import (
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    UnauthenticatedError,
    UnavailableError,
)
from core.services.openid.device import Invitation, Waiting, log_in
from core.services.openid.transport import Transport
from tests.support.openid_issuers import (
    DEVICE,
    TOKEN,
    Behaviour,
    OpenIdIssuer,
    content,
    document,
    drip,
    redirect,
)

CODE = "a-device-code-that-is-secret"


@dataclass
class Person:
    """Somebody who logs in, and a clock that runs as fast as it is asked to."""

    issuer: OpenIdIssuer
    transport: Transport = field(default_factory=Transport)
    shown: list[Invitation] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def log_in(self) -> str:
        waiting = Waiting(self.waited.append, lambda: sum(self.waited))
        token = log_in(
            self.issuer.url,
            "flagctl-cli",
            show=self.shown.append,
            transport=self.transport,
            waiting=waiting,
        )
        return token.reveal()

    def fails(self, kind: type[FlagctlError]) -> FlagctlError:
        with pytest.raises(FlagctlError) as caught:
            self.log_in()
        assert type(caught.value) is kind, caught.value
        assert CODE not in caught.value.message + caught.value.hint
        return caught.value


@pytest.fixture
def person(issuer: OpenIdIssuer) -> Person:
    return Person(issuer)


def says(error: str, **more: str) -> Behaviour:
    return document({"error": error} | more, 400)


GRANTED = document({"id_token": "a.b.c", "access_token": "x", "token_type": "Bearer"})
PENDING = says("authorization_pending")


def test_a_login(person: Person) -> None:
    person.issuer.polls = [PENDING, PENDING, GRANTED]
    assert person.log_in() == "a.b.c"
    url = person.issuer.url + "/activate"
    assert person.shown == [Invitation(url, None, "WDJB-MJHT", 600.0)]
    assert person.waited == [1.0, 1.0, 1.0]
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": CODE,
        "client_id": "flagctl-cli",
    }
    assert person.issuer.asked[1:] == [
        (DEVICE, {"client_id": "flagctl-cli", "scope": "openid"}),
        *[(TOKEN, form)] * 3,
    ]


def test_an_address_with_the_code_in_it(person: Person) -> None:
    url = person.issuer.url + "/activate?code=WDJB-MJHT"
    person.issuer.routes[DEVICE] = document(person.issuer.device(verification_uri_complete=url))
    person.issuer.polls = [GRANTED]
    person.log_in()
    assert person.shown[0].verification_uri_complete == url


def test_the_issuer_sets_the_pace(person: Person) -> None:
    person.issuer.routes[DEVICE] = document(person.issuer.device(interval=3))
    person.issuer.polls = [PENDING, says("slow_down"), PENDING, says("slow_down"), GRANTED]
    person.log_in()
    assert person.waited == [3.0, 3.0, 8.0, 8.0, 13.0]


@pytest.mark.parametrize(("interval", "waited"), [(None, 5.0), (0, 1.0), (1.5, 1.5), (9e9, 600.0)])
def test_the_pace_without_a_word_of_it(
    person: Person, interval: float | None, waited: float
) -> None:
    person.issuer.routes[DEVICE] = document(person.issuer.device(interval=interval))
    person.issuer.polls = [GRANTED]
    person.log_in()
    assert person.waited == [waited]


@pytest.mark.parametrize(
    "trouble",
    [content(b"", 503), content(b"busy", 429), content(b"", 500)],
    ids=["503", "429", "500"],
)
def test_troubles_of_the_issuer_do_not_end_it(person: Person, trouble: Behaviour) -> None:
    person.issuer.polls = [trouble, PENDING, GRANTED]
    assert person.log_in() == "a.b.c"
    assert person.waited == [1.0, 6.0, 6.0]


def test_an_answer_that_gets_lost_does_not_end_it(person: Person) -> None:
    person.transport = Transport(seconds=0.5)
    person.issuer.polls = [drip(), GRANTED]
    assert person.log_in() == "a.b.c"
    assert person.waited == [1.0, 6.0]


def test_an_issuer_that_is_gone_ends_it_when_the_code_does(person: Person) -> None:
    person.issuer.routes[DEVICE] = document(person.issuer.device(expires_in=10))
    person.transport = Transport(seconds=0.5)
    person.issuer.routes[TOKEN] = drip()
    person.fails(UnavailableError)
    assert person.waited == [1.0, 6.0, 10.0]


def test_the_person_says_no(person: Person) -> None:
    person.issuer.polls = [PENDING, says("access_denied")]
    error = person.fails(ForbiddenError)
    assert error.message == "the login was refused at the issuer"


def test_the_code_becomes_too_old(person: Person) -> None:
    person.issuer.polls = [PENDING, says("expired_token")]
    error = person.fails(UnauthenticatedError)
    assert error.message == "nobody entered the code in time"


def test_the_code_becomes_too_old_without_a_word(person: Person) -> None:
    person.issuer.routes[DEVICE] = document(person.issuer.device(expires_in=3))
    person.issuer.polls = [PENDING] * 9
    error = person.fails(UnauthenticatedError)
    assert error.message == "nobody entered the code in time"
    assert person.waited == [1.0, 1.0, 1.0]


def test_a_code_for_ever_is_good_for_an_hour(person: Person) -> None:
    person.issuer.routes[DEVICE] = document(person.issuer.device(expires_in=9e9, interval=900))
    person.issuer.polls = [PENDING] * 9
    person.fails(UnauthenticatedError)
    assert sum(person.waited) == 3_600


def test_an_issuer_without_this_login(person: Person) -> None:
    person.issuer.says = {"device_authorization_endpoint": None}
    error = person.fails(InvalidInputError)
    assert error.message == (
        f"the issuer {person.issuer.url} has no device_authorization_endpoint: "
        "one cannot log in there"
    )
    person.issuer.says = {"token_endpoint": None}
    assert "has no token_endpoint" in person.fails(InvalidInputError).message


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_client_that_is_not_known(person: Person, status: int) -> None:
    person.issuer.routes[DEVICE] = document({"error": "invalid_client"}, status)
    error = person.fails(InvalidInputError)
    assert error.message == (
        f"the device endpoint at {person.issuer.url}/device refuses ({status}): invalid_client"
    )
    assert "is the client id right" in error.hint
    assert person.shown == []


def test_what_the_issuer_says_is_repeated_without_the_code(person: Person) -> None:
    description = f"{CODE} is\n\x1b[2Jno good " + "x" * 1_000
    person.issuer.polls = [says("invalid_grant", error_description=description)]
    error = person.fails(InvalidInputError)
    assert "refuses (400): invalid_grant: … is  [2Jno good xxx" in error.message
    assert error.message.isprintable()
    assert len(error.message) < 500


@pytest.mark.parametrize("answer", [{}, {"error": None}, {"error": ""}, {"error": ["x"]}])
def test_a_refusal_without_a_reason(person: Person, answer: dict[str, Any]) -> None:
    person.issuer.polls = [document(answer, 400)]
    assert person.fails(InvalidInputError).message.endswith("refuses (400): it says no reason")


@pytest.mark.parametrize("token", [None, "", 5, ["a.b.c"]])
def test_a_login_that_gives_no_token(person: Person, token: object) -> None:
    person.issuer.polls = [document({"access_token": "x", "id_token": token})]
    error = person.fails(InvalidInputError)
    assert error.message == "the issuer logged you in, but gave no id_token"
    assert "openid" in error.hint


@pytest.mark.parametrize("path", [DEVICE, TOKEN])
def test_no_redirect_is_followed(person: Person, path: str) -> None:
    person.issuer.routes[path] = redirect(person.issuer.url + "/else")
    assert "no redirect is followed" in person.fails(InvalidInputError).message
    assert "/else" not in [asked for asked, _ in person.issuer.asked]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"device_code": None}, "the device endpoint gives no usable device_code"),
        ({"user_code": None}, "the device endpoint gives no usable user_code"),
        ({"user_code": 5}, "the device endpoint gives no usable user_code"),
        ({"user_code": "\x1b[2J"}, "the device endpoint gives no usable user_code"),
        ({"user_code": "x" * 61}, "the device endpoint gives no usable user_code"),
        ({"verification_uri": None}, "the device endpoint gives no usable verification_uri"),
        ({"expires_in": None}, "the device endpoint gives no usable expires_in"),
        ({"expires_in": "soon"}, "the device endpoint gives no usable expires_in"),
        ({"expires_in": -1}, "the device endpoint gives no usable expires_in"),
        ({"interval": True}, "the device endpoint gives no usable interval"),
        (
            {"verification_uri": "http://id.example.com"},
            "verification_uri of the device endpoint is not https: 'http://id.example.com'",
        ),
        (
            {"verification_uri_complete": "javascript:alert(1)"},
            "verification_uri_complete of the device endpoint is not https: 'javascript:alert(1)'",
        ),
    ],
)
def test_what_cannot_be_shown_or_used(
    person: Person, changed: dict[str, Any], message: str
) -> None:
    person.issuer.routes[DEVICE] = document(person.issuer.device(**changed))
    assert person.fails(InvalidInputError).message == message
    assert (person.shown, person.waited) == ([], [])


@pytest.mark.parametrize("client_id", ["", "a\nb", "x" * 501])
def test_client_ids(issuer: OpenIdIssuer, client_id: str) -> None:
    with pytest.raises(InvalidInputError, match="the client id"):
        log_in(issuer.url, client_id, show=print, transport=Transport(), waiting=Waiting())
    assert issuer.asked == []

"""The one door: whose token opens it, and what the others are told."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from sqlalchemy import text

from core import alchemy, clock, db
from core.auth import tokens
from core.auth.actor import Role
from core.errors import (
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    UnauthenticatedError,
    UnavailableError,
)
from core.services import members
from core.services import tokens as token_service
from core.sessions import owner_session, session
from core.settings import Secret
from tests.support.installations import ADMIN_EMAIL, Installation

FOREIGN, FOREIGN_PUBLIC = tokens.generate_key_pair(2_048)


def claims_of(installation: Installation) -> dict[str, Any]:
    """The claims of a token that is registered."""
    found: dict[str, Any] = jwt.decode(
        installation.token.reveal(), options={"verify_signature": False}
    )
    return found


def signed(
    installation: Installation, private: str | None = None, key_id: str | None = None, **more: Any
) -> Secret:
    """A token with the installation's own key, unless another one is given."""
    own, own_id = installation.signing_key.read()
    claims = {k: v for k, v in (claims_of(installation) | more).items() if v is not None}
    return Secret(tokens.sign(claims, private or own, key_id or own_id))


def test_a_registered_token_opens_it(seeded: Installation) -> None:
    with seeded.session(signed(seeded)) as opened:
        assert opened.actor.id == opened.actor.name == ADMIN_EMAIL
        assert [grant.role for grant in opened.actor.grants] == [Role.ADMIN]
        assert (opened.organization, opened.organization_id) == ("default", 1)


def hours(number: float) -> int:
    return int((clock.now() + timedelta(hours=number)).timestamp())


REFUSED: dict[str, tuple[Callable[[Installation], Secret], str]] = {
    "registered, and signed again with a later end": (
        lambda i: signed(i, exp=hours(20)),
        "was never registered here",
    ),
    "never registered": (lambda i: signed(i, jti=str(uuid4())), "was never registered here"),
    "without an id": (lambda i: signed(i, jti=None), "was never registered here"),
    "registered for another": (lambda i: signed(i, sub="ed@example.com"), "was never registered"),
    "signed by another key": (lambda i: signed(i, FOREIGN), "the token's signature is wrong"),
    "signed by an unknown key": (
        lambda i: signed(i, FOREIGN, "another-key"),
        "the key 'another-key' that signed the token is not known",
    ),
    "of another issuer": (
        lambda i: signed(i, iss="https://login.example.com"),
        "the token's issuer 'https://login.example.com' is not trusted here",
    ),
    "for another audience": (lambda i: signed(i, aud="x"), "for another audience than 'flagctl'"),
    "expired": (lambda i: signed(i, iat=hours(-2), exp=hours(-1)), "the token expired at"),
    "not valid yet": (lambda i: signed(i, iat=hours(1), exp=hours(2)), "is not valid before"),
    "without end": (lambda i: signed(i, exp=None), "the token has no `exp`"),
    "too long": (lambda i: signed(i, exp=hours(30)), "lives longer than its issuer may give"),
    "nonsense": (lambda _: Secret("nonsense"), "is not a JWT of three parts"),
    "empty": (lambda _: Secret(""), "is not a JWT of three parts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_stays_closed_for_any_other(name: str, seeded: Installation) -> None:
    token, words = REFUSED[name]
    with (
        pytest.raises(UnauthenticatedError) as caught,
        session(seeded.admin_url, token(seeded)),
    ):
        pytest.fail("opened")
    assert words in caught.value.message


def test_a_token_of_another_installation(seeded: Installation, tmp_path: Path) -> None:
    foreign = signed(seeded, FOREIGN, iss=f"urn:flagctl:{uuid4()}")
    with pytest.raises(UnauthenticatedError) as caught, seeded.session(foreign):
        pytest.fail("opened")
    assert "is it the token of another installation?" in caught.value.hint


def test_a_revoked_token(installation: Installation) -> None:
    issued = installation.issue(ADMIN_EMAIL)
    with installation.session(Secret(issued.token)) as opened:
        assert opened.actor.id == ADMIN_EMAIL
    with installation.change() as change:
        token_service.revoke_token(change, str(issued.id))
    with (
        pytest.raises(UnauthenticatedError, match="the token has been revoked"),
        installation.session(Secret(issued.token)),
    ):
        pytest.fail("opened")


def test_a_token_whose_key_was_revoked(installation: Installation) -> None:
    installation.govern("UPDATE flagctl.issuer_keys SET revoked_at = now()")
    with (
        pytest.raises(UnauthenticatedError, match="that signed the token has been revoked"),
        installation.session(),
    ):
        pytest.fail("opened")


def test_who_is_no_member_any_more(installation: Installation) -> None:
    token = installation.token_for(Role.EDITOR, "dev", email="ann@example.com")
    with installation.change() as change:
        members.remove_member(change, "ann@example.com", None)
    with (
        pytest.raises(ForbiddenError, match=r"ann@example\.com is not a member of any organiz"),
        installation.session(token),
    ):
        pytest.fail("opened")


def test_an_organization_one_is_not_in(seeded: Installation) -> None:
    with (
        pytest.raises(ForbiddenError, match="is not a member of organization nowhere"),
        session(seeded.admin_url, seeded.token, organization="nowhere"),
    ):
        pytest.fail("opened")


@pytest.mark.parametrize(
    ("change_url", "kind", "words"),
    [
        (lambda url: url.replace("@/t", "@/none_t"), UnavailableError, "does not exist"),
        (lambda url: url.replace("://t", "://x", 1), UnavailableError, "password authentication"),
        (lambda url: url + "&nonsense=1", InvalidInputError, "cannot be read"),
        (lambda _: "postgresql://u@127.0.0.1:1/x", UnavailableError, "Postgres is unavailable"),
    ],
)
def test_an_address_that_leads_nowhere(
    change_url: Callable[[str], str], kind: type[FlagctlError], words: str, seeded: Installation
) -> None:
    url = change_url(seeded.admin_url.reveal())
    with pytest.raises(kind, match=words) as caught, session(Secret(url), seeded.token):
        pytest.fail("opened")
    assert seeded.admin_url.reveal().split(":")[2].split("@")[0] not in caught.value.message


def test_a_wrong_password_is_refused(seeded: Installation) -> None:
    url = seeded.admin_url.reveal()
    password = url.split(":")[2].split("@")[0]
    with (
        pytest.raises(UnavailableError, match="password authentication failed") as caught,
        session(Secret(url.replace(password, "wrong")), seeded.token),
    ):
        pytest.fail("opened")
    assert caught.value.hint == "check user and password of the database address"


def test_a_database_without_a_schema(empty_database: Any, seeded: Installation) -> None:
    with (
        pytest.raises(UnavailableError, match="this database is not ready") as caught,
        session(empty_database.admin_url, seeded.token),
    ):
        pytest.fail("opened")
    assert "flagctl db upgrade" in caught.value.hint


def test_nothing_is_left_of_a_session(installation: Installation) -> None:
    with session(installation.admin_url, installation.token, read_only=False) as opened:
        opened.connection.run("UPDATE flagctl.environments SET description = 'x'")
    rows = installation.ask("SELECT DISTINCT description FROM flagctl.environments")
    assert rows == [("",)]


def test_a_session_for_reading_cannot_write(installation: Installation) -> None:
    with (
        installation.session() as opened,
        pytest.raises(UnavailableError, match="read-only transaction"),
    ):
        opened.connection.run("UPDATE flagctl.environments SET description = 'x'")


def test_the_owner_needs_no_token(seeded: Installation) -> None:
    with owner_session(seeded.owner_url, owner_role=f"{seeded.prefix}_owner") as opened:
        assert opened.actor.id == f"owner:{seeded.prefix}_owner_login"
        assert opened.actor.grants == ()


def test_the_admin_login_cannot_act_as_owner(seeded: Installation) -> None:
    with (
        pytest.raises(FlagctlError, match="permission denied"),
        owner_session(seeded.admin_url, owner_role=f"{seeded.prefix}_owner"),
    ):
        pytest.fail("opened")


def test_one_token_for_one_of_two_organizations(installation: Installation) -> None:
    """A token of the built-in issuer counts in the organization that registered it alone."""
    installation.govern(
        "INSERT INTO flagctl.organizations (key, name) VALUES ('two', 'Two')",
        "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
        " SELECT o.id, m.issuer_id, m.subject, m.email, m.role"
        " FROM flagctl.members m, flagctl.organizations o WHERE o.key = 'two'",
    )
    with installation.session() as opened:
        assert opened.organization == "default"
    with (
        pytest.raises(ForbiddenError, match="is not a member of organization two"),
        session(installation.admin_url, installation.token, organization="two"),
    ):
        pytest.fail("opened")


def test_connecting_asks_nothing(installation: Installation) -> None:
    with alchemy.connect(installation.admin_url, application_name="quiet") as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        query = "SELECT query FROM pg_stat_activity WHERE pid = %s"
        assert installation.ask(query, [driver.info.backend_pid]) == [("",)]
        connection.execute(text("SELECT 1"))
        assert installation.ask(query, [driver.info.backend_pid]) == [("SELECT 1",)]


def test_a_connection_that_broke_is_not_replaced_in_secret(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, real_open, real_time = [], db.open_driver_connection, time.time

    def open_one(*given: Any, **more: Any) -> Any:
        opened.append(given)
        return real_open(*given, **more)

    monkeypatch.setattr(alchemy, "open_driver_connection", open_one)
    with alchemy.connect(installation.admin_url, application_name="broken") as connection:
        installation.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'broken' AND datname = current_database()"
        )
        for _ in range(2):
            with pytest.raises(UnavailableError), db.translated():
                connection.execute(text("SELECT 1"))
            connection.rollback()
    monkeypatch.setattr(time, "time", lambda: real_time() - 3_600)
    with alchemy.connect(installation.admin_url, application_name="whole") as connection:
        connection.execute(text("SELECT 1"))
    assert len(opened) == 2

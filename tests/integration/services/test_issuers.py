"""Issuers of an organization's own, on a real Postgres; their keys come from elsewhere."""

from datetime import timedelta
from typing import Any

import pytest

from core.errors import (
    ConfirmationNeededError,
    ConflictError,
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
)
from core.queries.issuers import IssuerDetail, list_issuers
from core.services import change as changes
from core.services.change import Change, Options
from core.services.grants import Group, group_name
from core.services.issuers import (
    Refreshed,
    TrustedIssuer,
    add_issuer,
    refresh_issuer,
    remove_issuer,
)
from core.services.openid.key_sets import KeySet, SigningKey
from tests.support.installations import Installation
from tests.support.openid_issuers import rsa_key

URL = "https://id.example.com"
ISSUER = TrustedIssuer(URL, "flagctl-cli", timedelta(hours=1))


def key(key_id: str, of: str | None = None) -> SigningKey:
    return SigningKey(key_id, rsa_key(of or key_id).modulus)


def keys(*key_ids: str) -> KeySet:
    return KeySet(tuple(map(key, key_ids)))


@pytest.fixture
def trusting(installation: Installation) -> Installation:
    """An installation that trusts an issuer with two keys."""
    with installation.owner_change() as change:
        add_issuer(change, ISSUER, keys("first", "other"))
    return installation


def detail(installation: Installation) -> IssuerDetail:
    """Of the issuer, as a member of the organization sees it."""
    with installation.session() as session:
        own, foreign = list_issuers(session)
    assert own.built_in
    return foreign


def add_member(installation: Installation, name: str, role: str, *, where: str = "NULL") -> None:
    installation.govern(
        "INSERT INTO flagctl.members"
        " (organization_id, issuer_id, subject, email, role, environment_id)"
        f" SELECT 1, id, %(name)s, %(name)s, '{role}', {where}"
        f" FROM flagctl.issuers WHERE issuer = '{URL}'",
        parameters={"name": name},
    )


def refresh(installation: Installation, key_set: KeySet) -> tuple[Refreshed, list[str]]:
    """What became of its keys, and what is on record of it."""
    with installation.owner_change() as change:
        refreshed = refresh_issuer(change, URL, key_set)
    events = [f"{e.action} {e.entity_type} {e.entity_key}" for e in change.outcome.events]
    return refreshed, events


def test_an_issuer_is_trusted_by_one_organization(trusting: Installation) -> None:
    found = detail(trusting)
    assert (found.issuer, found.organization, found.audience) == (URL, "default", "flagctl-cli")
    assert (found.keys, found.members) == (("first", "other"), 0)
    assert (found.max_lifetime_seconds, found.jwks_url) == (3_600, None)
    assert found.refreshed_at is not None
    trusting.govern("INSERT INTO flagctl.organizations (key, name) VALUES ('two', 'Two')")
    with owner_change_of(trusting, "two") as change:
        add_issuer(change, ISSUER, keys("first"))
    with trusting.session() as session:
        assert [i.organization for i in list_issuers(session)] == [None, "default"]
    with owner_change_of(trusting, "two") as change:
        seen = list_issuers(change.session)
        narrowed = list_issuers(change.session, organization="two")
    assert [i.organization for i in seen] == [None, "default", "two"]
    assert [i.organization for i in narrowed] == [None, "two"]


def owner_change_of(installation: Installation, organization: str) -> Any:
    return changes.owner_change(
        installation.owner_url,
        Options(),
        owner_role=group_name(installation.prefix, Group.OWNER),
        organization=organization,
    )


def test_it_is_on_record(trusting: Installation) -> None:
    rows = trusting.ask(
        "SELECT action, entity_type, entity_key, after FROM flagctl.audit_events"
        " WHERE entity_type IN ('issuer', 'signing_key') ORDER BY seq DESC LIMIT 3"
    )
    assert [row[:3] for row in rows] == [
        ("create", "signing_key", "other"),
        ("create", "signing_key", "first"),
        ("create", "issuer", URL),
    ]
    assert rows[2][3]["audience"] == "flagctl-cli"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"issuer": "http://id.example.com"}, "the issuer is not https"),
        ({"issuer": "https://id.example.com/" + "x" * 512}, "have 1 to 512 characters"),
        ({"audience": ""}, "have 1 to 512 characters"),
        ({"audience": "x" * 513}, "the audience is longer than 512"),
        ({"jwks_url": "http://id.example.com"}, "the address of the keys is not https"),
        ({"max_lifetime": timedelta(seconds=59)}, "between one minute and 24 hours"),
        ({"max_lifetime": timedelta(hours=25)}, "between one minute and 24 hours"),
    ],
)
def test_what_is_not_trusted(
    installation: Installation, wrong: dict[str, Any], message: str
) -> None:
    fields: dict[str, Any] = {"issuer": URL, "audience": "a", "max_lifetime": timedelta(hours=1)}
    issuer = TrustedIssuer(**(fields | wrong))
    with pytest.raises(InvalidInputError, match=message), installation.owner_change() as change:
        add_issuer(change, issuer, keys("first"))


def test_an_issuer_is_added_once(trusting: Installation) -> None:
    with pytest.raises(ConflictError) as caught, trusting.owner_change() as change:
        add_issuer(change, ISSUER, keys("first"))
    assert caught.value.message == f"default trusts the issuer {URL} already"


def test_nothing_new_is_nothing_written(trusting: Installation) -> None:
    before = detail(trusting).refreshed_at
    assert refresh(trusting, keys("other", "first")) == (Refreshed((), (), ()), [])
    after = detail(trusting).refreshed_at
    assert before is not None
    assert after is not None
    assert after > before


def test_new_keys_are_trusted_and_withdrawn_ones_are_not(trusting: Installation) -> None:
    assert refresh(trusting, keys("third", "other")) == (
        Refreshed(("third",), (), ("first",)),
        ["create signing_key third", "revoke signing_key first"],
    )
    assert detail(trusting).keys == ("other", "third")
    assert refresh(trusting, keys("third", "other"))[1] == []


def test_a_key_that_comes_back_is_trusted_again(trusting: Installation) -> None:
    refresh(trusting, keys("other"))
    refreshed, events = refresh(trusting, keys("other", "first"))
    assert (refreshed, events) == (Refreshed(("first",), (), ()), ["update signing_key first"])
    assert detail(trusting).keys == ("first", "other")


def test_another_key_under_an_old_id_replaces_it(trusting: Installation) -> None:
    changed = KeySet((key("first", of="third"), key("other")))
    assert refresh(trusting, changed) == (
        Refreshed((), ("first",), ()),
        ["delete signing_key first", "create signing_key first"],
    )
    held = trusting.ask("SELECT modulus FROM flagctl.issuer_keys WHERE key_id = 'first'")
    assert held == [(rsa_key("third").modulus.to_bytes(256),)]
    assert refresh(trusting, changed)[1] == []


def test_an_issuer_that_is_not_there(trusting: Installation) -> None:
    for act in (lambda c: refresh_issuer(c, URL + "/", keys("a")), lambda c: remove_issuer(c, "x")):
        with pytest.raises(NotFoundError, match="does not trust the issuer"):
            _as_owner(trusting, act)
    with pytest.raises(NotFoundError) as caught, trusting.owner_change() as change:
        remove_issuer(change, URL + "/")
    assert caught.value.hint == f"did you mean {URL}?"


def _as_owner(installation: Installation, act: Any) -> None:
    with installation.owner_change() as change:
        act(change)


def test_flagctls_own_issuer_is_not_one_of_them(installation: Installation) -> None:
    ((own,),) = installation.ask("SELECT issuer FROM flagctl.issuers WHERE built_in")
    for act in (lambda c: refresh_issuer(c, own, keys("a")), lambda c: remove_issuer(c, own)):
        with pytest.raises(InvalidInputError, match="is flagctl's own issuer"):
            _as_owner(installation, act)


def test_an_issuer_without_members_goes_without_a_word(trusting: Installation) -> None:
    with trusting.owner_change() as change:
        assert remove_issuer(change, URL) == ()
    assert [e.action for e in change.outcome.events] == ["delete"] * 3
    assert trusting.ask("SELECT count(*) FROM flagctl.issuer_keys") == [(1,)]


def test_with_members_it_asks_and_takes_them_along(trusting: Installation) -> None:
    add_member(trusting, "ann", "editor")
    add_member(trusting, "ci", "editor", where="(SELECT min(e.id) FROM flagctl.environments e)")
    with pytest.raises(ConfirmationNeededError) as caught, trusting.owner_change() as change:
        remove_issuer(change, URL)
    assert caught.value.message == f"ann, ci of default would go with {URL}"
    assert detail(trusting).members == 2
    with trusting.owner_change(confirmed=True) as change:
        assert remove_issuer(change, URL) == ("ann", "ci")
    assert trusting.ask("SELECT email FROM flagctl.members") == [(trusting.admin_email,)]


def test_the_last_admin_does_not_go_with_it(trusting: Installation) -> None:
    add_member(trusting, "ann", "admin")
    trusting.govern("DELETE FROM flagctl.members WHERE subject <> 'ann'")
    with (
        pytest.raises(ConflictError, match="default would have no admin any more"),
        trusting.owner_change(confirmed=True) as change,
    ):
        remove_issuer(change, URL)
    assert trusting.ask("SELECT email FROM flagctl.members") == [("ann",)]


@pytest.fixture
def keeper(trusting: Installation) -> Any:
    """Changes of a login of the keepers of trust, which cannot become the owner."""

    def open_change(**options: Any) -> Any:
        role = group_name(trusting.prefix, Group.OWNER)
        return changes.owner_change(trusting.trust_url, Options(**options), owner_role=role)

    return open_change


def test_the_keepers_of_trust_do_all_of_it(keeper: Any) -> None:
    other = TrustedIssuer("https://two.example.com", "a", timedelta(hours=1), URL + "/keys")
    with keeper() as change:
        add_issuer(change, other, keys("first"))
    assert [e.action for e in change.outcome.events] == ["create", "create"]
    with keeper() as change:
        assert refresh_issuer(change, URL, keys("third")).added == ("third",)
    with keeper() as change:
        assert [i.issuer for i in list_issuers(change.session)][1:] == [URL, other.issuer]
        remove_issuer(change, other.issuer)
    assert change.outcome.committed


def test_the_keepers_of_trust_remove_nobody(trusting: Installation, keeper: Any) -> None:
    add_member(trusting, "ann", "editor")
    with (
        pytest.raises(ForbiddenError, match="only the owner's own login") as caught,
        keeper(confirmed=True) as change,
    ):
        remove_issuer(change, URL)
    assert "flagctl member remove" in caught.value.hint
    assert detail(trusting).members == 1


def test_a_member_without_the_owners_login_does_none_of_it(trusting: Installation) -> None:
    def attempt(act: Any) -> None:
        with pytest.raises(FlagctlError), trusting.change(confirmed=True) as change:
            act(change)

    def add(change: Change) -> None:
        add_issuer(change, TrustedIssuer("https://x.example", "a", timedelta(hours=1)), keys("a"))

    before = trusting.last_change()
    for act in (
        add,
        lambda change: refresh_issuer(change, URL, keys("third")),
        lambda change: remove_issuer(change, URL),
    ):
        attempt(act)
    assert trusting.last_change() == before
    assert detail(trusting).keys == ("first", "other")

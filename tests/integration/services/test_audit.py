"""What an event holds: whole documents, actor, reason; and what can be asked of the log."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

import core
from core.audit.record import AuditFilter, AuditRecord
from core.auth.actor import Role
from core.errors import ConflictError, NotFoundError, UnauthenticatedError
from core.queries import audit_events
from core.services import api_keys, configs, environments, flags, members, overrides
from core.settings import Secret
from core.value_types import ValueType
from tests.support.installations import ADMIN_EMAIL, Installation
from tests.support.seeds import MAX_ITEMS, THEME, fill


def events(installation: Installation, **wanted: Any) -> list[AuditRecord]:
    """Newest first."""
    with installation.session() as session:
        return audit_events.list_events(session, installation.token, AuditFilter(**wanted))


def newest(installation: Installation, **wanted: Any) -> AuditRecord:
    return events(installation, limit=1, **wanted)[0]


def test_an_event_says_who_when_why_and_with_what(installation: Installation) -> None:
    with installation.change(reason="launch 🚀") as change:
        flags.create_flag(change, THEME)
    event = newest(installation)
    assert (event.actor, event.actor_name) == (ADMIN_EMAIL, ADMIN_EMAIL)
    assert event.reason == "launch 🚀"
    assert event.client_version == f"flagctl/{core.__version__}"
    assert event.change_id == str(change.session.change_id)
    assert event.revisions == {"dev": 2, "staging": 2, "prod": 2}
    assert event.occurred_at.utcoffset() == timedelta(0)


def test_the_whole_flag_before_and_after(installation: Installation) -> None:
    with installation.change() as change:
        flags.create_flag(change, THEME)
    created = newest(installation)
    assert created.before is None
    assert created.after == {
        "format": 1,
        "key": "theme",
        "type": "string",
        "variants": {"dark": "#000", "light": "#fff", "blue": "#00f"},
        "on_variant": "dark",
        "off_variant": "light",
        "default_enabled": False,
        "description": "",
        "owner": "",
        "tags": [],
        "permanent": False,
        "client_visible": False,
        "expires_at": None,
        "archived": False,
        "salt": created.after["salt"],
        "version": 1,
    }
    with installation.change() as change:
        flags.set_default(change, "theme", enabled=True)
    updated = newest(installation)
    assert updated.before == created.after
    assert updated.after == created.after | {"default_enabled": True, "version": 2}
    with installation.change(confirmed=True) as change:
        flags.delete_flag(change, "theme")
    assert (newest(installation).before, newest(installation).after) == (updated.after, None)


def test_the_whole_override_before_and_after(installation: Installation) -> None:
    with installation.change() as change:
        flags.create_flag(change, THEME)
    for state in ("blue", "off", "inherit"):
        with installation.change() as change:
            overrides.set_override(change, "theme", "prod", state)
    third, second, first = events(installation, environment="prod")
    empty = {"format": 1, "rules": []}
    place = {"format": 1, "key": "theme", "environment": "prod"}
    assert first.before == place | {"enabled": None, "targeting": empty, "version": 0}
    served = empty | {"serve": {"variant": "blue"}}
    assert first.after == place | {"enabled": True, "targeting": served, "version": 1}
    assert second.before == first.after
    assert second.after == first.after | {"enabled": False, "version": 2}
    assert third.before == second.after
    assert third.after == place | {"enabled": None, "targeting": empty, "version": 3}


def test_the_whole_config_and_value(installation: Installation) -> None:
    with installation.change() as change:
        configs.define_config(change, MAX_ITEMS)
    with installation.change() as change:
        configs.set_value(change, "max_items", "dev", 5)
    with installation.change() as change:
        configs.unset_value(change, "max_items", "dev")
    removed, value, definition = events(installation, entity_type="config")
    assert definition.after == {
        "format": 1,
        "key": "max_items",
        "type": "integer",
        "schema": {"minimum": 0, "maximum": 100},
        "description": "",
        "client_visible": False,
        "version": 1,
    }
    document = {"format": 1, "key": "max_items", "environment": "dev", "value": 5, "version": 1}
    assert (value.before, value.after) == (None, document)
    assert (removed.before, removed.after) == (document, None)


def test_a_key_and_a_token_are_recorded_without_their_secrets(installation: Installation) -> None:
    with installation.change() as change:
        key = api_keys.create_key(change, "web", "dev")
    issued = installation.issue(ADMIN_EMAIL)
    token_event, key_event = events(installation, limit=2)
    assert key_event.after.keys() == {
        *("format", "id", "name", "kind", "environment", "expires_at", "revoked_at")
    }
    assert key_event.after["id"] == key.id
    assert token_event.after["id"] == str(issued.id)
    log = str(installation.ask("SELECT before, after FROM flagctl.audit_events"))
    digest = installation.ask("SELECT encode(digest, 'hex') FROM flagctl.api_keys")[0][0]
    for secret in (key.key, key.key[20:52], digest, issued.token, issued.token.split(".")[2]):
        assert secret not in log


def test_the_environment_and_the_member(installation: Installation) -> None:
    with installation.change(confirmed=True) as change:
        environments.create_environment(change, "qa", description="for tests", confirm=True)
        members.add_member(change, "ann@example.com", Role.EDITOR, "qa")
    member, environment = events(installation, limit=2)
    assert environment.after == {
        "format": 1,
        "key": "qa",
        "description": "for tests",
        "confirm": True,
        "id": installation.environment_id("qa"),
    }
    assert member.environment == "qa"
    assert {**member.after, "issuer": ""} == {
        "format": 1,
        "issuer": "",
        "subject": "ann@example.com",
        "claims": None,
        "email": "ann@example.com",
        "role": "editor",
        "environment": "qa",
    }


def test_one_change_has_one_id_and_raises_a_revision_once(installation: Installation) -> None:
    before = installation.revisions()
    with installation.change(confirmed=True) as change:
        fill(change)
    found = events(installation, limit=10)
    assert {event.change_id for event in found} == {str(change.session.change_id)}
    entities = [(e.entity_type, e.entity_key, e.environment) for e in found]
    assert len(set(entities)) == len(entities) == 10
    after = installation.revisions()
    assert {key: after[key] - 1 for key in before} == before
    assert {e.revisions["dev"] for e in found if "dev" in e.revisions} == {after["dev"]}
    assert [e.id for e in found] == sorted((e.id for e in found), reverse=True)


def test_an_entity_is_recorded_once_in_a_change(installation: Installation) -> None:
    with installation.change() as change:
        flags.create_flag(change, THEME)
    with installation.change() as change:
        overrides.set_override(change, "theme", "dev", "on")
        with pytest.raises(ConflictError, match="audit_events_one_per_entity"):
            overrides.set_override(change, "theme", "dev", "off")
        change.session.connection.rollback()
    assert newest(installation).action == "create"


@pytest.fixture
def history(seeded: Installation) -> Installation:
    return seeded


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"entity_type": "feature"}, 5),
        ({"entity_type": "feature", "entity_key": "theme"}, 2),
        ({"entity_key": "theme", "environment": "dev"}, 1),
        ({"environment": "prod"}, 0),
        ({"action": "archive"}, 1),
        ({"entity_type": "config", "action": "create", "environment": "dev"}, 1),
        ({"actor": "nobody"}, 0),
        ({"actor": ADMIN_EMAIL, "entity_type": "api_key"}, 1),
        ({"limit": 3}, 3),
        ({"limit": 0}, 0),
        ({"entity_key": "'; DROP TABLE flagctl.flags --"}, 0),
        ({"id": 1}, 1),
        ({"id": 10**6}, 0),
    ],
)
def test_filters(wanted: dict[str, Any], count: int, history: Installation) -> None:
    assert len(events(history, **wanted)) == count


def test_pages_join_without_gap_or_overlap(history: Installation) -> None:
    everything = [event.id for event in events(history, limit=1_000)]
    paged: list[int] = []
    while page := events(history, limit=4, cursor=paged[-1] if paged else None):
        paged += [event.id for event in page]
    assert paged == everything == list(range(len(everything), 0, -1))


def test_since_and_until(history: Installation) -> None:
    everything = events(history, limit=1_000)
    middle = everything[5].occurred_at
    since = events(history, limit=1_000, since=middle)
    until = events(history, limit=1_000, until=middle)
    assert since + until == everything
    assert since[-1].occurred_at == middle


def test_one_event(history: Installation) -> None:
    with history.session() as session:
        assert audit_events.show_event(session, history.token, 1).id == 1
        with pytest.raises(NotFoundError, match="there is no audit event 999"):
            audit_events.show_event(session, history.token, 999)


def test_the_first_admin_is_made_by_the_owner(history: Installation) -> None:
    first = events(history, limit=1_000)[-4:]
    assert {event.actor.partition(":")[0] for event in first} == {"owner"}
    assert [(e.entity_type, e.action) for e in reversed(first)] == [
        *(("issuer", "create"), ("signing_key", "create")),
        *(("member", "create"), ("token", "create")),
    ]
    assert first[1].entity_key == ADMIN_EMAIL
    assert UUID(first[0].change_id)


def test_integers_of_any_length_stand_in_the_log(installation: Installation) -> None:
    large = 10**300 + 7
    definition = replace(MAX_ITEMS, schema=None, type=ValueType.INTEGER)
    with installation.change() as change:
        configs.define_config(change, definition)
        configs.set_value(change, "max_items", "dev", large)
    assert newest(installation).after["value"] == large


def test_a_viewer_reads_history_and_a_stranger_does_not(installation: Installation) -> None:
    viewer = installation.token_for(Role.VIEWER, "dev")
    with installation.session(viewer) as session:
        assert audit_events.list_events(session, viewer, AuditFilter())
        with pytest.raises(UnauthenticatedError):
            audit_events.list_events(session, Secret("a.b.c"), AuditFilter())

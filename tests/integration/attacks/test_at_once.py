"""`flagctl set` in one question: it must do what the ordinary way does, or leave it to that one."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from core.json_text import JsonValue
from core.links import link
from core.services import flags, rules
from core.services.change import Options, running
from core.services.flags import Definition
from core.services.overrides import set_override, wish
from core.services.rules import NewRule
from core.services.tokens import revoke_token
from core.sessions import Wish, begin
from core.settings import Secret
from core.value_types import ValueType
from tests.support import raw_sql
from tests.support.grounds import Ground
from tests.support.raw_sql import described, outcome

ON = json.dumps({"enabled": True, "serve": None})
_SET = "SELECT flagctl.set_flag(%s, %s, %s, 'psql', %s, %s, %s, %s)"
_ROW = (
    "SELECT o.enabled, o.targeting, o.version, o.created_at <= o.updated_at"
    " FROM flagctl.overrides o JOIN flagctl.flags f ON f.id = o.flag_id"
    " JOIN flagctl.environments e ON e.id = o.environment_id"
    " WHERE f.key = %s AND e.key = %s"
)
_EVENT = (
    "SELECT a.actor, a.actor_name, a.entity_type, a.entity_id = f.id, a.entity_key = f.key,"
    " a.environment, a.environment_id, a.action, a.before - 'key', a.after - 'key', a.reason,"
    " a.client_version, a.occurred_at <= clock_timestamp(),"
    " (SELECT array_agg((r.environment, r.environment_id)) FROM flagctl.audit_event_revisions r"
    "  WHERE r.organization_id = a.organization_id AND r.seq = a.seq),"
    " (SELECT e.revised_in = a.change_id AND e.revision = r.revision FROM flagctl.environments e"
    "  JOIN flagctl.audit_event_revisions r ON r.environment_id = e.id"
    "  WHERE e.id = a.environment_id AND r.organization_id = a.organization_id AND r.seq = a.seq)"
    " FROM flagctl.audit_events a JOIN flagctl.flags f ON f.id = a.entity_id"
    " WHERE a.organization_id = 1 ORDER BY a.seq DESC LIMIT 1"
)


def ask(
    connection: psycopg.Connection[Any],
    token: Secret,
    flag: str = "checkout",
    environment: str = "dev",
    *,
    patch: str | None = ON,
    organization: str | None = None,
    reason: str | None = None,
    if_revision: int | None = None,
) -> dict[str, Any]:
    row = connection.execute(
        _SET, [token.reveal(), organization, reason, flag, environment, patch, if_revision]
    ).fetchone()
    assert row is not None
    answer: dict[str, Any] = row[0]
    return answer


def remember(ground: Ground, token: Secret) -> None:
    """As the first change of a token does."""
    with ground.connect() as connection:
        raw_sql.begin(connection, token)
        connection.commit()


def furnish(ground: Ground, key: str) -> None:
    """A flag of three variants that in dev has a rule already, and in prod nothing."""
    variants = {"plain": "p", "compact": "c", "off": "-"}
    when: JsonValue = {"attr": "plan", "op": "in", "values": ["x", "y"]}
    with ground.installation.change(confirmed=True) as change:
        definition = Definition(key, ValueType.STRING, variants=variants, on_variant="plain")
        flags.create_flag(change, definition)
        rules.add_rule(change, key, "dev", NewRule(when, {"variant": "off"}, id="first"))


# The last one finds in place what it asks for.
STEPS = ["on", "compact", "off", "off", "inherit", "plain", "off", "on", "inherit", "inherit"]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_both_ways_leave_the_same_behind(own_ground: Ground, environment: str) -> None:
    """Step by step, on two flags that are alike: one at once, one in the ordinary way."""
    for key in ("short", "long"):
        furnish(own_ground, key)
    remember(own_ground, own_ground.admin)
    for place, step in enumerate(STEPS):
        options = Options(reason=f"step {place}", confirmed=True)
        wanted = wish("short", environment, step, None, options)
        short = _written(own_ground, "short", environment, step, options, wanted)
        long = _written(own_ground, "long", environment, step, options, None)
        assert short == long, (place, step)


def _written(
    ground: Ground, key: str, environment: str, step: str, options: Options, wanted: Wish | None
) -> dict[str, Any]:
    """All that a step says and leaves, but for what is each time another."""
    before = ground.revisions()
    with link(ground.installation.admin_url, application_name="test") as connection:
        opened = begin(
            connection, ground.admin, read_only=False, reason=options.reason, wish=wanted
        )
        assert (opened.granted is not None) == (wanted is not None)
        with running(opened, options) as change:
            result = set_override(change, key, environment, step)
    after, done = ground.revisions(), change.outcome
    return {
        "result": replace(result, revision=result.revision - before[environment]),
        "raised": {name: after[name] - before[name] for name in after},
        "said to be raised": [
            (r.environment, r.public_id, r.confirm, after[r.environment] - r.revision)
            for r in done.raised
        ],
        "events": [
            (e.entity_type, e.environment, e.action, e.before | {"key": ""}, e.after | {"key": ""})
            for e in done.events
        ],
        "epoch": done.epoch,
        "row": ground.ask(_ROW, [key, environment]),
        "event": ground.ask(_EVENT) if done.changed else None,
    }


def nothing(_: Ground) -> None:
    pass


def archive(ground: Ground) -> None:
    with ground.installation.change(confirmed=True) as change:
        flags.archive_flag(change, "checkout")


def revoke(ground: Ground) -> None:
    with ground.installation.change() as change:
        [(jti,)] = ground.ask("SELECT jti::text FROM flagctl.tokens ORDER BY id LIMIT 1")
        revoke_token(change, jti)


def forget(ground: Ground) -> None:
    ground.installation.run("DELETE FROM flagctl.verified_tokens")


def archive_organization(ground: Ground) -> None:
    ground.installation.govern("UPDATE flagctl.organizations SET archived_at = now() WHERE id = 1")


UNUSUAL: dict[str, tuple[Callable[[Ground], None], dict[str, Any], str]] = {
    "a flag that is archived": (archive, {}, "looked"),
    "a flag that is not there": (nothing, {"flag": "other"}, "looked"),
    "an environment that is not there": (nothing, {"environment": "other"}, "looked"),
    "a variant that is not there": (
        nothing,
        {"patch": json.dumps({"enabled": True, "serve": {"variant": "other"}})},
        "looked",
    ),
    "another revision": (nothing, {"if_revision": 99}, "looked"),
    "no patch": (nothing, {"patch": None}, "looked"),
    "a patch that is none": (nothing, {"patch": "[]"}, "looked"),
    "null": (nothing, {"patch": "null"}, "looked"),
    "a token never seen before": (forget, {}, "looked"),
    "a token that was revoked": (revoke, {}, "FC003"),
    "another organization": (nothing, {"organization": "acme"}, "FC004"),
    "no such organization": (nothing, {"organization": "other"}, "FC004"),
    "a long reason": (nothing, {"reason": "x" * 2001}, "FC002"),
    "an archived organization": (archive_organization, {}, "looked"),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_whatever_is_not_like_most_is_left_to_the_ordinary_way(
    own_ground: Ground, case: str
) -> None:
    prepare, asked, expected = UNUSUAL[case]
    remember(own_ground, own_ground.admin)
    prepare(own_ground)
    before = own_ground.state()
    with own_ground.connect() as connection:
        try:
            answer = ask(connection, own_ground.admin, **asked)
            found = "done" if "outcome" in answer else "looked"
        except psycopg.Error as error:
            found = error.sqlstate or ""
        connection.commit()
    assert found == expected
    assert own_ground.state() == before


@pytest.mark.parametrize(
    ("who", "environment", "expected"),
    [
        ("viewer", "dev", "looked"),
        ("editor_of_dev", "dev", "done"),
        ("editor_of_dev", "prod", "looked"),
        ("admin_of_dev", "dev", "done"),
        ("admin_of_dev", "prod", "looked"),
        ("foreign_admin", "dev", "looked"),  # there is no such flag in its organization
    ],
)
def test_a_role_counts_where_it_is(
    own_ground: Ground, who: str, environment: str, expected: str
) -> None:
    token: Secret = getattr(own_ground, who)
    remember(own_ground, token)
    before = own_ground.revisions()
    with own_ground.connect() as connection:
        answer = ask(connection, token, environment=environment)
        connection.commit()
    assert ("done" if "outcome" in answer else "looked") == expected
    raised = {name: 1 for name in (environment,) if expected == "done"}
    after = own_ground.revisions()
    assert after == {name: number + raised.get(name, 0) for name, number in before.items()}


@pytest.mark.parametrize(
    "setting",
    ["TRANSACTION ISOLATION LEVEL REPEATABLE READ", "TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
)
def test_an_old_snapshot_is_left_to_the_ordinary_way(ground: Ground, setting: str) -> None:
    remember(ground, ground.admin)
    with ground.connect() as connection:
        connection.execute(f"SET {setting}".encode())
        assert "outcome" not in ask(connection, ground.admin)
        assert described(connection, "UPDATE flagctl.flags SET owner = 'x'")[0] == "FC002"
        connection.rollback()


def test_a_read_only_transaction_is_begun_and_looked_at(ground: Ground) -> None:
    remember(ground, ground.admin)
    with ground.connect() as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        answer = ask(connection, ground.admin)
        connection.rollback()
    assert answer.keys() == {"change", "state"}


def test_who_waits_for_the_lock_takes_the_ordinary_way(own_ground: Ground) -> None:
    """What was asked before the wait may be wrong after it."""
    remember(own_ground, own_ground.admin)
    revoked = own_ground.installation.issue("admin@example.com")
    remember(own_ground, Secret(revoked.token))
    with own_ground.connect() as other, own_ground.connect() as connection:
        raw_sql.begin(other, own_ground.admin)
        other.execute("UPDATE flagctl.tokens SET revoked_at = now() WHERE jti = %s", [revoked.id])
        answer = ask(connection, Secret(revoked.token))
        assert answer["change"]["is_locked"] is False
        assert "outcome" not in answer
        other.commit()
        place = answer["state"]["flag"]["id"], answer["state"]["environment"]["id"]
        set_state = """SELECT flagctl.set_state(%s, %s, true, '{"format": 1, "rules": []}')"""
        assert outcome(connection, set_state, place) == "FC003"
        assert outcome(connection, "UPDATE flagctl.overrides SET enabled = true") == "FC003"
        connection.rollback()
        with pytest.raises(psycopg.Error, match="revoked"):
            ask(connection, Secret(revoked.token))


def test_nothing_more_can_be_part_of_it(own_ground: Ground) -> None:
    """Nor does it put itself under another's change."""
    for token in (own_ground.admin, own_ground.editor_of_dev):
        remember(own_ground, token)
    with own_ground.connect() as connection:
        first = ask(connection, own_ground.editor_of_dev)
        assert "outcome" in first
        for statement, expected in (
            ("UPDATE flagctl.overrides SET enabled = NULL", "FC003"),
            ("DELETE FROM flagctl.overrides", "FC003"),
            ("UPDATE flagctl.flags SET owner = 'mallory'", "FC003"),
            ("SELECT flagctl.outcome()", "1 rows"),
            ("SELECT FROM flagctl.flags", "0 rows"),
        ):
            assert outcome(connection, statement) == expected
        begun = raw_sql.begin(connection, own_ground.admin)
        with pytest.raises(psycopg.Error, match="begun a change"), connection.transaction():
            ask(connection, own_ground.editor_of_dev)
        connection.execute("UPDATE flagctl.flags SET owner = 'admin' WHERE key = 'checkout'")
        connection.commit()
    events = own_ground.ask(
        "SELECT actor, change_id::text FROM flagctl.audit_events WHERE organization_id = 1"
        " ORDER BY seq DESC LIMIT 2"
    )
    assert events == [
        (begun["actor"], begun["change_id"]),
        (first["change"]["actor"], first["change"]["change_id"]),
    ]


def test_only_what_records_itself_may_keep_the_triggers_quiet(own_ground: Ground) -> None:
    remember(own_ground, own_ground.admin)
    with own_ground.connect() as connection:
        assert "outcome" in ask(connection, own_ground.admin)
        connection.commit()
        raw_sql.begin(connection, own_ground.admin)
        for attempt in (
            "UPDATE flagctl.overrides SET enabled = false, write_id = gen_random_uuid()",
            "UPDATE flagctl.overrides SET write_id = NULL",
            "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, write_id)"
            " SELECT 1, f.id, e.id, gen_random_uuid() FROM flagctl.flags f, flagctl.environments e",
            "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id) SELECT"
            " 1, flag_id, environment_id FROM flagctl.overrides ON CONFLICT (flag_id,"
            " environment_id) DO UPDATE SET write_id = gen_random_uuid()",
            "SELECT flagctl.set_at_once('', '', '', '', '', '', '{}', 1)",
        ):
            assert outcome(connection, attempt) == "42501"
        # A row that was once written at once is under the triggers like any other.
        connection.execute("UPDATE flagctl.overrides SET enabled = false")
        connection.commit()
    [(before, after)] = own_ground.ask(
        "SELECT before, after FROM flagctl.audit_events WHERE organization_id = 1"
        " ORDER BY seq DESC LIMIT 1"
    )
    assert (before["enabled"], after["enabled"]) == (True, False)
    assert (before["version"], after["version"]) == (1, 2)


def test_a_privilege_too_much_keeps_no_trigger_quiet(own_ground: Ground) -> None:
    """TRIGGER on the table tells the owner's functions from others, but not it alone."""
    remember(own_ground, own_ground.admin)
    prefix = own_ground.installation.prefix
    own_ground.installation.run(f"GRANT TRIGGER ON flagctl.overrides TO {prefix}_admin")
    with own_ground.connect() as connection:
        statement = (
            "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id) SELECT"
        )
        spot = "1, f.id, e.id FROM flagctl.flags f, flagctl.environments e"
        assert outcome(connection, f"{statement} {spot}") == "FC003"


@pytest.mark.parametrize("login", ["superuser", "owner"])
def test_an_owners_login_takes_the_ordinary_way(own_ground: Ground, login: str) -> None:
    """Nothing tells its own statements from those of the functions."""
    remember(own_ground, own_ground.admin)
    with own_ground.connect(login) as connection:
        connection.execute(f"SET ROLE {own_ground.installation.prefix}_owner".encode())
        answer = ask(connection, own_ground.admin)
        assert answer.keys() == {"change", "state"}
        ids = answer["state"]["flag"]["id"], answer["state"]["environment"]["id"]
        [done] = connection.execute(
            """SELECT flagctl.set_state(%s, %s, true, '{"format": 1, "rules": []}')""", ids
        ).fetchall()
        connection.commit()
    assert len(done[0]["events"]) == 1


def test_serving_a_variant_keeps_the_rest_of_the_targeting(own_ground: Ground) -> None:
    """Also from a client that puts more into its patch than it should."""
    furnish(own_ground, "layout")
    remember(own_ground, own_ground.admin)
    patch = {"enabled": True, "serve": {"variant": "compact"}, "rules": [], "format": "x"}
    with own_ground.connect() as connection:
        answer = ask(connection, own_ground.admin, "layout", patch=json.dumps(patch))
        connection.commit()
    [event] = answer["outcome"]["events"]
    assert event["after"]["targeting"] == event["before"]["targeting"] | {
        "serve": {"variant": "compact"}
    }


def test_nothing_else_of_the_owners_writes_what_no_trigger_sees(ground: Ground) -> None:
    """A cascade acts as the owner of the table, and so does each of its functions."""
    assert (
        ground.ask(
            "SELECT conname FROM pg_constraint WHERE contype = 'f'"
            " AND connamespace = 'flagctl'::regnamespace"
            " AND (confupdtype, confdeltype) <> ('a', 'a')"
        )
        == []
    )
    assert ground.ask(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'flagctl'::regnamespace"
        " AND prosrc ~* '(insert\\s+into|update|delete\\s+from|merge\\s+into)\\s+flagctl.overrides'"
        " ORDER BY 1"
    ) == [("set_at_once",), ("set_state",)]

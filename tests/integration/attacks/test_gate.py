"""Nothing that is served changes below a revision, and no revision rises without an event."""

from dataclasses import replace

import pytest

from core.db import open_driver_connection
from core.snapshot.document import Snapshot
from core.snapshot.load import load
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, outcome

PLACES = ("dev", "staging", "prod")
_DEV = "(SELECT id FROM flagctl.environments WHERE key = 'dev')"
_STAGING = "(SELECT id FROM flagctl.environments WHERE key = 'staging')"
# Every column that the CLI's group may update, with values that differ from what is there.
UPDATES = [
    *(
        ("flags", f"variants = '{value}'")
        for value in ('{"on": 1, "off": 2}', '{"on": true, "off": false, "x": 1.0}')
    ),
    ("flags", "on_variant = off_variant"),
    ("flags", "off_variant = on_variant"),
    ("flags", "default_enabled = NOT default_enabled"),
    ("flags", "client_visible = true"),
    ("flags", "expires_at = now() - interval '1 day'"),
    ("flags", "archived_at = now()"),
    ("flags", "archived_at = NULL"),
    ("flags", "salt = 'mine'"),
    ("flags", "description = 'x', owner = 'x', tags = '{x}', permanent = true"),
    ("overrides", "enabled = NOT coalesce(enabled, false)"),
    ("overrides", 'targeting = \'{"format": 1, "serve": {"variant": "off"}, "rules": []}\''),
    ("overrides", 'targeting = \'{"format": 1.0, "rules": []}\''),
    ("segments", 'condition = \'{"attr": "x", "op": "exists"}\''),
    ("segments", "description = 'x'"),
    ("configs", "client_visible = true"),
    ("configs", "description = 'x', schema = '{}'"),
    ("config_values", "value = '5.0'"),
    ("config_values", "value = '6'"),
    ("api_keys", "expires_at = now() + interval '1 day'"),
    ("environments", "description = 'x', confirm = true"),
    ("organizations", "name = 'x', key_pattern = '.*'"),
    ("members", "email = 'x'"),
]
STATEMENTS = [
    *(f"UPDATE flagctl.{table} SET {values}" for table, values in UPDATES),
    "WITH c AS (UPDATE flagctl.configs SET client_visible = true RETURNING *)"
    " UPDATE flagctl.config_values v SET value = '8' FROM c WHERE v.config_id = c.id",
    "MERGE INTO flagctl.overrides o USING flagctl.environments e ON o.environment_id = e.id"
    " WHEN MATCHED THEN UPDATE SET enabled = NOT coalesce(o.enabled, false)"
    " WHEN NOT MATCHED THEN INSERT (organization_id, flag_id, environment_id, enabled)"
    " VALUES (1, (SELECT min(id) FROM flagctl.flags), e.id, true)",
    "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
    f" SELECT 1, id, {_DEV}, true FROM flagctl.flags"
    " ON CONFLICT (flag_id, environment_id) DO UPDATE SET enabled = false",
    "INSERT INTO flagctl.config_values (organization_id, config_id, environment_id, value)"
    " SELECT 1, c.id, e.id, '1' FROM flagctl.configs c, flagctl.environments e"
    " WHERE e.key = 'staging'",
    "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
    " VALUES (1, 'new', 'boolean', '{\"on\": true, \"off\": false}', 'on', 'off')",
    "DO $$BEGIN UPDATE flagctl.flags SET salt = 'x'; RAISE 'no'; EXCEPTION WHEN OTHERS THEN"
    " UPDATE flagctl.flags SET salt = 'y'; END$$",
    "DO $$BEGIN UPDATE flagctl.config_values SET value = '7'; RAISE 'no';"
    " EXCEPTION WHEN OTHERS THEN UPDATE flagctl.configs SET client_visible = true; END$$",
    "INSERT INTO flagctl.segments (organization_id, key, condition) VALUES (1, 'new', 'true')",
    "UPDATE flagctl.segments SET condition = '{\"segment\": \"new\"}' WHERE key = 'used'",
    "UPDATE flagctl.segments SET condition = 'false' WHERE key = 'new'",
    "UPDATE flagctl.segments SET condition = '{\"not\": true}' WHERE key = 'idle'",
    "DELETE FROM flagctl.segments WHERE key = 'idle'",
    "DELETE FROM flagctl.overrides",
    "DELETE FROM flagctl.segments",
    "DELETE FROM flagctl.config_values",
    "UPDATE flagctl.api_keys SET revoked_at = now()",
    "DELETE FROM flagctl.api_keys",
    "DELETE FROM flagctl.configs",
    "DELETE FROM flagctl.flags",
]


_SALT = "UPDATE flagctl.flags SET salt = 'step %s'"
_STATE = "UPDATE flagctl.overrides SET enabled = NOT coalesce(enabled, false)"
# What comes between a raise and the commit. {s} is a change that was begun and put aside.
SCRIPTS = [
    ["SAVEPOINT a", _SALT % 1, "ROLLBACK TO a"],
    ["SAVEPOINT a", _SALT % 2, "ROLLBACK TO a", _STATE],
    ["SAVEPOINT a", _STATE, "ROLLBACK TO a", _SALT % 3],
    [_STATE, "SAVEPOINT a", _SALT % 4, "ROLLBACK TO a"],
    [_SALT % 5, "SAVEPOINT a", _STATE, "RELEASE a"],
    ["SAVEPOINT a", "SAVEPOINT b", _SALT % 6, "RELEASE b", "ROLLBACK TO a", "RELEASE a"],
    ["SAVEPOINT a", "SET LOCAL flagctl.change = ''", "ROLLBACK TO a", _SALT % 7],
    ["SET CONSTRAINTS ALL DEFERRED", _SALT % 8],
    [_SALT % 9, "SET CONSTRAINTS ALL DEFERRED", _STATE, "SET CONSTRAINTS ALL IMMEDIATE"],
    [_SALT % 10, "SET LOCAL flagctl.change = '{s}'", _STATE],
    ["SET LOCAL flagctl.change = '{s}'", _SALT % 11, "SAVEPOINT a", _STATE, "ROLLBACK TO a"],
    [_SALT % 12 + " RETURNING set_config('flagctl.change', '{s}', true)", _STATE],
    ["DECLARE c CURSOR FOR SELECT FROM flagctl.overrides FOR UPDATE", "FETCH c",
     "UPDATE flagctl.overrides SET enabled = NULL WHERE CURRENT OF c"],
]  # fmt: skip
_TRIGGERS = """
SELECT c.relname, bool_and(t.tgenabled = 'O' AND NOT t.tgdeferrable),
    bit_or(CASE WHEN t.tgfoid = 'flagctl.enter_change'::regproc THEN t.tgtype & 28 ELSE 0 END),
    bit_or(CASE WHEN f.proname ~ '_(made|changed|deleted)$' THEN t.tgtype & 28 ELSE 0 END)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc f ON f.oid = t.tgfoid
WHERE c.relnamespace = 'flagctl'::regnamespace AND NOT t.tgisinternal
    AND c.relname NOT LIKE 'audit%' GROUP BY 1
"""  # of tgtype, 4 is INSERT, 8 is DELETE, 16 is UPDATE
_IN_STAGING = {
    "overrides": "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id)"
    f" SELECT 1, id, {_STAGING} FROM flagctl.flags",
    "config_values": "INSERT INTO flagctl.config_values (organization_id, config_id,"
    f" environment_id, value) SELECT 1, id, {_STAGING}, '1' FROM flagctl.configs",
    "api_keys": "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
    f" VALUES (1, {_STAGING}, 'x', 'server', sha256('x'))",
    "members": "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email,"
    f" environment_id, role) SELECT 1, id, 'x', 'x', {_STAGING}, 'viewer' FROM flagctl.issuers",
}
_UNEXPLAINED = (
    "SELECT e.key FROM flagctl.environments e WHERE e.revision > 1 AND NOT EXISTS"
    " (SELECT FROM flagctl.audit_event_revisions r JOIN flagctl.audit_events a"
    " USING (organization_id, seq) WHERE r.environment_id = e.id AND r.revision = e.revision"
    " AND a.change_id = e.revised_in)"
)


def snapshots(ground: Ground) -> dict[str, Snapshot]:
    found = {}
    with open_driver_connection(
        ground.installation.reader_url, application_name="test"
    ) as connection:
        for key, public_id in ground.ask(
            "SELECT key, public_id FROM flagctl.environments WHERE organization_id = 1"
        ):
            snapshot = load(connection, public_id)
            assert isinstance(snapshot, Snapshot)
            found[str(key)] = snapshot
    return found


def content(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, revision=0, stamp="")


@pytest.fixture
def furnished(own_ground: Ground) -> Ground:
    """With an override, too."""
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        connection.execute(
            b"INSERT INTO flagctl.segments (organization_id, key, condition)"
            b" VALUES (1, 'used', 'true'), (1, 'idle', 'true')"
        )
        rule = '{"id": "r", "when": {"segment": "used"}, "serve": {"variant": "on"}}'
        connection.execute(
            "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled,"
            f' targeting) SELECT 1, id, {_DEV}, true, \'{{"format": 1, "rules": [{rule}]}}\''
            " FROM flagctl.flags".encode()
        )
        connection.commit()
    return own_ground


def test_what_is_served_and_the_revision_change_together(furnished: Ground) -> None:
    """One after the other, on what the others left: what deletes comes last."""
    for statement in STATEMENTS:
        before = snapshots(furnished)
        assert done(furnished, statement).endswith(" rows"), statement
        after = snapshots(furnished)
        for key in PLACES:
            raised = after[key].revision - before[key].revision
            assert raised in (0, 1), (statement, key)
            assert raised or content(after[key]) == content(before[key]), (statement, key)
            assert (after[key].stamp != before[key].stamp) == bool(raised), (statement, key)
        assert furnished.ask(_UNEXPLAINED) == [], statement


def test_a_raise_holds_to_the_commit(furnished: Ground) -> None:
    """A row and its raise are one statement's, so what undoes the one undoes the other."""
    for script in SCRIPTS:
        before = snapshots(furnished)
        with furnished.connect() as connection:
            begin(connection, furnished.admin)
            aside = connection.execute("SELECT current_setting('flagctl.change')").fetchone()
            connection.execute("SET LOCAL flagctl.change = ''")
            begin(connection, furnished.admin)
            assert aside is not None
            for statement in script:
                connection.execute(statement.replace("{s}", aside[0]).encode())
            connection.commit()
        after = snapshots(furnished)
        for key in PLACES:
            is_raised = after[key].revision > before[key].revision
            assert is_raised or content(after[key]) == content(before[key]), (script, key)
        assert furnished.ask(_UNEXPLAINED) == [], script


def test_no_trigger_can_be_put_off(ground: Ground) -> None:
    """A constraint trigger could be deferred, and would then see what came last only."""
    found = {table: rest for table, *rest in ground.ask(_TRIGGERS)}
    assert all(is_firm for is_firm, _, _ in found.values())
    everything = 4 | 8 | 16
    kept = {"organizations": 4 | 16, "tokens": 4 | 16}  # nobody may delete one
    for table, (_, enters, records) in found.items():
        assert enters == everything, table
        assert records == kept.get(table, everything), table


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("WITH o AS (DELETE FROM flagctl.overrides) DELETE FROM flagctl.flags", "23502"),
        ("WITH v AS (DELETE FROM flagctl.config_values) DELETE FROM flagctl.configs", "23502"),
        *(
            (
                f"WITH gone AS (DELETE FROM flagctl.{table} WHERE environment_id = {_STAGING})"
                f" DELETE FROM flagctl.environments WHERE id = {_STAGING}",
                "23514",
            )
            for table in ("overrides", "config_values", "api_keys", "members")
        ),
    ],
)
def test_what_belongs_to_an_entity_goes_before_it(
    statement: str, expected: str, furnished: Ground
) -> None:
    """In one statement the event of the one could not name the other any more."""
    table = statement.split("flagctl.")[1].split()[0].rstrip(")")
    if made := _IN_STAGING.get(table):
        assert done(furnished, made) == "1 rows"
    before = furnished.state()
    assert done(furnished, statement) == expected
    assert furnished.state() == before


def done(ground: Ground, statement: str) -> str:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        result = outcome(connection, statement)
        connection.commit()
    return result

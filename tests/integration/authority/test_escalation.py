"""What the holder of a small role tries with raw SQL: nothing of it has an effect."""

import pytest

from core.settings import Secret
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, described, outcome

_FLAG = "'boolean', '{\"on\": true, \"off\": false}', 'on', 'off'"
_PROD = "(SELECT id FROM flagctl.environments WHERE key = 'prod')"
_MEMBER = "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
_OVERRIDE = "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
REFUSED = {"0 rows", "42501", "FC004", "FC003", "FC006", "0A000", "55000", "23505", "42883"}

BY_AN_EDITOR_OF_DEV = [
    "UPDATE flagctl.flags SET default_enabled = true",
    'UPDATE flagctl.flags SET variants = \'{"on": 1, "off": 2}\'',
    "UPDATE flagctl.flags SET archived_at = now()",
    "UPDATE flagctl.flags SET client_visible = true",
    "UPDATE flagctl.flags SET salt = 'mine'",
    "UPDATE flagctl.flags SET description = 'mine'",
    "DELETE FROM flagctl.flags",
    "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
    f" VALUES (1, 'mine', {_FLAG})",
    "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
    f" VALUES (1, 'checkout', {_FLAG}) ON CONFLICT (organization_id, key)"
    " DO UPDATE SET default_enabled = true",
    "MERGE INTO flagctl.flags f USING (VALUES (1)) v (x) ON f.organization_id = v.x"
    " WHEN MATCHED THEN UPDATE SET default_enabled = true",
    "WITH changed AS (UPDATE flagctl.flags SET default_enabled = true RETURNING id)"
    " SELECT * FROM changed",
    f"{_OVERRIDE} SELECT 1, id, {_PROD}, true FROM flagctl.flags",
    f"UPDATE flagctl.config_values SET value = '7' WHERE environment_id = {_PROD}",
    f"DELETE FROM flagctl.config_values WHERE environment_id = {_PROD}",
    "UPDATE flagctl.configs SET client_visible = true",
    "UPDATE flagctl.configs SET schema = '{}'",
    "DELETE FROM flagctl.configs WHERE key = 'limit'",
    "UPDATE flagctl.environments SET confirm = true",
    "UPDATE flagctl.environments SET revision = 1000",
    "UPDATE flagctl.environments SET revised_in = gen_random_uuid()",
    "UPDATE flagctl.environments SET public_id = '0000000000000000' WHERE key = 'dev'",
    "DELETE FROM flagctl.environments WHERE key = 'staging'",
    "INSERT INTO flagctl.environments (organization_id, key) VALUES (1, 'mine')",
    "UPDATE flagctl.api_keys SET revoked_at = now()",
    "UPDATE flagctl.api_keys SET expires_at = NULL",
    "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
    f" VALUES (1, {_PROD}, 'mine', 'server', sha256('x'))",
    "DELETE FROM flagctl.api_keys",
    "UPDATE flagctl.members SET role = 'admin'",
    "UPDATE flagctl.members SET environment_id = NULL",
    f"{_MEMBER} SELECT 1, id, 'me@example.com', 'me', 'admin' FROM flagctl.issuers",
    "DELETE FROM flagctl.members WHERE email = 'admin@example.com'",
    "INSERT INTO flagctl.tokens (organization_id, issuer_id, jti, subject, expires_at)"
    " SELECT 1, id, gen_random_uuid(), 'admin@example.com', now() + '1 day'"
    " FROM flagctl.issuers",
    "UPDATE flagctl.tokens SET revoked_at = NULL",
    "UPDATE flagctl.tokens SET expires_at = now() + '1 year'",
    "UPDATE flagctl.organizations SET key_pattern = '.*'",
    "UPDATE flagctl.organizations SET archived_at = now()",
    "INSERT INTO flagctl.organizations (key, name) VALUES ('mine', 'Mine')",
    "UPDATE flagctl.issuers SET audience = 'mine'",
    "INSERT INTO flagctl.issuers (organization_id, issuer, audience)"
    " VALUES (1, 'https://evil.example.com', 'flagctl')",
    "INSERT INTO flagctl.issuer_keys (issuer_id, key_id, modulus)"
    " SELECT issuer_id, 'mine', modulus FROM flagctl.issuer_keys",
    "UPDATE flagctl.installation SET epoch_generation = 9",
    "UPDATE flagctl.snapshot_key SET secret = sha256('x')",
    "INSERT INTO flagctl.audit_events SELECT organization_id, seq + 1, gen_random_uuid(), now(),"
    " 'boss', 'boss', entity_type, entity_id, entity_key, NULL, NULL, action, NULL, NULL, NULL, ''"
    " FROM flagctl.audit_events ORDER BY seq DESC LIMIT 1",
    "INSERT INTO flagctl.audit_event_revisions VALUES (1, 1, 3, 'prod', 99)",
    "SELECT flagctl.record_event(1, 'feature', 1, 'x', NULL, 'update', NULL, '{}', NULL, 'edit')",
    "SELECT flagctl.raise_revisions('{\"is_owner\": true}', ARRAY[1, 2, 3]::bigint[], 'edit')",
    "SELECT flagctl.open_change('{\"organization_id\": 1, \"is_owner\": true}', NULL, '')",
    "SELECT flagctl.begin_owner_change('default', NULL, 'psql')",
    "SELECT flagctl.seal('', '', 'x')",
    "SELECT flagctl.actor_of('{}', NULL)",
    "SELECT flagctl.verify_token('a.b.c', NULL)",
    "SELECT flagctl.flag_changed()",
    "SELECT flagctl.memberships('{}')",
    "SELECT * FROM flagctl.change_key",
    "SELECT * FROM flagctl.snapshot_key",
    "SELECT digest FROM flagctl.api_keys",
    "SELECT passwd FROM pg_shadow",
    "SELECT rolpassword FROM pg_authid",
    "TRUNCATE flagctl.overrides",
    "COPY flagctl.members (organization_id, issuer_id, subject, email, role) FROM '/dev/null'",
    "SET session_replication_role = replica",
    "ALTER TABLE flagctl.flags DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE flagctl.flags DISABLE TRIGGER ALL",
    "ALTER POLICY members_read ON flagctl.flags USING (true)",
    "DROP POLICY members_read ON flagctl.flags",
    "CREATE POLICY mine ON flagctl.flags USING (true)",
    "CREATE OR REPLACE FUNCTION flagctl.organization_where(permission text) RETURNS bigint"
    " LANGUAGE sql RETURN 1",
    "CREATE TEMPORARY TABLE flags (key text)",
    "CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql RETURN 'infinity'",
    "SELECT pg_advisory_lock(7)",
    "SELECT pg_advisory_xact_lock(7)",
    "SELECT pg_try_advisory_lock(7)",
    "SELECT pg_advisory_unlock_all()",
    "LOCK TABLE flagctl.audit_events",
    "LOCK TABLE flagctl.schema_version",
    "LOCK TABLE flagctl.issuers",
]


@pytest.mark.parametrize("statement", BY_AN_EDITOR_OF_DEV)
def test_an_editor_of_dev(statement: str, ground: Ground) -> None:
    before = ground.state()
    with ground.connect() as connection:
        begin(connection, ground.editor_of_dev)
        result = outcome(connection, statement)
        connection.commit()
    assert result in REFUSED
    assert ground.state() == before


def test_what_an_editor_of_dev_may_do_works(own_ground: Ground) -> None:
    before = own_ground.revisions()
    with own_ground.connect() as connection:
        begin(connection, own_ground.editor_of_dev)
        dev = "(SELECT id FROM flagctl.environments WHERE key = 'dev')"
        assert (
            outcome(connection, f"{_OVERRIDE} SELECT 1, id, {dev}, true FROM flagctl.flags")
            == "1 rows"
        )
        assert (
            outcome(
                connection,
                f"UPDATE flagctl.config_values SET value = '6' WHERE environment_id = {dev}",
            )
            == "1 rows"
        )
    after = own_ground.revisions()
    assert {k: after[k] - before[k] for k in after} == {"dev": 1, "staging": 0, "prod": 0}


def test_a_right_in_one_place_is_asked_in_every_place_that_is_touched(ground: Ground) -> None:
    """One statement over all environments: the policy takes what it may, the gate the rest."""
    before = ground.state()
    with ground.connect() as connection:
        begin(connection, ground.admin_of_dev)
        assert outcome(connection, "UPDATE flagctl.api_keys SET revoked_at = now()") == "1 rows"
        assert (
            outcome(
                connection,
                f"UPDATE flagctl.environments SET confirm = true WHERE id = {_PROD}",
            )
            == "0 rows"
        )
        connection.rollback()
    assert ground.state() == before


@pytest.mark.parametrize("token", ["viewer", "editor_of_dev", "admin_of_dev"])
def test_the_gate_alone_refuses_too(token: str, own_ground: Ground) -> None:
    """As if a policy had been forgotten: what reaches prod still needs the role there."""
    for table in ("flags", "configs", "config_values", "overrides"):
        own_ground.installation.run(f"ALTER TABLE flagctl.{table} DISABLE ROW LEVEL SECURITY")
    bearer: Secret = getattr(own_ground, token)
    with own_ground.connect() as connection:
        begin(connection, bearer)
        for statement in (
            "UPDATE flagctl.flags SET default_enabled = true",
            "UPDATE flagctl.flags SET archived_at = now()",
            f"UPDATE flagctl.config_values SET value = '9' WHERE environment_id = {_PROD}",
            "UPDATE flagctl.configs SET client_visible = true",
            f"{_OVERRIDE} SELECT 1, id, {_PROD}, true FROM flagctl.flags WHERE organization_id = 1",
        ):
            state, said = described(connection, statement)
            assert (state, "may not do this in " in said) == ("FC004", True), statement
        connection.rollback()

"""Restrict rows: row-level security on every table, and what may be read without a table.

Enabled, not forced: the owner, who makes backups, sees all. The policies name the groups, whose
names an installation chooses; they come with the grants (core/services/policies.py).
"""

from migrations.statements import execute

revision = "0005"
down_revision = "0004"

TABLES = (
    *("installation", "snapshot_key", "change_key", "organizations", "environments"),
    *("flags", "overrides", "segments", "configs", "config_values", "api_keys"),
    *("issuers", "issuer_keys", "members", "tokens", "verified_tokens"),
    *("audit_events", "audit_event_revisions"),
)

READING = """
-- Where the bearer of a token may act: what `--org` takes.
CREATE FUNCTION flagctl.organizations_of(token text) RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    verified jsonb := flagctl.verify_token(token, NULL);
    registered flagctl.tokens := flagctl.registration(verified);
BEGIN
    RETURN QUERY SELECT jsonb_build_object('key', o.key, 'name', o.name,
            'archived', o.archived_at IS NOT NULL)
        FROM flagctl.organizations o
        WHERE o.id IN (SELECT m.organization_id FROM flagctl.memberships(verified) m)
            AND (registered.id IS NULL OR o.id = registered.organization_id)
        ORDER BY o.key;
END
$$;

-- Changes whenever revisions may mean something else: another cluster, another timeline after a
-- fail-over, or an operator's word (flagctl db new-epoch).
CREATE FUNCTION flagctl.epoch_of(generation integer) RETURNS text
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    timeline integer := CASE WHEN pg_is_in_recovery() THEN (pg_control_checkpoint()).timeline_id
        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer END;
BEGIN
    RETURN concat_ws('.', (pg_control_system()).system_identifier, timeline, generation);
END
$$;

CREATE FUNCTION flagctl.epoch() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    generation integer;
BEGIN
    SELECT i.epoch_generation INTO STRICT generation FROM flagctl.installation i;
    RETURN flagctl.epoch_of(generation);
END
$$;

-- A page of one organization's history, newest first, for whoever holds a token of a member.
CREATE FUNCTION flagctl.audit_page(token text, organization text, filters jsonb)
    RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant bigint := flagctl.actor_of(flagctl.verify_token(token, organization), organization)
        ->> 'organization_id';
BEGIN
    RETURN QUERY
        SELECT jsonb_build_object('id', a.seq, 'occurred_at', a.occurred_at, 'actor', a.actor,
            'actor_name', a.actor_name, 'entity_type', a.entity_type,
            'entity_key', a.entity_key, 'environment', a.environment, 'action', a.action,
            'before', a.before, 'after', a.after, 'reason', a.reason,
            'change_id', a.change_id, 'client_version', a.client_version,
            'revisions', (SELECT coalesce(jsonb_object_agg(r.environment, r.revision), '{}')
                FROM flagctl.audit_event_revisions r
                WHERE r.organization_id = a.organization_id AND r.seq = a.seq))
        FROM flagctl.audit_events a
        WHERE a.organization_id = tenant
            AND (filters ->> 'id' IS NULL OR a.seq = (filters ->> 'id')::bigint)
            AND (filters ->> 'cursor' IS NULL OR a.seq < (filters ->> 'cursor')::bigint)
            AND (filters ->> 'entity_type' IS NULL OR a.entity_type = filters ->> 'entity_type')
            AND (filters ->> 'entity_key' IS NULL OR a.entity_key = filters ->> 'entity_key')
            AND (filters ->> 'environment' IS NULL OR a.environment = filters ->> 'environment')
            AND (filters ->> 'actor' IS NULL OR filters ->> 'actor' IN (a.actor, a.actor_name))
            AND (filters ->> 'action' IS NULL OR a.action = filters ->> 'action')
            AND (filters ->> 'since' IS NULL OR a.occurred_at >= (filters ->> 'since')::timestamptz)
            AND (filters ->> 'until' IS NULL OR a.occurred_at < (filters ->> 'until')::timestamptz)
        ORDER BY a.seq DESC
        LIMIT least(coalesce((filters ->> 'limit')::bigint, 50), 1001);
END
$$;
"""

# A policy goes with its table; here the tables stay.
DROP = """
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'flagctl'
    LOOP
        EXECUTE format('DROP POLICY %I ON flagctl.%I', found.policyname, found.tablename);
    END LOOP;
END
$$;
DROP FUNCTION flagctl.audit_page(text, text, jsonb), flagctl.epoch(), flagctl.epoch_of(integer),
    flagctl.organizations_of(text);
"""


def upgrade() -> None:
    for table in TABLES:
        execute(f"ALTER TABLE flagctl.{table} ENABLE ROW LEVEL SECURITY;")
    execute(READING)
    execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flagctl FROM PUBLIC;")


def downgrade() -> None:
    execute(DROP)
    for table in TABLES:
        execute(f"ALTER TABLE flagctl.{table} DISABLE ROW LEVEL SECURITY;")

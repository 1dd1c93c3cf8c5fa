"""`flagctl set` in one question to Postgres."""

from migrations.recording.states import filled

# True in a function of the owner's that was called by a login which may not become the owner. Two
# of them write overrides, and enter and record by themselves: there no trigger need fire. Only the
# owner has the privilege, so the names of roles need not be known here.
RECORDS_ITSELF = """has_table_privilege(current_user, 'flagctl.overrides'::regclass, 'TRIGGER')
            AND NOT pg_has_role(session_user, current_user, 'MEMBER')"""
_FUNCTIONS = """
-- The short way of a write: one that is allowed, by whose token is remembered, when nobody else
-- has the lock. NULL for any other: the ordinary way then decides, and says why not. It asks all
-- that the ordinary way asks, and records the same; tests hold both together. The change is not
-- sealed: nothing more can be part of it.
CREATE FUNCTION flagctl.set_at_once(token text, organization text, reason text,
    client_version text, flag text, environment text, patch jsonb, if_revision bigint)
    RETURNS json
    LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    this_change uuid := gen_random_uuid();
    new_stamp uuid := gen_random_uuid();
    known flagctl.verified_tokens;
    tenant bigint;
    actor jsonb;
    was record;
    turned boolean := patch ->> 'enabled';
    wanted jsonb;
    events json;
    raised json;
BEGIN
    IF jsonb_typeof(patch) IS DISTINCT FROM 'object'
        OR current_setting('flagctl.change', true) <> ''
        OR current_setting('transaction_read_only')::boolean
        OR current_setting('transaction_isolation') <> 'read committed'
        OR char_length(reason) > 2000 OR char_length(client_version) > 200
        OR NOT ({records_itself}) THEN
        RETURN NULL;
    END IF;
    -- First the lock, which a revocation takes too: what is asked under it stays true.
    SELECT v.* INTO known FROM flagctl.verified_tokens v
            JOIN flagctl.organizations o ON o.id = v.organization_id
        WHERE v.digest = sha256(convert_to(token, 'UTF8')) AND o.archived_at IS NULL
            AND (organization IS NULL OR o.key = organization)
        FOR NO KEY UPDATE OF o SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    actor := flagctl.remembered_bearer(known, organization);
    tenant := actor -> 'organization_id';
    SELECT e.id AS environment_id, e.key AS environment, e.public_id, e.confirm, e.revision,
            f.id AS flag_id, f.key AS flag, {override}, {state} AS state,
            last.seq, last.occurred_at,
            (SELECT i.epoch_generation FROM flagctl.installation i) AS generation,
            (SELECT s.version_num FROM flagctl.schema_version s) AS schema
        INTO was
        FROM flagctl.environments e
            JOIN flagctl.flags f ON f.organization_id = e.organization_id
            LEFT JOIN flagctl.overrides o ON o.flag_id = f.id AND o.environment_id = e.id
            CROSS JOIN LATERAL (SELECT a.seq, a.occurred_at FROM flagctl.audit_events a
                WHERE a.organization_id = e.organization_id ORDER BY a.seq DESC LIMIT 1) AS last
        WHERE e.organization_id = tenant AND e.key = set_at_once.environment
            AND f.key = set_at_once.flag AND f.archived_at IS NULL
            AND tenant = known.organization_id
            AND (actor #> '{rights,edit}' = 'true' OR actor #> '{rights,edit}' @> to_jsonb(e.id))
            AND (if_revision IS NULL OR e.revision = if_revision)
            AND (patch #> '{serve,variant}' IS NULL OR f.variants ? (patch #>> '{serve,variant}'));
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    wanted := was.targeting;
    IF patch -> 'serve' = 'null' THEN
        wanted := wanted - 'serve';
    ELSIF patch ? 'serve' THEN
        wanted := wanted || jsonb_build_object('serve', patch -> 'serve');
    END IF;
    IF {differs} THEN
        {write}
        UPDATE flagctl.environments e
            SET revision = was.revision + 1, stamp = new_stamp, revised_in = this_change
            WHERE e.id = was.environment_id;
        INSERT INTO flagctl.audit_events AS a (organization_id, seq, change_id, occurred_at, actor,
                actor_name, entity_type, entity_id, entity_key, environment_id, environment,
                action, before, after, reason, client_version)
            VALUES (tenant, was.seq + 1, this_change, greatest(at, was.occurred_at),
                actor ->> 'actor', actor ->> 'actor_name', 'feature', was.flag_id, was.flag,
                was.environment_id, was.environment, 'update',
                {before}, {after}, reason, client_version)
            RETURNING json_build_array(json_build_object('id', a.seq,
                'entity_type', a.entity_type, 'entity_key', a.entity_key,
                'environment', a.environment, 'action', a.action, 'before', a.before,
                'after', a.after)) INTO events;
        INSERT INTO flagctl.audit_event_revisions
                (organization_id, seq, environment_id, environment, revision)
            VALUES (tenant, was.seq + 1, was.environment_id, was.environment, was.revision + 1);
        raised := json_build_array(json_build_object('environment', was.environment,
            'public_id', was.public_id, 'revision', was.revision + 1, 'stamp', new_stamp,
            'confirm', was.confirm));
    END IF;
    PERFORM set_config('application_name',
        'flagctl member ' || (actor #>> '{grants,0,member_id}'), true);
    RETURN json_build_object(
        'change', actor || jsonb_build_object('change_id', this_change, 'is_locked', true,
            'schema_version', was.schema),
        'state', was.state,
        'outcome', json_build_object('events', events, 'raised', raised,
            'epoch', flagctl.epoch_of(was.generation)));
END
$$;

-- `flagctl set` in one question: begin the change, look at the flag, write. What is like most is
-- done at once; otherwise only begun and looked at. `patch` is {"enabled", "serve"?}: what the
-- override shall have; without `serve` it keeps its own, and NULL asks to look only. The bounds
-- are those of every change (core/sessions.py); to send them along would take longer.
CREATE FUNCTION flagctl.set_flag(token text, organization text, reason text, client_version text,
    flag text, environment text, patch jsonb, if_revision bigint) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- To set up a bitmap scan takes longer than all that it would find here.
    SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off
AS $$
DECLARE
    bounds CONSTANT text := set_config('lock_timeout', '5s', true)
        || set_config('statement_timeout', '30s', true)
        || set_config('idle_in_transaction_session_timeout', '30s', true);
    done json := flagctl.set_at_once(token, organization, reason, client_version, flag,
        environment, patch, if_revision);
    change jsonb;
BEGIN
    IF done IS NULL THEN
        change := flagctl.begin_change(token, organization, reason, client_version);
        done := json_build_object('change', change,
            'state', flagctl.state_of(flag, environment));
    END IF;
    RETURN done;
END
$$;
"""

FUNCTIONS = filled(_FUNCTIONS).replace("{records_itself}", RECORDS_ITSELF)

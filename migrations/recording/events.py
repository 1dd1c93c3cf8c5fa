"""Audit events: written, read back, and those of what was refused."""

FUNCTIONS = """
-- Writes the audit events of a statement and raises the revision of each affected environment, once
-- a change. What has an equal before and after, and is served nowhere, is no event.
-- The organization's row lock makes seq gapless and its order the order of the commits: whoever
-- entered has that of the change's own one.
-- Who is named must have had the right: a statement can put another sealed change of the same
-- transaction in place once the policies have answered. Where revisions rise, the gate asks.
CREATE FUNCTION flagctl.record_events(organization bigint, statement flagctl.recorded[],
    permission text DEFAULT 'edit', needed bigint[] DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    change jsonb;
    events flagctl.recorded[];
    last record;
BEGIN
    -- As text: to jsonb's own `=` the numbers 1 and 1.0 are the same, to a reader they are not.
    events := ARRAY(SELECT e FROM unnest(statement) AS e WHERE e.affected IS NOT NULL
        OR e.action = 'denied' OR e.before::text IS DISTINCT FROM e.after::text);
    IF events = '{}' THEN
        RETURN;
    END IF;
    change := flagctl.current_change();
    IF change IS NULL THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'no change was begun',
            hint = 'call flagctl.begin_change first';
    END IF;
    IF (change -> 'organization_id')::bigint <> organization THEN
        IF NOT change ? 'is_owner' THEN
            RAISE EXCEPTION USING errcode = 'FC004',
                message = 'this belongs to another organization';
        END IF;
        PERFORM FROM flagctl.organizations o WHERE o.id = organization FOR NO KEY UPDATE;
    END IF;
    IF needed IS NOT NULL OR EXISTS (SELECT FROM unnest(events) AS e
            WHERE e.affected IS NULL AND e.action <> 'denied') THEN
        PERFORM flagctl.check_rights(change, permission, needed);
    END IF;
    SELECT coalesce(max(a.seq), 0) AS seq, max(a.occurred_at) AS occurred_at INTO last
        FROM (SELECT a.seq, a.occurred_at FROM flagctl.audit_events a
            WHERE a.organization_id = organization ORDER BY a.seq DESC LIMIT 1) AS a;
    INSERT INTO flagctl.audit_events (organization_id, seq, change_id, occurred_at, actor,
            actor_name, entity_type, entity_id, entity_key, environment_id, environment, action,
            before, after, reason, client_version)
        SELECT organization, last.seq + e.place, (change ->> 'change_id')::uuid,
            greatest(clock_timestamp(), last.occurred_at), change ->> 'actor',
            change ->> 'actor_name', e.entity_type, e.entity_id, e.entity_key, e.environment_id,
            e.environment, e.action, e.before, e.after, change ->> 'reason',
            change ->> 'client_version'
        FROM unnest(events) WITH ORDINALITY AS e (entity_type, entity_id, entity_key,
            environment_id, environment, action, before, after, affected, place);
    IF EXISTS (SELECT FROM unnest(events) AS e WHERE e.affected IS NOT NULL) THEN
        PERFORM flagctl.raise_revisions(change, events, permission, organization, last.seq);
    END IF;
END
$$;

-- The same for one thing, in an environment or none.
CREATE FUNCTION flagctl.record_event(
    organization bigint, entity_type text, entity_id bigint, entity_key text,
    in_environment bigint, action text, before jsonb, after jsonb, affected bigint[],
    permission text DEFAULT 'edit', needed bigint[] DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM flagctl.record_events(organization, ARRAY[ROW(entity_type, entity_id, entity_key,
        in_environment, (SELECT e.key FROM flagctl.environments e WHERE e.id = in_environment),
        action, before, after, affected)::flagctl.recorded], permission, needed);
END
$$;

-- What the open change did, in one answer: its events, the environments as readers must see them.
-- Text, not jsonb: an answer is only sent, and can be of many thousand events.
CREATE FUNCTION flagctl.outcome() RETURNS json
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN flagctl.outcome_of((flagctl.current_change() ->> 'change_id')::uuid);
END
$$;

CREATE FUNCTION flagctl.outcome_of(this_change uuid) RETURNS json
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN json_build_object(
        'events', (SELECT json_agg(json_build_object('id', a.seq,
                'entity_type', a.entity_type, 'entity_key', a.entity_key,
                'environment', a.environment, 'action', a.action, 'before', a.before,
                'after', a.after) ORDER BY a.seq)
            FROM flagctl.audit_events a WHERE a.change_id = this_change),
        'raised', (SELECT json_agg(json_build_object('environment', e.key,
                'public_id', e.public_id, 'revision', e.revision, 'stamp', e.stamp,
                'confirm', e.confirm) ORDER BY e.id)
            FROM flagctl.environments e WHERE e.revised_in = this_change),
        'epoch', flagctl.epoch());
END
$$;

-- What was refused is on record too, in a transaction of its own: the other one is undone.
CREATE FUNCTION flagctl.record_denial(token text, organization text, attempted text,
    client_version text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := flagctl.begin_change(token, organization, left(attempted, 1000),
        client_version);
    tenant bigint := change ->> 'organization_id';
BEGIN
    -- Refusals cost a member nothing: who wrote nothing else lately gets ten a minute on record.
    PERFORM FROM flagctl.organizations o WHERE o.id = tenant FOR NO KEY UPDATE;
    IF (SELECT count(*) >= 10 FROM (
            SELECT a.action, a.occurred_at FROM flagctl.audit_events a
            WHERE a.organization_id = tenant AND a.actor = change ->> 'actor'
            ORDER BY a.seq DESC LIMIT 10) AS last
        WHERE last.action = 'denied'
            AND last.occurred_at > clock_timestamp() - interval '1 minute') THEN
        RETURN;
    END IF;
    PERFORM flagctl.record_event(tenant, 'organization', tenant, change ->> 'organization', NULL,
        'denied', NULL, NULL, NULL);
END
$$;
"""

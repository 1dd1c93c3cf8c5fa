"""Who may change what, and the raise of revisions that every effective change comes to."""

FUNCTIONS = """
-- Whether the actor of a change may, in these environments or (NULL) in the whole organization. An
-- empty list of them needs the permission somewhere all the same.
CREATE FUNCTION flagctl.check_rights(change jsonb, permission text, needed bigint[]) RETURNS void
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    places jsonb := change -> 'rights' -> permission;
    refused text;
BEGIN
    IF change ? 'is_owner' OR coalesce(places = 'true'
            OR places <> '[]' AND places @> to_jsonb(needed), false) THEN
        RETURN;
    END IF;
    SELECT string_agg(e.key, ', ' ORDER BY e.id) INTO refused FROM flagctl.environments e
        WHERE e.id = ANY (needed) AND NOT places @> to_jsonb(e.id)
            -- Whoever names one of another organization by its id is not told its key.
            AND e.organization_id = (change -> 'organization_id')::bigint;
    RAISE EXCEPTION USING errcode = 'FC004',
        message = format('%s may not do this in %s', change ->> 'actor_name',
            coalesce(refused, 'the organization ' || (change ->> 'organization'))),
        hint = '`flagctl whoami` shows your roles';
END
$$;

-- The gate. Every change of what an environment serves must raise its revision, and nobody does
-- so who may not act there, by whichever table or statement the change comes. Once a change; each
-- event, the first of which has the number after `last`, tells which revisions it is part of.
CREATE FUNCTION flagctl.raise_revisions(change jsonb, events flagctl.recorded[], permission text,
    organization bigint, last bigint) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    this_change uuid := change ->> 'change_id';
    affected bigint[] := ARRAY(SELECT DISTINCT a FROM unnest(events) AS e, unnest(e.affected) AS a);
BEGIN
    PERFORM flagctl.check_rights(change, permission, affected);
    UPDATE flagctl.environments e
        SET revision = e.revision + 1, stamp = gen_random_uuid(), revised_in = this_change
        WHERE e.id = ANY (affected) AND e.revised_in IS DISTINCT FROM this_change;
    INSERT INTO flagctl.audit_event_revisions
            (organization_id, seq, environment_id, environment, revision)
        SELECT organization, last + e.place, r.id, r.key, r.revision
        FROM unnest(events) WITH ORDINALITY AS e (entity_type, entity_id, entity_key,
                environment_id, environment, action, before, after, affected, place)
            CROSS JOIN LATERAL unnest(e.affected) AS a (id)
            JOIN flagctl.environments r ON r.id = a.id;
END
$$;

-- Before anything is written: the change has its organization's lock, and its actor may still act.
-- What the change itself does to its actor's roles comes after.
CREATE FUNCTION flagctl.enter(change jsonb) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    tenant bigint := change -> 'organization_id';
    this_change uuid := change ->> 'change_id';
BEGIN
    IF change IS NULL THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'no change was begun',
            hint = 'call flagctl.begin_change first';
    END IF;
    -- Whose event is the last one has the lock already, and was asked under it.
    PERFORM FROM flagctl.organizations o WHERE o.id = tenant
        AND (SELECT a.change_id FROM flagctl.audit_events a WHERE a.organization_id = tenant
            ORDER BY a.seq DESC LIMIT 1) IS DISTINCT FROM this_change
        FOR NO KEY UPDATE;
    IF FOUND THEN
        PERFORM flagctl.check_still_allowed(change);
    END IF;
END
$$;

-- The same for every statement of whoever writes to the tables.
CREATE FUNCTION flagctl.enter_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM flagctl.enter(flagctl.current_change());
    RETURN NULL;
END
$$;
"""

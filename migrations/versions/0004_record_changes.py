"""Record changes: audit events, revisions and NOTIFY, all by trigger."""

from migrations.statements import execute

revision = "0004"
down_revision = "0003"

# What an entity looks like in the audit log. Never a secret, never what only triggers set.
DOCUMENTS = """
CREATE FUNCTION flagctl.document(o flagctl.organizations) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'key', o.key, 'name', o.name,
    'key_pattern', o.key_pattern, 'archived', o.archived_at IS NOT NULL);

CREATE FUNCTION flagctl.document(e flagctl.environments) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'key', e.key, 'description', e.description,
    'confirm', e.confirm, 'id', e.public_id);

CREATE FUNCTION flagctl.document(f flagctl.flags) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'key', f.key, 'type', f.type, 'variants', f.variants,
    'on_variant', f.on_variant, 'off_variant', f.off_variant,
    'default_enabled', f.default_enabled, 'description', f.description, 'owner', f.owner,
    'tags', to_jsonb(f.tags), 'permanent', f.permanent, 'client_visible', f.client_visible,
    'expires_at', f.expires_at, 'archived', f.archived_at IS NOT NULL, 'salt', f.salt,
    'version', f.version);

-- Without a search path of its own it becomes part of the expression that asks.
CREATE FUNCTION flagctl.document(o flagctl.overrides, flag text, environment text) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', flag, 'environment', environment,
    'enabled', o.enabled, 'targeting', o.targeting, 'version', o.version);

CREATE FUNCTION flagctl.document(s flagctl.segments) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'key', s.key, 'description', s.description,
    'condition', s.condition, 'version', s.version);

CREATE FUNCTION flagctl.document(c flagctl.configs) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'key', c.key, 'type', c.type, 'schema', c.schema,
    'description', c.description, 'client_visible', c.client_visible, 'version', c.version);

CREATE FUNCTION flagctl.document(v flagctl.config_values) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1,
    'key', (SELECT c.key FROM flagctl.configs c WHERE c.id = v.config_id),
    'environment', (SELECT e.key FROM flagctl.environments e WHERE e.id = v.environment_id),
    'value', v.value, 'version', v.version);

CREATE FUNCTION flagctl.document(k flagctl.api_keys) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'id', k.public_id, 'name', k.name, 'kind', k.kind,
    'environment', (SELECT e.key FROM flagctl.environments e WHERE e.id = k.environment_id),
    'expires_at', k.expires_at, 'revoked_at', k.revoked_at);

CREATE FUNCTION flagctl.document(m flagctl.members) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1,
    'issuer', (SELECT i.issuer FROM flagctl.issuers i WHERE i.id = m.issuer_id),
    'subject', m.subject, 'claims', m.claims, 'email', m.email, 'role', m.role,
    'environment', (SELECT e.key FROM flagctl.environments e WHERE e.id = m.environment_id));

CREATE FUNCTION flagctl.document(t flagctl.tokens) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'id', t.jti,
    'issuer', (SELECT i.issuer FROM flagctl.issuers i WHERE i.id = t.issuer_id),
    'subject', t.subject, 'expires_at', t.expires_at, 'revoked_at', t.revoked_at);

CREATE FUNCTION flagctl.document(i flagctl.issuers) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'issuer', i.issuer, 'audience', i.audience,
    'built_in', i.built_in, 'max_lifetime_seconds', i.max_lifetime_seconds,
    'jwks_url', i.jwks_url);

CREATE FUNCTION flagctl.document(k flagctl.issuer_keys) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'id', k.key_id,
    'issuer', (SELECT i.issuer FROM flagctl.issuers i WHERE i.id = k.issuer_id),
    'sha256', encode(sha256(k.modulus), 'hex'), 'expires_at', k.expires_at,
    'revoked_at', k.revoked_at);
"""

RECORDING = """
-- Whether the actor of a change may, in these environments or (NULL) in the whole organization. An
-- empty list of them needs the permission somewhere all the same.
CREATE FUNCTION flagctl.check_rights(change jsonb, permission text, needed bigint[]) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
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
        WHERE e.id = ANY (needed) AND NOT places @> to_jsonb(e.id);
    RAISE EXCEPTION USING errcode = 'FC004',
        message = format('%s may not do this in %s', change ->> 'actor_name',
            coalesce(refused, 'the organization ' || (change ->> 'organization'))),
        hint = '`flagctl whoami` shows your roles';
END
$$;

-- The gate. Every change of what an environment serves must raise its revision, and nobody does
-- so who may not act there, by whichever table or statement the change comes. Once a change; the
-- event tells which revision it is part of.
CREATE FUNCTION flagctl.raise_revisions(change jsonb, affected bigint[], permission text,
    organization bigint, event bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    this_change uuid := change ->> 'change_id';
BEGIN
    PERFORM flagctl.check_rights(change, permission, affected);
    WITH raised AS (
        UPDATE flagctl.environments e
            SET revision = e.revision + 1, stamp = gen_random_uuid(), revised_in = this_change
            WHERE e.id = ANY (affected) AND e.revised_in IS DISTINCT FROM this_change
            RETURNING e.id, e.key, e.revision)
    INSERT INTO flagctl.audit_event_revisions
            (organization_id, seq, environment_id, environment, revision)
        SELECT organization, event, r.id, r.key, r.revision FROM raised r
        UNION ALL
        SELECT organization, event, e.id, e.key, e.revision FROM flagctl.environments e
            WHERE e.id = ANY (affected) AND e.revised_in = this_change;
END
$$;

-- Before any statement that writes: there is a change, it has its organization's lock, and its
-- actor may still act. What the change itself does to its actor's roles comes after.
CREATE FUNCTION flagctl.enter_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    change jsonb := flagctl.current_change();
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
    RETURN NULL;
END
$$;

-- Writes one audit event and raises the revision of each affected environment, once a change.
-- The organization's row lock makes seq gapless and its order the order of the commits: whoever
-- entered has that of the change's own one.
-- Who is named must have had the right: a statement can put another sealed change of the same
-- transaction in place once the policies have answered. Where revisions rise, the gate asks.
CREATE FUNCTION flagctl.record_event(
    organization bigint, entity_type text, entity_id bigint, entity_key text,
    in_environment bigint, action text, before jsonb, after jsonb, affected bigint[],
    permission text DEFAULT 'edit', needed bigint[] DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    change jsonb;
    this_change uuid;
    new_seq bigint;
BEGIN
    -- As text: to jsonb's own `=` the numbers 1 and 1.0 are the same, to a reader they are not.
    IF affected IS NULL AND action <> 'denied' AND before::text IS NOT DISTINCT FROM after::text
        THEN
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
    IF action <> 'denied' AND (affected IS NULL OR needed IS NOT NULL) THEN
        PERFORM flagctl.check_rights(change, permission, needed);
    END IF;
    this_change := change ->> 'change_id';
    INSERT INTO flagctl.audit_events (organization_id, seq, change_id, occurred_at, actor,
            actor_name, entity_type, entity_id, entity_key, environment_id, environment, action,
            before, after, reason, client_version)
        SELECT organization, coalesce(last.seq, 0) + 1, this_change,
            greatest(clock_timestamp(), last.occurred_at), change ->> 'actor',
            change ->> 'actor_name', entity_type, entity_id, entity_key, in_environment,
            (SELECT e.key FROM flagctl.environments e WHERE e.id = in_environment), action,
            before, after, change ->> 'reason', change ->> 'client_version'
        FROM (VALUES (1)) AS one LEFT JOIN (SELECT a.seq, a.occurred_at
            FROM flagctl.audit_events a WHERE a.organization_id = organization
            ORDER BY a.seq DESC LIMIT 1) AS last ON true
        RETURNING seq INTO new_seq;
    IF affected IS NOT NULL THEN
        PERFORM flagctl.raise_revisions(change, affected, permission, organization, new_seq);
    END IF;
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
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
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

-- An update that changes nothing is dropped; any other counts up the version.
-- `*=` compares the stored images: to `=` the JSON numbers 1 and 1.0 are the same.
CREATE FUNCTION flagctl.touch() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW OPERATOR(pg_catalog.*=) OLD THEN
        RETURN NULL;
    END IF;
    NEW.version := OLD.version + 1;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;

-- Whatever belongs to an archived organization is served no more.
CREATE FUNCTION flagctl.organization_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    turned boolean := TG_OP = 'UPDATE'
        AND (OLD.archived_at IS NULL) <> (NEW.archived_at IS NULL);
BEGIN
    PERFORM flagctl.record_event(NEW.id, 'organization', NEW.id, NEW.key, NULL,
        CASE WHEN TG_OP = 'INSERT' THEN 'create'
            WHEN turned AND NEW.archived_at IS NOT NULL THEN 'archive'
            WHEN turned THEN 'unarchive'
            ELSE 'update' END,
        CASE WHEN TG_OP = 'UPDATE' THEN flagctl.document(OLD) END, flagctl.document(NEW),
        CASE WHEN turned THEN flagctl.environments_of(NEW.id) END, 'govern');
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.environment_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e flagctl.environments := coalesce(NEW, OLD);
    affected bigint[] := CASE WHEN TG_OP = 'INSERT' THEN ARRAY[e.id] END;
BEGIN
    PERFORM flagctl.record_event(e.organization_id, 'environment', e.id, e.key, NULL,
        CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, affected,
        CASE TG_OP WHEN 'UPDATE' THEN 'administer' ELSE 'govern' END,
        CASE TG_OP WHEN 'UPDATE' THEN ARRAY[e.id] END);
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.flag_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f flagctl.flags := coalesce(NEW, OLD);
    everywhere bigint[] := flagctl.environments_of(f.organization_id);
    served boolean;
BEGIN
    served := CASE TG_OP
        WHEN 'INSERT' THEN NEW.archived_at IS NULL
        WHEN 'DELETE' THEN OLD.archived_at IS NULL
        ELSE (OLD.archived_at IS NULL OR NEW.archived_at IS NULL)
            AND (OLD.key, OLD.type, OLD.variants::text, OLD.on_variant, OLD.off_variant,
                OLD.default_enabled, OLD.client_visible, OLD.expires_at, OLD.archived_at, OLD.salt)
            IS DISTINCT FROM
                (NEW.key, NEW.type, NEW.variants::text, NEW.on_variant, NEW.off_variant,
                NEW.default_enabled, NEW.client_visible, NEW.expires_at, NEW.archived_at, NEW.salt)
        END;
    PERFORM flagctl.record_event(f.organization_id, 'feature', f.id, f.key, NULL,
        CASE WHEN TG_OP = 'INSERT' THEN 'create'
            WHEN TG_OP = 'DELETE' THEN 'delete'
            WHEN OLD.archived_at IS NULL AND NEW.archived_at IS NOT NULL THEN 'archive'
            WHEN OLD.archived_at IS NOT NULL AND NEW.archived_at IS NULL THEN 'unarchive'
            ELSE 'update' END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END,
        CASE WHEN served THEN everywhere END,
        CASE TG_OP WHEN 'DELETE' THEN 'administer' ELSE 'edit' END, everywhere);
    RETURN NULL;
END
$$;

-- A flag that has no row here inherits: that is the state before the first override.
CREATE FUNCTION flagctl.override_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    o flagctl.overrides := coalesce(NEW, OLD);
    inherited CONSTANT jsonb := '{"enabled": null, "version": 0,
        "targeting": {"format": 1, "rules": []}}';
    flag text;
    environment text;
BEGIN
    SELECT f.key, e.key INTO flag, environment FROM flagctl.flags f, flagctl.environments e
        WHERE f.id = o.flag_id AND e.id = o.environment_id;
    PERFORM flagctl.record_event(o.organization_id, 'feature', o.flag_id, flag, o.environment_id,
        CASE TG_OP WHEN 'DELETE' THEN 'delete' ELSE 'update' END,
        CASE TG_OP WHEN 'INSERT' THEN flagctl.document(NEW, flag, environment) || inherited
            ELSE flagctl.document(OLD, flag, environment) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW, flag, environment) END,
        ARRAY[o.environment_id]);
    RETURN NULL;
END
$$;

-- Where a segment decides: in the rules that name it, or a segment that names it, and so on.
CREATE FUNCTION flagctl.environments_using(organization bigint, segment text) RETURNS bigint[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN ARRAY(
    WITH RECURSIVE used (key) AS (
        SELECT segment
        UNION
        SELECT s.key FROM flagctl.segments s JOIN used u ON jsonb_path_exists(s.condition,
                '$.**.segment ? (@ == $key)', jsonb_build_object('key', u.key))
            WHERE s.organization_id = organization
    )
    SELECT DISTINCT o.environment_id FROM flagctl.overrides o JOIN used u
            ON jsonb_path_exists(o.targeting, '$.rules[*].when.**.segment ? (@ == $key)',
                jsonb_build_object('key', u.key))
        WHERE o.organization_id = organization ORDER BY o.environment_id);

CREATE FUNCTION flagctl.segment_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s flagctl.segments := coalesce(NEW, OLD);
    users bigint[] := flagctl.environments_using(s.organization_id, s.key);
BEGIN
    IF TG_OP = 'DELETE' AND users <> '{}' THEN
        RAISE EXCEPTION USING errcode = 'FC006',
            message = format('the segment %s is used', quote_literal(s.key)),
            hint = format('`flagctl segment show %s` names the rules', s.key);
    END IF;
    PERFORM flagctl.record_event(s.organization_id, 'segment', s.id, s.key, NULL,
        CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END,
        CASE WHEN TG_OP = 'UPDATE' AND OLD.condition::text = NEW.condition::text
            THEN '{}' ELSE users END);
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.config_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c flagctl.configs := coalesce(NEW, OLD);
    affected bigint[];
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.key, OLD.type, OLD.client_visible)
            IS DISTINCT FROM (NEW.key, NEW.type, NEW.client_visible) THEN
        SELECT array_agg(v.environment_id ORDER BY v.environment_id) INTO affected
            FROM flagctl.config_values v WHERE v.config_id = c.id;
    END IF;
    PERFORM flagctl.record_event(c.organization_id, 'config', c.id, c.key, NULL,
        CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, affected,
        CASE TG_OP WHEN 'DELETE' THEN 'administer' ELSE 'edit' END,
        flagctl.environments_of(c.organization_id));
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.config_value_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v flagctl.config_values := coalesce(NEW, OLD);
BEGIN
    PERFORM flagctl.record_event(v.organization_id, 'config', v.config_id,
        flagctl.document(v) ->> 'key', v.environment_id,
        CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, ARRAY[v.environment_id]);
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.api_key_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    k flagctl.api_keys := coalesce(NEW, OLD);
BEGIN
    PERFORM flagctl.record_event(k.organization_id, 'api_key', k.id, k.name, k.environment_id,
        CASE WHEN TG_OP = 'INSERT' THEN 'create'
            WHEN TG_OP = 'DELETE' THEN 'delete'
            WHEN OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL THEN 'revoke'
            WHEN OLD.expires_at IS DISTINCT FROM NEW.expires_at THEN 'rotate'
            ELSE 'update' END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, ARRAY[k.environment_id],
        'administer');
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.member_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m flagctl.members := coalesce(NEW, OLD);
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.role = 'admin' AND OLD.environment_id IS NULL
        AND NOT flagctl.current_change() ? 'is_owner'
        AND NOT EXISTS (SELECT FROM flagctl.members o
            WHERE o.organization_id = OLD.organization_id AND o.role = 'admin'
                AND o.environment_id IS NULL) THEN
        RAISE EXCEPTION USING errcode = 'FC006',
            message = format('%s is the last admin', OLD.email),
            hint = 'first make another: `flagctl member add EMAIL --role admin`';
    END IF;
    PERFORM flagctl.record_event(m.organization_id, 'member', m.id, m.email, m.environment_id,
        CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, NULL, 'govern');
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.token_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagctl.record_event(NEW.organization_id, 'token', NEW.id, NEW.subject, NULL,
        CASE WHEN TG_OP = 'INSERT' THEN 'create'
            WHEN OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL THEN 'revoke'
            ELSE 'update' END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END, flagctl.document(NEW), NULL,
        'govern');
    RETURN NULL;
END
$$;

-- The built-in issuer serves every organization: it is on record where the owner acted.
CREATE FUNCTION flagctl.issuer_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    i flagctl.issuers := coalesce(NEW, OLD);
BEGIN
    PERFORM flagctl.record_event(
        coalesce(i.organization_id, flagctl.current_organization()), 'issuer', i.id, i.issuer,
        NULL, CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, NULL, 'govern');
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.issuer_key_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    k flagctl.issuer_keys := coalesce(NEW, OLD);
BEGIN
    PERFORM flagctl.record_event(
        coalesce((SELECT i.organization_id FROM flagctl.issuers i WHERE i.id = k.issuer_id),
            flagctl.current_organization()), 'signing_key', k.id, k.key_id, NULL,
        CASE WHEN TG_OP = 'INSERT' THEN 'create'
            WHEN TG_OP = 'DELETE' THEN 'delete'
            WHEN OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL THEN 'revoke'
            WHEN OLD.expires_at IS DISTINCT FROM NEW.expires_at THEN 'rotate'
            ELSE 'update' END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, NULL, 'govern');
    RETURN NULL;
END
$$;

-- A hint to the readers. A full queue would fail the commit, so a filling one gets none: they poll.
CREATE FUNCTION flagctl.notify_revision() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('flagctl_revisions', CASE TG_OP
            WHEN 'DELETE' THEN OLD.public_id || ' ' || (OLD.revision + 1)
            ELSE NEW.public_id || ' ' || NEW.revision END);
    END IF;
    RETURN NULL;
END
$$;

-- A token or key that came into wrong hands stays revoked: who needs one gets a new one.
CREATE FUNCTION flagctl.keep_revoked() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING errcode = 'FC004', message = 'what was revoked stays revoked';
END
$$;

CREATE FUNCTION flagctl.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING errcode = 'FC004',
        message = format('%s is append only: %s is refused', TG_TABLE_NAME, TG_OP);
END
$$;
"""

# What each statement must be part of, and the columns of environments that triggers themselves set.
_GOVERNED = {
    **dict.fromkeys(
        (
            *("organizations", "flags", "overrides", "configs", "config_values", "api_keys"),
            *("segments", "members", "tokens", "issuers", "issuer_keys"),
        ),
        "UPDATE",
    ),
    "environments": "UPDATE OF organization_id, key, description, confirm",
}
ENTRANCES = "".join(
    f"CREATE TRIGGER enter BEFORE INSERT OR DELETE OR {update} ON flagctl.{table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION flagctl.enter_change();\n"
    for table, update in _GOVERNED.items()
)

TRIGGERS = """
CREATE TRIGGER touch BEFORE UPDATE ON flagctl.organizations
    FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TRIGGER changed AFTER INSERT OR UPDATE ON flagctl.organizations
    FOR EACH ROW EXECUTE FUNCTION flagctl.organization_changed();

CREATE TRIGGER touch BEFORE UPDATE OF description, confirm ON flagctl.environments
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE OF description, confirm
    ON flagctl.environments FOR EACH ROW EXECUTE FUNCTION flagctl.environment_changed();
CREATE TRIGGER notify AFTER DELETE OR UPDATE OF revision ON flagctl.environments
    FOR EACH ROW EXECUTE FUNCTION flagctl.notify_revision();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.flags
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.flags
    FOR EACH ROW EXECUTE FUNCTION flagctl.flag_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.overrides
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.overrides
    FOR EACH ROW EXECUTE FUNCTION flagctl.override_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.segments
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.segments
    FOR EACH ROW EXECUTE FUNCTION flagctl.segment_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.configs
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.configs
    FOR EACH ROW EXECUTE FUNCTION flagctl.config_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.config_values
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.config_values
    FOR EACH ROW EXECUTE FUNCTION flagctl.config_value_changed();

CREATE TRIGGER keep_revoked BEFORE UPDATE ON flagctl.api_keys FOR EACH ROW
    WHEN (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at AND OLD.revoked_at IS NOT NULL)
    EXECUTE FUNCTION flagctl.keep_revoked();
CREATE TRIGGER touch BEFORE UPDATE ON flagctl.api_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.api_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.api_key_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.members
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.members
    FOR EACH ROW EXECUTE FUNCTION flagctl.member_changed();

CREATE TRIGGER keep_revoked BEFORE UPDATE ON flagctl.tokens FOR EACH ROW
    WHEN (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at AND OLD.revoked_at IS NOT NULL)
    EXECUTE FUNCTION flagctl.keep_revoked();
CREATE TRIGGER touch BEFORE UPDATE ON flagctl.tokens
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE ON flagctl.tokens
    FOR EACH ROW EXECUTE FUNCTION flagctl.token_changed();

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.issuers
    FOR EACH ROW EXECUTE FUNCTION flagctl.issuer_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.issuer_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.issuer_key_changed();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON flagctl.audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION flagctl.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON flagctl.audit_event_revisions
    FOR EACH STATEMENT EXECUTE FUNCTION flagctl.refuse_change();
"""


# The functions that earlier migrations made stay.
DROP = """
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND c.relnamespace = 'flagctl'::regnamespace
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.relation);
    END LOOP;
    FOR found IN SELECT p.oid::regprocedure AS signature FROM pg_proc p
        WHERE p.pronamespace = 'flagctl'::regnamespace AND (p.prorettype = 'trigger'::regtype
            OR p.proname IN ('document', 'check_rights', 'raise_revisions', 'record_event',
                'record_denial', 'outcome', 'outcome_of', 'environments_using'))
    LOOP
        EXECUTE format('DROP FUNCTION %s', found.signature);
    END LOOP;
END
$$;
"""


def upgrade() -> None:
    for script in (DOCUMENTS, RECORDING, ENTRANCES, TRIGGERS):
        execute(script)


def downgrade() -> None:
    execute(DROP)

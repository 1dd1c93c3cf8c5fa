"""What happens when a row changes that is served."""

FUNCTIONS = """
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
"""

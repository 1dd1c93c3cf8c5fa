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

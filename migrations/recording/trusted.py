"""What happens when a row changes that says who is who, where, and trusted with what."""

FUNCTIONS = """
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

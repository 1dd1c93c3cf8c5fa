"""Create the write path: begin_change, audit events, revisions and NOTIFY, all by trigger."""

from migrations.statements import execute

revision = "0002"
down_revision = "0001"

# Error codes that core/db.py translates: FC003 not authenticated, FC004 not allowed.
AUTHENTICATION = """
CREATE FUNCTION flagctl.base64url_decode(part text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN decode(translate(part, '-_', '+/') || repeat('=', (4 - length(part) % 4) % 4), 'base64');

CREATE FUNCTION flagctl.token_claims(token text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claims jsonb;
BEGIN
    IF token IS NULL OR token !~ '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$' THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'the token is not a JWT';
    END IF;
    claims := convert_from(flagctl.base64url_decode(split_part(token, '.', 2)), 'UTF8')::jsonb;
    IF jsonb_typeof(claims) <> 'object' THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'the token has no claims';
    END IF;
    RETURN claims;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION USING errcode = 'FC003', message = 'the token cannot be read';
END
$$;

-- Who a token speaks for. The caller has checked the signature; this checks what only Postgres
-- knows: the issuer, that the token was registered and not revoked, and the memberships.
CREATE FUNCTION flagctl.authenticate(token text, organization text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claims jsonb := flagctl.token_claims(token);
    issuer flagctl.issuers;
    registered flagctl.tokens;
    member_of bigint[];
    org flagctl.organizations;
BEGIN
    SELECT * INTO issuer FROM flagctl.issuers i WHERE i.issuer = claims ->> 'iss';
    IF NOT FOUND THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'the token''s issuer is not trusted';
    END IF;
    IF jsonb_typeof(claims -> 'exp') IS DISTINCT FROM 'number'
        OR (claims ->> 'exp')::numeric + 30 < extract(epoch FROM clock_timestamp()) THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'the token has expired',
            hint = 'get a new one with: flagctl token issue';
    END IF;
    IF issuer.built_in THEN
        SELECT * INTO registered FROM flagctl.tokens t
            WHERE t.issuer_id = issuer.id AND t.jti::text = claims ->> 'jti'
                AND t.subject = claims ->> 'sub';
        -- A key file that was stolen could sign an old id again, with a later end.
        IF NOT FOUND OR registered.expires_at <> to_timestamp((claims ->> 'exp')::numeric) THEN
            RAISE EXCEPTION USING errcode = 'FC003',
                message = 'the token was never registered here',
                hint = 'tokens come from: flagctl token issue';
        END IF;
        IF registered.revoked_at IS NOT NULL THEN
            RAISE EXCEPTION USING errcode = 'FC003', message = 'the token has been revoked',
                hint = 'ask an admin for a new one';
        END IF;
    END IF;
    SELECT array_agg(DISTINCT m.organization_id) INTO member_of FROM flagctl.members m
        WHERE m.issuer_id = issuer.id AND m.subject = claims ->> 'sub'
            AND (registered.id IS NULL OR m.organization_id = registered.organization_id);
    SELECT * INTO org FROM flagctl.organizations o
        WHERE o.id = ANY (member_of) AND (organization IS NULL OR o.key = organization);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING errcode = 'FC004',
            message = format('%s is not a member of %s', coalesce(claims ->> 'email',
                claims ->> 'sub', 'this token'),
                coalesce('organization ' || organization, 'any organization')),
            hint = 'an admin adds members with: flagctl member add';
    END IF;
    IF organization IS NULL AND cardinality(member_of) > 1 THEN
        RAISE EXCEPTION USING errcode = 'FC002', message = 'you belong to several organizations',
            hint = 'name one with --org';
    END IF;
    RETURN jsonb_build_object(
        'organization_id', org.id,
        'organization', org.key,
        'key_pattern', org.key_pattern,
        'issuer_id', issuer.id,
        'subject', claims ->> 'sub',
        'actor', CASE WHEN issuer.built_in THEN claims ->> 'sub'
            ELSE issuer.issuer || '#' || (claims ->> 'sub') END,
        'actor_name', (SELECT m.email FROM flagctl.members m WHERE m.issuer_id = issuer.id
            AND m.subject = claims ->> 'sub' AND m.organization_id = org.id ORDER BY m.id LIMIT 1),
        'grants', (SELECT jsonb_agg(jsonb_build_object('role', m.role,
            'environment_id', m.environment_id, 'environment', e.key) ORDER BY m.id)
            FROM flagctl.members m LEFT JOIN flagctl.environments e ON e.id = m.environment_id
            WHERE m.issuer_id = issuer.id AND m.subject = claims ->> 'sub'
                AND m.organization_id = org.id)
    );
END
$$;

-- HMAC-SHA256 over the change, this backend and this transaction: a setting that was copied from
-- another one is worth nothing. It needs no transaction id, so it works read-only too.
CREATE FUNCTION flagctl.seal(change text) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret bytea;
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
    message bytea := convert_to(pg_backend_pid() || ' ' ||
        extract(epoch FROM transaction_timestamp()) || ' ' || change, 'UTF8');
BEGIN
    SELECT k.secret INTO STRICT secret FROM flagctl.change_key k;
    FOR i IN 0 .. length(secret) - 1 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(secret, i) # 54);
        outer_pad := set_byte(outer_pad, i, get_byte(secret, i) # 92);
    END LOOP;
    RETURN encode(sha256(outer_pad || sha256(inner_pad || message)), 'hex');
END
$$;

CREATE FUNCTION flagctl.open_change(change jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('flagctl.change',
        flagctl.seal(change::text) || ' ' || change::text, true);
END
$$;

-- The one door: names the actor of this transaction, for reads and writes.
CREATE FUNCTION flagctl.begin_change(token text, organization text, reason text,
    client_version text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    actor jsonb := flagctl.authenticate(token, organization);
    change jsonb := actor || jsonb_build_object('change_id', gen_random_uuid(),
        'reason', reason, 'client_version', client_version);
BEGIN
    PERFORM flagctl.open_change(change);
    PERFORM set_config('application_name', 'flagctl ' || (actor ->> 'actor_name'), true);
    RETURN change;
END
$$;

-- The open change, None without one. Any login may write the setting; only we can seal it.
CREATE FUNCTION flagctl.current_change() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting text := coalesce(current_setting('flagctl.change', true), '');
    change text := substr(setting, 66);
BEGIN
    IF setting = '' THEN
        RETURN NULL;
    END IF;
    IF left(setting, 64) <> flagctl.seal(change) THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'the change was not begun here',
            hint = 'call flagctl.begin_change first';
    END IF;
    RETURN change::jsonb;
END
$$;

-- `flagctl init` has no token yet: the owner acts under a name of its own.
CREATE FUNCTION flagctl.begin_owner_change(organization text, reason text, client_version text)
    RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb;
BEGIN
    SELECT jsonb_build_object('organization_id', o.id, 'organization', o.key,
        'key_pattern', o.key_pattern, 'actor', 'owner:' || session_user,
        'actor_name', session_user, 'grants', '[]'::jsonb, 'change_id', gen_random_uuid(),
        'reason', reason, 'client_version', client_version) INTO change
        FROM flagctl.organizations o WHERE o.key = organization;
    PERFORM flagctl.open_change(change);
    RETURN change;
END
$$;
"""

# What an entity looks like in the audit log. Never a secret, never what only triggers set.
DOCUMENTS = """
CREATE FUNCTION flagctl.document(o flagctl.organizations) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'key', o.key, 'name', o.name,
    'key_pattern', o.key_pattern);

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

CREATE FUNCTION flagctl.document(o flagctl.overrides) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1,
    'key', (SELECT f.key FROM flagctl.flags f WHERE f.id = o.flag_id),
    'environment', (SELECT e.key FROM flagctl.environments e WHERE e.id = o.environment_id),
    'enabled', o.enabled, 'targeting', o.targeting, 'version', o.version);

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
    'subject', m.subject, 'email', m.email, 'role', m.role,
    'environment', (SELECT e.key FROM flagctl.environments e WHERE e.id = m.environment_id));

CREATE FUNCTION flagctl.document(t flagctl.tokens) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('format', 1, 'id', t.jti,
    'issuer', (SELECT i.issuer FROM flagctl.issuers i WHERE i.id = t.issuer_id),
    'subject', t.subject, 'expires_at', t.expires_at, 'revoked_at', t.revoked_at);
"""

RECORDING = """
-- Writes one audit event and raises the revision of each affected environment, once a change.
-- The organization's row lock makes seq gapless and its order the order of the commits.
CREATE FUNCTION flagctl.record_event(
    organization bigint, entity_type text, entity_id bigint, entity_key text,
    in_environment bigint, action text, before jsonb, after jsonb, affected bigint[])
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := flagctl.current_change();
    last record;
    new_seq bigint;
BEGIN
    -- As text: to jsonb's own `=` the numbers 1 and 1.0 are the same, to a reader they are not.
    IF before::text IS NOT DISTINCT FROM after::text AND affected IS NULL THEN
        RETURN;
    END IF;
    IF change IS NULL THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'no change was begun',
            hint = 'call flagctl.begin_change first';
    END IF;
    IF (change ->> 'organization_id')::bigint <> organization THEN
        RAISE EXCEPTION USING errcode = 'FC004', message = 'this belongs to another organization';
    END IF;
    PERFORM FROM flagctl.organizations o WHERE o.id = organization FOR NO KEY UPDATE;
    SELECT a.seq, a.occurred_at INTO last FROM flagctl.audit_events a
        WHERE a.organization_id = organization ORDER BY a.seq DESC LIMIT 1;
    new_seq := coalesce(last.seq, 0) + 1;
    INSERT INTO flagctl.audit_events (organization_id, seq, change_id, occurred_at, actor,
            actor_name, entity_type, entity_id, entity_key, environment_id, environment, action,
            before, after, reason, client_version)
        VALUES (organization, new_seq, (change ->> 'change_id')::uuid,
            greatest(clock_timestamp(), last.occurred_at), change ->> 'actor',
            change ->> 'actor_name', entity_type, entity_id, entity_key, in_environment,
            (SELECT e.key FROM flagctl.environments e WHERE e.id = in_environment), action,
            before, after, change ->> 'reason', change ->> 'client_version');
    IF affected IS NULL THEN
        RETURN;
    END IF;
    UPDATE flagctl.environments e
        SET revision = e.revision + 1, stamp = gen_random_uuid(),
            revised_in = (change ->> 'change_id')::uuid
        WHERE e.id = ANY (affected)
            AND e.revised_in IS DISTINCT FROM (change ->> 'change_id')::uuid;
    INSERT INTO flagctl.audit_event_revisions
            (organization_id, seq, environment_id, environment, revision)
        SELECT organization, new_seq, e.id, e.key, e.revision
        FROM flagctl.environments e WHERE e.id = ANY (affected);
END
$$;

CREATE FUNCTION flagctl.environments_of(organization bigint) RETURNS bigint[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (SELECT array_agg(e.id ORDER BY e.id) FROM flagctl.environments e
    WHERE e.organization_id = organization);

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

CREATE FUNCTION flagctl.organization_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagctl.record_event(NEW.id, 'organization', NEW.id, NEW.key, NULL, lower(TG_OP),
        CASE WHEN TG_OP = 'UPDATE' THEN flagctl.document(OLD) END, flagctl.document(NEW), NULL);
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
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, affected);
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.flag_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f flagctl.flags := coalesce(NEW, OLD);
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
        CASE WHEN served THEN flagctl.environments_of(f.organization_id) END);
    RETURN NULL;
END
$$;

-- A flag that has no row here inherits: that is the state before the first override.
CREATE FUNCTION flagctl.override_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    o flagctl.overrides := coalesce(NEW, OLD);
    inherited jsonb := jsonb_build_object('enabled', NULL, 'version', 0,
        'targeting', '{"format": 1, "rules": []}'::jsonb);
BEGIN
    PERFORM flagctl.record_event(o.organization_id, 'feature', o.flag_id,
        flagctl.document(o) ->> 'key', o.environment_id,
        CASE TG_OP WHEN 'DELETE' THEN 'delete' ELSE 'update' END,
        CASE TG_OP WHEN 'INSERT' THEN flagctl.document(NEW) || inherited
            ELSE flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, ARRAY[o.environment_id]);
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
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, affected);
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
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, ARRAY[k.environment_id]);
    RETURN NULL;
END
$$;

CREATE FUNCTION flagctl.member_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m flagctl.members := coalesce(NEW, OLD);
BEGIN
    PERFORM flagctl.record_event(m.organization_id, 'member', m.id, m.email, m.environment_id,
        CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END,
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN flagctl.document(NEW) END, NULL);
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
        CASE WHEN TG_OP <> 'INSERT' THEN flagctl.document(OLD) END, flagctl.document(NEW), NULL);
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

CREATE FUNCTION flagctl.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING errcode = 'FC004',
        message = format('%s is append only: %s is refused', TG_TABLE_NAME, TG_OP);
END
$$;
"""

TRIGGERS = """
CREATE TRIGGER touch BEFORE UPDATE OF name, key_pattern ON flagctl.organizations
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

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.configs
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.configs
    FOR EACH ROW EXECUTE FUNCTION flagctl.config_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.config_values
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.config_values
    FOR EACH ROW EXECUTE FUNCTION flagctl.config_value_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.api_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.api_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.api_key_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.members
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.members
    FOR EACH ROW EXECUTE FUNCTION flagctl.member_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.tokens
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE ON flagctl.tokens
    FOR EACH ROW EXECUTE FUNCTION flagctl.token_changed();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON flagctl.audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION flagctl.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON flagctl.audit_event_revisions
    FOR EACH STATEMENT EXECUTE FUNCTION flagctl.refuse_change();
"""

READING = """
-- Changes whenever revisions may mean something else: another cluster, another timeline after a
-- fail-over, or an operator's word (flagctl db new-epoch).
CREATE FUNCTION flagctl.epoch() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (SELECT system_identifier::text FROM pg_control_system()) || '.' ||
    CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer
    END::text || '.' ||
    (SELECT epoch_generation FROM flagctl.installation)::text;

-- A page of one organization's history, newest first, for whoever holds a token of a member.
CREATE FUNCTION flagctl.audit_page(token text, organization text, filters jsonb)
    RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant bigint := (flagctl.authenticate(token, organization) ->> 'organization_id')::bigint;
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

# The tables' own triggers go with the tables; here they go first so that 0001 can be reached.
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
        WHERE p.pronamespace = 'flagctl'::regnamespace
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', found.signature);
    END LOOP;
END
$$;
"""


def upgrade() -> None:
    # Not "in schema": a grant to PUBLIC that stands by default can only be taken back as a whole.
    execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;")
    for script in (AUTHENTICATION, DOCUMENTS, RECORDING, TRIGGERS, READING):
        execute(script)
    execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flagctl FROM PUBLIC;")


def downgrade() -> None:
    execute(DROP)

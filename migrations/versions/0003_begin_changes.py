"""Who acts: begin_change verifies a token, finds the member and seals both into the transaction."""

from migrations.statements import execute

revision = "0003"
down_revision = "0002"

# For each right: true (in the whole organization), or the environments where it is held.
_RIGHTS = ",\n                ".join(
    f"""'{permission}', CASE
                WHEN bool_or(m.environment_id IS NULL
                    AND flagctl.role_allows(m.role, '{permission}')) THEN 'true'
                ELSE coalesce(jsonb_agg(m.environment_id) FILTER (
                    WHERE flagctl.role_allows(m.role, '{permission}')), '[]') END"""
    for permission in ("edit", "administer", "govern")
)
# The same of one role alone.
_RIGHTS_OF_ONE = ",\n                ".join(
    f"""'{permission}', CASE WHEN NOT flagctl.role_allows(m.role, '{permission}') THEN '[]'
                WHEN m.environment_id IS NULL THEN 'true'
                ELSE jsonb_build_array(m.environment_id) END"""
    for permission in ("edit", "administer", "govern")
)

# Error codes that core/db.py translates: FC002 invalid, FC003 not authenticated, FC004 not allowed.
AUTHENTICATION = """
-- The same table as core/auth/actor.py; a test holds them together.
CREATE FUNCTION flagctl.role_allows(role text, permission text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE permission
    WHEN 'read' THEN role IN ('viewer', 'editor', 'approver', 'admin')
    WHEN 'edit' THEN role IN ('editor', 'admin')
    WHEN 'administer' THEN role = 'admin'
    WHEN 'govern' THEN role = 'admin'
    ELSE false END;

-- As we write ids, and in no other way that Postgres would read; NULL for any other text.
CREATE FUNCTION flagctl.token_id(jti text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN jti ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN jti::uuid END;

-- The registration of a token; NULLs for another issuer's. Of the built-in issuer only what was
-- registered here counts.
CREATE FUNCTION flagctl.registration(verified jsonb) RETURNS flagctl.tokens
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claims jsonb := verified -> 'claims';
    registered flagctl.tokens;
BEGIN
    IF NOT (verified -> 'built_in')::boolean THEN
        RETURN NULL;
    END IF;
    SELECT * INTO registered FROM flagctl.tokens t
        WHERE t.jti = flagctl.token_id(claims ->> 'jti') AND t.subject = claims ->> 'sub'
            -- A key file that was stolen could sign an old id again, with a later end.
            AND t.expires_at = to_timestamp((claims ->> 'exp')::numeric);
    IF NOT FOUND THEN
        PERFORM flagctl.refuse_token('the token was never registered here',
            'tokens come from `flagctl token issue`');
    END IF;
    IF registered.revoked_at IS NOT NULL THEN
        PERFORM flagctl.refuse_token('the token has been revoked', 'ask an admin for a new one');
    END IF;
    RETURN registered;
END
$$;

-- The roles of a subject, and those of whoever has certain claims. Without a search path of its
-- own it becomes part of the query that asks.
CREATE FUNCTION flagctl.memberships(verified jsonb) RETURNS SETOF flagctl.members
    LANGUAGE sql STABLE
AS $$
    SELECT m.* FROM flagctl.members m JOIN flagctl.issuers i ON i.id = m.issuer_id
        WHERE verified -> 'issuers' @> to_jsonb(m.issuer_id)
            AND (i.built_in OR i.organization_id = m.organization_id)
            AND (m.subject = verified -> 'claims' ->> 'sub' OR m.claims <@ (verified -> 'claims'))
$$;

-- Whom a verified token speaks for, in one organization, with its roles there.
CREATE FUNCTION flagctl.actor_of(verified jsonb, wanted text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claims jsonb := verified -> 'claims';
    registered flagctl.tokens := flagctl.registration(verified);
    actor jsonb;
    bearer record;
BEGIN
    FOR bearer IN
        SELECT o.id, o.key, o.key_pattern, i.id AS issuer_id, i.issuer, i.built_in,
            (array_agg(m.email ORDER BY m.subject NULLS LAST, m.id))[1] AS name,
            jsonb_agg(jsonb_build_object('member_id', m.id, 'role', m.role,
                'environment_id', m.environment_id, 'environment', e.key) ORDER BY m.id) AS grants,
            jsonb_build_object({rights}) AS rights
        FROM flagctl.memberships(verified) m
            JOIN flagctl.organizations o ON o.id = m.organization_id
            JOIN flagctl.issuers i ON i.id = m.issuer_id
            LEFT JOIN flagctl.environments e ON e.id = m.environment_id
        WHERE (registered.id IS NULL OR o.id = registered.organization_id)
            AND (wanted IS NULL OR o.key = wanted)
        GROUP BY o.id, i.id
    LOOP
        IF actor IS NOT NULL THEN
            RAISE EXCEPTION USING errcode = 'FC002',
                message = 'you belong to several organizations', hint = 'name one with --org';
        END IF;
        actor := jsonb_build_object('organization_id', bearer.id, 'organization', bearer.key,
            'key_pattern', bearer.key_pattern, 'issuer_id', bearer.issuer_id,
            'key_id', verified -> 'key_id', 'token_id', registered.jti, 'expires', claims -> 'exp',
            'actor', CASE WHEN bearer.built_in THEN claims ->> 'sub'
                ELSE bearer.issuer || '#' || (claims ->> 'sub') END,
            'actor_name', bearer.name, 'grants', bearer.grants, 'rights', bearer.rights);
    END LOOP;
    IF actor IS NULL THEN
        RAISE EXCEPTION USING errcode = 'FC004',
            message = format('%s is not a member of %s',
                coalesce(claims ->> 'email', claims ->> 'sub'),
                coalesce('organization ' || wanted, 'any organization')),
            hint = 'an admin adds members with `flagctl member add`';
    END IF;
    RETURN actor;
END
$$;
"""

REMEMBERED = """
-- The same in two short queries, for whom most tokens are: seen before, nothing is in its way, and
-- its bearer has one role, in one organization. NULL for all others: the long way then decides,
-- and says why not. It asks all that the long way asks; a test holds both together.
CREATE FUNCTION flagctl.remembered_actor(token text, wanted text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    now_seconds numeric := extract(epoch FROM at);
    says jsonb;
    kid text;
    signed_by bytea;
    issued numeric;
    ends numeric;
    actor jsonb;
    roles bigint;
BEGIN
    SELECT v.claims, v.header ->> 'kid', v.modulus, (v.claims ->> 'iat')::numeric,
            (v.claims ->> 'exp')::numeric
        INTO says, kid, signed_by, issued, ends
        FROM flagctl.verified_tokens v WHERE v.digest = sha256(convert_to(token, 'UTF8'));
    IF says IS NULL OR ends <= now_seconds - 30
        OR greatest(issued, (says ->> 'nbf')::numeric) > now_seconds + 30 THEN
        RETURN NULL;
    END IF;
    SELECT jsonb_build_object('organization_id', o.id, 'organization', o.key,
            'key_pattern', o.key_pattern, 'issuer_id', i.id, 'key_id', kid,
            'token_id', CASE WHEN i.built_in THEN t.jti END, 'expires', says -> 'exp',
            'actor', CASE WHEN i.built_in THEN says ->> 'sub'
                ELSE i.issuer || '#' || (says ->> 'sub') END,
            'actor_name', m.email,
            'grants', jsonb_build_array(jsonb_build_object('member_id', m.id, 'role', m.role,
                'environment_id', m.environment_id, 'environment', e.key)),
            'rights', jsonb_build_object({rights})), count(*) OVER ()
        INTO actor, roles
        FROM flagctl.issuers i
            JOIN flagctl.issuer_keys k ON k.issuer_id = i.id
            JOIN flagctl.members m ON m.issuer_id = i.id
            JOIN flagctl.organizations o ON o.id = m.organization_id
            LEFT JOIN flagctl.tokens t ON t.jti = flagctl.token_id(says ->> 'jti')
            LEFT JOIN flagctl.environments e ON e.id = m.environment_id
        WHERE i.issuer = says ->> 'iss' AND to_jsonb(i.audience) = says -> 'aud'
            AND ends - issued <= i.max_lifetime_seconds
            AND k.key_id = kid AND k.modulus = signed_by
            AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > at)
            AND (m.subject = says ->> 'sub' OR m.claims <@ says)
            AND CASE WHEN i.built_in THEN t.organization_id = o.id AND t.revoked_at IS NULL
                    AND t.subject = says ->> 'sub' AND t.expires_at = to_timestamp(ends)
                ELSE i.organization_id = o.id END
            AND (wanted IS NULL OR o.key = wanted);
    RETURN CASE WHEN roles = 1 THEN actor END;
END
$$;
"""

CHANGES = """
-- A MAC over the change, this backend and this transaction: a setting that was copied from another
-- one is worth nothing. Two transactions in one message have one time, so the id counts as well;
-- where nothing can be written, on a standby too, there is none.
CREATE FUNCTION flagctl.seal(inner_key bytea, outer_key bytea, change text) RETURNS text
    LANGUAGE sql STABLE
RETURN encode(sha256(outer_key || sha256(inner_key || convert_to(concat_ws(' ',
    pg_backend_pid(), extract(epoch FROM transaction_timestamp()),
    coalesce(pg_current_xact_id_if_assigned()::text, '-'), change), 'UTF8'))), 'hex');

CREATE FUNCTION flagctl.open_change(actor jsonb, reason text, client_version text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    change jsonb := actor || jsonb_build_object('change_id', gen_random_uuid(),
        'reason', reason, 'client_version', client_version);
    written text := change;
    setting text := current_setting('flagctl.change', true);
    schema text;
    number xid8;
BEGIN
    -- What is not sealed here, as somebody left it on a pooled connection, is in nobody's way.
    IF setting <> '' THEN
        IF EXISTS (SELECT FROM flagctl.change_key k WHERE left(setting, 64)
                = flagctl.seal(k.inner_key, k.outer_key, substr(setting, 66))) THEN
            RAISE EXCEPTION USING errcode = 'FC002',
                message = 'this transaction has begun a change already',
                hint = 'end it with COMMIT or ROLLBACK first';
        END IF;
    END IF;
    IF char_length(reason) > 2000 OR char_length(client_version) > 200 THEN
        RAISE EXCEPTION USING errcode = 'FC002',
            message = 'a reason has 2000 characters, and the version of a client 200, at most';
    END IF;
    IF NOT current_setting('transaction_read_only')::boolean THEN
        number := pg_current_xact_id();
    END IF;
    SELECT flagctl.seal(k.inner_key, k.outer_key, written) || ' ' || written, v.version_num
        INTO STRICT setting, schema FROM flagctl.change_key k, flagctl.schema_version v;
    setting := set_config('flagctl.change', setting, true);
    RETURN change || jsonb_build_object('schema_version', schema);
END
$$;

-- The one door: names the actor of this transaction, for reads and writes.
-- Where something can be written it takes the organization's lock at once, if nobody has it.
CREATE FUNCTION flagctl.begin_change(token text, organization text, reason text,
    client_version text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    actor jsonb := flagctl.remembered_actor(token, organization);
    verified jsonb;
    change jsonb;
    tenant bigint;
    named text;
BEGIN
    IF actor IS NULL THEN
        verified := flagctl.verify_token(token, organization);
        actor := flagctl.actor_of(verified, organization);
    END IF;
    change := flagctl.open_change(actor, reason, client_version);
    -- Every login of the server sees it, also one of another organization: no name, but a number.
    named := set_config('application_name',
        'flagctl member ' || (change #>> '{grants,0,member_id}'), true);
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN change;
    END IF;
    tenant := change -> 'organization_id';
    PERFORM FROM flagctl.organizations o WHERE o.id = tenant FOR NO KEY UPDATE SKIP LOCKED;
    -- Under the lock nobody else remembers the same token, for whose end we would wait.
    IF FOUND AND jsonb_typeof(verified -> 'new') = 'object' THEN
        PERFORM flagctl.remember_token(verified);
        RETURN change || '{"is_locked": true}';
    END IF;
    RETURN change || jsonb_build_object('is_locked', FOUND);
END
$$;

CREATE FUNCTION flagctl.remember_token(verified jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Another one's open transaction may be tidying up too: it is not waited for.
    DELETE FROM flagctl.verified_tokens v WHERE v.digest IN (SELECT o.digest
        FROM flagctl.verified_tokens o WHERE o.expires_at < now() - interval '1 minute'
        FOR UPDATE SKIP LOCKED);
    INSERT INTO flagctl.verified_tokens (digest, modulus, header, claims, expires_at)
        VALUES (decode(verified -> 'new' ->> 'digest', 'hex'),
            decode(verified -> 'new' ->> 'modulus', 'hex'), verified -> 'new' -> 'header',
            verified -> 'claims', to_timestamp((verified -> 'claims' ->> 'exp')::numeric))
        ON CONFLICT DO NOTHING;
END;

-- For whoever administers the installation: the first admin, issuers, organizations. Only the
-- owners and the keepers of trust may call it; it gives no right to any table.
CREATE FUNCTION flagctl.begin_owner_change(organization text, reason text, client_version text)
    RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    actor jsonb;
BEGIN
    SELECT jsonb_build_object('organization_id', o.id, 'organization', o.key,
        'key_pattern', o.key_pattern, 'actor', 'owner:' || session_user,
        'actor_name', session_user, 'is_owner', true, 'grants', '[]'::jsonb) INTO actor
        FROM flagctl.organizations o WHERE o.key = organization;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING errcode = 'FC005',
            message = format('there is no organization %s', quote_literal(organization)),
            hint = 'see `flagctl org list`';
    END IF;
    RETURN flagctl.open_change(actor, reason, client_version);
END
$$;

-- The open change, NULL without one. Any login may write the setting; only we can seal it. A
-- transaction that is kept open must not outlive what its token may do.
CREATE FUNCTION flagctl.current_change() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    setting text := current_setting('flagctl.change', true);
    is_sealed boolean;
BEGIN
    IF setting = '' OR setting IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT left(setting, 64) = flagctl.seal(k.inner_key, k.outer_key, substr(setting, 66))
        INTO STRICT is_sealed FROM flagctl.change_key k;
    IF NOT is_sealed THEN
        RAISE EXCEPTION USING errcode = 'FC003', message = 'the change was not begun here',
            hint = 'call flagctl.begin_change first';
    END IF;
    IF clock_timestamp() > transaction_timestamp() + interval '10 minutes' THEN
        RAISE EXCEPTION USING errcode = 'FC003',
            message = 'the change has been open for more than ten minutes',
            hint = 'begin it again';
    END IF;
    RETURN substr(setting, 66)::jsonb;
END
$$;

-- Asked before the first event of a change, under the lock that a revocation takes too: none comes
-- between.
CREATE FUNCTION flagctl.check_still_allowed(change jsonb) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    what record;
BEGIN
    -- An older snapshot would not show what was revoked meanwhile.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING errcode = 'FC002', message = 'a change is made in READ COMMITTED';
    END IF;
    IF change ? 'is_owner' THEN
        RETURN;
    END IF;
    SELECT o.archived_at IS NOT NULL AS is_archived,
            k.id IS NULL OR k.revoked_at IS NOT NULL OR coalesce(k.expires_at <= at, false)
                OR t.revoked_at IS NOT NULL AS is_revoked,
            EXISTS (SELECT FROM jsonb_array_elements(change -> 'grants') AS g
                WHERE NOT EXISTS (SELECT FROM flagctl.members m
                    WHERE m.id = (g -> 'member_id')::bigint AND m.role = g ->> 'role')) AS is_other
        INTO STRICT what
        FROM flagctl.organizations o
            LEFT JOIN flagctl.issuer_keys k ON k.issuer_id = (change -> 'issuer_id')::bigint
                AND k.key_id = change ->> 'key_id'
            LEFT JOIN flagctl.tokens t ON t.jti = (change ->> 'token_id')::uuid
        WHERE o.id = (change -> 'organization_id')::bigint;
    IF what.is_revoked OR (change -> 'expires')::numeric + 30 <= extract(epoch FROM at) THEN
        PERFORM flagctl.refuse_token('the token was revoked, or ended, meanwhile');
    END IF;
    IF what.is_other THEN
        RAISE EXCEPTION USING errcode = 'FC004', message = 'your roles were changed meanwhile',
            hint = '`flagctl whoami` shows them';
    END IF;
    IF what.is_archived THEN
        RAISE EXCEPTION USING errcode = 'FC004',
            message = format('the organization %s is archived', change ->> 'organization'),
            hint = 'its owner brings it back with `flagctl org unarchive`';
    END IF;
END
$$;
"""

PERMISSIONS = """
-- What the policies ask, once a statement: the organization of the verified actor, or NULL …
CREATE FUNCTION flagctl.current_organization() RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN flagctl.current_change() -> 'organization_id';
END
$$;

-- … the same, where the actor may in the whole of it, else NULL …
CREATE FUNCTION flagctl.organization_where(permission text) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := flagctl.current_change();
BEGIN
    RETURN CASE WHEN change -> 'rights' -> permission = 'true' THEN change -> 'organization_id' END;
END
$$;

-- … where the actor may in every environment: a flag's definition needs that, each serves it …
CREATE FUNCTION flagctl.organization_throughout(permission text) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := flagctl.current_change();
    places jsonb := change -> 'rights' -> permission;
    organization bigint := change -> 'organization_id';
BEGIN
    RETURN CASE WHEN places = 'true' OR (jsonb_array_length(places) > 0
        AND places @> to_jsonb(flagctl.environments_of(organization))) THEN organization END;
END
$$;

-- … where the actor may in one environment at least: what is used nowhere yet …
CREATE FUNCTION flagctl.organization_somewhere(permission text) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := flagctl.current_change();
    places jsonb := change -> 'rights' -> permission;
BEGIN
    RETURN CASE WHEN places = 'true' OR jsonb_array_length(places) > 0
        THEN change -> 'organization_id' END;
END
$$;

-- … and in which environments. They are of the actor's organization, so that rows which name one
-- need no other test: foreign keys tie both together.
CREATE FUNCTION flagctl.environments_where(permission text) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := flagctl.current_change();
    places jsonb := change -> 'rights' -> permission;
BEGIN
    IF places = 'true' THEN
        RETURN flagctl.environments_of((change -> 'organization_id')::bigint);
    END IF;
    RETURN ARRAY(SELECT jsonb_array_elements_text(coalesce(places, '[]')))::bigint[];
END
$$;

CREATE FUNCTION flagctl.environments_of(organization bigint) RETURNS bigint[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN ARRAY(SELECT e.id FROM flagctl.environments e
    WHERE e.organization_id = organization ORDER BY e.id);
"""

DROP = """
DROP FUNCTION flagctl.organization_throughout(text), flagctl.organization_somewhere(text),
    flagctl.organization_where(text),
    flagctl.environments_where(text), flagctl.environments_of(bigint),
    flagctl.current_organization(), flagctl.check_still_allowed(jsonb), flagctl.current_change(),
    flagctl.begin_owner_change(text, text, text), flagctl.begin_change(text, text, text, text),
    flagctl.remembered_actor(text, text), flagctl.remember_token(jsonb),
    flagctl.open_change(jsonb, text, text),
    flagctl.seal(bytea, bytea, text), flagctl.actor_of(jsonb, text), flagctl.memberships(jsonb),
    flagctl.registration(jsonb), flagctl.token_id(text), flagctl.role_allows(text, text);
"""


def upgrade() -> None:
    execute(AUTHENTICATION.replace("{rights}", _RIGHTS))
    execute(REMEMBERED.replace("{rights}", _RIGHTS_OF_ONE))
    for script in (CHANGES, PERMISSIONS):
        execute(script)


def downgrade() -> None:
    execute(DROP)

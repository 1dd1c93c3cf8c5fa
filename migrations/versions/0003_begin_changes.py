"""Who acts: begin_change verifies a token, finds the member and seals both into the transaction."""

from migrations.statements import execute

revision = "0003"
down_revision = "0002"

# Error codes that core/db.py translates: FC002 invalid, FC003 not authenticated, FC004 not allowed.
AUTHENTICATION = """
-- The registration of a token; NULLs for another issuer's. Of the built-in issuer only what was
-- registered here counts.
CREATE FUNCTION flagctl.registration(trusted bigint[], claims jsonb) RETURNS flagctl.tokens
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    registered flagctl.tokens;
BEGIN
    SELECT * INTO registered FROM flagctl.tokens t
        WHERE t.issuer_id = ANY (trusted) AND t.jti::text = claims ->> 'jti'
            AND t.subject = claims ->> 'sub'
            -- A key file that was stolen could sign an old id again, with a later end.
            AND t.expires_at = to_timestamp((claims ->> 'exp')::numeric);
    IF registered.id IS NULL
        AND EXISTS (SELECT FROM flagctl.issuers i WHERE i.id = ANY (trusted) AND i.built_in) THEN
        PERFORM flagctl.refuse_token('the token was never registered here',
            'tokens come from `flagctl token issue`');
    END IF;
    IF registered.revoked_at IS NOT NULL THEN
        PERFORM flagctl.refuse_token('the token has been revoked', 'ask an admin for a new one');
    END IF;
    RETURN registered;
END
$$;

-- Whom a token speaks for, in one organization, with its roles there.
CREATE FUNCTION flagctl.authenticate(token text, organization text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    verified jsonb := flagctl.verify_token(token, organization);
    claims jsonb := verified -> 'claims';
    trusted bigint[] := ARRAY(SELECT jsonb_array_elements_text(verified -> 'issuers'))::bigint[];
    issuer flagctl.issuers;
    registered flagctl.tokens := flagctl.registration(trusted, claims);
    member_of bigint[];
    org flagctl.organizations;
BEGIN
    SELECT array_agg(DISTINCT m.organization_id) INTO member_of
        FROM flagctl.memberships(trusted, claims) m
        WHERE registered.id IS NULL OR m.organization_id = registered.organization_id;
    SELECT * INTO org FROM flagctl.organizations o
        WHERE o.id = ANY (member_of) AND (organization IS NULL OR o.key = organization);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING errcode = 'FC004',
            message = format('%s is not a member of %s',
                coalesce(claims ->> 'email', claims ->> 'sub'),
                coalesce('organization ' || organization, 'any organization')),
            hint = 'an admin adds members with `flagctl member add`';
    END IF;
    IF organization IS NULL AND cardinality(member_of) > 1 THEN
        RAISE EXCEPTION USING errcode = 'FC002', message = 'you belong to several organizations',
            hint = 'name one with --org';
    END IF;
    SELECT i.* INTO issuer FROM flagctl.issuers i WHERE i.id = ANY (trusted)
        AND (i.built_in OR i.organization_id = org.id);
    RETURN jsonb_build_object(
        'organization_id', org.id,
        'organization', org.key,
        'key_pattern', org.key_pattern,
        'issuer_id', issuer.id,
        'key_id', convert_from(flagctl.base64url_decode(split_part(token, '.', 1)), 'UTF8')::jsonb
            ->> 'kid',
        'token_id', registered.jti,
        'expires', claims -> 'exp',
        'actor', CASE WHEN issuer.built_in THEN claims ->> 'sub'
            ELSE issuer.issuer || '#' || (claims ->> 'sub') END
    ) || (SELECT jsonb_build_object(
            'actor_name', (array_agg(m.email ORDER BY m.subject NULLS LAST, m.id))[1],
            'grants', jsonb_agg(jsonb_build_object('member_id', m.id, 'role', m.role,
                'environment_id', m.environment_id, 'environment', e.key) ORDER BY m.id))
        FROM flagctl.memberships(ARRAY[issuer.id], claims) m
            LEFT JOIN flagctl.environments e ON e.id = m.environment_id
        WHERE m.organization_id = org.id);
END
$$;

-- The roles of a subject, and those of whoever has certain claims.
CREATE FUNCTION flagctl.memberships(trusted bigint[], presented jsonb)
    RETURNS SETOF flagctl.members
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.* FROM flagctl.members m JOIN flagctl.issuers i ON i.id = m.issuer_id
        WHERE m.issuer_id = ANY (trusted)
            AND (i.built_in OR i.organization_id = m.organization_id)
            AND (m.subject = presented ->> 'sub' OR m.claims <@ presented)
$$;
"""

CHANGES = """
-- A MAC over the change, this backend and this transaction: a setting that was copied from another
-- one is worth nothing. Two transactions in one message have one time, so the id counts as well;
-- where nothing can be written, on a standby too, there is none.
CREATE FUNCTION flagctl.seal(change text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (SELECT encode(sha256(k.outer_key || sha256(k.inner_key || convert_to(concat_ws(' ',
        pg_backend_pid(), extract(epoch FROM transaction_timestamp()),
        coalesce(pg_current_xact_id_if_assigned()::text, '-'), change), 'UTF8'))), 'hex')
    FROM flagctl.change_key k);

CREATE FUNCTION flagctl.open_change(actor jsonb, reason text, client_version text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := actor || jsonb_build_object('change_id', gen_random_uuid(),
        'reason', reason, 'client_version', client_version);
BEGIN
    IF coalesce(current_setting('flagctl.change', true), '') <> '' THEN
        RAISE EXCEPTION USING errcode = 'FC002',
            message = 'this transaction has begun a change already',
            hint = 'end it with COMMIT or ROLLBACK first';
    END IF;
    IF NOT current_setting('transaction_read_only')::boolean THEN
        PERFORM pg_current_xact_id();
    END IF;
    PERFORM set_config('flagctl.change',
        flagctl.seal(change::text) || ' ' || change::text, true);
    RETURN change;
END
$$;

-- The one door: names the actor of this transaction, for reads and writes.
CREATE FUNCTION flagctl.begin_change(token text, organization text, reason text,
    client_version text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    change jsonb := flagctl.open_change(flagctl.authenticate(token, organization), reason,
        client_version);
BEGIN
    PERFORM set_config('application_name', 'flagctl ' || (change ->> 'actor_name'), true);
    RETURN change;
END
$$;

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
    IF clock_timestamp() > transaction_timestamp() + interval '10 minutes' THEN
        RAISE EXCEPTION USING errcode = 'FC003',
            message = 'the change has been open for more than ten minutes',
            hint = 'begin it again';
    END IF;
    RETURN change::jsonb;
END
$$;

-- Asked before the first event of a change, under the lock that a revocation takes too: none comes
-- between.
CREATE FUNCTION flagctl.check_still_allowed(change jsonb) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An older snapshot would not show what was revoked meanwhile.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING errcode = 'FC002', message = 'a change is made in READ COMMITTED';
    END IF;
    IF change ? 'is_owner' THEN
        RETURN;
    END IF;
    IF (change ->> 'expires')::numeric + 30 <= extract(epoch FROM clock_timestamp())
        OR EXISTS (SELECT FROM flagctl.tokens t
            WHERE t.jti = (change ->> 'token_id')::uuid AND t.revoked_at IS NOT NULL)
        OR NOT EXISTS (SELECT FROM flagctl.issuer_keys k
            WHERE k.issuer_id = (change ->> 'issuer_id')::bigint
                AND k.key_id = change ->> 'key_id' AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())) THEN
        PERFORM flagctl.refuse_token('the token was revoked, or ended, meanwhile');
    END IF;
    IF EXISTS (SELECT FROM jsonb_to_recordset(change -> 'grants') AS g (member_id bigint, role text)
        WHERE NOT EXISTS (SELECT FROM flagctl.members m
            WHERE m.id = g.member_id AND m.role = g.role)) THEN
        RAISE EXCEPTION USING errcode = 'FC004', message = 'your roles were changed meanwhile',
            hint = '`flagctl whoami` shows them';
    END IF;
    IF EXISTS (SELECT FROM flagctl.organizations o
        WHERE o.id = (change ->> 'organization_id')::bigint AND o.archived_at IS NOT NULL) THEN
        RAISE EXCEPTION USING errcode = 'FC004',
            message = format('the organization %s is archived', change ->> 'organization'),
            hint = 'its owner brings it back with `flagctl org unarchive`';
    END IF;
END
$$;
"""

PERMISSIONS = """
-- The same table as core/auth/actor.py; a test holds them together.
CREATE FUNCTION flagctl.role_allows(role text, permission text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE permission
    WHEN 'read' THEN role IN ('viewer', 'editor', 'approver', 'admin')
    WHEN 'edit' THEN role IN ('editor', 'admin')
    WHEN 'administer' THEN role = 'admin'
    WHEN 'govern' THEN role = 'admin'
    ELSE false END;

-- What the policies ask, once a statement: the organization of the verified actor, or NULL …
CREATE FUNCTION flagctl.current_organization() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (flagctl.current_change() ->> 'organization_id')::bigint;

-- … whether the actor may in the whole organization …
CREATE FUNCTION flagctl.may(permission text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM jsonb_to_recordset(flagctl.current_change() -> 'grants')
        AS g (role text, environment_id bigint)
    WHERE g.environment_id IS NULL AND flagctl.role_allows(g.role, permission));

-- … in which environments …
CREATE FUNCTION flagctl.environments_where(permission text) RETURNS bigint[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (SELECT coalesce(array_agg(DISTINCT e.id), '{}')
    FROM flagctl.environments e
        JOIN jsonb_to_recordset(flagctl.current_change() -> 'grants')
            AS g (role text, environment_id bigint)
            ON g.environment_id = e.id OR g.environment_id IS NULL
    WHERE e.organization_id = flagctl.current_organization()
        AND flagctl.role_allows(g.role, permission));

-- … and in every one, which a flag's definition needs: each of them serves it.
CREATE FUNCTION flagctl.may_everywhere(permission text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN flagctl.may(permission) OR (SELECT count(*) > 0
        AND bool_and(e.id = ANY (flagctl.environments_where(permission)))
    FROM flagctl.environments e WHERE e.organization_id = flagctl.current_organization());
"""

DROP = """
DROP FUNCTION flagctl.may_everywhere(text), flagctl.environments_where(text), flagctl.may(text),
    flagctl.current_organization(), flagctl.role_allows(text, text),
    flagctl.check_still_allowed(jsonb), flagctl.current_change(),
    flagctl.begin_owner_change(text, text, text), flagctl.begin_change(text, text, text, text),
    flagctl.open_change(jsonb, text, text), flagctl.seal(text),
    flagctl.authenticate(text, text), flagctl.registration(bigint[], jsonb),
    flagctl.memberships(bigint[], jsonb);
"""


def upgrade() -> None:
    for script in (AUTHENTICATION, CHANGES, PERMISSIONS):
        execute(script)


def downgrade() -> None:
    execute(DROP)

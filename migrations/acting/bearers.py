"""Whom a token speaks for: registration, memberships, and the rights they come to."""

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
_LONG_WAY = """
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
    LANGUAGE plpgsql STABLE
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
        WHERE m.issuer_id = ANY (ARRAY(SELECT jsonb_array_elements(verified -> 'issuers')::bigint))
            AND coalesce(m.subject, '') IN (verified -> 'claims' ->> 'sub', '')
            AND (i.built_in OR i.organization_id = m.organization_id)
            AND (m.subject = verified -> 'claims' ->> 'sub' OR m.claims <@ (verified -> 'claims'))
$$;

-- Whom a verified token speaks for, in one organization, with its roles there.
CREATE FUNCTION flagctl.actor_of(verified jsonb, wanted text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
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

_SHORT_WAY = """
-- The same in two short queries, for whom most tokens are: seen before, nothing is in its way, and
-- its bearer has one role, in one organization. NULL for all others: the long way then decides,
-- and says why not. It asks all that the long way asks; a test holds both together.
CREATE FUNCTION flagctl.remembered_actor(token text, wanted text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    known flagctl.verified_tokens;
BEGIN
    SELECT * INTO known FROM flagctl.verified_tokens v
        WHERE v.digest = sha256(convert_to(token, 'UTF8'));
    RETURN flagctl.remembered_bearer(known, wanted);
END
$$;

CREATE FUNCTION flagctl.remembered_bearer(known flagctl.verified_tokens, wanted text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    now_seconds numeric := extract(epoch FROM at);
    says jsonb := known.claims;
    kid text := known.header ->> 'kid';
    issued numeric := says -> 'iat';
    ends numeric := says -> 'exp';
    found record;
    roles integer := 0;
BEGIN
    IF says IS NULL OR ends <= now_seconds - 30
        OR greatest(issued, (says ->> 'nbf')::numeric) > now_seconds + 30 THEN
        RETURN NULL;
    END IF;
    FOR found IN SELECT jsonb_build_object('organization_id', o.id, 'organization', o.key,
            'key_pattern', o.key_pattern, 'issuer_id', i.id, 'key_id', kid,
            'token_id', CASE WHEN i.built_in THEN t.jti END, 'expires', says -> 'exp',
            'actor', CASE WHEN i.built_in THEN says ->> 'sub'
                ELSE i.issuer || '#' || (says ->> 'sub') END,
            'actor_name', m.email,
            'grants', jsonb_build_array(jsonb_build_object('member_id', m.id, 'role', m.role,
                'environment_id', m.environment_id, 'environment', e.key)),
            'rights', jsonb_build_object({rights})) AS actor
        FROM flagctl.issuers i
            JOIN flagctl.issuer_keys k ON k.issuer_id = i.id
            JOIN flagctl.members m ON m.issuer_id = i.id
            JOIN flagctl.organizations o ON o.id = m.organization_id
            LEFT JOIN flagctl.tokens t ON t.jti = flagctl.token_id(says ->> 'jti')
            LEFT JOIN flagctl.environments e ON e.id = m.environment_id
        WHERE i.issuer = says ->> 'iss' AND to_jsonb(i.audience) = says -> 'aud'
            AND ends - issued <= i.max_lifetime_seconds
            AND k.key_id = kid AND k.modulus = known.modulus
            AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > at)
            AND coalesce(m.subject, '') IN (says ->> 'sub', '')
            AND (m.subject = says ->> 'sub' OR m.claims <@ says)
            AND CASE WHEN i.built_in THEN t.organization_id = o.id AND t.revoked_at IS NULL
                    AND t.subject = says ->> 'sub' AND t.expires_at = to_timestamp(ends)
                ELSE i.organization_id = o.id END
            AND (wanted IS NULL OR o.key = wanted)
        LIMIT 2
    LOOP
        roles := roles + 1;
    END LOOP;
    RETURN CASE WHEN roles = 1 THEN found.actor END;
END
$$;
"""

FUNCTIONS = _LONG_WAY.replace("{rights}", _RIGHTS) + _SHORT_WAY.replace("{rights}", _RIGHTS_OF_ONE)

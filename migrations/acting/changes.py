"""The change that a transaction begins: sealed, opened, looked at, asked for once more."""

FUNCTIONS = """
-- A MAC over the change, this backend and this transaction: a setting that was copied from another
-- one is worth nothing. Two transactions in one message have one time, so the id counts as well;
-- where nothing can be written, on a standby too, there is none.
CREATE FUNCTION flagctl.seal(inner_key bytea, outer_key bytea, change text) RETURNS text
    LANGUAGE sql STABLE
RETURN encode(sha256(outer_key || sha256(inner_key || convert_to(concat_ws(' ',
    pg_backend_pid(), extract(epoch FROM transaction_timestamp()),
    coalesce(pg_current_xact_id_if_assigned()::text, '-'), change), 'UTF8'))), 'hex');

CREATE FUNCTION flagctl.open_change(actor jsonb, reason text, client_version text) RETURNS jsonb
    LANGUAGE plpgsql
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
        PERFORM flagctl.remember_token(verified, tenant);
        RETURN change || '{"is_locked": true}';
    END IF;
    RETURN change || jsonb_build_object('is_locked', FOUND);
END
$$;

CREATE FUNCTION flagctl.remember_token(verified jsonb, tenant bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Another one's open transaction may be tidying up too: it is not waited for.
    DELETE FROM flagctl.verified_tokens v WHERE v.digest IN (SELECT o.digest
        FROM flagctl.verified_tokens o WHERE o.expires_at < now() - interval '1 minute'
        FOR UPDATE SKIP LOCKED);
    INSERT INTO flagctl.verified_tokens
            (digest, modulus, header, claims, expires_at, organization_id)
        VALUES (decode(verified -> 'new' ->> 'digest', 'hex'),
            decode(verified -> 'new' ->> 'modulus', 'hex'), verified -> 'new' -> 'header',
            verified -> 'claims', to_timestamp((verified -> 'claims' ->> 'exp')::numeric),
            tenant)
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
    LANGUAGE plpgsql STABLE
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
    LANGUAGE plpgsql STABLE
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

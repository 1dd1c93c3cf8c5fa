"""Verify tokens in Postgres: strict base64url and JSON, RS256, claims; no extension is needed."""

from migrations.statements import execute

revision = "0002"
down_revision = "0001"

# RFC 7515 and 8259, read as strictly as core/json_text.py reads them: both give one verdict.
READING = r"""
CREATE FUNCTION flagctl.refuse_token(message text,
    hint text DEFAULT 'get a new one with `flagctl token issue EMAIL`') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING errcode = 'FC003', message = message, hint = hint;
END
$$;

-- Canonical only: a decoder that passes over stray bits lets one signature have several forms.
CREATE FUNCTION flagctl.base64url_decode(part text) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    padded text := translate(part, '-_', '+/') || repeat('=', -length(part) & 3);
    data bytea := decode(padded, 'base64');
BEGIN
    -- Postgres breaks lines after 76 characters.
    IF translate(encode(data, 'base64'), E'\n', '') <> padded THEN
        RAISE EXCEPTION USING errcode = 'invalid_parameter_value',
            message = 'it is not canonical base64url';
    END IF;
    RETURN data;
END
$$;

CREATE FUNCTION flagctl.significant_digits(digits text) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN length(trim('0' FROM translate(digits, '-.', '')));

-- The shortest number that leads to a double, as Python and JavaScript write it. Postgres writes a
-- longer one where that lies halfway to the next double, as 1e23 does; it has 15 or 16 digits then.
CREATE FUNCTION flagctl.shortest_number(value float8) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
DECLARE
    written numeric := value::text;
    shorter numeric;
BEGIN
    FOREACH shorter IN ARRAY ARRAY[value::numeric,
        to_char(written, '9.999999999999999EEEE')::numeric] LOOP
        IF flagctl.significant_digits(shorter::text) < flagctl.significant_digits(written::text)
            AND abs(shorter) < 1.7976931348623158e308 AND shorter::float8 = value THEN
            RETURN shorter;
        END IF;
    END LOOP;
    RETURN written;
END
$$;

-- Whether a double or an integer of a sane length holds exactly this number.
CREATE FUNCTION flagctl.is_exact_number(digits text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN digits !~ '[.eE]' THEN length(ltrim(digits, '-')) <= 4000
    WHEN length(digits) > 4000 OR digits ~ '[eE][+-]?[0-9]{5}' THEN false
    ELSE digits::numeric = flagctl.shortest_number(digits::float8) END;

-- One part of a token as a document. No key stands twice, nothing is nested deeper than 64 levels.
CREATE FUNCTION flagctl.token_document(part text, what text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    document json;
BEGIN
    document := convert_from(flagctl.base64url_decode(part), 'UTF8');
    IF json_typeof(document) <> 'object' OR EXISTS (
        WITH RECURSIVE node (value, depth) AS (
            SELECT document, 0
            UNION ALL
            SELECT child.value, node.depth + 1 FROM node CROSS JOIN LATERAL (
                SELECT o.value FROM json_each(CASE json_typeof(node.value)
                    WHEN 'object' THEN node.value ELSE '{}' END) AS o
                UNION ALL
                SELECT a.value FROM json_array_elements(CASE json_typeof(node.value)
                    WHEN 'array' THEN node.value ELSE '[]' END) AS a
            ) AS child
            WHERE node.depth <= 64
        )
        SELECT FROM node WHERE CASE json_typeof(node.value)
            WHEN 'object' THEN node.depth >= 64 OR (SELECT count(*) <> count(DISTINCT key)
                FROM json_object_keys(node.value) AS key)
            WHEN 'array' THEN node.depth >= 64
            WHEN 'number' THEN NOT flagctl.is_exact_number(node.value::text)
            ELSE false END
    ) THEN
        RAISE EXCEPTION USING errcode = 'invalid_parameter_value', message = 'it is no such JSON';
    END IF;
    RETURN document::jsonb;
EXCEPTION WHEN OTHERS THEN
    PERFORM flagctl.refuse_token(format('the token cannot be read: its %s are no strict JSON '
        'object in base64url', what));
END
$$;
"""

SIGNATURE = r"""
-- Big-endian bytes as a number, fifteen hexadecimal digits at a time: they fit a bigint.
CREATE FUNCTION flagctl.number_of(bytes bytea) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digits text := encode(bytes, 'hex');
    whole text := repeat('0', (15 - length(digits) % 15) % 15) || digits;
    result numeric := 0;
BEGIN
    FOR place IN 1 .. length(whole) BY 15 LOOP
        result := result * 1152921504606846976
            + ('x' || substr(whole, place, 15))::bit(60)::bigint;
    END LOOP;
    RETURN result;
END
$$;

-- RSASSA-PKCS1-v1_5 with SHA-256 and the exponent 65537 (RFC 8017, 8.2.2). The whole padded block
-- is compared: a verifier that only looks for the digest in it can be cheated.
CREATE FUNCTION flagctl.verify_rs256(signed text, signature bytea, modulus bytea) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    size integer := octet_length(modulus);
    n numeric := flagctl.number_of(modulus);
    s numeric := flagctl.number_of(signature);
    power numeric := s;
    digest_info bytea := '\x3031300d060960864801650304020105000420'
        || sha256(convert_to(signed, 'UTF8'));
    expected bytea := '\x0001'
        || decode(repeat('ff', size - 3 - octet_length(digest_info)), 'hex')
        || '\x00' || digest_info;
BEGIN
    IF octet_length(signature) <> size OR s >= n THEN
        RETURN false;
    END IF;
    FOR squaring IN 1 .. 16 LOOP
        power := mod(power * power, n);
    END LOOP;
    RETURN mod(power * s, n) = flagctl.number_of(expected);
END
$$;
"""

CLAIMS = r"""
-- A time in seconds since 1970; what a calendar cannot hold is refused.
CREATE FUNCTION flagctl.token_time(claims jsonb, claim text) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds numeric;
BEGIN
    IF jsonb_typeof(claims -> claim) IS DISTINCT FROM 'number' THEN
        PERFORM flagctl.refuse_token(format('the token''s `%s` is not a number', claim));
    END IF;
    seconds := (claims ->> claim)::numeric;
    IF seconds NOT BETWEEN 0 AND 253402300799 THEN
        PERFORM flagctl.refuse_token(format('the token''s `%s` is out of range', claim));
    END IF;
    RETURN seconds;
END
$$;

CREATE FUNCTION flagctl.check_claims(claims jsonb, max_lifetime_seconds integer, at timestamptz)
    RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leeway CONSTANT numeric := 30;
    now_seconds numeric := extract(epoch FROM at);
    issued numeric := flagctl.token_time(claims, 'iat');
    expires numeric := flagctl.token_time(claims, 'exp');
    starts numeric := greatest(issued,
        CASE WHEN claims ? 'nbf' THEN flagctl.token_time(claims, 'nbf') END);
    form CONSTANT text := 'YYYY-MM-DD HH24:MI:SS "UTC"';
BEGIN
    IF jsonb_typeof(claims -> 'sub') IS DISTINCT FROM 'string'
        OR char_length(claims ->> 'sub') NOT BETWEEN 1 AND 255 THEN
        PERFORM flagctl.refuse_token('the token''s `sub` is not a text of 1 to 255 characters');
    END IF;
    IF claims ? 'jti' AND jsonb_typeof(claims -> 'jti') <> 'string' THEN
        PERFORM flagctl.refuse_token('the token''s `jti` is not a text');
    END IF;
    IF expires <= now_seconds - leeway THEN
        PERFORM flagctl.refuse_token('the token expired at '
            || to_char(to_timestamp(expires) AT TIME ZONE 'UTC', form));
    END IF;
    IF starts > now_seconds + leeway THEN
        PERFORM flagctl.refuse_token('the token is not valid before '
            || to_char(to_timestamp(starts) AT TIME ZONE 'UTC', form),
            'check the clocks of this machine and of the issuer');
    END IF;
    IF expires - issued > max_lifetime_seconds THEN
        PERFORM flagctl.refuse_token('the token lives longer than its issuer may give: '
            || make_interval(secs => max_lifetime_seconds));
    END IF;
END
$$;

-- The parts of a token that has the form of one, and says what it must.
CREATE FUNCTION flagctl.read_token(token text, OUT header jsonb, OUT claims jsonb,
    OUT signature bytea)
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
BEGIN
    IF token IS NULL OR length(token) > 16384
        OR token !~ '^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$' THEN
        PERFORM flagctl.refuse_token('the token is not a JWT of three parts');
    END IF;
    header := flagctl.token_document(split_part(token, '.', 1), 'header');
    claims := flagctl.token_document(split_part(token, '.', 2), 'claims');
    BEGIN
        signature := flagctl.base64url_decode(split_part(token, '.', 3));
    EXCEPTION WHEN data_exception THEN
        PERFORM flagctl.refuse_token('the token cannot be read: its signature is no base64url');
    END;
    IF header -> 'alg' IS DISTINCT FROM '"RS256"' THEN
        PERFORM flagctl.refuse_token(format('the token is signed with %s, flagctl takes RS256 only',
            coalesce(header ->> 'alg', 'nothing')));
    END IF;
    IF header ?| ARRAY['crit', 'b64'] THEN
        PERFORM flagctl.refuse_token('the token has a critical header that flagctl does not know');
    END IF;
    IF jsonb_typeof(header -> 'kid') IS DISTINCT FROM 'string'
        OR jsonb_typeof(claims -> 'iss') IS DISTINCT FROM 'string' THEN
        PERFORM flagctl.refuse_token(
            'the token does not say who signed it: it needs `kid` and `iss`');
    END IF;
    SELECT c INTO missing FROM unnest(ARRAY['exp', 'iat', 'aud', 'sub']) AS c
        WHERE coalesce(claims -> c, 'null') = 'null' LIMIT 1;
    IF missing IS NOT NULL THEN
        PERFORM flagctl.refuse_token(format('the token has no `%s`', missing));
    END IF;
END
$$;

-- What a token says, once its form, signature, issuer, audience and times were found good:
-- {"claims", "issuers": [id], "key_id", "built_in"}, and "new" with what to remember of a token
-- that was not seen before. An issuer that several organizations trust has a row for each.
-- Nobody but the owner may call it, so nobody else chooses the time.
CREATE FUNCTION flagctl.verify_token(token text, organization text,
    at timestamptz DEFAULT clock_timestamp()) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    header jsonb;
    claims jsonb;
    token_digest bytea := sha256(convert_to(token, 'UTF8'));
    known flagctl.verified_tokens;
    signature bytea;
    candidate record;
    problem text := 'the token''s issuer %s is not trusted here';
    hint text := 'is it the token of another installation?';
    audience text;
    checked bytea;
    signed_by bytea;
    is_good boolean := false;
    built_in boolean := false;
    issuers bigint[] := '{}';
BEGIN
    SELECT * INTO known FROM flagctl.verified_tokens v WHERE v.digest = token_digest;
    IF FOUND THEN
        header := known.header;
        claims := known.claims;
    ELSE
        SELECT r.header, r.claims, r.signature INTO header, claims, signature
            FROM flagctl.read_token(token) r;
    END IF;
    FOR candidate IN
        SELECT i.id, i.audience, i.built_in, i.max_lifetime_seconds, k.modulus,
            k.id IS NOT NULL AS is_known,
            k.revoked_at IS NOT NULL OR k.expires_at <= at AS is_over
        FROM flagctl.issuers i
            LEFT JOIN flagctl.issuer_keys k ON k.issuer_id = i.id AND k.key_id = header ->> 'kid'
        WHERE i.issuer = claims ->> 'iss' AND (organization IS NULL OR i.built_in
            OR i.organization_id = (SELECT o.id FROM flagctl.organizations o
                WHERE o.key = organization))
        ORDER BY k.modulus, i.id
    LOOP
        IF NOT candidate.is_known THEN
            problem := 'the key %2$s that signed the token is not known';
            hint := CASE WHEN candidate.built_in
                THEN 'get a new token with `flagctl token issue EMAIL`'
                ELSE 'if its issuer has new keys, run `flagctl issuer refresh`' END;
            CONTINUE;
        END IF;
        IF candidate.is_over THEN
            problem := 'the key %2$s that signed the token has been revoked';
            hint := NULL;
            CONTINUE;
        END IF;
        IF known.digest IS NOT NULL THEN
            is_good := candidate.modulus = known.modulus;
        ELSIF candidate.modulus IS DISTINCT FROM checked THEN
            checked := candidate.modulus;
            is_good := flagctl.verify_rs256(
                left(token, -1 - length(split_part(token, '.', 3))), signature, checked);
        END IF;
        IF NOT is_good THEN
            problem := 'the token''s signature is wrong: it was altered, or signed by another key';
            hint := NULL;
        ELSIF claims -> 'aud' <> to_jsonb(candidate.audience) THEN
            problem := 'the token is for another audience than %3$s';
            hint := NULL;
            audience := quote_literal(candidate.audience);
        ELSE
            PERFORM flagctl.check_claims(claims, candidate.max_lifetime_seconds, at);
            issuers := issuers || candidate.id;
            built_in := candidate.built_in;
            signed_by := candidate.modulus;
        END IF;
    END LOOP;
    IF issuers = '{}' THEN
        PERFORM flagctl.refuse_token(format(problem, quote_literal(claims ->> 'iss'),
                quote_literal(header ->> 'kid'), audience),
            coalesce(hint, 'get a new one with `flagctl token issue EMAIL`'));
    END IF;
    RETURN jsonb_build_object('claims', claims, 'issuers', issuers, 'key_id', header -> 'kid',
        'built_in', built_in, 'new', CASE WHEN known.digest IS NULL THEN jsonb_build_object(
            'digest', encode(token_digest, 'hex'), 'modulus', encode(signed_by, 'hex'),
            'header', header) END);
END
$$;
"""

DROP = """
DROP FUNCTION flagctl.verify_token(text, text, timestamptz), flagctl.read_token(text),
    flagctl.check_claims(jsonb, integer, timestamptz), flagctl.token_time(jsonb, text),
    flagctl.verify_rs256(text, bytea, bytea), flagctl.number_of(bytea),
    flagctl.token_document(text, text), flagctl.is_exact_number(text),
    flagctl.shortest_number(float8), flagctl.significant_digits(text),
    flagctl.base64url_decode(text), flagctl.refuse_token(text, text);
"""


def upgrade() -> None:
    # Not "in schema": a grant to PUBLIC that stands by default can only be taken back as a whole.
    execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;")
    for script in (READING, SIGNATURE, CLAIMS):
        execute(script)


def downgrade() -> None:
    execute(DROP)

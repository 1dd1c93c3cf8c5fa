"""What an entity looks like in the audit log. Never a secret, never what only triggers set."""

FUNCTIONS = """
-- Without a search path of their own they become part of the expression that asks, which has one.
CREATE FUNCTION flagctl.document(o flagctl.organizations) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', o.key, 'name', o.name,
    'key_pattern', o.key_pattern, 'archived', o.archived_at IS NOT NULL);

CREATE FUNCTION flagctl.document(e flagctl.environments) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', e.key, 'description', e.description,
    'confirm', e.confirm, 'id', e.public_id);

CREATE FUNCTION flagctl.document(f flagctl.flags) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', f.key, 'type', f.type, 'variants', f.variants,
    'on_variant', f.on_variant, 'off_variant', f.off_variant,
    'default_enabled', f.default_enabled, 'description', f.description, 'owner', f.owner,
    'tags', to_jsonb(f.tags), 'permanent', f.permanent, 'client_visible', f.client_visible,
    'expires_at', f.expires_at, 'archived', f.archived_at IS NOT NULL, 'salt', f.salt,
    'version', f.version);

-- Without a search path of their own both become part of the expression that asks.
CREATE FUNCTION flagctl.override_document(flag text, environment text, enabled boolean,
    targeting jsonb, version integer) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', flag, 'environment', environment,
    'enabled', enabled, 'targeting', targeting, 'version', version);

CREATE FUNCTION flagctl.document(o flagctl.overrides, flag text, environment text) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN flagctl.override_document(flag, environment, o.enabled, o.targeting, o.version);

CREATE FUNCTION flagctl.document(s flagctl.segments) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', s.key, 'description', s.description,
    'condition', s.condition, 'version', s.version);

CREATE FUNCTION flagctl.document(c flagctl.configs) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', c.key, 'type', c.type, 'schema', c.schema,
    'description', c.description, 'client_visible', c.client_visible, 'version', c.version);

CREATE FUNCTION flagctl.document(v flagctl.config_values, config text, environment text)
    RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'key', config, 'environment', environment,
    'value', v.value, 'version', v.version);

CREATE FUNCTION flagctl.document(k flagctl.api_keys) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'id', k.public_id, 'name', k.name, 'kind', k.kind,
    'environment', (SELECT e.key FROM flagctl.environments e WHERE e.id = k.environment_id),
    'expires_at', k.expires_at, 'revoked_at', k.revoked_at);

CREATE FUNCTION flagctl.document(m flagctl.members) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1,
    'issuer', (SELECT i.issuer FROM flagctl.issuers i WHERE i.id = m.issuer_id),
    'subject', m.subject, 'claims', m.claims, 'email', m.email, 'role', m.role,
    'environment', (SELECT e.key FROM flagctl.environments e WHERE e.id = m.environment_id));

CREATE FUNCTION flagctl.document(t flagctl.tokens) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'id', t.jti,
    'issuer', (SELECT i.issuer FROM flagctl.issuers i WHERE i.id = t.issuer_id),
    'subject', t.subject, 'expires_at', t.expires_at, 'revoked_at', t.revoked_at);

CREATE FUNCTION flagctl.document(i flagctl.issuers) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'issuer', i.issuer, 'audience', i.audience,
    'built_in', i.built_in, 'max_lifetime_seconds', i.max_lifetime_seconds,
    'jwks_url', i.jwks_url);

CREATE FUNCTION flagctl.document(k flagctl.issuer_keys) RETURNS jsonb
    LANGUAGE sql STABLE
RETURN jsonb_build_object('format', 1, 'id', k.key_id,
    'issuer', (SELECT i.issuer FROM flagctl.issuers i WHERE i.id = k.issuer_id),
    'sha256', encode(sha256(k.modulus), 'hex'), 'expires_at', k.expires_at,
    'revoked_at', k.revoked_at);

-- What a statement did to one thing. `affected` are the environments that serve it: NULL for what
-- nobody is served, '{}' for what is used nowhere.
CREATE TYPE flagctl.recorded AS (
    entity_type text, entity_id bigint, entity_key text, environment_id bigint, environment text,
    action text, before jsonb, after jsonb, affected bigint[]);
"""

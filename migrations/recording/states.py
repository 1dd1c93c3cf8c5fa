"""The override of a flag in an environment, looked at and written in one call each."""

# What a write to one flag in one environment starts from.
STATE = """json_build_object(
            'environment', json_build_object('id', e.id, 'key', e.key, 'revision', e.revision),
            'flag', json_build_object('id', f.id, 'key', f.key,
                'variants', f.variants, 'on_variant', f.on_variant, 'off_variant', f.off_variant,
                'default_enabled', f.default_enabled, 'is_archived', f.archived_at IS NOT NULL,
                'expires_at', f.expires_at, 'salt', f.salt),
            'override', CASE WHEN o.id IS NOT NULL THEN json_build_object(
                'enabled', o.enabled, 'targeting', o.targeting) END)"""

_FUNCTIONS = """
-- What a write to one flag in one environment starts from, in the verified actor's organization;
-- NULL where one of them is missing. Its plan is kept, which a query's with policies is not. Not
-- STABLE: asked together with begin_change it must see what the lock was waited for.
CREATE FUNCTION flagctl.state_of(flag text, environment text) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    tenant bigint := flagctl.current_change() -> 'organization_id';
    state json;
BEGIN
    SELECT {state}
        INTO state
        FROM flagctl.environments e
            JOIN flagctl.flags f ON f.organization_id = e.organization_id
            LEFT JOIN flagctl.overrides o ON o.flag_id = f.id AND o.environment_id = e.id
        WHERE e.organization_id = tenant AND e.key = environment AND f.key = flag;
    RETURN state;
END
$$;

-- One write of an override, and what the whole change did up to here. It enters and records by
-- itself, as the triggers do for any other statement.
CREATE FUNCTION flagctl.set_state(flag bigint, environment bigint, enabled boolean,
    targeting jsonb) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    change jsonb := flagctl.current_change();
    tenant bigint := change -> 'organization_id';
    turned CONSTANT boolean := enabled;
    wanted CONSTANT jsonb := targeting;
    was record;
BEGIN
    PERFORM flagctl.enter(change);
    -- An owner's change gives a keeper of trust, who may be in the CLI's group too, no flag.
    PERFORM flagctl.check_rights(change - 'is_owner', 'edit', ARRAY[environment]);
    SELECT e.id AS environment_id, e.key AS environment, f.id AS flag_id, f.key AS flag, {override}
        INTO was
        FROM flagctl.environments e
            JOIN flagctl.flags f ON f.organization_id = e.organization_id
            LEFT JOIN flagctl.overrides o ON o.flag_id = f.id AND o.environment_id = e.id
        WHERE e.organization_id = tenant AND e.id = set_state.environment
            AND f.id = set_state.flag;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING errcode = 'FC005', message = 'there is no such flag';
    END IF;
    IF was.id IS NULL OR {differs} THEN
        {write}
        PERFORM flagctl.record_events(tenant, ARRAY[ROW('feature', was.flag_id, was.flag,
            was.environment_id, was.environment, 'update', {before}, {after},
            ARRAY[was.environment_id])::flagctl.recorded]);
    END IF;
    RETURN flagctl.outcome_of((change ->> 'change_id')::uuid);
END
$$;
"""

# Of a write: `was` is what is there, `turned` and `wanted` what shall be. It needs no trigger.
OVERRIDE = """o.id, o.enabled,
            coalesce(o.targeting, '{"format": 1, "rules": []}') AS targeting,
            coalesce(o.version, 0) AS version"""
DIFFERS = "turned IS DISTINCT FROM was.enabled OR wanted::text <> was.targeting::text"
WRITE = """IF was.id IS NULL THEN
            INSERT INTO flagctl.overrides
                    (organization_id, flag_id, environment_id, enabled, targeting, write_id)
                VALUES (tenant, was.flag_id, was.environment_id, turned, wanted,
                    gen_random_uuid());
        ELSE
            UPDATE flagctl.overrides o SET enabled = turned, targeting = wanted,
                    version = was.version + 1, updated_at = at, write_id = gen_random_uuid()
                WHERE o.id = was.id;
        END IF;"""
BEFORE = """flagctl.override_document(was.flag, was.environment, was.enabled, was.targeting,
                was.version)"""
AFTER = """flagctl.override_document(was.flag, was.environment, turned, wanted,
                was.version + 1)"""


def filled(functions: str) -> str:
    """With the parts that both ways of a write have."""
    parts = {
        "state": STATE,
        "override": OVERRIDE,
        "differs": DIFFERS,
        "write": WRITE,
        "before": BEFORE,
        "after": AFTER,
    }
    for name, part in parts.items():
        functions = functions.replace(f"{{{name}}}", part)
    return functions


FUNCTIONS = filled(_FUNCTIONS)

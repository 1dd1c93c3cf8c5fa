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

-- One write of an override, and what the whole change did up to here. It asks for the right as the
-- policies do of a statement; the triggers ask besides, as of any.
CREATE FUNCTION flagctl.set_state(flag bigint, environment bigint, enabled boolean,
    targeting jsonb) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    change jsonb := flagctl.current_change();
    tenant bigint := change -> 'organization_id';
BEGIN
    PERFORM flagctl.enter(change);
    PERFORM flagctl.check_rights(change, 'edit', ARRAY[environment]);
    UPDATE flagctl.overrides o SET enabled = set_state.enabled, targeting = set_state.targeting
        WHERE o.flag_id = flag AND o.environment_id = environment AND o.organization_id = tenant;
    IF NOT FOUND THEN
        INSERT INTO flagctl.overrides AS o
                (organization_id, flag_id, environment_id, enabled, targeting)
            VALUES (tenant, flag, environment, set_state.enabled, set_state.targeting);
    END IF;
    RETURN flagctl.outcome_of((change ->> 'change_id')::uuid);
END
$$;
"""

FUNCTIONS = _FUNCTIONS.replace("{state}", STATE)

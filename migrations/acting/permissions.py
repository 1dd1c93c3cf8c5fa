"""What the policies ask, once a statement."""

FUNCTIONS = """
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

"""Triggers that record a statement as a whole: of thousands of rows each would cost as much as one.

For what comes by the thousand: flags, and what an environment says of flags and configs.
"""

# One for each organization: an owner's statement can touch several.
_RECORD = """
CREATE FUNCTION flagctl.{name}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- Tens of thousands of rows would go through files.
    SET plan_cache_mode = force_generic_plan SET work_mem = '64MB'
AS $$
DECLARE
    tenant bigint;
BEGIN
    FOR tenant IN SELECT DISTINCT r.organization_id FROM {rows} WHERE {which} LOOP
        PERFORM flagctl.record_events(tenant, ARRAY(SELECT {event} FROM {rows} {joins}
            WHERE r.organization_id = tenant AND {which} ORDER BY r.id), '{permission}', {needed});
    END LOOP;
    RETURN NULL;
END
$$;
"""
INSERTED = "new_rows r"
UPDATED = "new_rows r LEFT JOIN old_rows o ON o.id = r.id"
DELETED = "old_rows r"
ENVIRONMENTS = "(SELECT flagctl.environments_of(tenant))"  # asked once, not once a row


def recorder(
    name: str,
    rows: str,
    event: str,
    *,
    joins: str = "",
    which: str = "true",
    permission: str = "edit",
    needed: str = "NULL",
) -> str:
    """The function of a trigger. `event` makes a `flagctl.recorded` of a row `r`; of an update, `o`
    is what it was before. `joins` must lose no row: each has its event."""
    return _RECORD.format(
        name=name,
        rows=rows,
        event=event,
        joins=joins,
        which=which,
        permission=permission,
        needed=needed,
    )

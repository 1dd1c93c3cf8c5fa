"""What happens when flags change."""

from migrations.recording.statement_triggers import (
    DELETED,
    ENVIRONMENTS,
    INSERTED,
    UPDATED,
    recorder,
)

_EVENT = """
-- What happened to one flag. One of both is without an id: it was made, or deleted.
CREATE FUNCTION flagctl.flag_event(was flagctl.flags, now flagctl.flags, everywhere bigint[])
    RETURNS flagctl.recorded
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    f flagctl.flags := CASE WHEN now.id IS NULL THEN was ELSE now END;
    served boolean := CASE
        WHEN was.id IS NULL OR now.id IS NULL THEN f.archived_at IS NULL
        ELSE (was.archived_at IS NULL OR now.archived_at IS NULL)
            AND (was.key, was.type, was.variants::text, was.on_variant, was.off_variant,
                was.default_enabled, was.client_visible, was.expires_at, was.archived_at, was.salt)
            IS DISTINCT FROM
                (now.key, now.type, now.variants::text, now.on_variant, now.off_variant,
                now.default_enabled, now.client_visible, now.expires_at, now.archived_at, now.salt)
        END;
BEGIN
    RETURN ROW('feature', f.id, f.key, NULL, NULL,
        CASE WHEN was.id IS NULL THEN 'create'
            WHEN now.id IS NULL THEN 'delete'
            WHEN was.archived_at IS NULL AND now.archived_at IS NOT NULL THEN 'archive'
            WHEN was.archived_at IS NOT NULL AND now.archived_at IS NULL THEN 'unarchive'
            ELSE 'update' END,
        CASE WHEN was.id IS NOT NULL THEN flagctl.document(was) END,
        CASE WHEN now.id IS NOT NULL THEN flagctl.document(now) END,
        CASE WHEN served THEN everywhere END)::flagctl.recorded;
END
$$;
"""
_NONE = "NULL::flagctl.flags"
FUNCTIONS = _EVENT + "".join(
    recorder(
        name,
        rows,
        f"flagctl.flag_event({was}, {now}, {ENVIRONMENTS})",
        permission=permission,
        needed=ENVIRONMENTS,
    )
    for name, rows, was, now, permission in (
        ("flags_made", INSERTED, _NONE, "r", "edit"),
        ("flags_changed", UPDATED, "o", "r", "edit"),
        ("flags_deleted", DELETED, "r", _NONE, "administer"),
    )
)

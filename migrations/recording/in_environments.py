"""What happens when an environment's word on a flag or a config changes."""

from migrations.recording.statement_triggers import DELETED, INSERTED, UPDATED, recorder

# A flag that has no row here inherits: that is the state before the first override.
_INHERITED = """'{"enabled": null, "version": 0, "targeting": {"format": 1, "rules": []}}'"""
_FLAG = "flagctl.document({}::flagctl.overrides, f.key, e.key)".format
_CONFIG = "flagctl.document({}::flagctl.config_values, c.key, e.key)".format


def _overrides(
    name: str, rows: str, action: str, before: str, after: str, which: str = "true"
) -> str:
    return recorder(
        name,
        rows,
        f"ROW('feature', r.flag_id, f.key, r.environment_id, e.key, '{action}', {before}, {after},"
        " ARRAY[r.environment_id])::flagctl.recorded",
        joins="LEFT JOIN flagctl.flags f ON f.id = r.flag_id"
        " LEFT JOIN flagctl.environments e ON e.id = r.environment_id",
        which=which,
    )


def _values(name: str, rows: str, action: str, before: str, after: str) -> str:
    return recorder(
        name,
        rows,
        f"ROW('config', r.config_id, c.key, r.environment_id, e.key, '{action}', {before}, {after},"
        " ARRAY[r.environment_id])::flagctl.recorded",
        joins="LEFT JOIN flagctl.configs c ON c.id = r.config_id"
        " LEFT JOIN flagctl.environments e ON e.id = r.environment_id",
    )


FUNCTIONS = "".join(
    (
        # What records itself (set_at_once) has a new write_id, and is left out.
        _overrides(
            "overrides_made",
            INSERTED,
            "update",
            f"{_FLAG('r')} || {_INHERITED}",
            _FLAG("r"),
            which="r.write_id IS NULL",
        ),
        _overrides(
            "overrides_changed",
            UPDATED,
            "update",
            _FLAG("o"),
            _FLAG("r"),
            which="r.write_id IS NOT DISTINCT FROM o.write_id",
        ),
        _overrides("overrides_deleted", DELETED, "delete", _FLAG("r"), "NULL"),
        _values("config_values_made", INSERTED, "create", "NULL", _CONFIG("r")),
        _values("config_values_changed", UPDATED, "update", _CONFIG("o"), _CONFIG("r")),
        _values("config_values_deleted", DELETED, "delete", _CONFIG("r"), "NULL"),
    )
)

"""Which trigger stands on which table."""

from migrations.recording.at_once import RECORDS_ITSELF

# What each statement must be part of, and the columns of environments that triggers themselves set.
_GOVERNED = {
    **dict.fromkeys(
        (
            *("organizations", "flags", "overrides", "configs", "config_values", "api_keys"),
            *("segments", "members", "tokens", "issuers", "issuer_keys"),
        ),
        "UPDATE",
    ),
    "environments": "UPDATE OF organization_id, key, description, confirm",
}
_UNLESS = {"overrides": f" WHEN (NOT ({RECORDS_ITSELF}))"}
ENTRANCES = "".join(
    f"CREATE TRIGGER enter BEFORE INSERT OR DELETE OR {update} ON flagctl.{table}"
    f" FOR EACH STATEMENT{_UNLESS.get(table, '')} EXECUTE FUNCTION flagctl.enter_change();\n"
    for table, update in _GOVERNED.items()
)

_ROW_TRIGGERS = """
CREATE TRIGGER touch BEFORE UPDATE ON flagctl.organizations
    FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TRIGGER changed AFTER INSERT OR UPDATE ON flagctl.organizations
    FOR EACH ROW EXECUTE FUNCTION flagctl.organization_changed();

CREATE TRIGGER touch BEFORE UPDATE OF description, confirm ON flagctl.environments
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE OF description, confirm
    ON flagctl.environments FOR EACH ROW EXECUTE FUNCTION flagctl.environment_changed();
CREATE TRIGGER notify AFTER DELETE OR UPDATE OF revision ON flagctl.environments
    FOR EACH ROW EXECUTE FUNCTION flagctl.notify_revision();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.flags
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.overrides FOR EACH ROW
    WHEN (NEW.write_id IS NOT DISTINCT FROM OLD.write_id) EXECUTE FUNCTION flagctl.touch();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.segments
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.segments
    FOR EACH ROW EXECUTE FUNCTION flagctl.segment_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.configs
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.configs
    FOR EACH ROW EXECUTE FUNCTION flagctl.config_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.config_values
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();

CREATE TRIGGER keep_revoked BEFORE UPDATE ON flagctl.api_keys FOR EACH ROW
    WHEN (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at AND OLD.revoked_at IS NOT NULL)
    EXECUTE FUNCTION flagctl.keep_revoked();
CREATE TRIGGER touch BEFORE UPDATE ON flagctl.api_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.api_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.api_key_changed();

CREATE TRIGGER touch BEFORE UPDATE ON flagctl.members
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.members
    FOR EACH ROW EXECUTE FUNCTION flagctl.member_changed();

CREATE TRIGGER keep_revoked BEFORE UPDATE ON flagctl.tokens FOR EACH ROW
    WHEN (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at AND OLD.revoked_at IS NOT NULL)
    EXECUTE FUNCTION flagctl.keep_revoked();
CREATE TRIGGER touch BEFORE UPDATE ON flagctl.tokens
    FOR EACH ROW EXECUTE FUNCTION flagctl.touch();
CREATE TRIGGER changed AFTER INSERT OR UPDATE ON flagctl.tokens
    FOR EACH ROW EXECUTE FUNCTION flagctl.token_changed();

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.issuers
    FOR EACH ROW EXECUTE FUNCTION flagctl.issuer_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON flagctl.issuer_keys
    FOR EACH ROW EXECUTE FUNCTION flagctl.issuer_key_changed();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON flagctl.audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION flagctl.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON flagctl.audit_event_revisions
    FOR EACH STATEMENT EXECUTE FUNCTION flagctl.refuse_change();
"""
_STATEMENT_TRIGGERS = """
CREATE TRIGGER made AFTER INSERT ON flagctl.{table} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT{unless} EXECUTE FUNCTION flagctl.{table}_made();
CREATE TRIGGER changed AFTER UPDATE ON flagctl.{table}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT{unless} EXECUTE FUNCTION flagctl.{table}_changed();
CREATE TRIGGER deleted AFTER DELETE ON flagctl.{table} REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION flagctl.{table}_deleted();
"""
TRIGGERS = _ROW_TRIGGERS + "".join(
    _STATEMENT_TRIGGERS.format(table=table, unless=_UNLESS.get(table, ""))
    for table in ("flags", "overrides", "config_values")
)

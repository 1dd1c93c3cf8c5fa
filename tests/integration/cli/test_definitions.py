"""flagctl db check and doctor grants see what somebody did to functions and triggers."""

import pytest
from sqlalchemy import Connection

from core.errors import ConflictError
from core.services import definitions, flags, schema
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation

# What a superuser did, and the line that says so.
DONE = [
    (
        "CREATE OR REPLACE FUNCTION flagctl.role_allows(role text, permission text)"
        " RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN true",
        "more: the function flagctl.role_allows(text,text) is another",
    ),
    (
        "ALTER FUNCTION flagctl.epoch() SECURITY INVOKER",
        "more: the function flagctl.epoch() is another",
    ),
    (
        "ALTER FUNCTION flagctl.token_id(text) STABLE",
        "more: the function flagctl.token_id(text) is another",
    ),
    (
        "DROP FUNCTION flagctl.audit_page(text, text, jsonb)",
        "missing: the function flagctl.audit_page(text,text,jsonb)",
    ),
    (
        "CREATE FUNCTION flagctl.mine() RETURNS integer LANGUAGE sql RETURN 1",
        "more: the function flagctl.mine() is not flagctl's",
    ),
    ("DROP TRIGGER changed ON flagctl.flags", "missing: the trigger changed of flags"),
    (
        "CREATE OR REPLACE TRIGGER enter BEFORE INSERT ON flagctl.overrides FOR EACH STATEMENT"
        " EXECUTE FUNCTION flagctl.enter_change()",
        "more: the trigger enter of overrides is another",
    ),
    (
        "CREATE TRIGGER mine BEFORE INSERT ON flagctl.audit_events FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "more: the trigger mine of audit_events is not flagctl's",
    ),
]


def lines(made: Installation) -> set[str]:
    found = definitions.examine(made.owner_url, prefix=made.prefix)
    return {f"{finding.kind}: {finding.what}" for finding in found}


def test_what_was_done_to_functions_and_triggers(cli: CommandLine) -> None:
    made = cli.installation
    assert lines(made) == set()
    for statement, _ in DONE:
        made.run(statement)
    expected = {line for _, line in DONE}
    assert lines(made) == expected
    for command in (["db", "check"], ["doctor", "grants"]):
        ran = cli.run(*command)
        assert ran.code == 8
        assert all(line in ran.stdout + ran.stderr for line in expected)
    for finding in definitions.examine(made.owner_url, prefix=made.prefix):
        made.run(f"SET ROLE {made.prefix}_owner; {finding.mend}; RESET ROLE")
    assert lines(made) == set()


def test_a_check_leaves_nothing_behind_and_stops_nobody(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = "SELECT nspname, oid FROM pg_namespace ORDER BY 1"
    before, run = installation.ask(schemas), schema.run_migrations

    def run_and_write(connection: Connection) -> None:
        run(connection)
        with installation.change() as change:
            flags.create_flag(change, flags.Definition("meanwhile"))

    monkeypatch.setattr(schema, "run_migrations", run_and_write)
    assert lines(installation) == set()
    assert installation.ask(schemas) == before
    assert installation.ask("SELECT key FROM flagctl.flags") == [("meanwhile",)]
    with (
        schema.as_owner(installation.owner_url, installation.prefix),
        pytest.raises(ConflictError, match="another upgrade is running"),
    ):
        lines(installation)

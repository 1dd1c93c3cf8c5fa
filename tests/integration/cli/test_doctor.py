"""flagctl doctor grants: clean when fresh, exact for each privilege too many or too few."""

import pytest

from core.db import open_driver_connection
from core.services.privileges import examine
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation

# What is done (by a superuser), and the line that says so. {p} is the prefix of the groups.
TOO_MUCH = [
    ("GRANT SELECT ON flagctl.change_key TO {p}_admin", "{p}_admin has SELECT on table change_key"),
    ("GRANT DELETE ON flagctl.audit_events TO {p}_admin", "has DELETE on table audit_events"),
    ("GRANT SELECT ON flagctl.members TO {p}_reader", "{p}_reader has SELECT on table members"),
    ("GRANT SELECT (description) ON flagctl.flags TO {p}_reader", "on column flags.description"),
    ("GRANT UPDATE (revision) ON flagctl.environments TO {p}_admin", "environments.revision"),
    ("GRANT SELECT ON flagctl.flags TO PUBLIC", "PUBLIC has SELECT on table flags"),
    ("GRANT TRUNCATE ON flagctl.flags TO {p}_admin_login", "{p}_admin_login has TRUNCATE"),
    (
        "GRANT SELECT ON flagctl.flags TO {p}_admin WITH GRANT OPTION",
        "may grant SELECT on table fl",
    ),
    (
        "GRANT EXECUTE ON FUNCTION flagctl.memberships(jsonb) TO {p}_admin",
        "EXECUTE on function memberships(jsonb)",
    ),
    (
        "GRANT EXECUTE ON FUNCTION flagctl.begin_change(text, text, text, text) TO {p}_reader",
        "{p}_reader has EXECUTE on function begin_change(text,text,text,text)",
    ),
    ("GRANT USAGE ON SEQUENCE flagctl.flags_id_seq TO {p}_admin", "on sequence flags_id_seq"),
    ("GRANT CREATE ON SCHEMA flagctl TO {p}_admin", "has CREATE on schema flagctl"),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "PUBLIC has CREATE on schema public"),
    ("GRANT TEMPORARY ON DATABASE {d} TO {p}_reader", "has TEMPORARY on database"),
    ("GRANT CONNECT ON DATABASE {d} TO PUBLIC", "PUBLIC has CONNECT on database"),
    (
        "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
        "PUBLIC has EXECUTE on built-in function lo_create(oid)",
    ),
    (
        "GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO {p}_admin",
        "on built-in function pg_advisory_lock(bigint)",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE {p}_owner GRANT SELECT ON TABLES TO {p}_reader",
        "has SELECT on default privileges {p}_owner on TABLES",
    ),
    ("SELECT lo_create(77); GRANT SELECT ON LARGE OBJECT 77 TO {p}_admin", "on large object 77"),
    (
        "CREATE TABLE public.t (); GRANT SELECT ON public.t TO {p}_admin",
        "SELECT on relation public.t",
    ),
    ("ALTER TABLE flagctl.flags DISABLE ROW LEVEL SECURITY", "row-level security is off on flags"),
    ("ALTER TABLE flagctl.flags DISABLE TRIGGER changed", "the trigger changed of flags is not"),
    ("ALTER TABLE flagctl.flags OWNER TO {p}_admin", "{p}_admin owns the table flags"),
    (
        "ALTER FUNCTION flagctl.organization_where(text) OWNER TO {p}_admin",
        "{p}_admin owns the function flagctl.organization_where(text)",
    ),
    (
        "ALTER FUNCTION flagctl.organization_where(text) RESET search_path",
        "flagctl.organization_where(text) runs with a search path of the caller's",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE {p}_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
        "PUBLIC has EXECUTE on default privileges {p}_owner on FUNCTIONS",
    ),
    (
        "CREATE TABLE public.t (a int); GRANT SELECT (a) ON public.t TO {p}_admin",
        "{p}_admin has SELECT on column public.t.a",
    ),
    (
        "CREATE TABLE public.t (); ALTER TABLE public.t OWNER TO {p}_reader",
        "{p}_reader owns table public.t",
    ),
    (
        "SELECT lo_create(78); ALTER LARGE OBJECT 78 OWNER TO {p}_admin_login",
        "{p}_admin_login owns large object 78",
    ),
    ("CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO PUBLIC", "has USAGE on schema other"),
    ("GRANT USAGE ON LANGUAGE plpgsql TO {p}_admin", "has USAGE on language plpgsql"),
    (
        "CREATE TYPE flagctl.x AS ENUM (); GRANT USAGE ON TYPE flagctl.x TO {p}_admin",
        "{p}_admin has USAGE on type flagctl.x",
    ),
    (
        "CREATE FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN DATA WRAPPER w TO {p}_admin",
        "{p}_admin has USAGE on foreign data wrapper w",
    ),
    (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        " GRANT USAGE ON FOREIGN SERVER s TO {p}_admin",
        "{p}_admin has USAGE on foreign server s",
    ),
    (
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {p}_admin",
        "{p}_admin has EXECUTE on built-in function pg_read_file(text)",
    ),
    ("GRANT SELECT ON pg_authid TO PUBLIC", "PUBLIC has SELECT on relation pg_authid"),
    ("ALTER DATABASE {d} SET search_path = evil", "every role has the setting search_path=evil"),
    (
        "ALTER ROLE {p}_admin_login IN DATABASE {d} SET row_security = off",
        "{p}_admin_login has the setting row_security=off",
    ),
    (
        "CREATE RULE r AS ON INSERT TO flagctl.flags DO ALSO NOTHING",
        "the rule r of flags is not flagctl's",
    ),
    (
        "ALTER POLICY members_read ON flagctl.issuers USING (((SELECT"
        " flagctl.current_organization()) IS NOT NULL AND built_in)"
        " OR organization_id = (SELECT flagctl.current_organization()))",
        "the policy members_read of issuers is another",
    ),
    (
        "CREATE POLICY mine ON flagctl.flags USING (true)",
        "the policy mine of flags is not flagctl's",
    ),
    (
        "ALTER POLICY members_read ON flagctl.flags USING (true)",
        "the policy members_read of flags is another",
    ),
    (
        "ALTER POLICY readers ON flagctl.flags TO PUBLIC",
        "the policy readers of flags is another",
    ),
]
# What is done to roles, which all databases of the cluster share, and how it is undone.
TOO_MUCH_OF_A_ROLE = [
    ("ALTER ROLE {p}_admin_login BYPASSRLS", "ALTER ROLE {p}_admin_login NOBYPASSRLS"),
    ("ALTER ROLE {p}_owner SUPERUSER", "ALTER ROLE {p}_owner NOSUPERUSER"),
    ("ALTER ROLE {p}_reader LOGIN", "ALTER ROLE {p}_reader NOLOGIN"),
    ("GRANT pg_read_all_data TO {p}_reader", "REVOKE pg_read_all_data FROM {p}_reader"),
    ("GRANT pg_signal_backend TO {p}_admin_login", "REVOKE pg_signal_backend FROM {p}_admin_login"),
    ("ALTER ROLE {p}_admin CREATEROLE", "ALTER ROLE {p}_admin NOCREATEROLE"),
    ("ALTER ROLE {p}_trust CREATEDB", "ALTER ROLE {p}_trust NOCREATEDB"),
    ("ALTER ROLE {p}_admin_login REPLICATION", "ALTER ROLE {p}_admin_login NOREPLICATION"),
    (
        "GRANT SET ON PARAMETER session_replication_role TO {p}_admin",
        "REVOKE SET ON PARAMETER session_replication_role FROM {p}_admin",
    ),
    (
        "GRANT CREATE ON TABLESPACE pg_default TO {p}_admin",
        "REVOKE CREATE ON TABLESPACE pg_default FROM {p}_admin",
    ),
    (
        "ALTER ROLE {p}_admin_login SET log_statement = 'all'",
        "ALTER ROLE {p}_admin_login RESET log_statement",
    ),
    (
        "GRANT pg_write_server_files TO {p}_admin_login",
        "REVOKE pg_write_server_files FROM {p}_admin_login",
    ),
    ("GRANT {p}_owner TO {p}_admin", "REVOKE {p}_owner FROM {p}_admin"),
    ("GRANT {p}_reader TO {p}_admin_login", "REVOKE {p}_reader FROM {p}_admin_login"),
    (
        "GRANT {p}_admin TO {p}_admin_login WITH ADMIN OPTION",
        "REVOKE ADMIN OPTION FOR {p}_admin FROM {p}_admin_login",
    ),
    (
        "ALTER ROLE {p}_admin_login SET search_path = evil",
        "ALTER ROLE {p}_admin_login RESET search_path",
    ),
]
# What the SQL of their line takes back, word for word.
TAKEN_BACK = [
    "GRANT SELECT (description) ON flagctl.flags TO {p}_reader",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {p}_owner IN SCHEMA flagctl GRANT SELECT ON TABLES"
    " TO {p}_reader",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {p}_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
    "CREATE TABLE public.t (a int); GRANT SELECT (a) ON public.t TO {p}_admin",
    "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {p}_admin",
    "GRANT SELECT (rolpassword) ON pg_authid TO {p}_admin",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "ALTER DATABASE {d} SET search_path = evil",
    "ALTER ROLE {p}_admin_login IN DATABASE {d} SET row_security = off",
    "ALTER TABLE flagctl.flags DISABLE TRIGGER changed",
    "CREATE TABLE public.t (); ALTER TABLE public.t OWNER TO {p}_reader",
    "CREATE RULE r AS ON INSERT TO flagctl.flags DO ALSO NOTHING",
    "CREATE POLICY mine ON flagctl.flags USING (true)",
]
TOO_LITTLE = [
    ("REVOKE SELECT ON flagctl.flags FROM {p}_admin", "{p}_admin lacks SELECT on table flags"),
    ("DROP POLICY readers ON flagctl.flags", "the policy readers of flags"),
    (
        "REVOKE EXECUTE ON FUNCTION flagctl.epoch() FROM {p}_reader",
        "{p}_reader lacks EXECUTE on function epoch()",
    ),
]


def filled(text: str, made: Installation) -> str:
    return text.replace("{p}", made.prefix).replace("{d}", made.name)


def found(made: Installation) -> list[tuple[str, str, str]]:
    with open_driver_connection(made.owner_url, application_name="test") as connection:
        return [(f.kind, f.what, f.mend) for f in examine(connection, made.prefix)]


def test_a_fresh_installation_is_clean(stable: CommandLine) -> None:
    assert stable.ok("doctor", "grants") == "every privilege is needed, and none is missing\n"
    assert stable.json("doctor", "grants") == []


@pytest.mark.parametrize(("statement", "line"), TOO_MUCH)
def test_what_is_too_much(statement: str, line: str, installation: Installation) -> None:
    installation.run(filled(statement, installation))
    more = [what for kind, what, _ in found(installation) if kind == "more"]
    assert any(filled(line, installation) in what for what in more)
    assert len(more) == 1 or "OWNER TO" in statement  # an owner has every privilege besides


@pytest.mark.parametrize("statement", TAKEN_BACK)
def test_the_sql_of_a_line_takes_it_back(statement: str, installation: Installation) -> None:
    installation.run(filled(statement, installation))
    lines = found(installation)
    assert lines
    for _, _, mend in lines:
        installation.run(mend)
    assert found(installation) == []


def test_a_team_inside_a_group_is_as_good_as_a_login(installation: Installation) -> None:
    team = f"{installation.prefix}_team"
    login = f"{installation.prefix}_admin_login"
    installation.run(f"CREATE ROLE {team}; GRANT {installation.prefix}_admin TO {team}")
    try:
        installation.run(f"GRANT {team} TO {login}")
        assert found(installation) == []
    finally:
        installation.run(f"DROP ROLE {team}")


@pytest.mark.parametrize(("statement", "undo"), TOO_MUCH_OF_A_ROLE)
def test_a_role_that_is_too_much(statement: str, undo: str, stable: CommandLine) -> None:
    made = stable.installation
    made.run(filled(statement, made))
    try:
        assert [(kind, mend) for kind, _, mend in found(made)] == [("more", filled(undo, made))]
    finally:
        made.run(filled(undo, made))
    assert found(made) == []


@pytest.mark.parametrize(("statement", "line"), TOO_LITTLE)
def test_what_is_missing(statement: str, line: str, installation: Installation) -> None:
    installation.run(filled(statement, installation))
    assert [(kind, what) for kind, what, _ in found(installation)] == [
        ("missing", filled(line, installation))
    ]


def test_what_is_said(cli: CommandLine) -> None:
    made = cli.installation
    made.run("GRANT SELECT ON flagctl.change_key TO PUBLIC")
    ran = cli.run("doctor", "grants")
    assert ran.code == 8
    assert ran.stdout == (
        "more: PUBLIC has SELECT on table change_key\n"
        "  mend: REVOKE SELECT ON TABLE flagctl.change_key FROM PUBLIC\n"
    )
    assert "1 privilege is not as flagctl needs it" in ran.stderr
    ran = cli.run("doctor", "grants", "-o", "json")
    assert (ran.code, list(ran.json()[0])) == (8, ["kind", "what", "mend"])
    made.run("REVOKE SELECT ON TABLE flagctl.change_key FROM PUBLIC")
    cli.ok("doctor", "grants")

"""What a load from Postgres has in it."""

from itertools import product
from typing import Any

import pytest
from psycopg.errors import CheckViolation

from core.auth.api_keys import KeyKind, digest, generate
from core.db import open_driver_connection
from core.snapshot import codec
from core.snapshot.document import Snapshot, Version
from core.snapshot.load import STATE_SQL, load, state_of
from readserver.answers import CONFIGS, FLAGS, prepare
from readserver.stores.postgres import PostgresStore
from tests.contracts.conftest import Run
from tests.support.installations import Installation


def change(installation: Installation, *statements: str) -> None:
    """A committed change in raw SQL; `prod` in it is the id of the environment prod."""
    prod = "(SELECT id FROM flagctl.environments WHERE key = 'prod')"
    with installation.connect("owner") as connection, connection.transaction():
        connection.execute("SELECT flagctl.begin_owner_change('default', 'test', 'test')")
        for statement in statements:
            connection.execute(statement.replace("$prod", prod).encode())


def flags(values: str) -> str:
    return (
        "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant,"
        f" default_enabled, client_visible, archived_at) VALUES {values}"
    )


BOOLEAN = """'boolean', '{"on": true, "off": false}', 'on', 'off'"""


def load_prod(installation: Installation, **options: Any) -> Snapshot | Version | None:
    with open_driver_connection(installation.reader_url, application_name="test") as connection:
        return load(connection, installation.environment_id("prod"), **options)


def test_an_empty_environment(installation: Installation) -> None:
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    assert (found.key, found.served.flags, found.served.configs) == ("prod", (), ())


def test_an_unknown_environment(installation: Installation) -> None:
    with open_driver_connection(installation.reader_url, application_name="test") as connection:
        assert load(connection, "f" * 16) is None


def test_flags_with_override_archived_and_targeting(installation: Installation) -> None:
    change(
        installation,
        flags(
            f"(1, 'off', {BOOLEAN}, false, false, NULL), (1, 'on', {BOOLEAN}, true, true, NULL),"
            f" (1, 'gone', {BOOLEAN}, true, false, now()),"
            f" (1, 'set', {BOOLEAN}, false, false, NULL),"
            f" (1, 'served', {BOOLEAN}, true, false, NULL)"
        ),
        "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
        " SELECT 1, id, $prod, true FROM flagctl.flags WHERE key = 'set'",
        "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, targeting)"
        """ SELECT 1, id, $prod, '{"format": 1, "serve": {"variant": "off"}, "rules": []}'"""
        " FROM flagctl.flags WHERE key = 'served'",
        "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
        " SELECT 1, f.id, e.id, true FROM flagctl.flags f, flagctl.environments e"
        " WHERE f.key = 'off' AND e.key = 'dev'",
    )
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    body = prepare(found).answers[FLAGS, KeyKind.SERVER].identity.body
    assert body == b'{"off":false,"on":true,"served":false,"set":true}'


@pytest.mark.parametrize(
    "stored",
    [
        "9007199254740993",
        "1" * 600,
        "100.0",
        "0.1",
        "1.50",
        '"ü \\u0001 😀"',
        "[1, [2.0]]",
        "false",
    ],
)
def test_config_values_are_served_as_stored(installation: Installation, stored: str) -> None:
    change(
        installation,
        "INSERT INTO flagctl.configs (organization_id, key, type) VALUES (1, 'c', 'object')",
        "INSERT INTO flagctl.config_values (organization_id, config_id, environment_id, value)"
        f" SELECT 1, id, $prod, '{stored}' FROM flagctl.configs",
    )
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    body = prepare(found).answers[CONFIGS, KeyKind.SERVER].identity.body
    assert body == f'{{"c":{stored}}}'.encode()


def test_a_flag_that_python_cannot_hold_does_not_take_the_others_with_it(
    installation: Installation,
) -> None:
    change(
        installation,
        flags(
            f"(1, 'fine', {BOOLEAN}, true, false, NULL),"
            f""" (1, 'huge', 'number', '{{"on": {"1" * 400}.5, "off": 0}}', 'on', 'off', true,"""
            " false, NULL),"
            f""" (1, 'long', 'integer', '{{"on": {"1" * 9000}, "off": 0}}', 'on', 'off', true,"""
            " false, NULL)"
        ),
    )
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    assert [flag.key for flag in found.served.flags] == ["fine"]


def test_revoked_keys_are_left_out_and_expired_ones_kept(installation: Installation) -> None:
    digests = {name: digest(generate(KeyKind.CLIENT, "0" * 16)) for name in ("a", "b", "c")}
    change(
        installation,
        *(
            "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest,"
            f" expires_at, revoked_at) VALUES (1, $prod, '{name}', 'client',"
            f" '\\x{digests[name].hex()}', {expires}, {revoked})"
            for name, expires, revoked in (
                ("a", "NULL", "NULL"),
                ("b", "NULL", "now()"),
                ("c", "'2020-01-01Z'", "NULL"),
            )
        ),
    )
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    assert found.auth.keys.keys() == {digests["a"], digests["c"]}
    assert found.auth.keys[digests["a"]].kind is KeyKind.CLIENT
    assert found.auth.keys[digests["c"]].expires_at is not None


def test_nothing_more_is_read_when_nothing_changed(installation: Installation) -> None:
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    assert load_prod(installation, unless=found.version) == found.version
    change(installation, flags(f"(1, 'x', {BOOLEAN}, true, false, NULL)"))
    newer = load_prod(installation, unless=found.version)
    assert isinstance(newer, Snapshot)
    assert newer.version.is_newer_than(found.version)


def test_the_state_agrees_with_the_load(installation: Installation) -> None:
    state = state_of(installation.ask(STATE_SQL, login="reader"))
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    assert state.versions[found.environment_id] == found.version
    assert state.epoch == found.epoch
    assert len(state.versions) == 3
    assert len(state.secret) >= 32


def test_the_state_without_any_environment(installation: Installation) -> None:
    change(installation, "DELETE FROM flagctl.environments")
    state = state_of(installation.ask(STATE_SQL, login="reader"))
    assert (state.versions, bool(state.epoch)) == ({}, True)


def test_ten_thousand_flags_load(
    installation: Installation, postgres_store: PostgresStore, run: Run[Any]
) -> None:
    change(
        installation,
        "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
        """ SELECT 1, 'flag_' || i, 'boolean', '{"on": true, "off": false}', 'on', 'off'"""
        " FROM generate_series(1, 10000) i",
    )
    found = run(postgres_store.get(installation.environment_id("prod")))
    keys = [flag.key for flag in found.served.flags]
    assert keys == sorted(f"flag_{i}" for i in range(1, 10_001))


def test_a_lost_connection_is_renewed(
    installation: Installation, postgres_store: PostgresStore, run: Run[Any], loaded: Snapshot
) -> None:
    installation.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'flagctl readserver'"
    )
    assert run(postgres_store.get(loaded.environment_id)) == loaded


def test_the_session_is_read_only_and_named(
    installation: Installation, postgres_store: PostgresStore, loaded: Snapshot
) -> None:
    driver = postgres_store._driver
    assert driver is not None
    row = driver.execute(
        "SELECT current_setting('default_transaction_read_only'),"
        " current_setting('statement_timeout'), current_setting('application_name')"
    ).fetchone()
    driver.rollback()
    assert row == ("on", "8s", "flagctl readserver")


def versions(installation: Installation, *statements: str) -> dict[str, str]:
    """Of each flag, after a change."""
    if statements:
        change(installation, *statements)
    found = load_prod(installation)
    assert isinstance(found, Snapshot)
    return {flag.key: flag.version for flag in found.served.flags}


def test_a_flags_version_changes_with_what_decides_its_value(installation: Installation) -> None:
    first = versions(
        installation,
        flags(f"(1, 'f', {BOOLEAN}, true, false, NULL), (1, 'g', {BOOLEAN}, true, false, NULL)"),
    )
    assert len({*first.values()}) == 2, "each has its own salt"
    assert all(len(version) == 12 for version in first.values())
    same = versions(
        installation,
        "UPDATE flagctl.flags SET description = 'x', client_visible = true WHERE key = 'f'",
        "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id)"
        " SELECT 1, id, $prod FROM flagctl.flags WHERE key = 'f'",
    )
    assert same == first
    seen = {first["f"]}
    for set_ in (
        "flags SET off_variant = 'on'",
        "flags SET salt = 's'",
        "flags SET expires_at = '2999-01-31Z'",
        """flags SET variants = '{"on": true, "off": false, "x": 1}'""",
        """flags SET variants = '{"on": true, "off": false, "x": 1.0}'""",
        "overrides SET enabled = false",
        """overrides SET targeting = '{"format": 1, "rules": [], "serve": {"variant": "off"}}'""",
    ):
        where = "key = 'f'" if set_.startswith("flags") else "true"
        found = versions(installation, f"UPDATE flagctl.{set_} WHERE {where}")
        assert found["g"] == first["g"]
        seen.add(found["f"])
    assert len(seen) == 8


def test_a_snapshot_is_the_same_in_every_time_zone(installation: Installation) -> None:
    change(installation, flags(f"(1, 'f', {BOOLEAN}, true, false, NULL)"))
    change(installation, "UPDATE flagctl.flags SET expires_at = '2999-01-31Z'")
    before = load_prod(installation)
    with installation.connect("reader") as connection:
        login = connection.info.user
    try:  # the login is that of other tests too
        installation.run(f"ALTER ROLE \"{login}\" SET TimeZone = 'Asia/Kolkata'")
        found = load_prod(installation)
    finally:
        installation.run(f'ALTER ROLE "{login}" RESET TimeZone')
    assert isinstance(found, Snapshot)
    assert isinstance(before, Snapshot)
    assert codec.encode(found) == codec.encode(before)


def test_a_time_that_no_reader_can_hold_is_not_stored(installation: Installation) -> None:
    for statement in (
        flags(f"(1, 'f', {BOOLEAN}, true, false, NULL)"),
        "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
        f" VALUES (1, $prod, 'k', 'client', '\\x{'00' * 32}')",
    ):
        change(installation, statement)
    moments = ("infinity", "-infinity", "294276-01-01Z", "4713-01-01Z BC")
    for table, moment in product(("flags", "api_keys"), moments):
        with pytest.raises(CheckViolation, match="is_a_moment"):
            change(installation, f"UPDATE flagctl.{table} SET expires_at = '{moment}'")

"""The write path: all or nothing, dry runs, what changed meanwhile, and the one lock."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from core import sessions
from core.auth.actor import Role
from core.errors import (
    ConfirmationNeededError,
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from core.services import api_keys, configs, environments, flags, members, overrides
from core.services.change import Change, Options
from core.services.organizations import update_organization
from core.value_types import ValueType
from tests.support.installations import Installation
from tests.support.seeds import THEME, fill
from tests.support.waiting import eventually

TABLES = ("flags", "overrides", "configs", "config_values", "api_keys", "members", "tokens")


def counts(installation: Installation) -> dict[str, int]:
    """How many rows each table has, the log included."""
    with installation.connect() as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM flagctl.{table}".encode()).fetchall()[
                0
            ][0]
            for table in (*TABLES, "environments", "audit_events", "audit_event_revisions")
        }


def test_a_change_is_committed_at_its_end(installation: Installation) -> None:
    with installation.change() as change:
        flags.create_flag(change, THEME)
        assert installation.ask("SELECT FROM flagctl.flags") == []
        assert not change.outcome.committed
    assert change.outcome.committed
    assert installation.ask("SELECT key FROM flagctl.flags") == [("theme",)]


def test_the_outcome_is_what_the_triggers_made(installation: Installation) -> None:
    with installation.change() as change:
        flags.create_flag(change, THEME)
    stored = installation.ask(
        "SELECT key, public_id, revision, stamp FROM flagctl.environments ORDER BY id"
    )
    assert [
        (r.environment, r.public_id, r.revision, r.stamp) for r in change.outcome.raised
    ] == stored
    assert [(change.outcome.epoch,)] == installation.ask("SELECT flagctl.epoch()")
    assert change.outcome.events[0].id == installation.last_event()


class _Broken(Exception):  # noqa: N818 - not an error of ours
    pass


def test_a_change_that_breaks_off_leaves_nothing(installation: Installation) -> None:
    before = (counts(installation), installation.revisions())

    def break_off() -> None:
        with installation.change(confirmed=True) as change:
            fill(change)
            raise _Broken

    with pytest.raises(_Broken):
        break_off()
    assert (counts(installation), installation.revisions()) == before


def test_a_refusal_in_the_middle_leaves_nothing(installation: Installation) -> None:
    before = (counts(installation), installation.revisions())

    def half_done() -> None:
        with installation.change(confirmed=True) as change:
            fill(change)
            flags.delete_flag(change, "nope")

    with pytest.raises(NotFoundError):
        half_done()
    assert (counts(installation), installation.revisions()) == before


def test_a_dry_run_shows_everything_and_leaves_nothing(installation: Installation) -> None:
    before = (counts(installation), installation.revisions())
    with installation.change(dry_run=True) as change:
        fill(change)
    assert change.outcome.changed
    assert not change.outcome.committed
    assert (counts(installation), installation.revisions()) == before


def test_a_change_that_changes_nothing_writes_nothing(installation: Installation) -> None:
    with installation.change(confirmed=True) as change:
        fill(change)
    before = (counts(installation), installation.revisions())
    with installation.change(confirmed=True) as change:
        overrides.set_override(change, "theme", "dev", "blue")
        configs.set_value(change, "max_items", "dev", 5)
        flags.set_default(change, "theme", enabled=False)
    assert not change.outcome.changed
    assert (counts(installation), installation.revisions()) == before


# What `--if-revision` is held against: the revision of the environment, or the entity's version.
GUARDED: dict[str, tuple[Callable[[Change], object], str]] = {
    "set": (lambda c: overrides.set_override(c, "theme", "dev", "on"), "revision of dev"),
    "config set": (lambda c: configs.set_value(c, "max_items", "dev", 2), "revision of dev"),
    "config unset": (lambda c: configs.unset_value(c, "max_items", "dev"), "revision of dev"),
    "key create": (lambda c: api_keys.create_key(c, "x", "dev"), "revision of dev"),
    "key revoke": (lambda c: api_keys.revoke_key(c, "web", "dev"), "revision of dev"),
    "key rotate": (
        lambda c: api_keys.rotate_key(c, "web", "dev", overlap=timedelta(1)),
        "revision of dev",
    ),
    "env update": (
        lambda c: environments.update_environment(c, "dev", environments.Edit(description="x")),
        "revision of dev",
    ),
    "env delete": (lambda c: environments.delete_environment(c, "dev"), "revision of dev"),
    "default": (lambda c: flags.set_default(c, "theme", enabled=True), "version of theme"),
    "update": (
        lambda c: flags.update_flag(c, "theme", flags.Edit(owner="x")),
        "version of theme",
    ),
    "archive": (lambda c: flags.archive_flag(c, "theme"), "version of theme"),
    "unarchive": (lambda c: flags.unarchive_flag(c, "theme"), "version of theme"),
    "delete": (lambda c: flags.delete_flag(c, "theme"), "version of theme"),
    "config update": (
        lambda c: configs.update_config(c, "max_items", configs.Edit(description="x")),
        "version of max_items",
    ),
    "config delete": (lambda c: configs.delete_config(c, "max_items"), "version of max_items"),
    "create": (
        lambda c: flags.create_flag(c, flags.Definition("new")),
        "version of new (which does not exist)",
    ),
    "config define": (
        lambda c: configs.define_config(c, configs.Definition("new", ValueType.STRING)),
        "version of new (which does not exist)",
    ),
    "member add": (
        lambda c: members.add_member(c, "ann@example.com", Role.VIEWER, None),
        "last audit event",
    ),
    "member remove": (
        lambda c: members.remove_member(c, "ed@example.com", None),
        "last audit event",
    ),
    "org update": (lambda c: update_organization(c, name="New"), "last audit event"),
    "env create": (
        lambda c: environments.create_environment(c, "new"),
        "revision of new (which does not exist)",
    ),
}


@pytest.mark.parametrize("name", GUARDED)
def test_a_change_based_on_an_older_look_is_refused(name: str, seeded: Installation) -> None:
    call, what = GUARDED[name]
    numbers = {"dev": seeded.revisions()["dev"], "event": seeded.last_event()}
    actual = (numbers | {"theme": 1, "max_items": 1}).get(what.split()[2], 0)
    with seeded.change(dry_run=True) as change:
        with pytest.raises(ConflictError) as caught:
            call(_with_revision(change, actual + 7))
        call(_with_revision(change, actual))
    assert caught.value.message == (
        f"the {what} is {actual} now, not {actual + 7}: it changed meanwhile"
    )


def _with_revision(change: Change, revision: int) -> Change:
    return replace(change, options=replace(change.options, if_revision=revision))


def test_a_protected_environment_asks_and_takes_yes_or_a_dry_run(
    installation: Installation,
) -> None:
    with installation.change(confirmed=True) as change:
        flags.create_flag(change, THEME)
        environments.update_environment(change, "prod", environments.Edit(confirm=True))
    with (
        pytest.raises(ConfirmationNeededError, match="prod is protected"),
        installation.change() as change,
    ):
        overrides.set_override(change, "theme", "prod", "on")
    for options in (Options(dry_run=True), Options(confirmed=True)):
        with installation.change(options=options) as change:
            overrides.set_override(change, "theme", "prod", "on")
        assert change.outcome.changed
    with installation.change() as change:  # nothing to do: nothing to ask
        overrides.set_override(change, "theme", "prod", "on")


def test_who_holds_the_lock_is_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = sessions._BEGIN.replace("'5s'", "'150ms'")
    monkeypatch.setattr(sessions, "_BEGIN", shorter)
    with installation.change() as holder:
        pid = holder.session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with pytest.raises(ConflictError) as caught, installation.change():
            pytest.fail("two changes at once")
    message = caught.value.message
    assert message.startswith("another change holds the lock: flagctl admin@example.com (")
    assert f"pid {pid}" in message
    assert caught.value.hint == "try again when it is done"


def test_a_queue_that_moves_is_waited_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holder is shorter than the patience with one holder, all together are longer."""
    shorter = sessions._BEGIN.replace("'5s'", "'250ms'")
    monkeypatch.setattr(sessions, "_BEGIN", shorter)

    def write(number: int) -> None:
        with installation.change() as change:
            flags.create_flag(change, flags.Definition(f"flag_{number}"))
            change.session.execute(text("SELECT pg_sleep(0.1)"))

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(write, range(10))) == [None] * 10
    assert installation.ask("SELECT count(*) FROM flagctl.flags") == [(10,)]


def test_a_change_waits_for_the_one_before_it(installation: Installation) -> None:
    done = threading.Event()

    def second() -> None:
        with installation.change() as change:
            flags.create_flag(change, flags.Definition("second"))
        done.set()

    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with installation.change() as change:
        thread = threading.Thread(target=second)
        thread.start()
        eventually(lambda: installation.ask(waiting, [installation.name]), "the second waits")
        flags.create_flag(change, flags.Definition("first"))
        assert not done.is_set()
    thread.join(timeout=10)
    log = "SELECT entity_key FROM flagctl.audit_events ORDER BY seq DESC LIMIT 2"
    assert installation.ask(log) == [("second",), ("first",)]


def test_reading_waits_for_nobody(installation: Installation) -> None:
    with installation.change() as change:
        flags.create_flag(change, THEME)
        with installation.session() as session:
            found = session.execute(text("SELECT count(*) FROM flagctl.flags")).scalar_one()
    assert found == 0


@pytest.mark.parametrize("wish", [None, sessions.Wish(sessions.Spot("none", "dev"))])
def test_an_idle_change_is_bounded(installation: Installation, wish: sessions.Wish | None) -> None:
    url, token = installation.admin_url, installation.token
    with sessions.session(url, token, read_only=False, wish=wish) as opened:
        bounds = opened.execute(
            text(
                "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'),"
                " current_setting('idle_in_transaction_session_timeout')"
            )
        ).one()
    assert tuple(bounds) == ("5s", "30s", "30s")


def test_a_server_that_goes_away_is_said_to_be_unavailable(installation: Installation) -> None:
    before = counts(installation)

    def cut_off() -> None:
        with installation.change() as change:
            flags.create_flag(change, THEME)
            pid = change.session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            installation.run("SELECT pg_terminate_backend(%s)", [pid])

    with pytest.raises(UnavailableError, match="Postgres is unavailable"):
        cut_off()
    assert counts(installation) == before

"""Fifty writers at once: no update is lost, and the log is in the order of the revisions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import ConflictError
from core.queries.configs import get_value
from core.services import api_keys, configs, flags, overrides
from core.services.change import Change
from core.value_types import ValueType
from tests.support.installations import Installation

WRITERS = 50
ENVIRONMENTS = ("dev", "staging", "prod")


def all_at_once(installation: Installation, write: Callable[[Change, int], object]) -> None:
    def run(number: int) -> None:
        with installation.change() as change:
            write(change, number)

    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        list(pool.map(run, range(WRITERS)))


def assert_the_log_is_in_order(installation: Installation, *, since: int) -> None:
    """`seq` without gaps, times that never fall, and each revision one above the one before."""
    log = installation.ask(
        "SELECT seq, occurred_at FROM flagctl.audit_events WHERE seq > %s ORDER BY seq", [since]
    )
    assert [seq for seq, _ in log] == list(range(since + 1, since + 1 + len(log)))
    times = [occurred_at for _, occurred_at in log]
    assert times == sorted(times)
    for environment, revision in installation.revisions().items():
        made = installation.ask(
            "SELECT r.revision FROM flagctl.audit_event_revisions r"
            " WHERE r.environment = %s AND r.seq > %s ORDER BY r.seq",
            [environment, since],
        )
        numbers = [number for (number,) in made]
        assert numbers == list(range(revision - len(numbers) + 1, revision + 1))


@pytest.fixture
def prepared(installation: Installation) -> Installation:
    with installation.change() as change:
        configs.define_config(change, configs.Definition("counter", ValueType.INTEGER))
        configs.set_value(change, "counter", "dev", 0)
        for number in range(WRITERS):
            flags.create_flag(change, flags.Definition(f"flag_{number}"))
    return installation


def test_no_update_is_lost(prepared: Installation) -> None:
    def count_up(change: Change, _number: int) -> None:
        current = get_value(change.session, "counter", "dev")
        configs.set_value(change, "counter", "dev", current + 1)

    since, revisions = prepared.last_event(), prepared.revisions()
    all_at_once(prepared, count_up)
    values = prepared.ask(
        "SELECT (before ->> 'value')::int, (after ->> 'value')::int FROM flagctl.audit_events"
        " WHERE seq > %s ORDER BY seq",
        [since],
    )
    assert values == [(number, number + 1) for number in range(WRITERS)]
    assert prepared.revisions() == revisions | {"dev": revisions["dev"] + WRITERS}
    assert_the_log_is_in_order(prepared, since=since)


def test_writers_of_different_things_leave_one_event_each(prepared: Installation) -> None:
    def write(change: Change, number: int) -> None:
        environment = ENVIRONMENTS[number % 3]
        if number % 5 == 0:
            api_keys.create_key(change, f"key_{number}", environment)
        elif number % 5 == 1:
            flags.set_default(change, f"flag_{number}", enabled=True)
        else:
            overrides.set_override(change, f"flag_{number}", environment, "on")

    since = prepared.last_event()
    all_at_once(prepared, write)
    entities = prepared.ask(
        "SELECT DISTINCT change_id, entity_key FROM flagctl.audit_events WHERE seq > %s", [since]
    )
    assert len(entities) == prepared.last_event() - since == WRITERS
    assert_the_log_is_in_order(prepared, since=since)


def test_of_fifty_that_saw_the_same_revision_one_wins(prepared: Installation) -> None:
    seen = prepared.revisions()["dev"]

    def run(number: int) -> str:
        try:
            with prepared.change(if_revision=seen) as change:
                configs.set_value(change, "counter", "dev", number + 1)
        except ConflictError as error:
            return error.message
        return "won"

    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        answers = list(pool.map(run, range(WRITERS)))
    lost = f"the revision of dev is {seen + 1} now, not {seen}: it changed meanwhile"
    assert sorted(answers) == sorted([lost] * (WRITERS - 1) + ["won"])


def test_of_fifty_that_create_the_same_flag_one_wins(prepared: Installation) -> None:
    def run(_number: int) -> bool:
        try:
            with prepared.change() as change:
                flags.create_flag(change, flags.Definition("the_same"))
        except ConflictError as error:
            assert "exists already" in error.message  # noqa: PT017 - in a thread
            return False
        return True

    since = prepared.last_event()
    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        assert sum(pool.map(run, range(WRITERS))) == 1
    assert prepared.last_event() == since + 1

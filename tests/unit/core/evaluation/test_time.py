"""Time: what an expiry does, and that answers change at the instants that the engine names."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from core.evaluation.engine import Engine
from core.evaluation.explain import explain
from core.evaluation.result import Reason, Result
from core.evaluation.ruleset import Ruleset
from tests.support.rulesets import NOW, contexts, environments

TICK = timedelta(microseconds=1)
VARIANTS: dict[str, Any] = {"on": True, "off": False}


def flag(key: str = "f", *, expires_at: datetime | None = NOW, **targeting: Any) -> Ruleset:
    document = {"format": 1, **targeting}
    return Ruleset(
        *(key, "boolean", VARIANTS, "on", "off", True, document, "salt"), expires_at=expires_at
    )


def test_from_its_expiry_on_a_flag_is_off() -> None:
    rules = [{"id": "r", "when": True, "serve": {"variant": "on"}}]
    flags = [flag(rules=rules)]
    before = Engine(flags, at=NOW - TICK)
    assert before.evaluate("f", {}) == Result("f", True, "on", Reason.TARGETING_MATCH, "r")
    assert (before.changed_at, before.changes_at) == (None, NOW)
    for moment in (NOW, NOW + TICK, NOW + timedelta(days=9_999)):
        engine = Engine(flags, at=moment)
        assert engine.evaluate("f", {}) == Result("f", False, "off", Reason.DISABLED, expired=True)
        assert (engine.changed_at, engine.changes_at) == (NOW, None)
        explained = explain(engine, {}, "f", {})
        assert explained is not None
        assert (explained.expired_at, explained.rules) == (NOW, ())


def test_a_flag_that_requires_an_expired_one_sees_its_off_variant() -> None:
    for wanted, reason in (("on", Reason.DISABLED), ("off", Reason.STATIC)):
        requires = [{"flag": "old", "variants": [wanted]}]
        flags = [flag("new", expires_at=None, requires=requires), flag("old")]
        found = Engine(flags, at=NOW).evaluate("new", {})
        assert found is not None
        assert (found.reason, found.expired) == (reason, False)


def test_what_is_kept_for_timed_changes_is_not_passed_over() -> None:
    found = Engine([flag(expires_at=None, schedule=[])], at=NOW)
    assert str(found.programs["f"].fault) == (
        "schedule: kept for timed changes, which this release does not have"
    )


@settings(max_examples=40)
@given(environments(), contexts())
def test_answers_change_at_the_named_instants_alone(environment: Any, context: Any) -> None:
    flags, segments = environment
    engine = Engine(flags, segments, at=NOW - timedelta(days=1))
    assert engine.changed_at is None
    passed: list[datetime] = []
    while engine.changes_at is not None:
        last_moment = Engine(flags, segments, at=engine.changes_at - TICK)
        assert list(last_moment.evaluate_all(context)) == list(engine.evaluate_all(context))
        assert last_moment.changes_at == engine.changes_at
        passed.append(engine.changes_at)
        engine = Engine(flags, segments, at=engine.changes_at)
        assert engine.changed_at == passed[-1]
    assert passed == sorted({f.expires_at for f in flags if f.expires_at is not None})
    off = [replace(f, enabled=f.enabled and f.expires_at is None, expires_at=None) for f in flags]
    assert [r._replace(expired=False) for r in engine.evaluate_all(context)] == list(
        Engine(off, segments, at=NOW).evaluate_all(context)
    )


@pytest.mark.parametrize("count", [0, 3])
def test_without_an_expiry_nothing_changes_by_itself(count: int) -> None:
    engine = Engine([flag(f"f{n}", expires_at=None) for n in range(count)], at=NOW)
    assert (engine.changed_at, engine.changes_at) == (None, None)

"""Answers for one flag: what is kept of them, and that it is the same each time."""

import json
import tracemalloc
from typing import Any

from core.auth.api_keys import KeyKind
from core.snapshot.document import KeyGrant, Served
from readserver.access import Admitted
from readserver.answers import Prepared, prepare
from readserver.provider import Found
from tests.support.fast_lanes import POST, World, on_loop
from tests.support.snapshots import flag, snapshot

RULES = 100
LARGE: Any = {"größe": "x" * 50_000, "value": None}


def prepared(**fields: Any) -> Prepared:
    """A flag that answers with a large value, by one of its many rules."""
    rules = [
        {
            "id": f"r{number}",
            "when": {"attr": "country", "op": "eq", "value": f"c{number}"},
            "serve": {"variant": "on"},
        }
        for number in range(RULES)
    ]
    defaults: dict[str, Any] = {
        "key": "page",
        "type": "object",
        "variants": {"on": LARGE, "off": {}},
        "targeting": {"format": 1, "rules": rules},
    }
    return prepare(snapshot(served=Served((flag(**(defaults | fields)),), ())))


def test_what_many_rules_serve_is_kept_once() -> None:
    async def test() -> None:
        world, grant = World(), KeyGrant("a", KeyKind.SERVER, None)
        world.memo.accept(Admitted(Found(prepared(), "memory"), grant, b"digest", b"key"))
        head = POST.replace(b"dark_mode", b"page")
        tracemalloc.start()
        try:
            for number in range(RULES):
                body = b'{"context":{"country":"c%d"}}' % number
                asked = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
                assert [world.ask(asked), world.ask(asked)] == [1, 1]
                first, second = world.transport.written
                assert first == second
                world.transport.written.clear()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 10 * len(LARGE["größe"])

    on_loop(test)


def test_a_large_answer_is_the_same_each_time() -> None:
    evaluations = prepared().evaluations[KeyKind.SERVER]
    for number in range(3):
        result = evaluations.evaluate("page", {"country": f"c{number}"})
        first, second = evaluations.fragment(result), evaluations.fragment(result)
        assert first == second
        found = json.loads(first)
        assert list(found) == ["key", "value", "reason", "variant", "metadata"]
        assert (found["value"], found["metadata"]["rule"]) == (LARGE, f"r{number}")


def test_an_answer_without_a_value_has_none_of_those_that_are_kept() -> None:
    arms = [{"serve": {"variant": name}, "weight": 1} for name in ("on", "off")]
    fields: Any = {
        "off_variant": "on",
        "targeting": {"format": 1, "serve": {"split": {"arms": arms}}},
    }
    evaluations = prepared(**fields).evaluations[KeyKind.SERVER]
    served = [evaluations.evaluate("page", {"targetingKey": f"u{n}"}) for n in range(20)]
    assert LARGE in [json.loads(evaluations.fragment(result))["value"] for result in served]
    missing = json.loads(evaluations.fragment(evaluations.evaluate("page", {})))
    assert (missing["errorCode"], "value" in missing) == ("TARGETING_KEY_MISSING", False)

"""Three of Unleash's own cases in our model: the shape must carry them without naming a vendor.

The cases are read where they lie, beside the project; without them these tests say so.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from core.evaluation.engine import Engine
from core.evaluation.ruleset import Ruleset
from tests.support.rulesets import NOW

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason=f"the peers' cases are not there: {CASES.name}"
)
_VARIANT_SEED = 86_028_157


def cases_of(flag: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((CASES / "unleash_cases.json").read_text())
    found = [case for case in cases if case["flag"] == flag]
    assert found
    return found


def definition(case: dict[str, Any]) -> dict[str, Any]:
    document = json.loads((CASES / case["definition_file"]).read_text())
    found: dict[str, Any] = next(f for f in document["features"] if f["name"] == case["flag"])
    return found


def gradual(feature: dict[str, Any]) -> Ruleset:
    """A rollout by session: `murmur3(group:id) % 100 + 1 <= percentage` is a range of 100."""
    parameters = feature["strategies"][0]["parameters"]
    by = {"attributes": ["sessionId"], "salt": parameters["groupId"], "modulo": 100}
    share = {"serve": {"variant": "on"}, "range": [0, int(parameters["percentage"])]}
    rules: Any = [{"id": "1", "when": True, "serve": {"split": {"by": by, "arms": [share]}}}]
    rules += [
        {"id": "2", "when": True, "serve": {"variant": "on"}} for _ in feature["strategies"][1:]
    ]
    return Ruleset(
        feature["name"],
        "boolean",
        {"on": True, "off": False},
        "off",
        "off",
        enabled=feature["enabled"],
        targeting={"format": 1, "rules": rules, "serve": {"variant": "off"}},
    )


def weighted(feature: dict[str, Any]) -> Ruleset:
    """Variants by weight: another seed, and as many buckets as the weights add up to."""
    variants = feature["variants"]
    by = {
        "attributes": ["userId"],
        "salt": feature["name"],
        "seed": _VARIANT_SEED,
        "modulo": sum(variant["weight"] for variant in variants),
    }
    arms = [{"serve": {"variant": v["name"]}, "weight": v["weight"]} for v in variants]
    return Ruleset(
        feature["name"],
        "string",
        {v["name"]: v["payload"]["value"] for v in variants} | {"off": ""},
        "off",
        "off",
        enabled=feature["enabled"],
        targeting={"format": 1, "serve": {"split": {"by": by, "arms": arms}}},
    )


@pytest.mark.parametrize("name", ["Feature.A4", "Feature.B4", "Feature.C4", "Feature.D4"])
def test_gradual_rollouts(name: str) -> None:
    for case in cases_of(name):
        result = Engine([gradual(definition(case))], at=NOW).evaluate(name, case["context"])
        assert result is not None
        assert result.value is case["expected"]["enabled"], case["id"]


@pytest.mark.parametrize("name", ["Feature.Variants.B", "Feature.Variants.C", "Feature.Variants.D"])
def test_variants_by_weight(name: str) -> None:
    for case in cases_of(name):
        result = Engine([weighted(definition(case))], at=NOW).evaluate(name, case["context"])
        assert result is not None
        assert result.variant == case["expected"]["variant"], case["id"]

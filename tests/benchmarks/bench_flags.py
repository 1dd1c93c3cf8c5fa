"""The flags that are measured, in flagctl's own form, and the users who are asked about.

70 % are plain; 20 % have one attribute rule, then a rollout to 25 %; 10 % have ten rules, of which
the last matches every user.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.evaluation.ruleset import Ruleset
from core.snapshot.document import Auth, Served, Snapshot

PLAIN: Final = "plain flag"
ROLLOUT: Final = "rule, then rollout"
RULES: Final = "ten rules"
KINDS: Final = (PLAIN, ROLLOUT, RULES)
SHARE: Final = 25  # percent
USERS: Final = 10_000
STAFF_EVERY: Final = 10  # one user in so many is met by the rule before the rollout
REGIONS: Final = [f"region-{number}" for number in range(10)]


@dataclass(frozen=True, slots=True)
class User:
    """`plan` is what the rule before a rollout asks for, `region` what the ten rules do."""

    id: str
    plan: str
    region: str

    @property
    def is_staff(self) -> bool:
        return self.plan == "staff"


def users() -> list[User]:
    return [
        User(f"user-{number}", "free" if number % STAFF_EVERY else "staff", REGIONS[-1])
        for number in range(USERS)
    ]


def kinds_of(count: int) -> dict[str, str]:
    """The keys of so many flags, each with its kind; the kinds are mixed."""
    mix = [PLAIN] * 7 + [ROLLOUT] * 2 + [RULES]
    return {f"flag-{number:05}": mix[number % len(mix)] for number in range(count)}


def conditions_of(kind: str) -> list[tuple[str, str]]:
    """Attribute and value of each rule, in order; every rule serves true."""
    if kind == ROLLOUT:
        return [("plan", "staff")]
    return [("region", region) for region in REGIONS] if kind == RULES else []


def rulesets(kinds: Mapping[str, str]) -> Iterator[Ruleset]:
    variants = {"on": True, "off": False}
    for key, kind in kinds.items():
        targeting = None if kind == PLAIN else _targeting(kind)
        yield Ruleset(key, "boolean", variants, "on", "off", True, targeting, f"salt-{key}")


def _targeting(kind: str) -> dict[str, Any]:
    rules = [
        {
            "id": f"rule-{number}",
            "when": {"attr": attribute, "op": "eq", "value": value},
            "serve": {"variant": "on"},
        }
        for number, (attribute, value) in enumerate(conditions_of(kind))
    ]
    arms = [
        {"serve": {"variant": "on"}, "weight": SHARE},
        {"serve": {"variant": "off"}, "weight": 100 - SHARE},
    ]
    serve = {"split": {"arms": arms}} if kind == ROLLOUT else {"variant": "off"}
    return {"format": 1, "rules": rules, "serve": serve}


def snapshot(count: int) -> Snapshot:
    """An environment that serves nothing else."""
    served = Served(tuple(rulesets(kinds_of(count))), ())
    return Snapshot("env_bench", "prod", "epoch", 1, "stamp", served, Auth({}))

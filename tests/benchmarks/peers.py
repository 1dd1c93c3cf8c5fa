"""What a user would pick instead of flagctl, fed the same flags, without a network.

Each peer asks in the way that is cheapest for it: what belongs to one user is prepared before the
clock starts, and no events are sent.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from core import clock
from core.evaluation.engine import Engine
from tests.benchmarks.bench_flags import (
    PLAIN,
    ROLLOUT,
    SHARE,
    User,
    conditions_of,
    rulesets,
)

Kinds = Mapping[str, str]


class Evaluator(ABC):
    """Constructing one imports its package: ImportError where that is not installed."""

    package: ClassVar[str]

    @abstractmethod
    def __init__(self, kinds: Kinds, folder: Path) -> None: ...

    @abstractmethod
    def subject(self, user: User) -> Any:
        """The user in the form in which this one is asked about users."""

    @abstractmethod
    def ask(self, key: str, subject: Any) -> bool: ...

    @abstractmethod
    def ask_all(self, subject: Any) -> Mapping[str, bool]: ...

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Stop what runs in the background."""


class Flagctl(Evaluator):
    package = "flagctl"

    def __init__(self, kinds: Kinds, folder: Path) -> None:
        self._engine = Engine(rulesets(kinds), at=clock.now())

    def subject(self, user: User) -> Any:
        return {"targetingKey": user.id, "plan": user.plan, "region": user.region}

    def ask(self, key: str, subject: Any) -> bool:
        result = self._engine.evaluate(key, subject)
        return result.value  # type: ignore[union-attr,return-value]

    def ask_all(self, subject: Any) -> Mapping[str, bool]:
        return {r.key: r.value for r in self._engine.evaluate_all(subject)}  # type: ignore[misc]


class LaunchDarkly(Evaluator):
    package = "launchdarkly-server-sdk"

    def __init__(self, kinds: Kinds, folder: Path) -> None:
        from ldclient.client import LDClient
        from ldclient.config import Config
        from ldclient.context import Context
        from ldclient.versioned_data_kind import FEATURES, SEGMENTS

        flags = {key: self._flag(key, kind) for key, kind in kinds.items()}
        self._context: Callable[[str], Any] = Context.builder
        config = Config(
            "none",
            update_processor_class=_given({FEATURES: flags, SEGMENTS: {}}),
            send_events=False,
            diagnostic_opt_out=True,
        )
        self._client = LDClient(config)

    @staticmethod
    def _flag(key: str, kind: str) -> dict[str, Any]:
        rollout = {
            "variations": [
                {"variation": 0, "weight": SHARE * 1_000},
                {"variation": 1, "weight": (100 - SHARE) * 1_000},
            ]
        }
        return {
            "key": key,
            "version": 1,
            "on": True,
            "salt": f"salt-{key}",
            "variations": [True, False],
            "offVariation": 1,
            "fallthrough": {"rollout": rollout}
            if kind == ROLLOUT
            else {"variation": int(kind != PLAIN)},
            "rules": [
                {
                    "id": f"rule-{number}",
                    "clauses": [{"attribute": attribute, "op": "in", "values": [value]}],
                    "variation": 0,
                }
                for number, (attribute, value) in enumerate(conditions_of(kind))
            ],
        }

    def subject(self, user: User) -> Any:
        return self._context(user.id).set("plan", user.plan).set("region", user.region).build()

    def ask(self, key: str, subject: Any) -> bool:
        return self._client.variation(key, subject, None)  # type: ignore[no-any-return]

    def ask_all(self, subject: Any) -> Mapping[str, bool]:
        return self._client.all_flags_state(subject).to_values_map()  # type: ignore[no-any-return]

    def close(self) -> None:
        self._client.close()


def _given(data: Mapping[Any, Any]) -> Callable[[Any, Any, Any], Any]:
    """A data source of LaunchDarkly's that brings these flags once."""

    class Given:
        def __init__(self, store: Any, ready: Any) -> None:
            self._store = store
            self._ready = ready

        def start(self) -> None:
            self._store.init(data)
            self._ready.set()

        def stop(self) -> None:
            pass

        def is_alive(self) -> bool:
            return True

        def initialized(self) -> bool:
            return True

    return lambda _config, store, ready: Given(store, ready)


class Unleash(Evaluator):
    package = "UnleashClient"

    def __init__(self, kinds: Kinds, folder: Path) -> None:
        from UnleashClient import UnleashClient
        from UnleashClient.cache import FileCache

        self._keys = list(kinds)
        features = [self._feature(key, kind) for key, kind in kinds.items()]
        cache = FileCache("bench", directory=str(folder))
        cache.bootstrap_from_dict({"version": 2, "features": features})
        # Never initialized: it evaluates what it was given, and nothing polls.
        self._client = UnleashClient(
            "http://localhost:9/api",
            "bench",
            cache=cache,
            disable_metrics=True,
            disable_registration=True,
        )

    @staticmethod
    def _feature(key: str, kind: str) -> dict[str, Any]:
        strategies: list[dict[str, Any]] = [
            {
                "name": "default",
                "parameters": {},
                "constraints": [{"contextName": attribute, "operator": "IN", "values": [value]}],
            }
            for attribute, value in conditions_of(kind)
        ]
        if kind == ROLLOUT:
            by = {"rollout": str(SHARE), "stickiness": "userId", "groupId": key}
            strategies.append({"name": "flexibleRollout", "parameters": by})
        elif kind == PLAIN:
            strategies.append({"name": "default", "parameters": {}})
        return {"name": key, "enabled": True, "strategies": strategies}

    def subject(self, user: User) -> Any:
        return {"userId": user.id, "properties": {"plan": user.plan, "region": user.region}}

    def ask(self, key: str, subject: Any) -> bool:
        return self._client.is_enabled(key, subject)  # type: ignore[no-any-return]

    def ask_all(self, subject: Any) -> Mapping[str, bool]:
        ask = self._client.is_enabled
        return {key: ask(key, subject) for key in self._keys}


class GrowthBook(Evaluator):
    package = "growthbook"

    def __init__(self, kinds: Kinds, folder: Path) -> None:
        from growthbook import GrowthBook as Client

        self._keys = list(kinds)
        features = {key: self._feature(key, kind) for key, kind in kinds.items()}
        self._client = Client(features=features)

    @staticmethod
    def _feature(key: str, kind: str) -> dict[str, Any]:
        rules: list[dict[str, Any]] = [
            {"condition": {attribute: value}, "force": True}
            for attribute, value in conditions_of(kind)
        ]
        if kind == ROLLOUT:
            spread = {"coverage": SHARE / 100, "hashAttribute": "id", "hashVersion": 2}
            rules.append({"force": True, "seed": key, **spread})
        return {"defaultValue": kind == PLAIN, "rules": rules}

    def subject(self, user: User) -> Any:
        return {"id": user.id, "plan": user.plan, "region": user.region}

    def ask(self, key: str, subject: Any) -> bool:
        self._client.set_attributes(subject)
        return self._client.is_on(key)  # type: ignore[no-any-return]

    def ask_all(self, subject: Any) -> Mapping[str, bool]:
        self._client.set_attributes(subject)
        ask = self._client.is_on
        return {key: ask(key) for key in self._keys}


class Flagsmith(Evaluator):
    """It knows only "all flags": a single one is asked of an environment that has no other."""

    package = "flagsmith-flag-engine"

    def __init__(self, kinds: Kinds, folder: Path) -> None:
        from flag_engine.engine import get_evaluation_result

        self._evaluate: Callable[[Any], Any] = get_evaluation_result
        self._single = {key: self._context({key: kind}) for key, kind in kinds.items()}
        self._whole = self._context(kinds)

    @classmethod
    def _context(cls, kinds: Kinds) -> dict[str, Any]:
        segments = [segment for key, kind in kinds.items() for segment in cls._segments(key, kind)]
        return {
            "environment": {"key": "bench", "name": "bench"},
            "features": {key: cls._feature(key, kind == PLAIN) for key, kind in kinds.items()},
            "segments": {segment["key"]: segment for segment in segments},
        }

    @staticmethod
    def _feature(key: str, enabled: bool, **more: Any) -> dict[str, Any]:
        return {"key": key, "name": key, "enabled": enabled, "value": None, **more}

    @classmethod
    def _segments(cls, key: str, kind: str) -> list[dict[str, Any]]:
        """A rule is a segment that overrides the feature."""
        conditions: list[dict[str, Any]] = [
            {"property": attribute, "operator": "EQUAL", "value": value}
            for attribute, value in conditions_of(kind)
        ]
        if kind == ROLLOUT:
            spread = {"operator": "PERCENTAGE_SPLIT", "value": str(SHARE)}
            conditions.append({"property": "$.identity.key", **spread})
        return [
            {
                "key": f"{key}-{number}",
                "name": f"{key}-{number}",
                "rules": [{"type": "ALL", "conditions": [condition]}],
                "overrides": [cls._feature(key, True, priority=number)],
            }
            for number, condition in enumerate(conditions)
        ]

    def subject(self, user: User) -> Any:
        traits = {"plan": user.plan, "region": user.region}
        return {"identifier": user.id, "key": user.id, "traits": traits}

    def ask(self, key: str, subject: Any) -> bool:
        found = self._evaluate({**self._single[key], "identity": subject})
        return found["flags"][key]["enabled"]  # type: ignore[no-any-return]

    def ask_all(self, subject: Any) -> Mapping[str, bool]:
        found = self._evaluate({**self._whole, "identity": subject})
        return {key: flag["enabled"] for key, flag in found["flags"].items()}


class Flagd(Evaluator):
    """The provider itself, in process, without the OpenFeature client around it."""

    package = "openfeature-provider-flagd"

    def __init__(self, kinds: Kinds, folder: Path) -> None:
        from openfeature.contrib.provider.flagd import FlagdProvider
        from openfeature.contrib.provider.flagd.config import ResolverType
        from openfeature.evaluation_context import EvaluationContext

        self._keys = list(kinds)
        path = folder / "flagd.json"
        path.write_text(json.dumps({"flags": {k: self._flag(kind) for k, kind in kinds.items()}}))
        self._context: Callable[..., Any] = EvaluationContext
        self._provider = FlagdProvider(
            resolver_type=ResolverType.FILE,
            offline_flag_source_path=str(path),
            deadline_ms=3_600_000,  # until it looks at the file again
        )
        self._provider.initialize(EvaluationContext())

    @staticmethod
    def _flag(kind: str) -> dict[str, Any]:
        flag: dict[str, Any] = {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "on",
        }
        if kind != PLAIN:
            branches: list[Any] = []
            for attribute, value in conditions_of(kind):
                branches += [{"==": [{"var": attribute}, value]}, "on"]
            split = {"fractional": [["on", SHARE], ["off", 100 - SHARE]]}
            flag["targeting"] = {"if": [*branches, split if kind == ROLLOUT else "off"]}
        return flag

    def subject(self, user: User) -> Any:
        return self._context(user.id, {"plan": user.plan, "region": user.region})

    def ask(self, key: str, subject: Any) -> bool:
        return self._provider.resolve_boolean_details(key, None, subject).value  # type: ignore[no-any-return]

    def ask_all(self, subject: Any) -> Mapping[str, bool]:
        ask = self._provider.resolve_boolean_details
        return {key: ask(key, None, subject).value for key in self._keys}

    def close(self) -> None:
        self._provider.shutdown()


PEERS: Final[tuple[type[Evaluator], ...]] = (LaunchDarkly, Unleash, GrowthBook, Flagsmith, Flagd)

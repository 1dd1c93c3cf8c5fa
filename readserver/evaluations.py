"""Evaluations for a context, as OFREP and `/v1/flags` show them.

Every way a flag can end was made when it was compiled; each is rendered once, when it first comes
up. A bulk answer is a join of finished fragments.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from core import json_text
from core.auth.api_keys import KeyKind
from core.evaluation.context import Context
from core.evaluation.engine import Decide, Engine
from core.evaluation.result import ErrorCode, Result
from core.snapshot.document import Snapshot

_DETAILS: Final = "this flag splits by an attribute that the context does not have"


class Evaluations:
    """What one kind of key sees of an environment."""

    __slots__ = ("_decisions", "_fragments", "_is_server", "_programs", "_snapshot")

    def __init__(self, snapshot: Snapshot, engine: Engine, kind: KeyKind) -> None:
        self._snapshot = snapshot
        self._programs = engine.programs
        self._is_server = kind is KeyKind.SERVER
        seen = {
            key: program
            for key, program in engine.programs.items()
            if self._is_server or program.ruleset.client_visible
        }
        self._decisions: dict[str, Decide] = {key: p.decide for key, p in seen.items()}
        # By the identity of the result, which the engine keeps as long as it lives itself.
        self._fragments: dict[int, bytes] = {}

    def evaluate(self, key: str, context: Context) -> Result | None:
        """None for a flag that this key does not see."""
        decide = self._decisions.get(key)
        return decide(context) if decide is not None else None

    def values(self, context: Context) -> bytes:
        """The map of `/v1/flags`."""
        results = (decide(context) for decide in self._decisions.values())
        return json_text.render({result.key: result.value for result in results}).encode()

    def bulk(self, context: Context, streams: bytes = b"") -> bytes:
        """OFREP's answer for all flags; `streams` is its finished member `eventStreams`."""
        head = {"revision": self._snapshot.revision, "environment": self._snapshot.key}
        metadata = json.dumps(head, separators=(",", ":"))
        flags = b",".join(self._bulk(context))
        return b'{"flags":[' + flags + b'],"metadata":' + metadata.encode() + streams + b"}"

    def _bulk(self, context: Context) -> Iterator[bytes]:
        fragments = self._fragments
        for decide in self._decisions.values():
            result = decide(context)
            yield fragments.get(id(result)) or self.fragment(result)

    def fragment(self, result: Result) -> bytes:
        """OFREP's answer for one flag, finished."""
        found = self._fragments.get(id(result))
        if found is None:
            found = json_text.render(self._document(result)).encode()
            self._fragments[id(result)] = found
        return found

    def _document(self, result: Result) -> dict[str, Any]:
        document: dict[str, Any] = {"key": result.key}
        if result.error is ErrorCode.TARGETING_KEY_MISSING:
            document |= {"errorCode": result.error, "errorDetails": _DETAILS}
        else:
            document["value"] = result.value
        metadata: dict[str, Any] = {
            "revision": self._snapshot.revision,
            "environment": self._snapshot.key,
            "version": self._programs[result.key].ruleset.version,
        }
        if self._is_server and result.rule is not None:
            metadata["rule"] = result.rule
        if self._is_server and result.prerequisite is not None:
            metadata["prerequisite"] = result.prerequisite
        if self._is_server and result.expired:
            metadata["expired"] = True
        return document | {
            "reason": result.reason,
            "variant": result.variant,
            "metadata": metadata,
        }

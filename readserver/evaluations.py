"""Evaluations for a context, as OFREP and `/v1/flags` show them.

Every way a flag can end was made when it was compiled; each is rendered once: with the snapshot for
usual flags, else when it first comes up. Of large ones the value's text alone is kept, which all
ways share that end in the same variant. A bulk answer is a join of finished fragments: first what
no context can change, which is joined beforehand, then what is decided for this one.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from core import json_text
from core.auth.api_keys import KeyKind
from core.evaluation.context import Context
from core.evaluation.engine import Decide, Engine, Program
from core.evaluation.result import ErrorCode, Result
from core.evaluation.rows import Ask, Row, together
from core.json_text import JsonValue
from core.snapshot.document import Snapshot
from readserver.tallies import Tallies, Tally

_LARGEST_VARIANTS: Final = 1_000  # characters
_LARGEST_KEPT: Final = 4_096  # bytes of a fragment: a flag with many rules has as many of them
_NO_VALUE: Final = b'"value":null'  # can stand in no key: there its quotes are escaped
_DETAILS: Final = "this flag splits by an attribute that the context does not have"


class Evaluations:
    """What one kind of key sees of an environment."""

    __slots__ = (
        "_asks",
        "_decisions",
        "_fragments",
        "_head",
        "_is_server",
        "_programs",
        "_snapshot",
        "_tail",
        "_tallies",
        "_texts",
        "bulk_tally",
        "finished",
    )

    def __init__(self, snapshot: Snapshot, engine: Engine, kind: KeyKind, tallies: Tallies) -> None:
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
        self._texts: dict[int, bytes] = {}  # of large values, by their identity
        # The fast lane's: status and headers of the answer for one flag, and what counts it; by
        # the identity of the result.
        self.finished: dict[int, tuple[int, bytes, Tally]] = {}
        self._tallies = tallies
        self.bulk_tally = tallies.bulk[kind]
        self._tail = self._made_tail()
        self._head, self._asks = self._prepared(list(seen.values()))

    def _prepared(self, programs: list[Program]) -> tuple[bytes, list[Ask[bytes]]]:
        """A bulk answer as far as it is the same for all, and who is asked for the rest."""
        same = [self._rendered(p.constant) for p in programs if p.constant is not None]
        others = [(p.decide, _row(p)) for p in programs if p.constant is None]
        comma = b"," if same and others else b""
        head = b'{"flags":[' + b",".join(same) + comma
        return head, together(others, self.fragment)

    def _made_tail(self) -> bytes:
        head = {"revision": self._snapshot.revision, "environment": self._snapshot.key}
        metadata = json.dumps(head, separators=(",", ":"))
        return b'],"metadata":' + metadata.encode()

    def __contains__(self, key: str) -> bool:
        return key in self._decisions

    def evaluate(self, key: str, context: Context) -> Result:
        """Of a flag that this kind of key sees."""
        return self._decisions[key](context)

    def tally(self, result: Result) -> Tally:
        """What counts how often one flag was asked for, with this end."""
        return self._tallies.of(result)

    def results(self, context: Context) -> Iterator[Result]:
        """For all flags."""
        return (decide(context) for decide in self._decisions.values())

    def values(self, context: Context) -> bytes:
        """The map of `/v1/flags`."""
        results = self.results(context)
        return json_text.render({result.key: result.value for result in results}).encode()

    def bulk(self, context: Context, streams: bytes = b"") -> bytes:
        """OFREP's answer for all flags; `streams` is its finished member `eventStreams`."""
        pieces: list[bytes] = []
        for ask in self._asks:
            pieces += ask(context)
        return b"".join((self._head, b",".join(pieces), self._tail, streams, b"}"))

    def fragment(self, result: Result) -> bytes:
        """OFREP's answer for one flag, finished."""
        found = self._fragments.get(id(result))
        if found is None:
            found = self._rendered(result)
            if len(found) <= _LARGEST_KEPT:
                self._fragments[id(result)] = found
            elif id(result.value) not in self._texts:
                self._texts[id(result.value)] = _json(result.value)
        return found

    def _rendered(self, result: Result) -> bytes:
        document, text = self._document(result), self._texts.get(id(result.value))
        if text is None or "value" not in document:
            return _json(document)
        before, _, after = _json(document | {"value": None}).partition(_NO_VALUE)
        return b"".join((before, b'"value":', text, after))

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


def _json(value: JsonValue) -> bytes:
    return json_text.render(value).encode()


def _row(program: Program) -> Row | None:
    """Where each result is finished beforehand, it is not to be large."""
    return program.row if len(repr(program.ruleset.variants)) <= _LARGEST_VARIANTS else None

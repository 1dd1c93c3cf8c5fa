"""What a flag is for a context, and why."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core import clock
from core.errors import CheckFailedError, InvalidInputError, NotFoundError
from flagctl import output, progress, tables
from flagctl.contexts_given import context_of, contexts_in, lines_of
from flagctl.options import Env, FlagKey
from flagctl.state import State, current

if TYPE_CHECKING:
    from core.evaluation.engine import Engine
    from core.queries.rulesets import Rulesets

TargetingKey = Annotated[
    str | None,
    typer.Option("--targeting-key", "-k", metavar="KEY", help="Who asks: targetingKey."),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        "-c",
        metavar="NAME=VALUE",
        help="An attribute, as JSON where it is JSON; repeatable.",
    ),
]
File = Annotated[
    str | None,
    typer.Option("--context-file", metavar="FILE", help="A JSON object; - is stdin."),
]


def evaluate(
    key: FlagKey,
    env: Env = None,
    targeting_key: TargetingKey = None,
    attributes: Attributes = None,
    context_file: File = None,
    contexts: Annotated[
        str | None,
        typer.Option("--contexts", metavar="FILE", help="A context on each line; - is stdin."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="With --contexts: how many get what.")
    ] = False,
    test: Annotated[
        str | None,
        typer.Option("--test", metavar="VALUE", help="Exit 8 unless this is the value."),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option("--via", metavar="URL", help="Ask a server, with FLAGCTL_API_KEY."),
    ] = None,
) -> None:
    """Evaluate a flag for a context.

    \b
    flagctl eval layout --env prod --targeting-key u1 --context country=DE
    flagctl eval new_checkout --env prod --test true
    flagctl eval layout --env prod --contexts users.jsonl --summary
    """
    here = current()
    if contexts is not None:
        _evaluate_many(here, key, env, contexts, summary=summary)
        return
    if summary:
        raise InvalidInputError("--summary goes with --contexts FILE")
    context = context_of(attributes, context_file, targeting_key)
    document = _from_server(here, via, key, env, context) if via else _here(here, key, env, context)
    here.show(document, lambda: _print(document))
    if test is not None and not _is(document["value"], test):
        raise CheckFailedError(f"{key} is {_json(document['value'])}, not {test}")


def explain(
    key: FlagKey,
    env: Env = None,
    targeting_key: TargetingKey = None,
    attributes: Attributes = None,
    context_file: File = None,
) -> None:
    """Show why a flag has its value: every rule asked, what it expected and found.

    \b
    flagctl explain layout --env prod --targeting-key u1 --context country=DE
    """
    from core.evaluation.explain import explain as explain_flag
    from flagctl.explained import lines

    here = current()
    context = context_of(attributes, context_file, targeting_key)
    rulesets, engine = _load(here, key, env)
    explanation = explain_flag(engine, rulesets.segments, key, context)
    if explanation is None:
        raise _archived(key)
    document = _document(rulesets, explanation.result)

    def human() -> None:
        _print(document)
        for line in lines(explanation):
            output.line(line)

    here.show({**document, "explanation": explanation}, human)


def _load(here: State, key: str, env: str | None) -> "tuple[Rulesets, Engine]":
    from core.evaluation.engine import Engine
    from core.queries.rulesets import rulesets_for

    with here.reading() as session:
        rulesets = rulesets_for(session, key, here.environment(env))
    return rulesets, Engine(rulesets.flags, rulesets.segments, at=clock.now())


def _here(here: State, key: str, env: str | None, context: dict[str, Any]) -> dict[str, Any]:
    rulesets, engine = _load(here, key, env)
    result = engine.evaluate(key, context)
    if result is None:
        raise _archived(key)
    return _document(rulesets, result)


def _archived(key: str) -> NotFoundError:
    return NotFoundError(f"the flag {key!r} is archived", hint=f"`flagctl unarchive {key}`")


def _document(rulesets: "Rulesets", result: Any) -> dict[str, Any]:
    found = {
        "key": result.key,
        "value": result.value,
        "variant": result.variant,
        "reason": result.reason,
        "rule": result.rule,
        "environment": rulesets.environment,
        "revision": rulesets.revision,
        "version": rulesets.versions[result.key],
    }
    if result.expired:
        found["expired"] = True
    if result.error is not None:
        found["error"] = result.error
    return found


def _from_server(
    here: State, via: str, key: str, env: str | None, context: dict[str, Any]
) -> dict[str, Any]:
    from flagctl.via import evaluate as ask

    if env is not None:
        raise InvalidInputError("--via and --env exclude each other: a key is of one environment")
    answer = ask(via, here.settings.require("api_key"), key, context)
    metadata = answer.get("metadata", {})
    found = {
        "key": key,
        "value": answer.get("value"),
        "variant": answer.get("variant"),
        "reason": answer.get("reason"),
        "rule": metadata.get("rule"),
        "environment": metadata.get("environment"),
        "revision": metadata.get("revision"),
        "version": metadata.get("version"),
    }
    if metadata.get("expired"):
        found["expired"] = True
    if "errorCode" in answer:
        found["error"] = answer["errorCode"]
    return found


def _evaluate_many(here: State, key: str, env: str | None, file: str, *, summary: bool) -> None:
    rulesets, engine = _load(here, key, env)
    lines = lines_of(file)
    contexts = progress.over(contexts_in(lines, file), "evaluating", total=len(lines))
    results = [(context, engine.evaluate(key, context)) for context in contexts]
    if summary:
        _print_summary(here, [result for _, result in results])
        return
    rows = [
        {"targeting_key": context.get("targetingKey"), **_document(rulesets, result)}
        for context, result in results
        if result is not None
    ]
    here.show(
        rows,
        lambda: tables.draw(
            rows,
            [
                ("targeting key", lambda r: r["targeting_key"]),
                ("value", lambda r: _json(r["value"])),
                ("variant", lambda r: r["variant"]),
                ("reason", lambda r: r["reason"]),
                ("rule", lambda r: r["rule"]),
            ],
            empty="no contexts",
        ),
    )


def _print_summary(here: State, results: Iterable[Any]) -> None:
    counted = Counter((r.variant, r.reason, r.rule) for r in results if r is not None)
    total = sum(counted.values())
    rows = [
        {"variant": v, "reason": reason, "rule": rule, "count": n, "percent": 100 * n / total}
        for (v, reason, rule), n in counted.most_common()
    ]
    here.show(
        rows,
        lambda: tables.draw(
            rows,
            [
                ("variant", lambda r: r["variant"]),
                ("reason", lambda r: r["reason"]),
                ("rule", lambda r: r["rule"]),
                ("count", lambda r: str(r["count"])),
                ("share", lambda r: f"{r['percent']:.1f} %"),
            ],
            empty="no contexts",
        ),
    )


def _print(document: dict[str, Any]) -> None:
    rule = f", rule {document['rule']}" if document["rule"] else ""
    error = f", {document['error']}" if "error" in document else ""
    expired = ", expired" if "expired" in document else ""
    output.line(
        f"{document['key']} is {_json(document['value'])} in {document['environment']}"
        f" · variant {document['variant']}, {document['reason']}{expired}{rule}{error},"
        f" revision {document['revision']}"
    )


def _is(value: Any, wanted: str) -> bool:
    """`wanted` as JSON where it is JSON, else as text."""
    from core import json_text

    try:
        return json_text.equal(value, json_text.parse(wanted)) or value == wanted
    except InvalidInputError:
        return bool(value == wanted)


def _json(value: Any) -> str:
    from core.json_text import render

    return render(value)

"""What every writing command says when it is done."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flagctl import output
from flagctl.state import State

if TYPE_CHECKING:
    from core.services.change import Outcome


def summary(state: State, outcome: "Outcome", *, revision: int | None = None) -> dict[str, Any]:
    """`changed`, `revision` (null when there are several), `revisions`, `audit_id`, `dry_run`; with
    --wait, `readers`."""
    revisions = {raised.environment: raised.revision for raised in outcome.raised}
    single = next(iter(revisions.values())) if len(revisions) == 1 else None
    return {
        "changed": outcome.changed,
        "revision": single if revisions else revision,
        "revisions": revisions,
        "audit_id": outcome.events[0].id if outcome.events and outcome.committed else None,
        **({} if (readers := state.followers()) is None else {"readers": readers}),
    }


def report(
    state: State,
    outcome: "Outcome",
    document: Mapping[str, Any],
    message: str,
    *,
    revision: int | None = None,
) -> None:
    """Say what happened: one line for people, one document for scripts.

    `revision` is the environment's, for a write that turned out to change nothing.
    """
    if state.output != "table":
        document = {**document, **summary(state, outcome, revision=revision)}
        if not outcome.committed:
            document |= {"dry_run": True, "events": outcome.events}
        output.emit(document, state.output)
        return
    if not outcome.committed:
        _report_dry_run(outcome)
        return
    raised = ", ".join(f"{r.revision} of {r.environment}" for r in outcome.raised)
    details = [f"revision {raised}"] if raised else []
    if outcome.events:
        details.append(f"audit {', '.join(str(event.id) for event in outcome.events)}")
    output.line(f"{message}{' · ' if details else ''}{', '.join(details)}")


def _report_dry_run(outcome: "Outcome") -> None:
    if not outcome.events:
        output.line("dry run: nothing would change")
        return
    output.line("dry run: this would change, and did not:")
    for event in outcome.events:
        where = f" in {event.environment}" if event.environment else ""
        output.line(f"  {event.action} {event.entity_type} {event.entity_key}{where}")
        for change in output.changes(event.before, event.after):
            output.line(f"    {change}")

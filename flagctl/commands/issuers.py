"""Issuers that an organization trusts besides flagctl's own."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from flagctl import output, tables, writes
from flagctl.long_steps import fetched
from flagctl.options import parse_duration, writing
from flagctl.state import State, current
from flagctl.times import relative

if TYPE_CHECKING:
    from core.errors import FlagctlError
    from core.queries.issuers import IssuerDetail
    from core.services.change import Outcome
    from core.services.issuers import Refreshed
    from core.services.openid.key_sets import KeySet

app = typer.Typer(no_args_is_help=True, help="Issuers of your own: who may sign tokens.")
Url = Annotated[str, typer.Argument(metavar="URL", help="As the issuer names itself.")]


@app.command()
@writing
def add(
    url: Url,
    audience: Annotated[
        str, typer.Option("--audience", metavar="A", help="For whom its tokens have to be.")
    ],
    max_lifetime: Annotated[
        str, typer.Option("--max-lifetime", metavar="TIME", help="How long a token may live.")
    ] = "1h",
    jwks_url: Annotated[
        str | None,
        typer.Option(
            "--jwks-url",
            metavar="URL",
            help="Where its keys are (default: as its discovery document says).",
        ),
    ] = None,
) -> None:
    """Trust an issuer, for one organization, and fetch its keys.

    Needs FLAGCTL_OWNER_DATABASE_URL: of the owner, or of a login of the keepers of trust.

    \b
    flagctl issuer add https://id.example.com --audience flagctl-cli
    """
    from core.services.issuers import TrustedIssuer, add_issuer

    here = current()
    issuer = TrustedIssuer(url, audience, parse_duration(max_lifetime), jwks_url)
    issuer.check()
    keys = fetched(url, jwks_url)
    _say_what_is_left_out(url, keys)
    _, outcome = here.write_as_owner(lambda change: add_issuer(change, issuer, keys))
    ids = [key.key_id for key in keys.keys]
    document = {"issuer": url, "audience": audience, "keys": ids, "left_out": keys.left_out}
    message = f"{url} is trusted, with {len(ids)} key{'' if len(ids) == 1 else 's'}"
    writes.report(here, outcome, document, message)


@dataclass(slots=True)
class _Result:
    """What became of one issuer; `error` is why nothing did."""

    issuer: str
    organization: str | None
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    error: str | None = None
    audit_ids: list[int] = field(default_factory=list)

    def fill(self, refreshed: "Refreshed", outcome: "Outcome") -> None:
        self.added, self.replaced = refreshed.added, refreshed.replaced
        self.revoked = refreshed.revoked
        self.audit_ids = [event.id for event in outcome.events] if outcome.committed else []


@app.command()
@writing
def refresh(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="Only this one (default: all).")
    ] = None,
) -> None:
    """Fetch the keys of issuers: new ones are trusted, withdrawn ones no more.

    One that cannot be reached keeps its keys and does not stop the others; the exit code says so.

    \b
    flagctl issuer refresh
    """
    here = current()
    results: list[_Result] = []
    faults: list[FlagctlError] = []
    answers: dict[tuple[str, str | None], KeySet | FlagctlError] = {}
    for issuer in _wanted(here, url):
        result = _Result(issuer.issuer, issuer.organization)
        results.append(result)
        if fault := _refresh(here, issuer, result, answers):
            result.error = fault.message
            faults.append(fault)
    _report(here, results)
    if faults:
        _fail(faults, len(results))


def _wanted(here: State, url: str | None) -> "list[IssuerDetail]":
    from core.errors import NotFoundError
    from core.names import closest
    from core.queries.issuers import list_issuers

    here.settings.require("owner_database_url")
    with here.reading_trust() as session:
        known = list_issuers(session, organization=here.organization)
    foreign = [issuer for issuer in known if not issuer.built_in]
    wanted = [issuer for issuer in foreign if url in (None, issuer.issuer)]
    if url is not None and not wanted:
        raise NotFoundError(
            f"no issuer {url!r} is trusted here",
            hint=closest(url, [issuer.issuer for issuer in foreign]) or "see `flagctl issuer list`",
        )
    return wanted


def _refresh(
    here: State,
    issuer: "IssuerDetail",
    result: _Result,
    answers: "dict[tuple[str, str | None], KeySet | FlagctlError]",
) -> "FlagctlError | None":
    """Fill `result`, or say what hinders it. Organizations that share an issuer share the answer:
    an issuer that hangs costs its ten seconds once.
    """
    from core.errors import (
        ConflictError,
        FlagctlError,
        InvalidInputError,
        NotFoundError,
        UnavailableError,
    )
    from core.services.issuers import refresh_issuer

    source = (issuer.issuer, issuer.jwks_url)
    if source not in answers:
        try:
            answers[source] = fetched(*source)
        except (UnavailableError, InvalidInputError) as error:
            answers[source] = error
    keys = answers[source]
    if isinstance(keys, FlagctlError):
        return keys
    result.left_out = keys.left_out
    try:
        result.fill(
            *here.write_as_owner(
                lambda change: refresh_issuer(change, issuer.issuer, keys),
                organization=issuer.organization,
            )
        )
    except (NotFoundError, ConflictError) as error:  # removed meanwhile, or locked
        return error
    return None


def _report(here: State, results: list[_Result]) -> None:
    is_dry = bool(here.given.get("dry_run"))
    if here.output != "table":
        output.emit({"issuers": results, "dry_run": is_dry}, here.output)
        return
    for result in results:
        for sentence in result.left_out:
            output.say(f"{result.issuer}: {sentence}")
    tables.draw(
        results,
        [
            ("issuer", lambda r: r.issuer),
            ("organization", lambda r: r.organization),
            ("new keys", lambda r: r.added + r.replaced),
            ("withdrawn", lambda r: r.revoked),
            ("state", lambda r: "not refreshed" if r.error else "refreshed"),
        ],
        empty="no issuers; `flagctl issuer add URL --audience A` adds one",
    )
    if is_dry:
        output.say("dry run: nothing was changed")


def _fail(faults: "list[FlagctlError]", total: int) -> None:
    """One error for all of them: that of the network first, which may pass by itself."""
    from core.errors import UnavailableError

    worst = next((fault for fault in faults if isinstance(fault, UnavailableError)), faults[0])
    lines = "\n  ".join(fault.message for fault in faults)
    raise type(worst)(
        f"{len(faults)} of {total} issuers could not be refreshed:\n  {lines}",
        hint=worst.hint or "their keys stay as they were",
    )


@app.command("list")
def list_() -> None:
    """List issuers, of every organization or of the one of --org.

    With FLAGCTL_OWNER_DATABASE_URL, or as a member with a token: then those of your organization.

    \b
    flagctl issuer list
    """
    from core.queries.issuers import list_issuers

    here = current()
    with here.reading_trust() as session:
        issuers = list_issuers(session, organization=here.organization)
    here.show(
        issuers,
        lambda: tables.draw(
            issuers,
            [
                ("issuer", lambda i: i.issuer),
                ("organization", lambda i: i.organization or "all"),
                ("audience", lambda i: i.audience),
                ("keys", lambda i: len(i.keys)),
                ("members", lambda i: i.members),
                ("tokens live", lambda i: _hours(i.max_lifetime_seconds)),
                ("refreshed", lambda i: relative(i.refreshed_at)),
            ],
            empty="no issuers; `flagctl init` sets up the first one",
        ),
    )


def _hours(seconds: int) -> str:
    return f"{seconds // 3_600}h" if seconds % 3_600 == 0 else f"{seconds // 60}m"


@app.command()
@writing
def remove(url: Url) -> None:
    """Trust an issuer no more: none of its tokens is good from now on.

    Members who come from it go with it; that needs a word, or --yes, and the owner's own login.

    \b
    flagctl issuer remove https://id.example.com
    """
    from core.services.issuers import remove_issuer

    here = current()
    members, outcome = here.write_as_owner(lambda change: remove_issuer(change, url))
    gone = f", and with it {', '.join(members)}" if members else ""
    writes.report(here, outcome, {"issuer": url, "members": members}, f"removed {url}{gone}")


def _say_what_is_left_out(url: str, keys: "KeySet") -> None:
    for sentence in keys.left_out:
        output.say(f"{url}: {sentence}")

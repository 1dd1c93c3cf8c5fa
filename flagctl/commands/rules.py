"""Rules: who gets what in one environment. The first that matches serves."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import InvalidInputError
from flagctl import completion, output, tables, writes
from flagctl.options import Env, FlagKey, writing
from flagctl.state import State, current
from flagctl.targeting_options import By, If, Serve, Split, condition, serve, shown_serve

if TYPE_CHECKING:
    from core.services.change import Outcome

app = typer.Typer(
    no_args_is_help=True,
    help="Rules: who gets what in an environment. The first that matches serves.",
)
Other = Annotated[
    str,
    typer.Argument(
        metavar="OTHER",
        help="The flag that is required.",
        autocompletion=completion.flag_keys,
    ),
]
Rule = Annotated[str, typer.Argument(metavar="RULE", help="The rule's id, from `rule list`.")]
Position = Annotated[
    int | None, typer.Option("--position", metavar="N", help="Where among the rules, from 1.")
]
Description = Annotated[str | None, typer.Option("--description", "-d", help="What it is for.")]


@app.command()
@writing
def add(
    key: FlagKey,
    env: Env = None,
    if_: If = None,
    serve_: Serve = None,
    split: Split = None,
    by: By = None,
    position: Position = None,
    description: Description = None,
) -> None:
    """Add a rule, at the end unless --position says where.

    \b
    flagctl rule add layout --env prod --if 'plan == "pro"' --serve compact
    flagctl rule add layout --env prod --if 'segment("beta")' --split a=90,b=10 --by company_id
    """
    from core.services.rules import NewRule, add_rule

    served = serve(serve_, split, by)
    if if_ is None or served is None:
        raise InvalidInputError("a rule needs --if CONDITION and --serve VARIANT or --split …")
    new = NewRule(condition(if_), served, description or "", position)
    here = current()
    environment = here.environment(env)
    rule, outcome = here.write(lambda change: add_rule(change, key, environment, new))
    _report(here, outcome, key, environment, f"added rule {rule['id']} to {key}", rule["id"])


@app.command("list")
def list_(key: FlagKey, env: Env = None) -> None:
    """List a flag's rules in an environment, in the order in which they are asked.

    \b
    flagctl rule list layout --env prod
    """
    from core.language.printer import print_condition

    here = current()
    targeting = _targeting(here, key, env)
    rules = [_document(rule, n) for n, rule in enumerate(targeting.get("rules", []), 1)]
    requires = targeting.get("requires", [])

    def human() -> None:
        for one in requires:
            output.line(f"requires {one['flag']} to serve {' or '.join(one['variants'])}")
        tables.draw(
            rules,
            [
                ("", lambda r: r["position"]),
                ("rule", lambda r: r["id"]),
                ("if", lambda r: print_condition(r["when"])),
                ("serve", lambda r: shown_serve(r["serve"])),
                ("description", lambda r: r["description"]),
            ],
            empty=f"no rules; `flagctl rule add {key}` makes one",
        )

    here.show(rules, human)


@app.command()
def show(key: FlagKey, rule: Rule, env: Env = None) -> None:
    """Show one rule.

    \b
    flagctl rule show layout 3fa9c1 --env prod
    """
    from core.language.printer import print_condition
    from core.services.rules import find_rule

    here = current()
    targeting = _targeting(here, key, env)
    found = find_rule(targeting, key, here.environment(env), rule)
    document = _document(found, targeting["rules"].index(found) + 1)
    here.show(
        document,
        lambda: output.fields(
            [
                ("rule", document["id"]),
                ("position", document["position"]),
                ("if", print_condition(document["when"])),
                ("serve", shown_serve(document["serve"])),
                ("description", document["description"]),
            ]
        ),
    )


@app.command()
@writing
def update(
    key: FlagKey,
    rule: Rule,
    env: Env = None,
    if_: If = None,
    serve_: Serve = None,
    split: Split = None,
    by: By = None,
    description: Description = None,
) -> None:
    """Change a rule; what is not named stays.

    \b
    flagctl rule update layout 3fa9c1 --env prod --serve classic
    """
    from core.services.rules import RuleEdit, update_rule

    edit = RuleEdit(condition(if_), serve(serve_, split, by), description)
    if edit == RuleEdit():
        raise InvalidInputError(
            "nothing to change is named", hint="see `flagctl rule update --help`"
        )
    here = current()
    environment = here.environment(env)
    _, outcome = here.write(lambda change: update_rule(change, key, environment, rule, edit))
    _report(here, outcome, key, environment, f"updated rule {rule} of {key}", rule)


@app.command()
@writing
def move(key: FlagKey, rule: Rule, env: Env = None, position: Position = None) -> None:
    """Move a rule to another place in the order.

    \b
    flagctl rule move layout 3fa9c1 --env prod --position 1
    """
    from core.services.rules import move_rule

    if position is None:
        raise InvalidInputError("say where to: --position N, from 1")
    here = current()
    environment = here.environment(env)
    _, outcome = here.write(lambda change: move_rule(change, key, environment, rule, position))
    _report(here, outcome, key, environment, f"rule {rule} of {key} is number {position}", rule)


@app.command()
@writing
def remove(key: FlagKey, rule: Rule, env: Env = None) -> None:
    """Remove a rule.

    \b
    flagctl rule remove layout 3fa9c1 --env prod
    """
    from core.services.rules import remove_rule

    here = current()
    environment = here.environment(env)
    _, outcome = here.write(lambda change: remove_rule(change, key, environment, rule))
    _report(here, outcome, key, environment, f"removed rule {rule} of {key}", rule)


@app.command()
@writing
def require(
    key: FlagKey,
    other: Other,
    env: Env = None,
    variant: Annotated[
        list[str] | None,
        typer.Option("--variant", metavar="NAME", help="What it must serve; repeatable."),
    ] = None,
) -> None:
    """Serve a flag only where another one serves certain variants; else its off variant.

    \b
    flagctl rule require new_checkout new_cart --env prod --variant on
    """
    from core.services.rules import require as require_flag

    if not variant:
        raise InvalidInputError("say what the other flag must serve: --variant NAME")
    here = current()
    environment = here.environment(env)
    _, outcome = here.write(lambda change: require_flag(change, key, environment, other, variant))
    _report(here, outcome, key, environment, f"{key} requires {other}", None)


@app.command()
@writing
def unrequire(
    key: FlagKey,
    other: Other,
    env: Env = None,
) -> None:
    """Require another flag no more.

    \b
    flagctl rule unrequire new_checkout new_cart --env prod
    """
    from core.services.rules import unrequire as unrequire_flag

    here = current()
    environment = here.environment(env)
    _, outcome = here.write(lambda change: unrequire_flag(change, key, environment, other))
    _report(here, outcome, key, environment, f"{key} requires {other} no more", None)


def _targeting(here: State, key: str, env: str | None) -> dict[str, Any]:
    from core.queries.flags import targeting_of

    with here.reading() as session:
        return targeting_of(session, key, here.environment(env))


def _document(rule: dict[str, Any], position: int) -> dict[str, Any]:
    from core.language.printer import print_condition

    return {
        "id": rule["id"],
        "position": position,
        "description": rule.get("description", ""),
        "when": rule["when"],
        "if": print_condition(rule["when"]),
        "serve": rule["serve"],
    }


def _report(
    here: State, outcome: "Outcome", key: str, environment: str, message: str, rule: str | None
) -> None:
    document = {"flag": key, "environment": environment, "rule": rule}
    message = message if outcome.changed else f"{key}: nothing to change"
    writes.report(here, outcome, document, f"{message} in {environment}")

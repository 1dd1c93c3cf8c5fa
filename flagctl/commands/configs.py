"""Configs: a typed JSON value for each environment."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.json_text import JsonValue, parse, render
from flagctl import completion, output, tables, writes
from flagctl.options import Env, OnlyEnv, writing
from flagctl.state import current

if TYPE_CHECKING:
    from core.queries.configs import ConfigDetail, ConfigSummary

app = typer.Typer(no_args_is_help=True, help="Typed values, one for each environment.")
NewKey = Annotated[str, typer.Argument(metavar="KEY", help="The config's key.")]
Key = Annotated[
    str,
    typer.Argument(metavar="KEY", help="The config's key.", autocompletion=completion.config_keys),
]
Schema = Annotated[
    Path | None,
    typer.Option("--schema", metavar="FILE", help="A JSON Schema that every value must fit."),
]


@app.command()
@writing
def define(
    key: NewKey,
    type_: Annotated[
        str, typer.Option("--type", help="boolean, string, integer, number, object or array.")
    ],
    schema: Schema = None,
    description: Annotated[str, typer.Option("--description", "-d", help="What it is for.")] = "",
    client_visible: Annotated[
        bool, typer.Option("--client-visible", help="Client keys (browsers) may see it.")
    ] = False,
) -> None:
    """Define a config: its key and type.

    \b
    flagctl config define checkout_timeout --type integer
    """
    from core.services.configs import Definition, define_config
    from core.value_types import CONFIG_TYPES, parse_type

    definition = Definition(
        key, parse_type(type_, CONFIG_TYPES), _schema(schema), description, client_visible
    )
    here = current()
    _, outcome = here.write(
        lambda change: define_config(change, definition),
    )
    document = {"config": key, "type": definition.type}
    writes.report(here, outcome, document, f"defined {key}: {definition.type}")


@app.command("set")
@writing
def set_(
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="JSON", help="The value as JSON; - reads it from stdin.")
    ],
    env: Env = None,
) -> None:
    """Set a config's value in an environment.

    \b
    flagctl config set checkout_timeout 30 --env prod
    flagctl config set banner '"Hello"' --env prod
    """
    from core.services.configs import set_value

    text: str | bytes = sys.stdin.buffer.read() if value == "-" else value
    parsed = parse(text, what=f"the value of {key}")
    here = current()
    environment = here.environment(env)
    revision, outcome = here.write(
        lambda change: set_value(change, key, environment, parsed),
    )
    verb = "is" if outcome.changed else "was already"
    writes.report(
        here,
        outcome,
        {"config": key, "environment": environment, "value": parsed},
        f"{key} {verb} {_short(parsed)} in {environment}",
        revision=revision,
    )


@app.command()
@writing
def unset(key: Key, env: Env = None) -> None:
    """Take a config's value away in an environment.

    \b
    flagctl config unset checkout_timeout --env dev
    """
    from core.services.configs import unset_value

    here = current()
    environment = here.environment(env)
    revision, outcome = here.write(
        lambda change: unset_value(change, key, environment),
    )
    document = {"config": key, "environment": environment}
    message = f"{key} has no value in {environment}" + (" any more" if outcome.changed else "")
    writes.report(here, outcome, document, message, revision=revision)


@app.command()
def get(key: Key, env: Env = None) -> None:
    """Print a config's value, and only that, as JSON.

    \b
    flagctl config get checkout_timeout --env prod
    """
    from core.queries.configs import get_value

    here = current()
    environment = here.environment(env)
    with here.reading() as session:
        value = get_value(session, key, environment)
    if here.output == "yaml":
        output.emit(value, "yaml")
    else:
        output.line(render(value))


@app.command("list")
def list_(
    env: OnlyEnv = None,
    match: Annotated[
        str | None, typer.Option("--match", metavar="TEXT", help="Only keys that contain it.")
    ] = None,
) -> None:
    """List configs with their value in each environment.

    \b
    flagctl config list --match checkout
    """
    from core.lookups import environments
    from core.queries.configs import list_configs

    here = current()
    with here.reading() as session:
        configs = list_configs(session, environment=env, match=match)
        known = [row.key for row in environments(session)]
    here.show(configs, lambda: _print_configs(configs, known))


def _print_configs(configs: "list[ConfigSummary]", environments: list[str]) -> None:
    """Environments in the order in which they were made; those without any value are left out."""
    names = [e for e in environments if any(e in config.values for config in configs)]
    columns: list[tables.Column] = [("config", lambda c: c.key), ("type", lambda c: c.type)]
    columns += [(name, _value_in(name)) for name in names]
    columns.append(("description", lambda c: c.description))
    tables.draw(configs, columns, empty="no configs; `flagctl config define KEY --type TYPE`")


@app.command()
def show(key: Key) -> None:
    """Show one config with its value in every environment.

    \b
    flagctl config show checkout_timeout
    """
    from core.queries.configs import show_config

    here = current()
    with here.reading() as session:
        config = show_config(session, key)
    here.show(config, lambda: _print_config(config))


def _print_config(config: "ConfigDetail") -> None:
    output.fields(
        [
            ("config", config.key),
            ("type", config.type),
            ("description", config.description),
            ("schema", render(config.schema) if config.schema is not None else ""),
            ("client visible", config.client_visible),
            ("version", config.version),
        ]
    )
    output.line("")
    tables.draw(
        list(config.values.items()),
        [("environment", lambda v: v[0]), ("value", lambda v: render(v[1]))],
        empty="no value in any environment",
    )


@app.command()
@writing
def update(
    key: Key,
    schema: Schema = None,
    no_schema: Annotated[bool, typer.Option("--no-schema", help="Take the schema away.")] = False,
    description: Annotated[
        str | None, typer.Option("--description", "-d", help="What it is for.")
    ] = None,
    client_visible: Annotated[
        bool | None,
        typer.Option("--client-visible/--server-only", help="Whether client keys may see it."),
    ] = None,
) -> None:
    """Change a config's definition; a new schema must fit every value that is set.

    \b
    flagctl config update checkout_timeout --schema timeout.json
    """
    from core.services.configs import Edit, update_config

    edit = Edit(_schema(schema), no_schema, description, client_visible)
    here = current()
    _, outcome = here.write(
        lambda change: update_config(change, key, edit),
    )
    message = f"updated {key}" if outcome.changed else f"{key}: nothing to change"
    writes.report(here, outcome, {"config": key}, message)


@app.command()
@writing
def delete(key: Key) -> None:
    """Delete a config and its value everywhere.

    \b
    flagctl config delete checkout_timeout --reason unused
    """
    from core.services.configs import delete_config

    here = current()
    output.ask_to_type(key, noun="config", needed=here.asks_back, where=here.in_context)
    _, outcome = here.write(
        lambda change: delete_config(change, key),
        confirmed=True,
    )
    writes.report(here, outcome, {"config": key}, f"deleted {key}")


def _value_in(environment: str) -> Callable[[Any], object]:
    return lambda config: _short(config.values[environment]) if environment in config.values else ""


def _schema(path: Path | None) -> JsonValue:
    from core.errors import InvalidInputError

    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"the schema {path} cannot be read: {error.strerror}") from None
    return parse(content, what=f"the schema {path}")


def _short(value: Any) -> str:
    text = render(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""Which commands there are. Asking for the list loads none of them."""

from importlib import import_module

import typer
from typer._click import Command
from typer.main import get_command

from flagctl.shared_options import add_shared_options

# name → where it is, and its first line of help: `flagctl --help` loads no command at all.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Flags": {
        "set": ("overrides:set_flag", "Turn a flag on or off in an environment."),
        "create": ("flags:create", "Create a flag."),
        "list": ("flags:list_all", "List flags with their state in each environment."),
        "show": ("flags:show", "Show one flag with all its environments."),
        "update": ("flags:update", "Change a flag's definition."),
        "archive": ("flags:archive", "Take a flag out of service; its history stays."),
        "unarchive": ("flags:unarchive", "Bring an archived flag back."),
        "delete": ("flags:delete", "Delete a flag and its state everywhere."),
        "usage": (
            "usage:usage",
            "Show how often flags are asked for by key, those asked for most first.",
        ),
        "stale": ("stale:stale", "List the flags that may be cleaned up, with the reasons."),
    },
    "Targeting": {
        "rule": (
            "rules:app",
            "Who gets what: add, list, show, update, move, remove, require, unrequire.",
        ),
        "rollout": ("rollouts:app", "Splits: reshuffle."),
        "segment": (
            "segments:app",
            "Conditions that rules share: create, list, show, update, delete.",
        ),
        "eval": ("evaluation:evaluate", "Evaluate a flag for a context."),
        "explain": (
            "evaluation:explain",
            "Show why a flag has its value: every rule asked, what it expected and found.",
        ),
    },
    "Configs and environments": {
        "config": (
            "configs:app",
            "Typed values: define, set, unset, get, list, show, update, delete.",
        ),
        "env": ("environments:app", "Environments: create, list, show, update, delete."),
        "key": ("keys:app", "API keys of applications: create, list, rotate, revoke."),
    },
    "History and people": {
        "audit": ("audit:app", "Who changed what, when and why: list, show."),
        "watch": ("watch:watch", "Follow changes as they come, until Ctrl-C."),
        "whoami": ("members:whoami", "Show who the token says you are, and your roles."),
        "login": ("login:login", "Log in at your company's issuer; prints a token."),
        "member": ("members:app", "Members and their roles: add, list, remove."),
        "can-i": ("rights:can_i", "Say whether your token may do something; exit 8 if not."),
        "who-can": ("rights:who_can", "List the members who may do something."),
        "token": ("tokens:app", "Admin tokens: issue, list, revoke."),
        "org": (
            "organizations:app",
            "Organizations: create, list, show, update, archive, unarchive.",
        ),
    },
    "Installation": {
        "dev": ("dev:dev", "Run everything here, with an embedded Postgres and Redis."),
        "serve": ("serve:serve", "Run the read server."),
        "readers": ("readers:readers", "List the read servers that are up, and what they serve."),
        "init": ("init:init", "Set up an empty database: schema, signing key, first admin."),
        "issuer": ("issuers:app", "Issuers of your own: add, refresh, list, remove."),
        "signing-key": (
            "signing_keys:app",
            "Keys of flagctl's own issuer: list, rotate, revoke.",
        ),
        "doctor": (
            "doctor:app",
            "Check an installation, and say what to do about it; exit 8 if something is wrong.",
        ),
        "context": ("contexts:app", "Several installations in one file: list, use, show."),
        "db": ("db:app", "The schema: upgrade, status, check, grants, new-epoch."),
        "cache": (
            "cache:app",
            "The copies in Redis, and who may do what there: acl, status, verify, repair, flush.",
        ),
    },
}
ENTRIES = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


def load(name: str) -> Command | None:
    """Import a command; None for an unknown name."""
    if name not in ENTRIES:
        return None
    where, _ = ENTRIES[name]
    module, _, attribute = where.partition(":")
    found = getattr(import_module(f"flagctl.commands.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name, no_args_is_help=False)(found)
        found = single
    found.rich_markup_mode = None
    command = get_command(found)
    command.name = name
    add_shared_options(command)
    return command

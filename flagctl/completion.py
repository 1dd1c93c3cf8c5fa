"""What a shell offers when Tab is pressed: at once or not at all, and never a word besides."""

import os
import re
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

import typer

# With the start of the program before it, about 300 ms.
PATIENCE_SECONDS = 0.18
# zsh evaluates what it is offered, bash expands it. Other keys are typed by hand.
_HARMLESS: Final = re.compile(r"[A-Za-z0-9_./:@+-]+")


def is_asked_for() -> bool:
    return bool(os.environ.get("_FLAGCTL_COMPLETE"))


def in_silence(answer: Callable[[], Any]) -> NoReturn:
    """Run Typer's completion; whatever goes wrong is nobody's business on a half-typed line."""
    try:
        _part_equals()
        _keep_equals()
        answer()
    except SystemExit:
        raise
    except Exception:
        raise SystemExit(0) from None
    raise SystemExit(0)


def _part_equals() -> None:
    """bash makes three words of --env=pr; Typer expects two."""
    words = os.environ.get("COMP_WORDS", "").split("\n")
    at = int(os.environ.get("COMP_CWORD") or 0)
    for i in range(at - 1, 0, -1):
        if words[i] == "=" and words[i - 1].startswith("--"):
            del words[i]
            at -= 1
    os.environ |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(at)}


def _keep_equals() -> None:
    """zsh and fish complete --env=pr as one word; Typer would answer with the end of it alone."""
    from typer._click.shell_completion import CompletionItem, ShellComplete, add_completion_class
    from typer._completion_classes import FishComplete, ZshComplete

    class WholeWords(ShellComplete):
        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
            option, equals, _ = incomplete.partition("=")
            items = super().get_completions(args, incomplete)
            for item in items if equals and option.startswith("--") else ():
                item.value = f"{option}={item.value}"
            return items

    for shell in (ZshComplete, FishComplete):
        add_completion_class(type(shell.__name__, (shell, WholeWords), {}), shell.name)


def flag_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    return _keys(ctx, "flag", incomplete)


def archived_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    return _keys(ctx, "archived flag", incomplete)


def config_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    return _keys(ctx, "config", incomplete)


def segments(ctx: typer.Context, incomplete: str) -> list[str]:
    return _keys(ctx, "segment", incomplete)


def environments(ctx: typer.Context, incomplete: str) -> list[str]:
    return _keys(ctx, "environment", incomplete)


def states(incomplete: str) -> list[str]:
    return [state for state in ("on", "off", "inherit") if state.startswith(incomplete)]


def states_listed(incomplete: str) -> list[str]:
    return [*states(incomplete), *(["expired"] if "expired".startswith(incomplete) else [])]


def contexts(incomplete: str) -> list[str]:
    def find() -> list[str]:
        from core import setting_files, settings
        from core.contexts import list_contexts

        files = setting_files.files(os.environ, settings.current_directory(), [])
        return list(dict.fromkeys(context.name for context in list_contexts(files, None)))

    return _offered(find, incomplete)


def _keys(ctx: typer.Context, noun: str, incomplete: str) -> list[str]:
    given: dict[str, Any] = ctx.find_root().obj.given

    def find() -> list[str]:
        from core import settings
        from core.queries.completion import keys

        directory = settings.current_directory()
        loaded = settings.load(os.environ, directory, context=given.get("context"))
        return keys(
            loaded.require("database_url"),
            loaded.admin_token(),
            noun,
            incomplete,
            organization=given.get("org") or loaded.org,
        )

    return _offered(find, incomplete)


def _offered(find: Callable[[], list[str]], incomplete: str) -> list[str]:
    """What is found in time. Nothing ends the program: Typer would offer files instead."""
    found: list[str] = []

    def work() -> None:
        try:
            found.extend(find())
        except Exception:
            found.clear()

    # A daemon: it may hang in a connection for longer than anybody waits.
    thread = threading.Thread(target=work, daemon=True, name="flagctl-completion")
    thread.start()
    thread.join(PATIENCE_SECONDS)
    fitting = [k for k in tuple(found) if k.startswith(incomplete) and _HARMLESS.fullmatch(k)]
    if not fitting:
        raise SystemExit(0)
    return fitting

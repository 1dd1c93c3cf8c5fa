"""What is wrong with a line that was typed, in our words: (message, hint)."""

import re

from typer._click.exceptions import BadOptionUsage, ClickException, NoSuchOption

from core.names import closest
from flagctl.output import printable


def explained(error: ClickException) -> tuple[str, str]:
    """The message, and a hint that says what to type or where to look."""
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help`" if context is not None else "see `flagctl --help`"
    match error:
        case NoSuchOption(option_name=option):
            said = f"there is no option {printable(option)}"
            if option[1:2].isdigit():
                end = f"`… -- {printable(option)}`"
                return said, f"a value that begins with - stands at the end, after --: {end}"
            known = [name for p in context.command.params for name in p.opts] if context else []
            return said, closest(option, known) or hint
        case BadOptionUsage(option_name=option) if "requires an argument" in error.message:
            return f"{option} needs a value", hint
    said = error.format_message()
    if extra := re.fullmatch(r"Got unexpected extra argument\(s\) \((.*)\)", said, re.DOTALL):
        return f"there is no place for {extra[1]!r}", hint
    if unknown := re.fullmatch(
        r"No such command ('.*')\.(?: Did you mean (.*)\?)?", said, re.DOTALL
    ):
        meant = (unknown[2] or "").replace("'", "").replace(", ", " or ")
        return f"there is no command {unknown[1]}", f"did you mean {meant}?" if meant else hint
    return said, hint

"""docs/commands.md, made from the program: `make docs` writes it, a test holds it up to date."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer._click import Command

from flagctl.catalog import SECTIONS
from tests.support.commands import commands, options

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
_WRITE_OPTIONS = ("--reason", "--dry-run", "--if-revision", "--yes", "--wait", "--timeout")
_INTRODUCTION = """\
# Commands

Made from the program with `make docs`. Every command also takes `-o table|json|yaml`, `--org ORG`,
`--context NAME` and `-v`, before and after its name, and `--help`. What all writes share:
`--reason TEXT` (for the audit log), `--dry-run` (show, and change nothing), `--if-revision N`,
`--yes` (do not ask back), `--wait` and `--timeout 10s` (until the readers that are up serve it;
exit 8 names one that does not).
"""


def render() -> str:
    """The page, section by section as `flagctl --help` has them."""
    known = list(commands())
    parts = [_INTRODUCTION]
    for title, section in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(n, c) for n, c in known if n.split(" ")[0] in section]
    return "\n".join(parts).rstrip() + "\n"


def _entry(name: str, command: Command) -> str:
    text, *examples = (command.help or "").strip().split("\b\n")
    lines = [f"### `flagctl {name}`", "", *text.strip().splitlines(), ""]
    usage = " ".join(["flagctl", name, *_arguments(command)])
    own = [p for p in command.params if _is_own(p)]
    lines += ["```", usage + (" [OPTIONS]" if options(command) else ""), "```", ""]
    if own:
        lines += ["| option | meaning |", "| --- | --- |", *map(_row, own), ""]
    if set(_WRITE_OPTIONS) <= options(command):
        lines += [f"Takes {', '.join(f'`{option}`' for option in _WRITE_OPTIONS)}.", ""]
    for example in examples:
        lines += ["For example:", "", "```", *example.strip().splitlines(), "```", ""]
    return "\n".join(lines)


def _arguments(command: Command) -> Iterator[str]:
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.metavar or (parameter.name or "").upper()
            yield name if parameter.nargs == 1 else f"{name}…"


def _is_own(parameter: Any) -> bool:
    if parameter.param_type_name != "option" or parameter.name in ("help_", "help"):
        return False
    return bool(parameter.expose_value)


def _row(parameter: Any) -> str:
    value = "" if parameter.is_flag else f" {parameter.metavar or 'TEXT'}"
    long_first = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda o: o[1] != "-")
    names = ", ".join(f"`{option}{value}`" for option in long_first)
    meaning = parameter.help or ""
    cells = [cell.replace("|", r"\|").replace("\n", " ") for cell in (names, meaning)]
    return f"| {cells[0]} | {cells[1]} |"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

"""Parameters of commands, without the cost of Typer's type adapters where nothing needs them.

Typer builds a pydantic adapter for every parameter of a command, given or not, and pydantic alone
takes as long to import as Typer and Rich together. A text is a text: only what is given and is
neither text nor a flag is handed to an adapter.
"""

from dataclasses import dataclass
from typing import Any

from typer._click import Command, Context
from typer._click.exceptions import BadParameter
from typer._coercion import RuntimeParam, TypeDescriptor, build_runtime_param
from typer.core import TyperArgument, TyperOption

_TEXTS = (str, list[str])
_KINDS = {"a valid integer": "a whole number", "a valid number": "a number"}


@dataclass(frozen=True)
class DeferredParam(RuntimeParam):
    """Texts and flags as they are; for all else Typer's own coercion, built when it is needed."""

    descriptor: TypeDescriptor

    def _coerce_value(self, value: Any, param: Any, ctx: Context) -> Any:
        if isinstance(value, bool) and self.annotation is bool:
            return value
        if self.annotation in _TEXTS and isinstance(value, str | list | tuple):
            return value if isinstance(value, str) else list(value)
        try:
            return build_runtime_param(self.descriptor)._coerce_value(value, param, ctx)
        except BadParameter as error:
            # pydantic does not repeat what was typed, and speaks of parsing.
            wanted = error.message.removeprefix("Input should be ").partition(",")[0]
            error.message = f"{value!r} is not {_KINDS.get(wanted, wanted)}"
            raise


def defer_adapters(command: Command) -> None:
    """Let the parameters of a command build their adapters late."""
    for parameter in command.params:
        if isinstance(parameter, TyperOption | TyperArgument):
            descriptor = parameter.type_descriptor
            parameter._runtime_param = DeferredParam(
                descriptor.parameter_info, descriptor.annotation, descriptor
            )

"""What rules and segments have in common on the command line."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import InvalidInputError

if TYPE_CHECKING:
    from core.json_text import JsonValue

If = Annotated[
    str | None,
    typer.Option(
        "--if",
        metavar="CONDITION",
        help="""Whom it is for, as in 'country in ["DE", "FR"] and plan == "pro"'.""",
    ),
]
Serve = Annotated[
    str | None, typer.Option("--serve", metavar="VARIANT", help="The variant to serve.")
]
Split = Annotated[
    str | None,
    typer.Option("--split", metavar="A=50,B=50", help="Variants and their weights."),
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="ATTRIBUTE", help="Split by this, not by targetingKey."),
]


def condition(text: str | None) -> "JsonValue":
    """The document of a condition; None for none."""
    from core.language.parser import parse_condition  # deferred: lark takes a while

    return None if text is None else parse_condition(text)


def serve(variant: str | None, split: str | None, by: str | None) -> "JsonValue":
    """The document of what to serve; None when nothing is named."""
    if variant is not None and split is not None:
        raise InvalidInputError("--serve and --split exclude each other")
    if split is None and by is not None:
        raise InvalidInputError("--by goes with --split")
    if variant is not None:
        return {"variant": variant}
    if split is None:
        return None
    document: dict[str, Any] = {"arms": [_arm(part) for part in split.split(",")]}
    if by is not None:
        document["by"] = {"attributes": [by]}
    return {"split": document}


def _arm(text: str) -> dict[str, Any]:
    name, _, weight = text.strip().rpartition("=")
    try:
        number = float(weight)
    except ValueError:
        number = -1.0
    if not name or not 0 <= number < float("inf"):
        raise InvalidInputError(
            f"{text!r} is no arm of a split", hint="--split VARIANT=WEIGHT,…, as in a=90,b=10"
        )
    exact = int(number) if number.is_integer() else number
    return {"serve": {"variant": name}, "weight": exact}


def shown_serve(document: Any) -> str:
    """A serve as people write it."""
    if "variant" in document:
        return str(document["variant"])
    split = document["split"]
    arms = ", ".join(f"{arm['serve']['variant']} {_share(arm)}" for arm in split["arms"])
    attributes = split.get("by", {}).get("attributes")
    return f"{arms} by {' or '.join(attributes)}" if attributes else arms


def _share(arm: Any) -> str:
    return f"{arm['weight']:g}" if "weight" in arm else "{}–{}".format(*arm["range"])

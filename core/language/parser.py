"""Text → condition. An error names the column and what was expected there."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInputError
from core.json_text import JsonValue, parse
from core.language.grammar import GRAMMAR, LONGEST, SYMBOLS, TERMINALS

if TYPE_CHECKING:
    from lark import Lark

_OPERATORS = {symbol: name for name, symbol in SYMBOLS.items()}
_AROUND = 30  # characters shown either side of an error


def parse_condition(text: str) -> JsonValue:
    """The condition as a document of the model; what it refers to is checked elsewhere.

    Raises InvalidInputError.
    """
    from lark import UnexpectedInput

    if len(text) > LONGEST:
        raise InvalidInputError(f"the condition is longer than {LONGEST} characters")
    try:
        document: JsonValue = _parser().parse(text)  # type: ignore[assignment]
    except UnexpectedInput as error:
        raise _explained(text, error) from None
    return document


@cache
def _parser() -> "Lark":
    """Built once, and only by those who parse: lark takes a while to import."""
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", transformer=_Builder(), maybe_placeholders=False)


class _Builder:
    """Builds the document while the text is parsed, so that no depth of nesting recurses. Each
    method is named after a rule and takes its parts."""

    def condition(self, parts: list[Any]) -> Any:
        return {"any": parts}

    def conjunction(self, parts: list[Any]) -> Any:
        return {"all": parts}

    def deny(self, parts: list[Any]) -> Any:
        return {"not": parts[0]}

    def group(self, parts: list[Any]) -> Any:
        return parts[0]

    def always(self, _: list[Any]) -> Any:
        return True

    def all_of(self, parts: list[Any]) -> Any:
        return {"all": parts}

    def any_of(self, parts: list[Any]) -> Any:
        return {"any": parts}

    def segment(self, parts: list[Any]) -> Any:
        return {"segment": _string(parts[0])}

    def exists(self, parts: list[Any]) -> Any:
        return {"attr": parts[0], "op": "exists"}

    def compare(self, parts: list[Any]) -> Any:
        attribute, sign, value = parts
        value = _string(value) if hasattr(value, "type") else value[0]
        return {"attr": attribute, "op": _OPERATORS.get(str(sign), str(sign)), "value": value}

    def contains(self, parts: list[Any]) -> Any:
        return {"attr": parts[0], "op": "contains", "value": parts[1][0]}

    def version(self, parts: list[Any]) -> Any:
        attribute, sign, value = parts
        if sign == "!=":
            raise InvalidInputError(
                "!= does not go with semver(…)", hint='write not (version == semver("1.0.0"))'
            )
        return {"attr": attribute, "op": f"semver_{_OPERATORS[sign]}", "value": _string(value)}

    def among(self, parts: list[Any]) -> Any:
        return {"attr": parts[0], "op": "in", "values": parts[1]}

    def not_among(self, parts: list[Any]) -> Any:
        return {"attr": parts[0], "op": "not_in", "values": parts[1]}

    def within(self, parts: list[Any]) -> Any:
        return {"attr": parts[0], "op": "cidr", "values": [_string(p) for p in parts[1:]]}

    def named(self, parts: list[Any]) -> Any:
        return str(parts[0])

    def quoted(self, parts: list[Any]) -> Any:
        return _string(parts[0])

    def values(self, parts: list[Any]) -> Any:
        return [part[0] for part in parts]

    # A literal is a tuple of one, so that a text is not taken for a token.
    def text(self, parts: list[Any]) -> Any:
        return (_string(parts[0]),)

    def number(self, parts: list[Any]) -> Any:
        return (parse(str(parts[0]), what="the number"),)

    def yes(self, _: list[Any]) -> Any:
        return (True,)

    def no(self, _: list[Any]) -> Any:
        return (False,)


def _string(token: Any) -> Any:
    return parse(str(token), what="the text")


def _explained(text: str, error: Any) -> InvalidInputError:
    at = error.pos_in_stream
    if getattr(getattr(error, "token", None), "type", "") == "$END":
        at = len(text)
    expected = getattr(error, "accepts", None) or getattr(error, "expected", None) or ()
    expected = expected or getattr(error, "allowed", None) or ()
    names = sorted({TERMINALS.get(name, name.lower()) for name in expected})
    found = "it ends here" if at >= len(text.rstrip()) else f"{text[at : at + 12].split()[0]!r}"
    before = text[max(0, at - _AROUND) : at]
    shown = json.dumps(before + "⟨here⟩" + text[at : at + _AROUND], ensure_ascii=False)
    return InvalidInputError(
        f"column {at + 1} of the condition: {found}, but expected {_either(names)}: {shown}",
        hint='as in: country in ["DE", "FR"] and plan == "pro"',
    )


def _either(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else "".join(names)

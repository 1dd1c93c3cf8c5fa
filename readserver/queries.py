"""Query strings, read strictly: what cannot be decoded is refused, not guessed at."""

from urllib.parse import unquote_to_bytes

from core.errors import InvalidInputError


def parse(query_string: bytes) -> dict[str, str]:
    """The parameters of a query. Raises InvalidInputError for a repeated one, for bytes that are
    no UTF-8, and for control characters."""
    parameters: dict[str, str] = {}
    for part in query_string.split(b"&"):
        if not part:
            continue
        name, _, value = part.partition(b"=")
        name_text, value_text = _decode(name), _decode(value)
        if name_text in parameters:
            raise InvalidInputError(f"the query parameter {name_text!r} is given twice")
        parameters[name_text] = value_text
    return parameters


def _decode(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInputError("the query is not percent-encoded UTF-8") from None
    if not text.isprintable():
        raise InvalidInputError("the query has a character that does not print")
    return text

"""Which bucket a context falls into: stable, spread evenly, the same in every release.

The vectors in tests/conformance/bucketing.json never change: whoever changes a bucket moves users.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import mmh3

from core.evaluation.context import TARGETING_KEY, Context, Getter, getter
from core.evaluation.faults import Fault
from core.evaluation.numbers import text_of
from core.evaluation.shares import BUCKETS

Bucketing = Callable[[Context], int | None]
_FIELDS: Final = frozenset({"attributes", "salt", "seed", "modulo"})
_MOST_BUCKETS: Final = 2**32


def modulo_of(document: object) -> int:
    """How many buckets there are."""
    modulo = document.get("modulo", BUCKETS) if isinstance(document, Mapping) else BUCKETS
    if type(modulo) is not int or not 1 <= modulo <= _MOST_BUCKETS:
        raise Fault(f"a whole number from 1 to {_MOST_BUCKETS}", "modulo")
    return modulo


def compile_bucketing(document: object, salt: str) -> Bucketing:
    """A function that gives the bucket, from 0, or None when no attribute has a usable value.

    `salt` counts where the document brings none. Raises Fault.
    """
    by = {} if document is None else document
    if not isinstance(by, Mapping):
        raise Fault("an object that says by what to spread")
    for unknown in sorted(by.keys() - _FIELDS):
        raise Fault(f"unknown; known are {', '.join(sorted(_FIELDS))}", str(unknown))
    own_salt, seed, modulo = by.get("salt", salt), by.get("seed", 0), modulo_of(by)
    if not isinstance(own_salt, str):
        raise Fault("a text", "salt")
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise Fault("a whole number of 32 bits", "seed")
    prefix = own_salt + ":"
    getters = _getters(by.get("attributes", [TARGETING_KEY]))
    digest = mmh3.hash
    find = _first(getters) if len(getters) > 1 else getters[0]

    def bucket(context: Context) -> int | None:
        value = find(context)
        if type(value) is not str:
            value = text(value)
            if value is None:
                return None
        # As bytes: half a surrogate pair, which JSON can carry, would crash the library.
        data = (prefix + value).encode("utf-8", "surrogatepass")
        return digest(data, seed, signed=False) % modulo

    return bucket


def text(value: Any) -> str | None:
    """An attribute as text; None for what is no single value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return text_of(value)
    return value if isinstance(value, str) else None


def _getters(attributes: object) -> list[Getter]:
    if not isinstance(attributes, list) or not attributes or len(attributes) > 10:
        raise Fault("a list of one to ten attributes", "attributes")
    found = []
    for index, path in enumerate(attributes):
        try:
            found.append(getter(path))
        except Fault as fault:
            raise fault.under(f"attributes[{index}]") from None
    return found


def _first(getters: list[Getter]) -> Getter:
    """The first attribute that is present."""

    def find(context: Context) -> Any:
        for get in getters:
            value = get(context)
            if text(value) is not None:
                return value
        return None

    return find

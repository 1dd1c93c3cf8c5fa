"""Which bucket a context falls into: stable, spread evenly, the same in every release.

The vectors in tests/conformance/bucketing.json never change: whoever changes a bucket moves users.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import mmh3

from core.evaluation.context import TARGETING_KEY, Context, Getter, getter
from core.evaluation.faults import Fault, refuse_unknown
from core.evaluation.numbers import text_of
from core.evaluation.shares import BUCKETS

T = TypeVar("T")
Bucketing = Callable[[Context], int | None]
_FIELDS: Final = frozenset({"attributes", "salt", "seed", "modulo"})
_MOST_BUCKETS: Final = 2**32


def modulo_of(document: object) -> int:
    """How many buckets there are."""
    modulo = document.get("modulo", BUCKETS) if isinstance(document, dict) else BUCKETS
    if type(modulo) is not int or not 1 <= modulo <= _MOST_BUCKETS:
        raise Fault(f"a whole number from 1 to {_MOST_BUCKETS}", "modulo")
    return modulo


class Spread(NamedTuple):
    """By what callers are spread, compiled. `attribute` is the one that counts, if it is one and
    stands in the context itself."""

    find: Getter
    attribute: str | None
    prefix: str
    seed: int
    modulo: int

    def bucket(self, context: Context) -> int | None:
        value = self.find(context)
        if type(value) is not str:
            value = text(value)
            if value is None:
                return None
        # As bytes: half a surrogate pair, which JSON can carry, would crash the library.
        data = (self.prefix + value).encode("utf-8", "surrogatepass")
        return mmh3.hash(data, self.seed, signed=False) % self.modulo


def compile_bucketing(document: object, salt: str) -> Bucketing:
    """A function that gives the bucket, from 0, or None when no attribute has a usable value.

    `salt` counts where the document brings none. Raises Fault.
    """
    return compile_spread(document, salt).bucket


def compile_spread(document: object, salt: str) -> Spread:
    """Raises Fault."""
    by = {} if document is None else document
    if not isinstance(by, dict):
        raise Fault("an object that says by what to spread")
    refuse_unknown(by, _FIELDS)
    own_salt, seed, modulo = by.get("salt", salt), by.get("seed", 0), modulo_of(by)
    if not isinstance(own_salt, str):
        raise Fault("a text", "salt")
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise Fault("a whole number of 32 bits", "seed")
    attributes = by.get("attributes", [TARGETING_KEY])
    getters = _getters(attributes)
    is_one = len(getters) == 1 and "." not in attributes[0]
    return Spread(
        _first(getters) if len(getters) > 1 else getters[0],
        attributes[0] if is_one else None,
        own_salt + ":",
        seed,
        modulo,
    )


class Choice(NamedTuple, Generic[T]):
    """Which of `chosen` the caller's bucket falls to; each has a stretch from its start on."""

    spread: Spread
    starts: Sequence[int]
    chosen: Sequence[T]

    def compiled(self) -> Callable[[Context], T | None]:
        """As a function; None without a bucket."""
        starts, chosen, spread = self.starts, self.chosen, self.spread
        bucket, attribute, prefix = spread.bucket, spread.attribute, spread.prefix
        digest, seed, modulo = mmh3.hash, spread.seed, spread.modulo

        # In quotes: Python makes the type anew whenever it comes by here.
        def choose(context: Context) -> "T | None":
            number = bucket(context)
            return None if number is None else chosen[bisect_right(starts, number) - 1]

        if attribute is None:
            return choose

        def choose_by_one(context: Context) -> "T | None":
            """The same without a call between."""
            value = context.get(attribute)
            if type(value) is str:
                data = prefix + value
                if data.isascii():
                    number = digest(data, seed, False) % modulo  # noqa: FBT003 - a name costs time
                    return chosen[bisect_right(starts, number) - 1]
            return choose(context)

        return choose_by_one


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

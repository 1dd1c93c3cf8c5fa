"""How large a document may be, so that none can hang or exhaust whoever reads it.

Writers keep to bounds that are settings. Readers take all that any writer can have been allowed:
what is stored loads everywhere, whatever a reader's own settings say.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`depth` and `nodes` count the nested conditions of one rule or segment, with those of the
    segments that it names; `values` the entries of one list, `prerequisites` the flags in one
    chain, `asked` all flags that one may have to ask."""

    depth: int = 32
    nodes: int = 1_000
    values: int = 10_000
    rules: int = 1_000
    pattern: int = 1_000  # characters
    prerequisites: int = 16
    asked: int = 500


DEFAULT = Limits()
READABLE = Limits(depth=64, nodes=10_000, values=100_000, rules=10_000)

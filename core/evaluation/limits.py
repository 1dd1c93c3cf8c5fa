"""How large a document may be, so that none can hang or exhaust whoever reads it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`depth` counts nested conditions (segments add theirs), `nodes` the conditions of one rule or
    segment, `values` the entries of one list, `prerequisites` the flags in one chain."""

    depth: int = 32
    nodes: int = 1_000
    values: int = 10_000
    rules: int = 1_000
    pattern: int = 1_000  # characters
    prerequisites: int = 16


DEFAULT = Limits()

"""Shares for people to read. Apart from what evaluates, which takes long to import: `flagctl set`
needs no more than this.
"""

from collections.abc import Mapping
from typing import Final

BUCKETS: Final = 100_000


def default_share(document: object, on_variant: str) -> tuple[str, float]:
    """For people: the variant that the default serve is about, and whom it reaches, in percent. Of
    a split that is its first arm."""
    serve = document.get("serve") if isinstance(document, Mapping) else None
    if not isinstance(serve, Mapping):
        return on_variant, 100.0
    if "split" not in serve:
        return str(serve.get("variant", on_variant)), 100.0
    arms = serve["split"]["arms"]
    first = arms[0]
    if "weight" in first:
        share = first["weight"] / sum(arm["weight"] for arm in arms)
    else:
        share = (first["range"][1] - first["range"][0]) / serve["split"].get("by", {}).get(
            "modulo", BUCKETS
        )
    return str(first["serve"]["variant"]), share * 100

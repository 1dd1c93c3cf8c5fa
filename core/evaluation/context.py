"""The evaluation context: attributes by name, as JSON has them. None is a missing one."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from core.evaluation.faults import Fault

Context = Mapping[str, Any]
Getter = Callable[[Context], Any]
TARGETING_KEY: Final = "targetingKey"
_LONGEST_PATH: Final = 255


def getter(path: object) -> Getter:
    """Reads one attribute; dots reach into objects. Raises Fault for what is no path."""
    parts = split_path(path)
    if len(parts) == 1:
        name = parts[0]
        return lambda context: context.get(name)

    def reach(context: Context) -> Any:
        found: Any = context
        for part in parts:
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        return found

    return reach


def split_path(path: object) -> list[str]:
    """The names in a path. Raises Fault."""
    if not isinstance(path, str) or not path or len(path) > _LONGEST_PATH:
        raise Fault(f"an attribute is named by a text of 1 to {_LONGEST_PATH} characters")
    parts = path.split(".")
    if not all(parts):
        raise Fault(f"{path!r} has an empty name between its dots")
    return parts

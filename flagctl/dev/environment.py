"""What the read server of `flagctl dev` takes from the developer's environment: how it works, never
where anything is or with which secret. Those are the local installation's.
"""

from collections.abc import Mapping
from typing import Final

from core import setting_values, settings

_PREFIX: Final = "FLAGCTL_"
_HOW: Final = setting_values.NUMBERS.keys() | setting_values.LISTS.keys() | {"log_level"}


def of_reader(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment for it. Raises InvalidInputError for a setting that it would not take."""
    kept = {name: value for name, value in environ.items() if _is_kept(name)}
    settings.check_environment(kept)
    return kept | dict(own)


def _is_kept(variable: str) -> bool:
    if _PREFIX not in variable:
        return True
    return variable.startswith(_PREFIX) and variable.removeprefix(_PREFIX).lower() in _HOW

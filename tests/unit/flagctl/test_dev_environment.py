"""What of the developer's environment reaches the read server of `flagctl dev`."""

import pytest

from core.errors import InvalidInputError
from core.setting_values import LISTS, NUMBERS, SECRETS, TEXTS
from flagctl.dev.environment import of_reader

GOOD = {
    "PATH": "/bin",
    "FLAGCTL_CORS_ORIGINS": "https://app.example.com",
    "FLAGCTL_CLIENT_RATE": "2.5",
    "FLAGCTL_LOG_LEVEL": "debug",
}


def test_how_it_works_and_never_where_or_with_what() -> None:
    names = {"CONTEXT", "TEST_FUZZ", *(name.upper() for name in SECRETS | TEXTS - {"log_level"})}
    foreign = {f"FLAGCTL_{name}": "postgresql://foreign" for name in names}
    foreign["_FLAGCTL_COMPLETE"] = "complete_bash"
    own = {"FLAGCTL_REDIS_URL": "unix:///own"}
    assert of_reader(GOOD | foreign, own) == GOOD | own


@pytest.mark.parametrize("name", sorted(NUMBERS.keys() | LISTS.keys() | {"log_level"}))
def test_what_it_would_not_take_is_said_before_anything_starts(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} in the environment: "):
        of_reader({f"FLAGCTL_{name.upper()}": "//"}, {})

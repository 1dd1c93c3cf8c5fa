import importlib
import pkgutil

import pytest

import core
from core.errors import FlagctlError


def every_kind() -> list[type[FlagctlError]]:
    for module in pkgutil.walk_packages(core.__path__, "core."):
        importlib.import_module(module.name)
    found, open_ = [], [FlagctlError]
    while open_:
        kind = open_.pop()
        found.append(kind)
        open_ += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("core.")]


KINDS = every_kind()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_has_a_code_and_a_default_message_of_its_own(kind: type[FlagctlError]) -> None:
    assert "code" in vars(kind), "its code is inherited: the edges could not tell it apart"
    assert kind.code.replace("_", "").isalpha()
    assert kind.code.islower()
    assert kind().message == (kind.__doc__ or "").strip() != ""


def test_no_two_kinds_share_a_code() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes) > 7


def test_message_and_hint() -> None:
    error = FlagctlError("what happened", hint="what to do")
    assert (str(error), error.message, error.hint) == ("what happened",) * 2 + ("what to do",)

"""What a row of the table is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.support.tokens.maker import Maker

Build: TypeAlias = Callable[[Maker], str]


@dataclass(frozen=True)
class Case:
    """A token, whether it is good at NOW, and words of what core.auth.tokens says if not."""

    build: Build
    accepted: bool
    words: str = ""


Table: TypeAlias = dict[str, Case]


def accepted(build: Build) -> Case:
    return Case(build, accepted=True)


def refused(build: Build, words: str = "") -> Case:
    return Case(build, accepted=False, words=words)

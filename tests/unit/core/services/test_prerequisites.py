"""Chains of prerequisites: for the flag that changes, and for those that require it."""

import pytest

from core.errors import InvalidInputError
from core.services.prerequisites import check_graph


def chain(length: int) -> dict[str, list[str]]:
    """f0 requires f1, which requires f2…"""
    return {f"f{number}": [f"f{number + 1}"] for number in range(length - 1)}


@pytest.mark.parametrize("changed", ["f0", "f7", "f15"])
def test_a_chain_of_sixteen(changed: str) -> None:
    check_graph(chain(16), changed)


@pytest.mark.parametrize("changed", ["f0", "f7", "f15", "f16"])
def test_a_longer_one_wherever_it_grew(changed: str) -> None:
    with pytest.raises(InvalidInputError, match="a chain of more than 16 prerequisites"):
        check_graph(chain(17), changed)


@pytest.mark.parametrize("length", [2, 3, 16, 500])
def test_a_circle(length: int) -> None:
    graph = chain(length) | {f"f{length - 1}": ["f0"]}
    with pytest.raises(InvalidInputError, match="f1 would require itself"):
        check_graph(graph, "f1")
    with pytest.raises(InvalidInputError, match="a chain of more than 16"):
        check_graph(graph | {"new": ["f0"]}, "new")


def test_too_many_to_ask() -> None:
    levels = {
        f"f{level}-{number}": [f"f{level - 1}-{n}" for n in range(4)]
        for level in range(1, 5)
        for number in range(4)
    }
    check_graph(levels, "f4-0")
    for changed in ("top", "f0-0"):
        with pytest.raises(InvalidInputError, match="top would have to ask more than 500 flags"):
            check_graph({**levels, "top": ["f4-0", "f4-1"]}, changed)

"""The soak's checker finds each kind of lie, and leaves the truth alone."""

from dataclasses import replace

import pytest

from tests.chaos.history import Committed, Sighting, faults_of, worst_lag

COMMITTED = {1: Committed(7, 0.0), 2: Committed(8, 10.0), 3: Committed(9, 20.0)}
TRUE = Sighting(21.0, "a", 1, 3, 9, 16, is_stale=False)


def said(*sightings: Sighting, promise: float = 2.5) -> str:
    return "\n".join(faults_of(sightings, COMMITTED, promise=promise))


def test_the_truth_is_no_fault() -> None:
    assert said(replace(TRUE, asked_at=11.0, revision=2, value=8), TRUE) == ""
    assert said(replace(TRUE, value=1, modulus=8)) == "", "the last bits"


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (replace(TRUE, revision=4), "revision 4, which nobody committed"),
        (replace(TRUE, value=8), "answered 8 at revision 3, where 9 was committed"),
        (replace(TRUE, asked_at=22.6, revision=2, value=8), "more than 2.5 s after 3"),
    ],
)
def test_a_lie_is_found(lie: Sighting, words: str) -> None:
    assert words in said(lie)


def test_late_answers_that_are_no_fault() -> None:
    late = replace(TRUE, asked_at=60.0, revision=2, value=8)
    assert said(replace(late, is_stale=True)) == ""
    assert said(replace(late, is_excused=True)) == ""
    assert said(replace(late, asked_at=22.4)) == ""


def test_going_back_is_found_by_worker_and_by_connection() -> None:
    back = replace(TRUE, asked_at=21.5, revision=2, value=8)
    assert said(TRUE, replace(back, connection=2)).startswith("worker a went back from revision 3")
    assert said(TRUE, replace(back, worker="b")).startswith("connection 1 went back")
    assert said(TRUE, replace(back, worker="b", connection=2)) == ""


def test_the_worst_lag() -> None:
    late = replace(TRUE, asked_at=21.5, revision=2, value=8)
    assert worst_lag([TRUE, late], COMMITTED).seconds == 1.5
    assert worst_lag([TRUE, replace(late, is_stale=True)], COMMITTED).seconds == 0.0

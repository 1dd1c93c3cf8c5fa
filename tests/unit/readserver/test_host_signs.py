"""Who leads, by what workers say of themselves in memory that they share."""

from readserver.host_signs import Signs


class Clock:
    def __init__(self) -> None:
        self.now = 0.5  # a machine that has just started

    def __call__(self) -> float:
        return self.now


def started(workers: int) -> tuple[Signs, Clock]:
    clock = Clock()
    signs = Signs(workers, clock)
    assert signs.order() == []
    for worker in reversed(range(workers)):
        signs.join(worker)
        clock.now += 0.01
    return signs, clock


def wait(signs: Signs, clock: Clock, seconds: float, *, beating: list[int]) -> None:
    for _ in range(round(seconds * 10)):
        clock.now += 0.1
        for worker in beating:
            signs.beat(worker)


def test_who_is_there_longest_leads() -> None:
    signs, clock = started(3)
    assert signs.order() == [2, 1, 0]
    wait(signs, clock, 5, beating=[0, 1, 2])
    assert signs.order() == [2, 1, 0]


def test_of_two_that_came_at_once_the_first() -> None:
    signs = Signs(3, Clock())
    for worker in (1, 2, 0):
        signs.join(worker)
    assert signs.order() == [0, 1, 2]


def test_who_falls_silent_is_replaced_and_comes_last_when_it_wakes() -> None:
    signs, clock = started(3)
    wait(signs, clock, 0.9, beating=[0, 1])
    assert signs.order() == [2, 1, 0], "it may be busy"
    wait(signs, clock, 0.3, beating=[0, 1])
    assert signs.order() == [1, 0]
    signs.beat(2)
    assert signs.order() == [1, 0, 2]
    wait(signs, clock, 5, beating=[0, 1, 2])
    assert signs.order() == [1, 0, 2]


def test_who_ends_is_replaced_at_once() -> None:
    signs, _ = started(2)
    signs.leave(1)
    assert signs.order() == [0]
    signs.join(1)
    assert signs.order() == [0, 1]


def test_all_stopped_and_going_on() -> None:
    """The first that wakes leads, for a moment at most not the one that the others see."""
    signs, clock = started(3)
    clock.now += 60
    assert signs.order() == []
    signs.beat(0)
    assert signs.order() == [0]
    wait(signs, clock, 0.1, beating=[2, 1, 0])
    assert signs.order() == [0, 1, 2]


def test_one_check_at_a_time() -> None:
    signs, _ = started(3)
    assert signs.begin_check(0)
    assert not signs.begin_check(1)
    signs.end_check(0)
    assert signs.begin_check(1)
    assert not signs.begin_check(0)
    signs.leave(1)
    assert signs.begin_check(0)


def test_nobody_waits_for_the_check_of_one_that_is_silent() -> None:
    signs, clock = started(2)
    assert signs.begin_check(1)
    wait(signs, clock, 0.2, beating=[0])
    assert not signs.begin_check(0)
    wait(signs, clock, 0.2, beating=[0])
    assert signs.begin_check(0)
    signs.beat(1)
    signs.end_check(1)
    assert not signs.begin_check(1)


def test_one_unknown_a_second_for_all() -> None:
    signs, clock = started(2)
    assert signs.grant_unknown(0)
    assert not signs.grant_unknown(1)
    assert not signs.grant_unknown(0)
    clock.now += 1
    assert signs.grant_unknown(1)
    assert not signs.grant_unknown(0)

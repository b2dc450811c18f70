"""Waiting: one loop, on tenacity, in whosever seconds."""

import pytest

from aks_postgres.arm.poll import NotInTime, Timer, poll, poll_here


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at_s += seconds

    @property
    def timer(self) -> Timer:
        return Timer(lambda: self.at_s, self.sleep)


def answers(*given: object) -> object:
    left = list(given)

    async def look() -> object:
        return left.pop(0) if len(left) > 1 else left[0]

    return look


async def test_what_is_so_at_once_is_waited_for_not_at_all() -> None:
    clock = Clock()
    assert await poll(answers("there"), every_s=5, timer=clock.timer) == "there"  # type: ignore[arg-type]
    assert clock.pauses == []


async def test_false_and_nothing_much_are_something() -> None:
    assert await poll(answers(None, False), every_s=0) is False  # type: ignore[arg-type]


async def test_the_pause_may_depend_on_the_time_so_far_and_is_told() -> None:
    clock, told = Clock(), list[float]()
    look = answers(None, None, None, 1)
    await poll(look, every_s=lambda s: 1 if s < 1 else 4, waiting=told.append, timer=clock.timer)  # type: ignore[arg-type]
    assert (clock.pauses, told) == ([1, 4, 4], [0, 1, 5])


async def test_after_the_deadline_there_is_no_other_look() -> None:
    clock = Clock()
    with pytest.raises(NotInTime, match="not so after 12 s") as late:
        await poll(answers(None), every_s=4, deadline_s=10, timer=clock.timer)  # type: ignore[arg-type]
    assert (late.value.elapsed_s, len(clock.pauses)) == (12, 3)


async def test_looks_can_be_counted() -> None:
    clock = Clock()
    with pytest.raises(NotInTime):
        await poll(answers(None), every_s=10, tries=3, timer=clock.timer)  # type: ignore[arg-type]
    assert clock.pauses == [10, 10]


async def test_what_a_look_raises_ends_the_wait() -> None:
    async def look() -> None:
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        await poll(look, every_s=0)


def test_it_waits_where_nothing_else_is_to_be_done_too() -> None:
    left = [None, None, "ready"]
    assert poll_here(lambda: left.pop(0), every_s=0, deadline_s=60) == "ready"
    with pytest.raises(NotInTime):
        poll_here(lambda: None, every_s=0, deadline_s=-1)

"""The queue: each key once, back-off per key, on a clock that the test holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from havip.controller.queue import Backoff, Queue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def queue(clock: Clock, *, coalesce: float = 0.05) -> Queue[str]:
    return Queue(clock=clock, chance=lambda: 0.5, coalesce=coalesce, backoff=Backoff(first=1, longest=60, spread=0.2))


def test_a_storm_about_one_key_is_one_look() -> None:
    clock = Clock()
    waiting = queue(clock)
    for _ in range(1000):
        waiting.add("web")
    clock.now += 0.05
    assert len(waiting) == 1
    assert waiting.take() == {"web"}
    assert waiting.wait() is None


def test_the_first_change_waits_for_others_and_no_longer() -> None:
    clock = Clock()
    waiting = queue(clock)
    waiting.add("web")
    clock.now += 0.04
    waiting.add("api")
    assert waiting.take() == frozenset()
    wait = waiting.wait()
    assert wait is not None
    assert 0 < wait <= 0.011
    clock.now += wait
    assert "web" in waiting.take()


def test_a_key_that_fails_is_held_and_the_others_are_not() -> None:
    clock = Clock()
    waiting = queue(clock)
    assert waiting.failed("web") == 1
    assert waiting.held("web")
    assert not waiting.held("api")
    clock.now += 1
    assert not waiting.held("web")
    assert waiting.take() == {"web"}


def test_failures_in_a_row_wait_longer_up_to_the_longest() -> None:
    waiting = queue(Clock())
    assert [waiting.failed("web") for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_success_starts_from_the_shortest_delay_again() -> None:
    waiting = queue(Clock())
    waiting.failed("web")
    waiting.failed("web")
    waiting.succeeded("web")
    assert not waiting.held("web")
    assert waiting.failed("web") == 1


def test_news_about_a_held_key_lets_it_try_again_but_does_not_forgive_it() -> None:
    waiting = queue(Clock())
    waiting.failed("web")
    waiting.failed("web")
    waiting.add("web")
    assert not waiting.held("web")
    assert waiting.failed("web") == 4


def test_a_held_key_that_is_taken_early_comes_again_when_its_back_off_is_over() -> None:
    clock = Clock()
    waiting = queue(clock)
    waiting.look("web", after=0.5)
    waiting.failed("web")
    clock.now += 0.5
    assert waiting.take() == {"web"}
    assert waiting.wait() == 0.5
    clock.now += 0.5
    assert waiting.take() == {"web"}
    assert waiting.wait() is None


def test_what_the_server_asks_to_wait_is_waited() -> None:
    clock = Clock()
    waiting = queue(clock)
    assert waiting.failed("web", at_least=7) == 7
    assert waiting.wait() == 7


def test_a_key_that_is_gone_leaves_nothing_behind() -> None:
    waiting = queue(Clock())
    waiting.failed("web")
    waiting.forget("web")
    assert not waiting.held("web")
    assert waiting.failed("web") == 1


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_back_off_stays_within_its_spread(failures: int, chance: float) -> None:
    delay = Backoff(first=0.2, longest=60, spread=0.2).delay(failures, chance)
    assert 0.16 * 0.999 <= delay <= 72 * 1.001

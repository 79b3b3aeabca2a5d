"""Events: said once, counted when they come again, and never a flood."""

from __future__ import annotations

from dataclasses import replace

from havip.controller.events import Again, First, Series
from havip.model.keys import Key
from havip.plan.change import Emit, Kind

SAID = Emit(Kind.HAVIP, Key("shop", "web"), "u1", warning=True, reason="SplitBrain", action="Watch", note="n1 and n2")


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_the_same_event_is_written_once_and_then_counted() -> None:
    clock = Clock()
    series = Series(clock=clock)
    first = series.next(SAID)
    assert isinstance(first, First)
    clock.now += 1
    assert series.next(SAID) == Again(first.name, 2)
    written = []
    for _ in range(100):
        clock.now += 1
        written.append(series.next(SAID))
    assert [one for one in written if one] == [Again(first.name, 62)]


def test_an_event_that_comes_back_after_a_long_time_is_a_new_one() -> None:
    clock = Clock()
    series = Series(clock=clock, idle=360)
    first = series.next(SAID)
    clock.now += 361
    second = series.next(SAID)
    assert isinstance(second, First)
    assert isinstance(first, First)
    assert second.name != first.name


def test_other_words_or_another_object_are_another_event() -> None:
    series = Series(clock=Clock())
    said = [
        series.next(one)
        for one in (SAID, replace(SAID, note="n2 and n3"), replace(SAID, uid="u2"), replace(SAID, reason="Gone"))
    ]
    names = {one.name for one in said if isinstance(one, First)}
    assert len(names) == 4


def test_a_flood_of_one_reason_is_cut_and_other_reasons_are_heard() -> None:
    clock = Clock()
    series = Series(clock=clock, burst=10, refill=2)
    flood = [series.next(replace(SAID, uid=f"u{number}")) for number in range(100)]
    assert sum(one is not None for one in flood) == 10
    assert series.next(replace(SAID, reason="NoEligibleNodes")) is not None
    clock.now += 2
    assert series.next(replace(SAID, uid="later")) is not None


def test_what_is_remembered_is_bounded() -> None:
    clock = Clock()
    series = Series(clock=clock, burst=10_000)
    for number in range(5000):
        series.next(replace(SAID, uid=f"u{number}"))
    assert len(series._runs) <= 1024


def test_the_name_of_an_event_fits_whatever_the_object_is_called() -> None:
    written = Series(clock=Clock()).next(replace(SAID, key=Key("shop", "x" * 253)))
    assert isinstance(written, First)
    assert len(written.name) <= 253

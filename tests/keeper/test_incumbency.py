"""Who gets the bonus, who loses it, and what else the track file says."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.keeper.made import an_instance

from havip.keeper.incumbency import FAULT, Standing, Will, is_switch, value
from havip.model.election import Instance
from havip.model.priority import BASES, BONUS, HIGHEST, HOLD_BACK, TRACK_PENALTY
from havip.model.states import Failback

ACTIVE = Standing(Will.COMPETE, track_healthy=True, started=0.0, held_since=50.0)
STANDBY = replace(ACTIVE, held_since=None)


def at(instance: Instance, standing: Standing, now: float = 100.0, settle: float = 30.0) -> int:
    return value(instance, standing, settle_seconds=settle, now=now)


def test_the_active_node_gets_the_bonus() -> None:
    assert at(an_instance(), ACTIVE) == BONUS


def test_a_standby_gets_nothing() -> None:
    assert at(an_instance(), STANDBY) == 0


def test_no_bonus_before_keepalived_has_settled() -> None:
    assert at(an_instance(), replace(ACTIVE, started=90.0)) == 0
    assert at(an_instance(), replace(ACTIVE, started=70.0)) == BONUS


def test_no_bonus_while_keepalived_does_not_run() -> None:
    assert at(an_instance(), replace(ACTIVE, started=None)) == 0


def test_the_bonus_outlives_the_address_for_a_moment_only() -> None:
    lost = replace(ACTIVE, held_since=None, last_held=99.95, grace=0.1)
    assert at(an_instance(), lost, now=100.0) == BONUS
    assert at(an_instance(), lost, now=100.06) == 0
    assert at(an_instance(), replace(lost, started=None), now=100.0) == 0, "a death takes it at once"


def test_the_bonus_waits_until_the_node_is_proven_to_be_the_one_that_was_meant() -> None:
    early = replace(ACTIVE, held_since=99.9, proven_at=100.2)
    assert at(an_instance(), early, now=100.1) == 0
    assert at(an_instance(), early, now=100.3) == BONUS


@pytest.mark.parametrize("failback", [Failback.IMMEDIATE, Failback.DELAYED])
def test_whoever_wants_a_failback_gets_no_bonus(failback: Failback) -> None:
    assert at(an_instance(failback=failback), ACTIVE) == 0


def test_a_node_that_started_stays_below_everybody_until_its_delay_has_passed() -> None:
    instance = an_instance(failback=Failback.DELAYED, failback_delay_seconds=60, priority=BASES[0])
    fresh = replace(STANDBY, started=80.0)
    assert BASES[0] + at(instance, fresh) < BASES[-1]
    assert at(instance, fresh) == -HOLD_BACK
    assert at(instance, fresh, now=140.0) == 0


def test_a_changed_preference_takes_the_bonus_until_time_is_up() -> None:
    ordered = replace(ACTIVE, switch_until=103.0)
    assert at(an_instance(), ordered, now=102.0) == 0
    assert at(an_instance(), ordered, now=103.0) == BONUS


def test_a_changed_preference_is_an_order_to_the_node_that_is_not_the_best() -> None:
    old = an_instance(preferred=("n1", "n2"))
    assert is_switch(old, replace(old, preferred=("n2", "n1"), priority=199))
    assert not is_switch(old, replace(old, preferred=("n1", "n3"), priority=209))
    assert not is_switch(old, replace(old, priority=199))


def test_without_a_bonus_a_lower_base_alone_is_the_order() -> None:
    old = an_instance(preferred=("n1", "n2"), failback=Failback.IMMEDIATE)
    assert is_switch(old, replace(old, priority=199))
    assert not is_switch(replace(old, priority=199), old)


def test_an_active_node_whose_haproxy_is_ill_is_outranked_by_every_healthy_candidate() -> None:
    ill = replace(ACTIVE, track_healthy=False)
    for mine, other in permutations(BASES, 2):
        instance = an_instance(tracked=True, priority=mine)
        assert mine + at(instance, ill) < other


def test_when_every_haproxy_is_ill_the_order_is_that_of_the_bases() -> None:
    ill = replace(STANDBY, track_healthy=False)
    effective = [base + at(an_instance(tracked=True, priority=base), ill) for base in BASES]
    assert effective == sorted(effective, reverse=True)
    assert effective[0] - effective[1] == BASES[0] - BASES[1]


def test_an_instance_that_is_not_tracked_does_not_care_about_haproxy() -> None:
    assert at(an_instance(tracked=False), replace(ACTIVE, track_healthy=False)) == BONUS


def test_yielding_lets_anybody_take_over_and_still_serves() -> None:
    for base in BASES:
        yielding = at(an_instance(priority=base), replace(ACTIVE, will=Will.YIELD))
        assert base + yielding == 1
        assert yielding > FAULT


def test_at_first_a_node_yields_to_the_best_other_candidate_only() -> None:
    for base in BASES:
        effective = base + at(an_instance(priority=base), replace(ACTIVE, will=Will.YIELD_TO_BEST))
        outranking = [other for other in BASES if other != base and other > effective]
        assert outranking == [max(other for other in BASES if other != base)]


def test_staying_out_is_a_fault_to_keepalived() -> None:
    assert at(an_instance(), replace(ACTIVE, will=Will.STAY_OUT)) == FAULT


@given(
    base=st.sampled_from(BASES),
    failback=st.sampled_from(Failback),
    tracked=st.booleans(),
    healthy=st.booleans(),
    started=st.none() | st.floats(0, 100),
    held=st.none() | st.floats(0, 100),
)
def test_a_node_that_competes_never_says_fault_by_arithmetic(
    base: int, failback: Failback, tracked: bool, healthy: bool, started: float | None, held: float | None
) -> None:
    instance = an_instance(priority=base, failback=failback, failback_delay_seconds=3600, tracked=tracked)
    standing = Standing(Will.COMPETE, healthy, started, held)
    found = at(instance, standing)
    assert 1 <= base + found <= HIGHEST
    assert -(TRACK_PENALTY + HOLD_BACK) <= found <= BONUS


def test_a_returning_node_of_any_base_stays_below_a_protected_one() -> None:
    for active, returning in product(BASES, repeat=2):
        if active != returning:
            assert active + at(an_instance(priority=active), ACTIVE) > returning

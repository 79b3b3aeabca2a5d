"""Giving an address away: how long it waits for a peer, and when it does not wait at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from havip.keeper.handover import Wish, asks, limit_seconds, pending, will
from havip.keeper.incumbency import Will
from havip.model.election import Timing

CONTENT = Wish(eligible=True, leaving=False, stopping=False, benched=False, asked=None, master=True, peers=True)
REASONS = [{"eligible": False}, {"leaving": True}, {"stopping": True}]


def at(wish: Wish, now: float) -> Will:
    return will(wish, 1.0, now, narrow=0.5)


def test_a_node_that_nobody_asked_to_leave_competes() -> None:
    assert at(CONTENT, 100.0) is Will.COMPETE
    assert not asks(CONTENT)


@pytest.mark.parametrize("reason", REASONS)
def test_the_active_node_serves_on_until_a_peer_has_taken_over(reason: dict[str, bool]) -> None:
    wish = replace(CONTENT, asked=100.0, **reason)
    assert at(wish, 100.1) is Will.YIELD_TO_BEST
    assert at(wish, 100.6) is Will.YIELD
    assert pending(wish, 1.0, 100.5)
    assert not pending(replace(wish, master=False), 1.0, 100.5)


@pytest.mark.parametrize("reason", REASONS)
def test_it_gives_up_waiting(reason: dict[str, bool]) -> None:
    assert not pending(replace(CONTENT, asked=100.0, **reason), 1.0, 101.0)


@pytest.mark.parametrize("reason", REASONS)
def test_it_does_not_wait_without_peers(reason: dict[str, bool]) -> None:
    assert not pending(replace(CONTENT, asked=100.0, peers=False, **reason), 1.0, 100.0)


def test_a_node_that_is_not_eligible_stays_out_afterwards() -> None:
    wish = replace(CONTENT, eligible=False, asked=100.0)
    assert at(replace(wish, master=False), 100.1) is Will.STAY_OUT
    assert at(wish, 101.0) is Will.STAY_OUT


def test_a_node_that_leaves_does_not_drop_the_address_before_it_is_taken_out() -> None:
    assert at(replace(CONTENT, leaving=True, asked=100.0), 200.0) is Will.YIELD


def test_a_benched_node_stays_out() -> None:
    assert at(replace(CONTENT, benched=True), 100.0) is Will.STAY_OUT


def test_no_peer_is_given_up_before_it_can_have_taken_over() -> None:
    assert limit_seconds(Timing(100, 3, 30), 1.0) == 1.0
    assert limit_seconds(Timing(1000, 3, 30), 1.0) == 10.0

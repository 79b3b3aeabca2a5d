"""The state that is reported, from what the kernel and what keepalived say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from havip.keeper.keepalived.notify import Vrrp
from havip.keeper.verdict import STARTING, TOLERATED_SECONDS, Evidence, Reason, Verdict, judge
from havip.model.states import State

BACKUP = Evidence(
    vrrp=Vrrp.BACKUP,
    present=0,
    missing=1,
    disagreeing_since=None,
    died=False,
    link_up=True,
    heard=True,
    eligible=True,
    benched=None,
    handing_over=False,
    track_failed=False,
    held_back=False,
)
MASTER = replace(BACKUP, vrrp=Vrrp.MASTER, present=1, missing=0, heard=False)
STANDING_BY = Verdict(State.STANDBY, Reason.PEER_HEARD)


def test_active_takes_both_the_address_and_the_election() -> None:
    assert judge(MASTER, STANDING_BY, 10.0) == Verdict(State.ACTIVE, Reason.ELECTED)


@pytest.mark.parametrize("vrrp", [Vrrp.BACKUP, Vrrp.FAULT, None])
def test_one_that_handed_over_in_order_drains_whatever_the_election_makes_of_it(vrrp: Vrrp | None) -> None:
    draining = replace(BACKUP, vrrp=vrrp, draining=Reason.OVERLAPPING)
    assert judge(draining, STANDING_BY, 10.0) == Verdict(State.DRAINING, Reason.OVERLAPPING)


def test_one_that_drains_and_is_active_again_is_active() -> None:
    assert judge(replace(MASTER, draining=Reason.FLOWS_ENDING), STANDING_BY, 10.0).state is State.ACTIVE


@pytest.mark.parametrize("contradiction", [replace(MASTER, present=0, missing=1), replace(BACKUP, present=1)])
def test_a_contradiction_is_tolerated_for_a_moment_and_then_said(contradiction: Evidence) -> None:
    fresh = replace(contradiction, disagreeing_since=10.0)
    assert judge(fresh, STANDING_BY, 10.0 + TOLERATED_SECONDS / 2) == STANDING_BY
    assert judge(fresh, STANDING_BY, 10.0 + TOLERATED_SECONDS).state is State.UNKNOWN


def test_master_without_the_address_names_the_address() -> None:
    gone = replace(MASTER, present=0, missing=1, disagreeing_since=0.0)
    assert judge(gone, STANDING_BY, 5.0).reason is Reason.ADDRESS_MISSING


def test_one_address_of_a_dual_stack_missing_is_not_active() -> None:
    half = replace(MASTER, present=1, missing=1, disagreeing_since=0.0)
    assert judge(half, STANDING_BY, 5.0) == Verdict(State.UNKNOWN, Reason.ADDRESS_MISSING)


def test_an_address_on_a_standby_is_foreign() -> None:
    foreign = replace(BACKUP, present=1, disagreeing_since=0.0)
    assert judge(foreign, STANDING_BY, 5.0) == Verdict(State.UNKNOWN, Reason.FOREIGN_ADDRESS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"vrrp": None}, STARTING),
        ({"vrrp": None, "died": True}, Verdict(State.FAULT, Reason.KEEPALIVED_DIED)),
        ({"heard": False}, Verdict(State.STANDBY, Reason.WAITING)),
        ({"track_failed": True}, Verdict(State.STANDBY, Reason.TRACK_FAILED)),
        ({"held_back": True}, Verdict(State.STANDBY, Reason.HELD_BACK)),
        ({"vrrp": Vrrp.FAULT}, Verdict(State.FAULT, Reason.VRRP_FAULT)),
        ({"vrrp": Vrrp.FAULT, "link_up": False}, Verdict(State.FAULT, Reason.LINK_DOWN)),
        ({"vrrp": Vrrp.FAULT, "eligible": False}, Verdict(State.FAULT, Reason.NOT_ELIGIBLE)),
        (
            {"vrrp": Vrrp.FAULT, "benched": Reason.ADVERTS_NOT_LEAVING},
            Verdict(State.FAULT, Reason.ADVERTS_NOT_LEAVING),
        ),
    ],
)
def test_every_other_state_has_its_reason(change: dict[str, object], expected: Verdict) -> None:
    assert judge(replace(BACKUP, **change), STANDING_BY, 10.0) == expected  # type: ignore[arg-type]  # a table of fields


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"heard": True}, Reason.CONFLICT),
        ({"handing_over": True}, Reason.HANDING_OVER),
        ({"track_failed": True}, Reason.TRACK_FAILED),
    ],
)
def test_an_active_node_says_what_is_wrong_with_it(change: dict[str, object], reason: Reason) -> None:
    found = judge(replace(MASTER, **change), STANDING_BY, 10.0)  # type: ignore[arg-type]  # a table of fields
    assert found == Verdict(State.ACTIVE, reason)

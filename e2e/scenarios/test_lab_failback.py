"""Who gets a VIP when nodes come, go and come back: preference, incumbents, cold starts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from e2e.lab import Episode, Lab, Node, Vip
from e2e.lab.declare import DEFAULT_TIMING
from e2e.scenarios.expectations import taken_over_by
from havip.model.priority import BASES, HOLD_BACK
from havip.model.states import Failback, State

NewVip = Callable[..., Vip]
DELAY_SECONDS = 4
SETTLE_SECONDS = 8
"""Long enough for three nodes to boot one after the other on a busy machine."""


def away_and_back(lab: Lab, vip: Vip) -> tuple[Node, Node]:
    """n1 loses its power, somebody else settles, n1 is back and says that it runs. Returns (n1, the other)."""
    first = lab.settled(vip, on=lab.node(1))
    first.power_off()
    other = second(lab, vip)
    first.power_on()
    return first, other


def second(lab: Lab, vip: Vip) -> Node:
    """Who serves in n1's place. One that begins too early on a busy machine keeps it only where failback is Never."""
    return lab.settled(vip, on=None if vip.failback is Failback.NEVER else lab.node(2))


def runs(node: Node, vip: Vip) -> None:
    node.pod().wait_report(
        "its election runs",
        lambda report: any(i.havip == vip.key and i.state is not State.UNKNOWN for i in report.instances),
    )


def test_a_node_that_returns_does_not_take_over(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(failback=Failback.NEVER)
    lab.declare(vip)
    first, other = away_and_back(lab, vip)
    with Episode(lab, vip, "failback Never") as seen:
        runs(first, vip)
        _long_enough_for_an_election()
    assert seen.became_active == ()
    assert lab.observer.holders(vip.address) == (other.number,)
    assert seen.lost == 0


def _long_enough_for_an_election() -> None:
    """Nothing happens: the time in which it would have is the test. Ten detection times."""
    time.sleep(10 * DEFAULT_TIMING.advert_interval_ms * DEFAULT_TIMING.missed_adverts / 1000)


def test_a_preferred_node_that_returns_takes_over_at_once_where_that_is_wanted(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(failback=Failback.IMMEDIATE)
    lab.declare(vip)
    first, _ = away_and_back(lab, vip)
    with Episode(lab, vip, "failback Immediate") as seen:
        lab.observer.wait_holders(vip.address, first.number)
    assert lab.observer.priority(first.number, vip.virtual_router_id) == BASES[0]
    assert seen.outage_ms() <= 100


def test_a_preferred_node_that_returns_takes_over_after_the_delay_where_that_is_wanted(
    lab: Lab, new_vip: NewVip
) -> None:
    vip = new_vip(failback=Failback.DELAYED, failback_delay_seconds=DELAY_SECONDS)
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    first = lab.node(1)
    first.power_off()
    other = second(lab, vip)
    back = time.monotonic()
    first.power_on()
    with Episode(lab, vip, "failback Delayed") as seen:
        assert seen.before is other
        lab.observer.wait_holders(vip.address, 1, seconds=DELAY_SECONDS + 10)
        waited = time.monotonic() - back
    print(f"taken over {waited:.1f} s after power-on, delay {DELAY_SECONDS} s")
    assert waited >= DELAY_SECONDS
    taken_over_by(seen, 1)
    assert seen.outage_ms() <= 100


def test_a_delayed_node_still_serves_when_nobody_else_is_there(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(failback=Failback.DELAYED, failback_delay_seconds=60)
    for node in lab.nodes[1:]:
        node.power_off()
    lab.declare(vip)
    lab.observer.wait_holders(vip.address, 1)
    lab.observer.wait_priority(1, vip.virtual_router_id, BASES[0] - HOLD_BACK)


@pytest.fixture(params=list(itertools.permutations((1, 2, 3)))[::2], ids=lambda order: "-".join(map(str, order)))
def order(request: pytest.FixtureRequest) -> tuple[int, ...]:
    """Orders in which the nodes boot: each node is first, second and last once."""
    found: tuple[int, ...] = request.param
    return found


@pytest.fixture
def dark(lab: Lab) -> Iterator[Lab]:
    """Every node is off."""
    for node in lab.nodes:
        node.power_off()
    yield lab


def test_after_a_cold_start_in_any_order_spread_and_preference_hold(
    dark: Lab, new_vip: NewVip, order: tuple[int, ...]
) -> None:
    vips = [new_vip(preferred=names) for names in (("n1", "n2", "n3"), ("n2", "n3", "n1"), ("n3", "n1", "n2"))]
    dark.declare(*vips, timing=replace(DEFAULT_TIMING, settle_seconds=SETTLE_SECONDS))
    for number in order:
        dark.node(number).power_on()
        runs(dark.node(number), vips[0])
    for vip in vips:
        dark.settled(vip, on=dark.node(vip.preferred[0]), seconds=SETTLE_SECONDS + 20)
    held = {vip.preferred[0]: dark.observer.holders(vip.address) for vip in vips}
    print(f"booted in order {order}: {held}")
    assert held == {"n1": (1,), "n2": (2,), "n3": (3,)}


def test_nodes_that_boot_while_one_serves_long_since_leave_it_what_it_has(dark: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    dark.declare(vip)
    dark.node(3).power_on()
    dark.observer.wait_holders(vip.address, 3)
    _long_enough_for_an_election()  # and for the settle time: with nobody to hear them, no adverts can be seen
    with Episode(dark, vip, "two better nodes boot") as seen:
        for number in (1, 2):
            dark.node(number).power_on()
            runs(dark.node(number), vip)
        _long_enough_for_an_election()
    assert seen.became_active == ()
    assert seen.lost == 0

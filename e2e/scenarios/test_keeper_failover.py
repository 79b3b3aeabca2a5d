"""Keepers alone, on real keepalived, in a lab: what they survive, what they hand over, and how long it takes.

Each scenario prints its figures. Bounds are generous: they catch a wrong mechanism, not a slow machine.
"""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from e2e.lab import Kind, Lab, Node, Part, Stretch, Vip, now
from e2e.scenarios.conftest import NewVip
from e2e.scenarios.keepers import (
    declare,
    keepalived_pids,
    protected,
    said,
    send,
    settled,
    start_keeper,
    stop_keeper,
    tell,
)
from havip.model.states import Failback, State

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

QUICK = [Kind.ICMP, Kind.UDP]


@pytest.fixture
def lab(healed_keepers: Lab) -> Lab:
    return healed_keepers


def outage(lab: Lab, vip: Vip, fault: object, active: Node) -> tuple[float, float, tuple[int, ...]]:
    """Makes the fault while a client asks. Milliseconds without an answer and with two holders; who became active."""
    with lab.client_of(vip, kinds=QUICK) as client:
        client.wait_answered()
        before = now()
        assert callable(fault)
        fault()
        lab.observer.wait_one_holder(vip.address, but=active.number)
        client.wait_answered()
        lost = client.history().outage_ms()
    holders = lab.observer.history()
    during = Stretch(before, now())
    double = holders.two_holders(vip.address, during).longest_ms
    return lost, double, holders.became_active(vip.address, during)


def test_a_peer_takes_over_when_the_active_node_loses_power(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    lost, _double, became = outage(lab, vip, active.power_off, active)
    heir = lab.node(became[0])
    report = said(heir, vip, lambda item: item.state is State.ACTIVE and item.outage_ms is not None)
    print(f"power off: {lost:.0f} ms without an answer, the keeper says {report.outage_ms} ms")
    assert len(became) == 1
    assert lost < 1500
    assert report.outage_ms is not None
    assert 150 < report.outage_ms < 1500


def test_a_node_that_returns_does_not_take_over(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    first = protected(lab, vip)
    first.power_off()
    second = lab.node(lab.observer.wait_one_holder(vip.address, but=first.number))
    lab.observer.wait_priority(second.number, vip.virtual_router_id, 244)
    documents = declare(lab, vip, wait=False)
    first.power_on(start=False)
    declare(lab, vip, wait=False)
    start_keeper(first)
    said(first, vip, lambda item: item.state is State.STANDBY and item.heard == (second.name,))
    assert settled(lab, vip) is second
    assert documents


def test_a_node_that_returns_takes_over_at_once_with_failback_immediate(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(failback=Failback.IMMEDIATE)
    declare(lab, vip)
    first = lab.node(1)
    lab.observer.wait_holders(vip.address, 1)
    settled(lab, vip)
    first.power_off()
    lab.observer.wait_one_holder(vip.address, but=1)
    first.power_on(start=False)
    declare(lab, vip, wait=False)
    start_keeper(first)
    lab.observer.wait_holders(vip.address, 1)


def test_a_node_that_returns_waits_with_failback_delayed(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(failback=Failback.DELAYED, failback_delay_seconds=4)
    declare(lab, vip)
    lab.observer.wait_one_holder(vip.address)
    said(lab.node(1), vip, lambda item: item.state is State.ACTIVE)
    for node in lab.nodes:  # at first all of them are held back, which holds nobody back
        said(node, vip, lambda item: item.reason not in ("HeldBack", "Starting"))
    lab.observer.wait_priority(1, vip.virtual_router_id, 209)
    stop_keeper(lab.node(1))
    heir = lab.observer.wait_one_holder(vip.address, but=1)
    started = now()
    start_keeper(lab.node(1))
    said(lab.node(1), vip, lambda item: item.reason == "HeldBack" and item.heard == (f"n{heir}",))
    lab.observer.wait_holders(vip.address, 1)
    assert now() - started >= 4_000_000_000


def test_sigkill_of_keepalived_takes_its_address_and_its_bonus(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    lost, double, became = outage(lab, vip, active.pod().kill_keepalived, active)
    said(active, vip, lambda item: item.state is State.STANDBY)
    print(f"SIGKILL of keepalived: {lost:.0f} ms without an answer, {double:.0f} ms two holders, {became} active")
    assert active.number not in became
    assert lost < 1500
    assert double < 1500
    assert settled(lab, vip) is not active


@pytest.mark.parametrize("part", [Part.KEEPALIVED, Part.KEEPALIVED_CHILD], ids=["parent", "child"])
def test_sigkill_of_one_process_of_keepalived_is_a_death(lab: Lab, new_vip: NewVip, part: Part) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    lost, double, became = outage(lab, vip, lambda: active.pod().kill(part), active)
    said(active, vip, lambda item: item.state is State.STANDBY)
    print(f"SIGKILL of {part.value}: {lost:.0f} ms without an answer, {double:.0f} ms two holders, {became} active")
    assert active.number not in became
    assert lost < 1500
    assert double < 1500


def test_a_stopped_keepalived_does_not_hold_the_address_and_does_not_take_it_back(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    pids = keepalived_pids(active)
    lost, double, _became = outage(lab, vip, lambda: send(pids, signal.SIGSTOP), active)
    said(active, vip, lambda item: item.state is State.STANDBY)
    heir = settled(lab, vip)
    print(f"SIGSTOP of keepalived: {lost:.0f} ms without an answer, {double:.0f} ms two holders")
    assert double < 2600
    assert heir is not active


def test_the_kernel_drops_the_address_when_keeper_and_keepalived_are_gone(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    before = now()
    active.pod().running[Part.KEEPER].kill()
    lab.observer.wait_one_holder(vip.address, but=active.number)
    double = lab.observer.history().two_holders(vip.address, Stretch(before, now())).longest_ms
    tables = active.network.run("nft", "list", "tables")
    print(f"SIGKILL of the keeper: {double:.0f} ms two holders")
    assert double < 2600
    assert "havip_lab" not in tables


def test_the_kernel_drops_the_address_when_everything_is_stopped(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    container = active.pod().running[Part.KEEPER]
    pids = container.all()
    before = now()
    send(pids, signal.SIGSTOP)
    lab.observer.wait_one_holder(vip.address, but=active.number)
    double = lab.observer.history().two_holders(vip.address, Stretch(before, now())).longest_ms
    print(f"SIGSTOP of keeper and keepalived: {double:.0f} ms two holders")
    container.kill()
    assert 500 < double < 2600


def test_a_keeper_that_is_late_costs_no_failover(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    keeper = active.pod().running[Part.KEEPER]
    before = now()
    with lab.client_of(vip, kinds=QUICK) as client:
        client.wait_answered()
        keeper.signal(signal.SIGSTOP)
        # Longer than the addresses live: keepalived puts the address back by itself.
        client.wait_answered(after=before + 4_000_000_000)
        keeper.signal(signal.SIGCONT)
        said(active, vip, lambda item: item.state is State.ACTIVE)
        lost = client.history().outage_ms()
    print(f"keeper stopped for 4 s: {lost:.0f} ms without an answer")
    assert lab.observer.history().became_active(vip.address, Stretch(before, now())) in ((), (active.number,))
    assert lost < 500
    assert settled(lab, vip) is active


def test_sigterm_hands_over_without_loss(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    codes: list[int] = []
    lost, _double, became = outage(lab, vip, lambda: codes.append(stop_keeper(active)), active)
    print(f"SIGTERM of the keeper: {lost:.0f} ms without an answer")
    assert codes == [0]
    assert len(became) == 1
    assert lost < 100
    assert "havip_lab" not in active.network.run("nft", "list", "tables")
    assert set(active.addresses()).isdisjoint(map(str, vip.addresses))


def test_a_changed_preference_moves_the_address_without_loss(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(preferred=("n1", "n2", "n3"))
    declare(lab, vip)
    active = protected(lab, vip)
    wanted = "n3" if active.name != "n3" else "n2"
    order = (wanted, *(node.name for node in lab.nodes if node.name != wanted))
    moved = replace(vip, preferred=order)
    lost, _double, became = outage(lab, vip, lambda: declare(lab, moved), active)
    print(f"changed preference: {lost:.0f} ms without an answer")
    assert [lab.node(number).name for number in became] == [wanted]
    assert lost < 100
    assert protected(lab, moved).name == wanted


def test_a_reload_without_a_reason_to_move_moves_nothing(lab: Lab, new_vip: NewVip) -> None:
    vip, other = new_vip(), new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    before = now()
    with lab.client_of(vip, kinds=QUICK) as client:
        client.wait_answered()
        for vips in ((vip, other), (vip,), (replace(vip, failback=Failback.IMMEDIATE),), (vip,)):
            declare(lab, *vips)
        lost = client.history().outage_ms()
    print(f"four reloads: {lost:.0f} ms without an answer")
    assert lost < 50
    assert lab.observer.history().became_active(vip.address, Stretch(before, now())) == ()
    assert settled(lab, vip) is active


def test_a_node_that_is_not_eligible_gives_the_address_up_and_stays_out(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    out = replace(vip, ineligible=frozenset({active.name}))
    lost, _double, became = outage(lab, vip, lambda: declare(lab, out), active)
    report = said(active, vip, lambda item: item.state is State.FAULT)
    print(f"not eligible: {lost:.0f} ms without an answer")
    assert report.reason == "NotEligible"
    assert len(became) == 1
    assert lost < 100
    declare(lab, vip)
    said(active, vip, lambda item: item.state is State.STANDBY)


def test_nobody_holds_an_address_for_which_nobody_is_eligible(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    settled(lab, vip)
    declare(lab, replace(vip, ineligible=frozenset({"n1", "n2", "n3"})))
    lab.observer.wait_holders(vip.address)
    for node in lab.nodes:
        said(node, vip, lambda item: item.state is State.FAULT and item.reason == "NotEligible")


def test_removing_a_havip_takes_its_address_from_every_node(lab: Lab, new_vip: NewVip) -> None:
    vip, other = new_vip(), new_vip()
    declare(lab, vip, other)
    protected(lab, vip)
    keeps = protected(lab, other)
    declare(lab, other)
    lab.observer.wait_holders(vip.address)
    assert settled(lab, other) is keeps


def test_an_instance_removed_on_the_active_node_alone_is_handed_over_first(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    documents = declare(lab, vip)
    active = protected(lab, vip)
    gone = replace(documents[active.name], generation=documents[active.name].generation + 1000, instances=())
    lost, _double, became = outage(lab, vip, lambda: tell(lab, {active.name: gone}), active)
    print(f"instance removed on the active node: {lost:.0f} ms without an answer")
    assert len(became) == 1
    assert lost < 100


def test_a_new_virtual_router_id_is_a_new_election(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    protected(lab, vip)
    other = replace(vip, virtual_router_id=vip.virtual_router_id + 150, name=vip.key.name)
    declare(lab, other)
    active = settled(lab, other)
    report = said(active, other, lambda item: item.state is State.ACTIVE)
    assert report.virtual_router_id == other.virtual_router_id


def test_a_link_that_goes_down_is_a_failover(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    lost, _double, became = outage(lab, vip, active.link_down, active)
    report = said(active, vip, lambda item: item.state is State.FAULT)
    print(f"link down: {lost:.0f} ms without an answer")
    assert report.reason == "LinkDown"
    assert len(became) == 1
    active.link_up()
    said(active, vip, lambda item: item.state is State.STANDBY)
    assert settled(lab, vip) is not active

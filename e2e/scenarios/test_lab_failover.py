"""The active node, or a part of it, dies: somebody else answers, soon, and never two for long."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from e2e.lab import Episode, Kind, Lab, Node, Part, Pod, Vip
from e2e.scenarios.expectations import DEAD_MAN_MS, DETECTED_MS, MOMENT_MS, taken_over_by
from havip.model.node import NodeStatus
from havip.model.states import State

NewVip = Callable[..., Vip]

PROXIED = {"port": 80}


@pytest.fixture
def vip(lab: Lab, new_vip: NewVip) -> Vip:
    """A HAVip with a front end, settled on n1."""
    declared = new_vip(**PROXIED)
    lab.declare(declared)
    lab.settled(declared, on=lab.node(1))
    return declared


def standing_by(node: Node, vip: Vip) -> None:
    """Wait until that node says that it could take over."""
    node.pod().wait_report(
        "it is a standby", lambda report: any(i.havip == vip.key and i.state is State.STANDBY for i in report.instances)
    )


def test_power_off_of_the_active_node_is_answered_by_exactly_one_other(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "power-off") as seen:
        seen.before.power_off()
        seen.wait_moved()
    taken_over_by(seen, 2)
    assert seen.outage_ms() <= DETECTED_MS


def test_a_pulled_cable_moves_the_vip_and_a_plugged_one_does_not_bring_it_back(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "link down") as seen:
        seen.before.link_down()
        after = seen.wait_moved()
        lab.settled(vip, on=after)
        seen.before.link_up()
        standing_by(seen.before, vip)
    taken_over_by(seen, 2)
    assert seen.outage_ms() <= DETECTED_MS
    assert lab.observer.holders(vip.address) == (2,)


def test_sigkill_of_keepalived_leaves_no_address_behind(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "SIGKILL of keepalived, parent and child") as seen:
        seen.before.pod().kill_keepalived()
        seen.wait_moved()
        standing_by(seen.before, vip)
    taken_over_by(seen, 2)
    assert seen.outage_ms() <= DETECTED_MS
    assert seen.two_holders.longest_ms <= MOMENT_MS


@pytest.mark.parametrize("part", [Part.KEEPALIVED, Part.KEEPALIVED_CHILD], ids=["parent", "child"])
def test_sigkill_of_one_keepalived_process_moves_the_vip(lab: Lab, vip: Vip, part: Part) -> None:
    with Episode(lab, vip, f"SIGKILL of {part.value}") as seen:
        seen.before.pod().kill(part)
        seen.wait_moved()
        standing_by(seen.before, vip)
    assert seen.outage_ms() <= DETECTED_MS
    assert seen.two_holders.longest_ms <= MOMENT_MS


def test_a_frozen_keepalived_loses_its_address_by_itself(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "SIGSTOP of keepalived for 10 s") as seen:
        frozen_at = time.monotonic()
        seen.before.pod().freeze_keepalived(frozen=True)
        seen.wait_moved()
        time.sleep(max(0.0, frozen_at + 10 - time.monotonic()))  # the fault is the time it lasts
        seen.before.pod().freeze_keepalived(frozen=False)
        standing_by(seen.before, vip)
        lab.observer.wait_holders(vip.address, 2)
    assert seen.outage_ms(Kind.ICMP) <= DETECTED_MS
    assert seen.two_holders.longest_ms <= DEAD_MAN_MS


def test_sigkill_of_the_keeper_leaves_two_holders_no_longer_than_the_lifetime(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "SIGKILL of the keeper") as seen:
        seen.before.pod().kill(Part.KEEPER)
        after = seen.wait_moved()
        seen.before.pod().start_part(Part.KEEPER)
        standing_by(seen.before, vip)
    assert after is not seen.before
    assert seen.outage_ms() <= DETECTED_MS
    assert seen.two_holders.longest_ms <= DEAD_MAN_MS


def test_a_whole_pod_that_is_killed_leaves_two_holders_no_longer_than_the_lifetime(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "SIGKILL of the whole pod") as seen:
        seen.before.pod().kill_all()
        after = seen.wait_moved()
        seen.before.pod().start()
        standing_by(seen.before, vip)
    assert after is not seen.before
    assert seen.outage_ms(Kind.ICMP, Kind.UDP, Kind.TCP) <= DETECTED_MS
    assert seen.two_holders.longest_ms <= DEAD_MAN_MS


def test_a_pod_that_is_stopped_in_order_loses_nothing(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "pod stopped in order") as seen:
        seen.before.pod().stop()
        seen.wait_moved()
        seen.before.pod().start()
        standing_by(seen.before, vip)
    assert seen.outage_ms() <= 100
    taken_over_by(seen, 2)


def test_sigkill_of_the_agent_is_not_noticed_by_anybody(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "SIGKILL of the agent") as seen:
        pod = seen.before.pod()
        pod.kill(Part.AGENT)
        pod.start_part(Part.AGENT)
        lab.declare(vip)
        pod.wait_applied()
    assert seen.became_active == ()
    assert seen.lost == 0


def test_nodes_whose_agents_are_dead_still_take_over(lab: Lab, vip: Vip) -> None:
    for node in lab.nodes:
        node.pod().kill(Part.AGENT)
    with Episode(lab, vip, "power-off while every agent is dead") as seen:
        seen.before.power_off()
        seen.wait_moved()
    assert seen.outage_ms() <= DETECTED_MS
    taken_over_by(seen, 2)


def test_a_node_whose_haproxy_is_dead_gives_the_vip_to_one_whose_haproxy_lives(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "SIGKILL of haproxy") as seen:
        seen.before.pod().kill(Part.HAPROXY)
        after = seen.wait_moved()
        seen.before.pod().start_part(Part.HAPROXY)
    assert after is not seen.before
    assert seen.outage_ms(Kind.ICMP, Kind.UDP) <= 100
    assert seen.outage_ms(Kind.PROXIED) <= 2 * DETECTED_MS


def test_one_node_stays_active_where_every_haproxy_is_dead(lab: Lab, vip: Vip) -> None:
    for node in lab.nodes:
        node.pod().kill(Part.HAPROXY)
    for node in lab.nodes:
        node.pod().wait_report("its track fails", lambda report: not report.track_healthy)
    with Episode(lab, vip, "every haproxy dead", kinds=(Kind.ICMP, Kind.UDP)) as seen:
        lab.active(vip)
    assert len(lab.observer.holders(vip.address)) == 1
    assert seen.outage_ms() <= DETECTED_MS


def test_a_client_on_a_standby_node_is_served_too(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "client on a standby node", source=lab.node(3).network) as seen:
        seen.before.power_off()
        seen.wait_moved()
    assert seen.outage_ms() <= DETECTED_MS


def test_a_client_reaches_both_real_servers_through_haproxy(lab: Lab, vip: Vip) -> None:
    with lab.client_of(vip, kinds=(Kind.PROXIED,)) as client:
        client.wait_answered()
        lab.node(1).pod().wait_status("both servers are well", _both_servers_are_well)
        began = client.wait_answered()
        figures = client.history().all_figures()[0]
    print(began, figures)
    assert set(figures.nodes) >= {201, 202}


def _both_servers_are_well(status: NodeStatus) -> bool:
    return any(pool.healthy == pool.total == 2 for pool in status.pools)


def test_changed_preference_moves_the_vip_without_a_lost_packet(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "planned switch") as seen:
        changed = lab.switch(vip, "n3", "n1", "n2")
        assert seen.wait_moved() is lab.node(3)
        lab.settled(changed, on=lab.node(3))
    taken_over_by(seen, 3)
    assert seen.outage_ms() <= 100
    assert seen.two_holders.longest_ms <= MOMENT_MS


def test_the_nodes_own_traffic_never_leaves_with_the_vip(lab: Lab, vip: Vip) -> None:
    words = lab.node(1).network.ip("route", "get", "10.77.0.100").split()
    assert ip_address(words[words.index("src") + 1]) != ip_address(vip.address)


def test_no_process_is_left_when_a_pod_is_killed(lab: Lab, vip: Vip) -> None:
    pod: Pod = lab.node(3).pod()
    pids = pod.processes()
    pod.kill_all()
    assert len(pids) > 4
    assert not [pid for pid in pids if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

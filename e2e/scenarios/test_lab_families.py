"""IPv6 and dual stack: elected, announced and moved like IPv4, both families together."""

from __future__ import annotations

from collections.abc import Callable

from e2e.lab import Episode, Lab, Vip
from e2e.scenarios.expectations import taken_over_by

NewVip = Callable[..., Vip]


def test_an_ipv6_vip_survives_the_power_off_of_its_node(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(v6=True, port=80)
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    with Episode(lab, vip, "IPv6: power-off") as seen:
        seen.before.power_off()
        seen.wait_moved()
    taken_over_by(seen, 2)
    assert seen.outage_ms() <= 1500


def test_an_ipv6_vip_moves_by_changed_preference_without_loss(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(v6=True)
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    with Episode(lab, vip, "IPv6: planned switch") as seen:
        lab.switch(vip, "n2", "n1", "n3")
        assert seen.wait_moved() is lab.node(2)
    assert seen.outage_ms() <= 100


def test_an_ipv6_vip_is_never_the_nodes_source_address(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(v6=True)
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    words = lab.node(1).network.ip("-6", "route", "get", "fd77::100").split()
    assert words[words.index("src") + 1] == lab.node(1).member.address6


def test_both_addresses_of_a_dual_stack_vip_move_together(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(dual=True, port=80)
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    with Episode(lab, vip, "dual stack: power-off") as seen:
        seen.before.power_off()
        seen.wait_moved()
        assert lab.active(vip) is lab.node(2)
    outages = [figures.outage_ms for figures in seen.figures()]
    taken_over_by(seen, 2)
    assert max(outages) <= 1500
    holders = lab.observer.history()
    six = next(address for address in vip.addresses if ":" in address)
    assert holders.became_active(six, seen.stretch)[-1] == 2


def test_a_dual_stack_vip_that_loses_one_family_gets_it_back(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(dual=True)
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    six = next(address for address in vip.addresses if ":" in address)
    with Episode(lab, vip, "dual stack: the IPv6 address is deleted by hand") as seen:
        seen.before.network.ip("address", "delete", f"{six}/128", "dev", "eth0")
        seen.client.wait_answered(seconds=15)
        lab.active(vip)
    assert seen.outage_ms() <= 10_000

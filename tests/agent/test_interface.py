"""Which interface carries the VIPs, and which addresses are the node's own."""

from __future__ import annotations

import ipaddress

from tests.agent import orders

from havip.agent import addresses
from havip.agent.addresses import Held, default_ipv4, default_ipv6
from havip.agent.interface import Resolved, Surroundings, resolve
from havip.model.node import NodeSpec


def held(interface: str, cidr: str, *, lifetime: int | None = None, stable: bool = True) -> Held:
    address, _, prefix = cidr.partition("/")
    return Held(interface, ipaddress.ip_address(address), int(prefix), lifetime, stable)


ETH0 = held("eth0", "10.88.0.11/24")
ETH1 = held("eth1", "192.0.2.11/24")
VIP = "10.88.0.200"


def resolved(
    *there: Held,
    interface: dict[str, object],
    vips: tuple[str, ...] = (VIP,),
    route: str | None = "eth0",
    last: str = "",
) -> Resolved:
    items = [orders.instance(addresses=vips)] if vips else []
    spec, left_out = NodeSpec.from_json(orders.spec(*items, interface=interface))
    assert left_out == ()
    names = frozenset({"lo", *(item.interface for item in there)})
    return resolve(spec, Surroundings(names, there, route), last=last)


def own(result: Resolved) -> tuple[str, ...]:
    assert result.report is not None, result.error
    return result.report.addresses


def test_a_named_interface_is_taken_with_its_own_addresses_only() -> None:
    result = resolved(ETH0, ETH1, interface={"name": "eth1"})
    assert own(result) == ("192.0.2.11/24",)


def test_a_named_interface_that_is_not_there_is_an_error_that_lists_what_is() -> None:
    result = resolved(ETH0, ETH1, interface={"name": "eth9"})
    assert result.report is None
    assert result.error == "interface eth9 does not exist on this node; there are: eth0, eth1"


def test_the_default_route_leads_to_the_interface() -> None:
    assert own(resolved(ETH0, ETH1, interface={"fromDefaultRoute": {}}, route="eth1")) == ("192.0.2.11/24",)


def test_no_default_route_is_an_error() -> None:
    assert "no default route" in resolved(ETH0, interface={"fromDefaultRoute": {}}, route=None).error


def test_a_default_route_that_is_gone_for_a_moment_changes_nothing() -> None:
    choice: dict[str, object] = {"fromDefaultRoute": {}}
    assert own(resolved(ETH0, ETH1, interface=choice, route=None, last="eth1")) == ("192.0.2.11/24",)
    assert resolved(ETH0, interface=choice, route=None, last="eth1").report is None, "the interface itself is gone"


def test_a_default_route_that_moved_is_followed() -> None:
    assert own(resolved(ETH0, ETH1, interface={"fromDefaultRoute": {}}, route="eth1", last="eth0")) == (
        "192.0.2.11/24",
    )


def test_a_named_interface_that_is_gone_is_never_replaced_by_another() -> None:
    assert resolved(ETH0, interface={"name": "eth9"}, last="eth0").report is None


def test_the_subnet_of_the_vip_leads_to_the_interface() -> None:
    assert own(resolved(ETH1, ETH0, interface={"fromAddressSubnet": {}}, route="eth1")) == ("10.88.0.11/24",)


def test_a_vip_outside_every_subnet_is_an_error_that_names_it() -> None:
    assert VIP in resolved(ETH1, interface={"fromAddressSubnet": {}}).error


def test_without_a_vip_the_subnet_falls_back_to_the_default_route() -> None:
    assert own(resolved(ETH0, interface={"fromAddressSubnet": {}}, vips=())) == ("10.88.0.11/24",)


def test_a_held_vip_is_not_the_nodes_own_address() -> None:
    there = (ETH0, held("eth0", f"{VIP}/32"))
    result = resolved(*there, interface={"name": "eth0"})
    assert own(result) == ("10.88.0.11/24",)
    assert result.clashes == frozenset()


def test_a_vip_of_another_class_or_one_just_removed_is_not_the_nodes_own_address() -> None:
    there = (ETH0, held("eth0", "10.88.0.201/32", lifetime=2))
    assert own(resolved(*there, interface={"name": "eth0"})) == ("10.88.0.11/24",)


def test_an_address_from_dhcp_is_the_nodes_own() -> None:
    there = (held("eth0", "10.88.0.11/24", lifetime=3600), held("eth0", "10.9.9.9/32", lifetime=3600))
    assert own(resolved(*there, interface={"name": "eth0"})) == ("10.88.0.11/24", "10.9.9.9/32")


def test_passing_addresses_are_not_told() -> None:
    there = (ETH0, held("eth0", "fe80::1/64", stable=False))
    assert own(resolved(*there, interface={"name": "eth0"})) == ("10.88.0.11/24",)


def test_a_vip_that_is_an_address_of_the_node_is_a_clash() -> None:
    result = resolved(ETH0, held("eth1", f"{VIP}/24"), interface={"name": "eth0"})
    assert result.clashes == {ipaddress.ip_address(VIP)}


def test_the_kernels_own_list_is_read() -> None:
    loopback = [item for item in addresses.addresses() if str(item) == "127.0.0.1/8"]
    assert [(item.interface, item.lifetime, item.stable) for item in loopback] == [("lo", None, False)]


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t00000000\t010200C0\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0
eth2\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_the_default_route_with_the_lowest_metric_counts_and_one_that_rejects_does_not() -> None:
    assert default_ipv4(iter(ROUTES.splitlines())) == "eth0"


def test_without_a_default_route_there_is_none() -> None:
    lines = ROUTES.splitlines()
    assert default_ipv4(iter([lines[0], lines[4]])) is None
    assert default_ipv4(iter([])) is None


def test_the_ipv6_default_route_is_found_and_the_unreachable_one_on_lo_is_not() -> None:
    zero = "0" * 32
    lines = [
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo",
        f"{zero} 00 {zero} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth0",
    ]
    assert default_ipv6(iter(lines)) == "eth0"
    assert default_ipv6(iter(lines[:1])) is None

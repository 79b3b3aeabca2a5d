"""What is found before anything is called, and that it blocks that VIP and no other."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from tests.providers.huawei.workbench import FREE_EIP, NET, SUB4, TAKEN_EIP, running

from havip.provider import Invalid
from havip.testing.provider_contract import key


def blocked(bench, *vips, **other):
    """The findings, and that nothing was made for their VIPs."""
    plan = bench.reach(replace(bench.wanted(vips), **other))
    assert all(finding.blocks for finding in plan.findings)
    of = {finding.havip for finding in plan.findings}
    assert not of & {one for change in plan.changes for one in change.havips}
    return [(finding.field, finding.message) for finding in plan.findings]


def test_an_address_of_the_gateway_is_in_use():
    with running() as bench:
        [(field, message)] = blocked(bench, bench.vip(0, addresses=(ip_address("10.0.0.1"),)))
    assert field == "spec.addresses"
    assert "10.0.0.1 is in use by port" in message
    assert "network:router_interface_distributed" in message


def test_an_address_outside_the_network_is_found():
    with running() as bench:
        [(field, message)] = blocked(bench, bench.vip(0, addresses=(ip_address("192.0.2.1"),)))
    assert (field, message) == ("spec.addresses", f"192.0.2.1 is not in 10.0.0.0/16 of network {NET}")


@pytest.mark.parametrize(
    ("setting", "field"), [("network_id", "networkId"), ("subnet_id", "subnetId"), ("ipv6_subnet_id", "ipv6SubnetId")]
)
def test_a_setting_that_does_not_fit_the_network_blocks_the_class_and_lets_go_all_the_same(setting, field):
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0), bench.vip(3))))
        settings = bench.settings.model_copy(update={setting: SUB4.replace("4", "5")})
        [(named, _)] = blocked(bench, bench.vip(0), settings=settings)
        assert named == f"spec.huawei.{field}"
        assert len(bench.vips()) == 1


def test_a_virtual_ip_of_somebody_else_is_named():
    with running() as bench:
        [(_, message)] = blocked(bench, bench.vip(0, addresses=(ip_address("10.0.0.200"),)))
    assert "named database of neutron:VIP_PORT" in message


def test_a_node_that_is_on_no_port_is_named():
    with running() as bench:
        wanted = bench.wanted((bench.vip(0),))
        nodes = (replace(wanted.nodes[0], addresses=(ip_address("10.0.0.77"),)), *wanted.nodes[1:])
        [(field, message)] = blocked(bench, bench.vip(0), nodes=nodes)
    assert field == "spec.nodes"
    assert message == f"node n1 (10.0.0.77) is on no port of network {NET}"


def test_a_node_on_its_way_out_that_is_on_no_port_does_not_keep_its_successor_out():
    with running() as bench:
        wanted = bench.wanted((bench.vip(0, candidates=("n1", "n2", "n3"), leaving=("n1",)),))
        nodes = (replace(wanted.nodes[0], addresses=(ip_address("10.0.0.77"),)), *wanted.nodes[1:])
        bench.reach(replace(wanted, nodes=nodes))
        (port,) = bench.vips()
    assert {one["ip_address"] for one in port["allowed_address_pairs"]} == {"10.0.0.12", "10.0.0.13"}


def test_an_ipv6_address_needs_the_subnet_of_the_class():
    with running() as bench:
        vip = bench.vip(0, addresses=(ip_address("2001:db8:7::100"),))
        settings = bench.settings.model_copy(update={"ipv6_subnet_id": None})
        [(field, message)] = blocked(bench, vip, settings=settings)
    assert (field, message) == ("spec.addresses", "2001:db8:7::100 needs the class's spec.huawei.ipv6SubnetId")


def test_an_ipv6_address_needs_nodes_that_have_one():
    with running() as bench:
        bench.store.ports[bench.nics["n2"]]["fixed_ips"].pop()
        [(_, message)] = blocked(bench, bench.vip(0, addresses=(ip_address("2001:db8:7::100"),)))
    assert message == f"node n2 has no IPv6 address on network {NET}"


def test_a_public_ip_is_not_for_ipv6_alone():
    with running() as bench:
        vip = bench.vip(0, addresses=(ip_address("2001:db8:7::100"),), public_ip=FREE_EIP)
        [(field, message)] = blocked(bench, vip)
    assert (field, "IPv4" in message) == ("spec.publicIp", True)


def test_a_public_ip_that_is_bound_elsewhere_is_left_there():
    with running() as bench:
        [(_, message)] = blocked(bench, bench.vip(0, public_ip=TAKEN_EIP))
        assert bench.store.eips[TAKEN_EIP]["port_id"] == bench.foreign_vip
    assert message == f"public IP {TAKEN_EIP} is bound to port {bench.foreign_vip} of others"


def test_a_public_ip_that_does_not_exist_is_named():
    with running() as bench:
        missing = FREE_EIP.replace("1", "9")
        assert blocked(bench, bench.vip(0, public_ip=missing)) == [
            ("spec.publicIp", f"there is no public IP {missing} in the project")
        ]


def test_of_two_that_want_one_public_ip_the_first_gets_it():
    with running() as bench:
        found = blocked(bench, bench.vip(1), bench.vip(2, public_ip=FREE_EIP))
        assert found == [("spec.publicIp", f"public IP {FREE_EIP} is asked for by {key(1)} as well")]
        assert len(bench.vips()) == 1


def test_more_interfaces_than_a_name_can_remember_are_refused():
    with running() as bench:
        for number in range(60):
            bench.store.add_nic(NET, [f"10.0.9.{number + 1}"], server="server-1")
        [(field, message)] = blocked(bench, bench.vip(0))
    assert (field, "network interfaces" in message) == ("spec.nodes", True)


def test_a_class_without_its_block_is_invalid():
    with running() as bench, pytest.raises(Invalid) as invalid:
        bench.provider.adjust(replace(bench.wanted(1), settings=None))
    assert invalid.value.field == "spec.huawei"


def test_an_address_moves_from_one_havip_to_another():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        heir = bench.vip(5, addresses=bench.vip(0).addresses)
        assert not bench.reach(bench.wanted((heir,))).findings
        assert ["vip-5" in port["name"] for port in bench.vips()] == [True]


def test_an_address_that_a_kept_havip_has_is_in_use():
    with running() as bench:
        bench.reach(bench.wanted((bench.vip(0),)))
        heir = bench.vip(5, addresses=bench.vip(0).addresses)
        [(_, message)] = blocked(bench, heir, kept=frozenset({bench.vip(0).havip}))
    assert "is in use by" in message

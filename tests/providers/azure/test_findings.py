"""What is found wrong before anything is called, and that the rest goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.providers.azure.scene import BALANCER, NODES, TOKEN, address_of, plan_of, reach, settings, vip, wanted_of

from havip.model.address import parse_address
from havip_providers.azure.firewall import denied_by, probe_packet, vrrp_packet


def found(bench, wanted):
    return [(one.blocks, one.field, str(one)) for one in plan_of(bench, wanted).findings]


def blocked(bench, wanted, field, told):
    """Exactly one finding that blocks, and nothing to do."""
    plan = plan_of(bench, wanted)
    assert [one.field for one in plan.findings if one.blocks] == [field], plan.findings
    assert told in str(plan.findings[0])
    assert plan.changes == ()


def with_settings(wanted, **more):
    return replace(wanted, settings=settings(**{**wanted.settings.model_dump(by_alias=True), **more}))


def one_vip(bench, number=0, **more):
    return wanted_of(vip(number, **more), cloud_settings=bench.settings())


def at(text):
    return (parse_address(text),)


# -- the load balancer ----------------------------------------------------------------------------------------------


def test_a_network_without_faults_has_no_findings(bench):
    here = bench()
    assert found(here, here.wanted(3)) == []


def test_a_balancer_that_is_not_there_and_not_to_be_made(bench):
    here = bench()
    wanted = with_settings(here.wanted(2), loadBalancer={"name": "another"})
    blocked(here, wanted, "spec.azure.loadBalancer", "there is no load balancer another in resource group rg1")


def test_without_vips_nobody_misses_the_balancer(bench):
    here = bench()
    wanted = with_settings(here.wanted(0), loadBalancer={"name": "another"})
    assert found(here, wanted) == []


def test_a_balancer_of_the_wrong_sku(bench):
    here = bench()
    here.cloud.add_balancer("basic", sku="Basic")
    wanted = with_settings(here.wanted(1), loadBalancer={"name": "basic"})
    blocked(here, wanted, "spec.azure.loadBalancer", "must be Standard")


def test_internal_and_public_front_ends_do_not_mix(bench):
    here = bench()
    wanted = one_vip(here, addresses=at("20.0.0.100"), public_ip=here.cloud.id("publicIPAddresses", "public-0"))
    blocked(here, wanted, "spec.azure.loadBalancer", "internal and public do not mix")


@pytest.mark.parametrize(("port", "blocks"), [(443, True), (8443, False)])
def test_a_rule_of_another_owner_on_our_front_end(bench, port, blocks):
    here = bench()
    wanted = one_vip(here)
    reach(here, wanted)
    there = here.cloud._store.get(here.cloud.id("loadBalancers", BALANCER))
    front = there["properties"]["frontendIPConfigurations"][-1]["name"]
    theirs = next(one for one in there["properties"]["loadBalancingRules"] if one["name"] == "theirs")["properties"]
    theirs["frontendIPConfiguration"] = {"id": f"{there['id']}/frontendIPConfigurations/{front}"}
    theirs["frontendPort"] = port
    assert [(one[0], "rule theirs of another owner" in one[2]) for one in found(here, wanted)] == [(blocks, True)]


def test_every_port_of_the_same_nodes_is_another_owners(bench):
    here = bench()
    there = here.cloud._store.get(here.cloud.id("loadBalancers", BALANCER))
    there["properties"]["loadBalancingRules"][0]["properties"].update(protocol="All", frontendPort=0, backendPort=0)
    blocked(here, one_vip(here, candidates=("n2",)), "spec.azure.loadBalancer", "takes every port of the same nodes")
    assert found(here, one_vip(here, candidates=("n1",))) == []


# -- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.2.0.5", "is outside the subnet's 10.1.0.0/24"),
        ("10.1.0.3", "is one of those that Azure keeps"),
        ("10.1.0.255", "is one of those that Azure keeps"),
        ("10.1.0.60", "is taken by front end theirs"),
        ("10.1.0.50", "is taken by networkInterfaces/nic-of-nobody/ipConfigurations/ipconfig1"),
        ("10.1.0.77", "is taken by networkInterfaces/elsewhere/ipConfigurations/ipconfig1"),
        ("fd00::5", "has no floating IP for IPv6"),
    ],
)
def test_an_address_that_cannot_be_had(bench, address, told):
    here = bench()
    subnet = settings().subnet_id
    here.cloud.add_interface("elsewhere", "10.1.0.77", subnet, group="rg2")
    blocked(here, one_vip(here, addresses=at(address)), "spec.addresses", told)


def test_a_subnet_that_is_not_there(bench):
    here = bench()
    there = settings().subnet_id
    wanted = with_settings(one_vip(here), subnetId=there.replace("/nodes", "/other"))
    blocked(here, wanted, "spec.azure.subnetId", "there is no subnet")


def test_an_internal_vip_needs_a_subnet(bench):
    here = bench()
    blocked(here, with_settings(one_vip(here), subnetId=None), "spec.azure.subnetId", "needs spec.azure.subnetId")


def test_a_vip_that_is_not_probed_is_not_carried(bench):
    here = bench()
    blocked(here, one_vip(here, probe_port=None), "", "no probe port")


# -- public ones ----------------------------------------------------------------------------------------------------


def public_vip(bench, name, address="20.0.0.100", **more):
    return one_vip(bench, addresses=at(address), public_ip=bench.cloud.id("publicIPAddresses", name), **more)


def test_a_public_address_that_is_not_there(bench):
    here = bench(public=True)
    blocked(here, public_vip(here, "none"), "spec.publicIp", "there is no public IP address")


def test_a_public_address_of_the_wrong_sku(bench):
    here = bench(public=True)
    here.cloud.add_public_address("basic", "20.0.0.100", sku="Basic")
    blocked(here, public_vip(here, "basic"), "spec.publicIp", "must be Standard")


def test_a_public_address_that_is_not_the_vips(bench):
    here = bench(public=True)
    blocked(here, public_vip(here, "public-0", "20.0.0.1"), "spec.publicIp", "is 20.0.0.100, not 20.0.0.1")


def test_a_public_address_that_another_front_end_has(bench):
    here = bench(public=True)
    wanted = public_vip(here, "theirs", "20.0.0.60")
    blocked(here, wanted, "spec.publicIp", "20.0.0.60 is taken by loadBalancers/vips/frontendIPConfigurations/theirs")


def test_a_public_address_somewhere_else(bench):
    here = bench(public=True)
    here.cloud._store.get(here.cloud.id("publicIPAddresses", "public-0"))["location"] = "northeurope"
    blocked(here, public_vip(here, "public-0"), "spec.publicIp", "is in northeurope, the load balancer in westeurope")


def test_a_public_vip_with_every_port(bench):
    here = bench(public=True)
    blocked(here, public_vip(here, "public-0", ports=()), "spec.frontends", "needs front ends")


def test_a_public_address_of_one_zone_is_a_warning(bench):
    here = bench(public=True)
    here.cloud._store.get(here.cloud.id("publicIPAddresses", "public-0"))["zones"] = ["1"]
    assert [(one[0], "in zone 1 alone" in one[2]) for one in found(here, public_vip(here, "public-0"))] == [
        (False, True)
    ]


# -- nodes ----------------------------------------------------------------------------------------------------------


def test_a_node_that_is_on_no_interface_is_a_warning_while_there_are_others(bench):
    here = bench()
    wanted = one_vip(here, candidates=("n1", "n2", "gone"))
    assert [(one[0], "address of gone" in one[2]) for one in found(here, wanted)] == [(False, True)]
    reach(here, wanted)
    rule = next(one for one in here.cloud.rules() if one.address == "10.1.0.100")
    assert {one.address for one in rule.backends} == {address_of("n1"), address_of("n2")}
    blocked(here, one_vip(here, candidates=("gone",)), "spec.azure.nodeResourceGroup", "address of gone")


def test_a_nodes_secondary_address_has_no_floating_ip(bench):
    here = bench()
    there = here.cloud._store.get(here.cloud.id("networkInterfaces", "nic-n1"))
    there["properties"]["ipConfigurations"][0]["properties"]["primary"] = False
    blocked(here, one_vip(here), "", "n1: its address is a secondary one")


def test_overlapping_networks_are_told_apart_by_the_subnet(bench):
    here = bench()
    other = here.cloud.add_subnet("overlapping", "nodes", "10.1.0.0/24")
    here.cloud.add_interface("nic-elsewhere", address_of("n1"), other)
    reach(here, one_vip(here))
    assert here.cloud.resource(here.cloud.id("networkInterfaces", "nic-elsewhere")).get("tags") is None
    backends = {one.interface for rule in here.cloud.rules() if rule.address == "10.1.0.100" for one in rule.backends}
    assert backends == {f"nic-{node}" for node in NODES}


# -- permissions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "public"),
    [
        ("Microsoft.Network/virtualNetworks/subnets/read", False),
        ("Microsoft.Network/networkSecurityGroups/read", False),
        ("Microsoft.Network/publicIPAddresses/read", True),
    ],
)
def test_what_need_not_be_read_is_a_warning_with_its_permission(bench, action, public):
    here = bench(public=public)
    here.deny(action)
    plan = plan_of(here, here.wanted(2))
    assert [(one.blocks, one.permission) for one in plan.findings] == [(False, action)]
    reach(here, here.wanted(2))


# -- network security groups ----------------------------------------------------------------------------------------


def deny(name="no", priority=100, **more):
    return {
        "name": name,
        "priority": priority,
        "access": "Deny",
        "protocol": "*",
        "sourceAddressPrefix": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "*",
        **more,
    }


def allow(**more):
    return deny(**{"name": "yes", "priority": 90, "access": "Allow", **more})


PROBE = probe_packet(*at("10.1.0.10"), 59999)
VRRP = vrrp_packet(*at("10.1.0.11"), *at("10.1.0.10"))


@pytest.mark.parametrize(
    ("rules", "probe", "vrrp"),
    [
        ([], "", ""),
        ([deny()], "no", "no"),
        ([deny(), allow()], "", ""),
        ([deny(), allow(priority=200)], "no", "no"),
        ([deny(), allow(sourceAddressPrefix="AzureLoadBalancer")], "", "no"),
        ([deny(), allow(sourceAddressPrefix="168.63.129.16", protocol="Tcp")], "", "no"),
        ([deny(), allow(sourceAddressPrefix="VirtualNetwork")], "no", ""),
        ([deny(), allow(sourceAddressPrefix="10.1.0.0/24", protocol="Udp")], "no", "no"),
        ([deny(), allow(destinationPortRange="59900-59999")], "", "no"),
        ([deny(), allow(destinationPortRanges=["80", "59999"], destinationPortRange=None)], "", "no"),
        ([deny(), allow(destinationAddressPrefix="10.1.0.99")], "no", "no"),
        ([deny(), allow(sourceAddressPrefix=None, sourceAddressPrefixes=["10.1.0.11/32"])], "no", ""),
        ([deny(protocol="Tcp")], "no", ""),
        ([deny(sourceAddressPrefix="Internet")], "", ""),
        ([deny(direction="Outbound")], "", ""),
        ([deny(sourceApplicationSecurityGroups=[{"id": "x"}])], "", ""),
    ],
)
def test_the_first_rule_that_fits_decides(rules, probe, vrrp):
    wire = [{"name": one["name"], "properties": {"direction": "Inbound", **one}} for one in rules]
    group = {"properties": {"securityRules": wire}}
    assert (denied_by(group, PROBE), denied_by(group, VRRP)) == (probe, vrrp)


def test_a_security_group_in_the_way_is_a_warning_and_says_what_to_allow(bench):
    here = bench()
    here.cloud.add_security_group("nodes", [deny()])
    told = found(here, here.wanted(1))
    assert [one[0] for one in told] == [False, False]
    assert "keeps the probe of port 59999 from n1, n2: allow AzureLoadBalancer" in told[0][2]
    assert "drops protocol 112 (VRRP) between the nodes; no rule can name it" in told[1][2]
    reach(here, here.wanted(1))


def test_the_subnets_security_group_counts_as_well(bench):
    here = bench()
    group = here.cloud.add_security_group("of-the-subnet", [deny(protocol="Tcp")])
    here.cloud.add_subnet("net", "nodes", "10.1.0.0/24", security_group=group)
    assert [one[2].split(" keeps ")[0] for one in found(here, here.wanted(1))] == [
        "rule no of network security group of-the-subnet"
    ]


def test_the_token_of_the_scene_is_in_no_finding(bench):
    here = bench()
    here.deny("Microsoft.Network/networkSecurityGroups/read")
    assert TOKEN not in str(found(here, here.wanted(1)))

"""The order of changes, and how few of them there are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.providers.azure.scene import BALANCER, NODES, address_of, apply_all, plan_of, reach, vip, wanted_of

from havip.provider import Owner
from havip.testing.provider_contract import key
from havip_providers.azure.mapping import DeleteBalancer, PutBalancer, PutInterface


def of_ours(bench, kind):
    there = bench.cloud.resource(bench.cloud.id("loadBalancers", BALANCER))
    return [one for one in there["properties"][kind] if one["name"].startswith("havip-")]


def backends(bench, number=0):
    address = f"10.1.0.{100 + number}"
    return {one.address for rule in bench.cloud.rules() if rule.address == address for one in rule.backends}


def eighty(bench):
    ports = tuple(("TCP", 8000 + number) for number in range(3))
    return wanted_of(*(vip(number, ports=ports) for number in range(80)), cloud_settings=bench.settings())


@pytest.mark.parametrize("made", [False, True])
def test_eighty_vips_on_three_nodes_take_four_writes(bench, made):
    here = bench(made=made)
    changes = reach(here, eighty(here))
    assert [type(one) for one in changes] == [PutBalancer, PutInterface, PutInterface, PutInterface]
    assert here.writes() == 4
    assert len(here.cloud.rules()) == 240 + (not made)
    assert backends(here, 79) == {address_of(node) for node in NODES}


def test_eighty_vips_are_given_back_in_five_writes(bench):
    here = bench()
    before = here.everything()
    reach(here, eighty(here))
    writes = here.writes()
    reach(here, replace(eighty(here), vips=()))
    assert here.writes() - writes == 5
    assert here.everything() == before


def test_one_vip_or_eighty_take_as_many_reads(bench):
    counts = []
    for wanted in (lambda here: here.wanted(1), eighty):
        here = bench()
        reach(here, wanted(here))
        before = len(here.service.exchanges)
        assert plan_of(here, wanted(here)).changes == ()
        counts.append(len(here.service.exchanges) - before)
    assert counts == [4, 4]


def test_a_rule_is_never_pointed_at_a_pool_that_is_not_filled(bench):
    """A node is replaced: at every step the rule's nodes include one that was there and is to stay."""
    here = bench()
    reach(here, wanted_of(vip(0, candidates=("n1", "n2")), cloud_settings=here.settings()))
    wanted = wanted_of(vip(0, candidates=("n2", "n3")), cloud_settings=here.settings())
    changes = plan_of(here, wanted).changes
    assert [one.stage for one in changes] == [0, 1, 1, 2, 3, 3, 4]
    for change in changes:
        apply_all(here, wanted, [change])
        assert address_of("n2") in backends(here), change
    assert backends(here) == {address_of("n2"), address_of("n3")}
    assert len(of_ours(here, "backendAddressPools")) == 1
    assert plan_of(here, wanted).changes == ()


def test_vips_with_other_candidates_have_other_pools(bench):
    """Both may have the same probe port, so a node must not answer for a VIP that it is no candidate of."""
    here = bench()
    one = vip(0, candidates=("n1",), probe_port=59999)
    other = vip(1, candidates=("n2", "n3"), probe_port=59999)
    reach(here, wanted_of(one, other, cloud_settings=here.settings()))
    assert (backends(here, 0), backends(here, 1)) == ({address_of("n1")}, {address_of("n2"), address_of("n3")})


def test_a_rule_without_floating_ip_is_made_anew_in_two_writes(bench):
    here = bench()
    wanted = here.wanted(1)
    reach(here, wanted)
    there = here.cloud._store.get(here.cloud.id("loadBalancers", BALANCER))
    spoiled = next(one for one in there["properties"]["loadBalancingRules"] if one["name"].endswith("tcp-443"))
    spoiled["properties"]["enableFloatingIP"] = False
    changes = plan_of(here, wanted).changes
    assert [(one.stage, type(one)) for one in changes] == [(0, PutBalancer), (2, PutBalancer)]
    apply_all(here, wanted, changes)
    assert all(rule.floating for rule in here.cloud.rules() if rule.address == "10.1.0.100")
    assert plan_of(here, wanted).changes == ()


def test_what_a_class_sets_is_what_the_rules_say(bench):
    here = bench()
    more = {
        "probe": {"intervalSeconds": 7, "threshold": 3},
        "idleTimeoutMinutes": 9,
        "tcpReset": True,
        "loadDistribution": "SourceIP",
    }
    wanted = here.wanted(1)
    reach(here, wanted)
    changed = type(wanted.settings).model_validate({**wanted.settings.model_dump(by_alias=True), **more})
    changes = reach(here, replace(wanted, settings=changed))
    assert len(changes) == 1
    rule = next(one for one in here.cloud.rules() if one.name.endswith("tcp-443"))
    assert (rule.probe_interval, rule.probe_threshold, rule.idle_minutes) == (7, 3, 9)
    assert (rule.tcp_reset, rule.distribution, rule.floating) == (True, "SourceIP", True)


@pytest.mark.parametrize("refused", [True, False])
def test_a_public_vip_is_used_for_outgoing_connections_if_the_class_says_so(bench, refused):
    here = bench(public=True)
    wanted = here.wanted(1)
    told = type(wanted.settings).model_validate(
        {**wanted.settings.model_dump(by_alias=True), "disableOutboundSnat": refused}
    )
    reach(here, replace(wanted, settings=told))
    found = {one["properties"]["disableOutboundSnat"] for one in of_ours(here, "loadBalancingRules")}
    assert found == {refused}


def test_a_vip_without_front_ends_gets_every_port(bench):
    here = bench()
    reach(here, wanted_of(vip(0, ports=()), cloud_settings=here.settings()))
    rules = [one for one in here.cloud.rules() if one.address == "10.1.0.100"]
    assert [(one.protocol, one.port, one.floating) for one in rules] == [("All", 0, True)]
    reach(here, wanted_of(vip(0), cloud_settings=here.settings()))
    rules = [one for one in here.cloud.rules() if one.address == "10.1.0.100"]
    assert [(one.protocol, one.port) for one in rules] == [("Tcp", 443)]


def test_a_balancer_of_ours_that_others_use_stays(bench):
    here = bench(made=True)
    wanted = here.wanted(1)
    other = replace(wanted, owner=Owner("another-cluster", "edge"), vips=here.wanted(2).vips[1:])
    reach(here, wanted)
    reach(here, other)
    reach(here, replace(wanted, vips=()))
    assert {one.address for one in here.cloud.rules()} == {"10.1.0.101"}
    reach(here, replace(other, vips=()))
    changes = reach(here, replace(wanted, vips=()))
    assert [type(one) for one in changes] == [DeleteBalancer]
    assert here.cloud.resource(here.cloud.id("loadBalancers", BALANCER)) is None


def test_a_balancer_that_we_found_is_never_deleted_even_if_it_is_empty(bench):
    here = bench(made=True)
    here.cloud.add_balancer(BALANCER)
    before = here.everything()
    reach(here, here.wanted(1))
    reach(here, replace(here.wanted(1), vips=()))
    assert here.everything() == before


def test_ip_forwarding_stays_on_while_one_of_two_clusters_asks_for_it(bench):
    here = bench()
    wanted = here.wanted(1)
    other = replace(wanted, owner=Owner("another-cluster", "edge"), vips=(replace(here.wanted(4).vips[3]),))
    before = here.everything()
    reach(here, wanted)
    reach(here, other)
    reach(here, replace(wanted, vips=()))
    assert here.cloud.forwards(address_of("n2"))
    reach(here, replace(other, vips=()))
    assert not here.cloud.forwards(address_of("n2"))
    assert here.cloud.forwards(address_of("n1"))
    assert here.everything() == before


def test_ip_forwarding_is_left_alone_if_the_class_does_not_ask(bench):
    here = bench()
    wanted = here.wanted(1)
    reach(here, wanted)
    quiet = type(wanted.settings).model_validate({**wanted.settings.model_dump(by_alias=True), "ipForwarding": False})
    reach(here, replace(wanted, settings=quiet))
    assert [here.cloud.forwards(address_of(node)) for node in NODES] == [True, False, False]


def test_a_vip_that_moved_to_another_havip_takes_its_address_along(bench):
    here = bench()
    first = wanted_of(vip(0), cloud_settings=here.settings())
    reach(here, first)
    renamed = replace(first.vips[0], havip=key(7))
    changes = reach(here, replace(first, vips=(renamed,)))
    assert [(one.stage, type(one)) for one in changes] == [(0, PutBalancer), (2, PutBalancer)]
    assert [rule.name.split("-")[3] for rule in here.cloud.rules() if rule.address == "10.1.0.100"] == ["shop.vip"]


def test_what_others_hang_on_our_front_end_keeps_it(bench):
    here = bench()
    reach(here, here.wanted(1))
    there = here.cloud._store.get(here.cloud.id("loadBalancers", BALANCER))
    front = of_ours(here, "frontendIPConfigurations")[0]["id"]
    theirs = next(one for one in there["properties"]["loadBalancingRules"] if one["name"] == "theirs")
    theirs["properties"]["frontendIPConfiguration"] = {"id": front}
    reach(here, replace(here.wanted(1), vips=()))
    assert [one["id"] for one in of_ours(here, "frontendIPConfigurations")] == [front]
    assert of_ours(here, "loadBalancingRules") == []

"""What a HAVip may not have, and what it is told instead."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest

from havip.model.keys import Key
from havip.plan.admission import judge
from havip.plan.change import Kind
from havip.plan.desired import desired
from havip.plan.observed import Observed
from havip.testing.builders import LONG_AGO, a_class, a_frontend, a_havip, a_pool, a_service, a_snapshot
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")


def ready(snapshot, key=WEB):
    return next(one for one in desired(snapshot).havip_statuses[key].conditions if one.type == "Ready")


REFUSED = [
    ("another namespace", {"namespace": "evil"}, "NamespaceNotAllowed", ["metadata.namespace", '"evil"', "shop"]),
    ("outside the ranges", {"address": "10.99.0.1"}, "AddressOutsideRanges", ["10.99.0.1", "10.88.0.192/26"]),
    ("the subnet's broadcast address", {"address": "10.88.0.255"}, "AddressNotAssignable", ["broadcast address"]),
    ("the second of two addresses", {"addresses": ["10.88.0.200", "fd00:99::1"]}, "AddressOutsideRanges", ["[1]"]),
    ("a reserved port", {"frontends": [a_frontend(22)]}, "PortReserved", ["frontends[0].port", "22", "6443"]),
]


@pytest.mark.parametrize("address", ["10.88.0.192", "fd00:88::c0"])
def test_a_range_is_no_subnet_its_first_address_can_be_had(address):
    snapshot = a_snapshot(havips=[a_havip(address=address)])
    assert judge(Observed(snapshot))[Key("shop", "web")].admitted


@pytest.mark.parametrize(("address", "what"), [("10.88.0.192", "network"), ("fd00:88::c0", "anycast")])
def test_where_no_node_has_told_its_subnet_a_range_is_taken_for_one(address, what):
    snapshot = a_snapshot(havips=[a_havip(address=address)], node_objects=[])
    (problem,) = judge(Observed(snapshot))[Key("shop", "web")].problems
    assert f"{what} address" in problem.message


@pytest.mark.parametrize(("given", "reason", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_and_told_why(given, reason, words):
    seen = a_havip(**given)
    said = ready(a_snapshot(havips=[seen], pools=[a_pool()]), seen.metadata.key)
    assert (said.status, said.reason) == ("False", reason)
    for word in words:
        assert word in said.message


@pytest.mark.parametrize(
    ("address", "given", "owner"),
    [
        (
            "10.88.0.201",
            {"services": {Key("kube-system", "dns"): a_service(addresses=["10.88.0.201"])}},
            "kube-system/dns",
        ),
        ("10.88.0.202", {"api_server": (ip_address("10.88.0.202"),)}, "the API server"),
    ],
)
def test_an_address_that_something_else_has_is_refused(address, given, owner):
    said = ready(a_snapshot(havips=[a_havip(address=address)], **given))
    assert said.reason == "AddressInUse"
    assert owner in said.message


def test_a_nodes_own_address_is_refused_however_it_is_known():
    wide = a_class(addressRanges=["10.88.0.0/24", "fd00:88::/64"])
    internal_ip = ready(a_snapshot(classes=[wide], havips=[a_havip(address="10.88.0.2")]))
    reported = ready(a_snapshot(classes=[wide], havips=[a_havip(address="fd00:88::2")]))
    assert internal_ip.reason == reported.reason == "AddressInUse"
    assert "node n2" in internal_ip.message
    assert "node n2" in reported.message


def test_a_refused_havip_gets_no_instance_and_no_finalizer():
    plan = desired(a_snapshot(havips=[a_havip(address="10.99.0.1")]))
    assert all(spec.assignments == () for spec in plan.node_specs.values())
    assert not any(kind == "HAVip" for kind, _ in plan.hold)


def test_of_two_havips_with_one_address_the_oldest_wins():
    old = a_havip("old", created=LONG_AGO - timedelta(seconds=1), uid="z")
    young = a_havip("young", created=LONG_AGO, uid="a")
    plan = desired(a_snapshot(havips=[young, old]))
    assert plan.vips[old.metadata.key].verdict.admitted
    said = ready(a_snapshot(havips=[young, old]), young.metadata.key)
    assert said.reason == "AddressConflict"
    assert "shop/old" in said.message


def test_of_two_created_in_one_second_the_uid_decides():
    one, other = a_havip("one", uid="2"), a_havip("other", uid="1")
    plan = desired(a_snapshot(havips=[one, other]))
    assert [key.name for key, vip in plan.vips.items() if vip.verdict.admitted] == ["other"]


def test_an_ipv6_address_written_differently_is_the_same_address():
    one = a_havip("one", address="fd00:88::c8", uid="1")
    other = a_havip("other", address="FD00:0088:0:0::00C8", uid="2")
    assert ready(a_snapshot(havips=[one, other]), other.metadata.key).reason == "AddressConflict"


def test_a_havip_that_is_refused_anyway_blocks_nobody():
    squatter = a_havip("web", namespace="evil", created=LONG_AGO - timedelta(days=9))
    plan = desired(a_snapshot(havips=[squatter, a_havip()]))
    assert plan.vips[WEB].verdict.admitted


def test_who_holds_an_address_keeps_it_when_an_older_one_is_let_in():
    squatter = a_havip("web", namespace="other", created=LONG_AGO - timedelta(days=9))
    cluster = Cluster(a_snapshot(havips=[squatter, a_havip()]))
    cluster.settle()
    cluster.put(a_class(namespaces={"all": {}}))
    cluster.settle()
    assert cluster.holders(WEB) != []
    assert ready(cluster.snapshot, squatter.metadata.key).reason == "AddressConflict"


def test_when_the_first_goes_the_second_gets_the_address():
    first, second = a_havip("first", uid="1"), a_havip("second", uid="2")
    cluster = Cluster(a_snapshot(havips=[first, second]))
    cluster.settle()
    assert cluster.holders(second.metadata.key) == []
    cluster.delete(Kind.HAVIP, first.metadata.key)
    cluster.settle()
    assert len(cluster.holders(second.metadata.key)) == 1


def test_what_worked_goes_on_when_the_ranges_change():
    cluster = Cluster(a_snapshot(havips=[a_havip()]))
    cluster.settle()
    held = cluster.holders(WEB)
    cluster.put(a_class(addressRanges=["10.77.0.0/24"]))
    cluster.settle()
    said = ready(cluster.snapshot)
    assert (said.status, said.reason) == ("False", "AddressOutsideRanges")
    assert "stays in use" in said.message
    assert cluster.holders(WEB) == held


def test_a_refused_change_leaves_the_front_ends_as_they_were():
    cluster = Cluster(a_snapshot(havips=[a_havip(frontends=[a_frontend(80)])], pools=[a_pool()]))
    cluster.settle()
    status = cluster.snapshot.havips[WEB].object.status
    edited = a_havip(frontends=[a_frontend(80), a_frontend(22)], generation=2)
    cluster.put(replace(edited, object=edited.object.model_copy(update={"status": status})))
    cluster.settle()
    spec = cluster.snapshot.node_objects["edge.n1"].spec
    assert [frontend.port for one in spec.assignments for frontend in one.frontends] == [80]
    assert ready(cluster.snapshot).reason == "PortReserved"


def test_namespaces_by_label():
    of = a_class(namespaces={"selector": {"matchLabels": {"team": "shop"}}})
    snapshot = a_snapshot(classes=[of], havips=[a_havip()], namespaces={"shop": {"team": "shop"}})
    assert desired(snapshot).vips[WEB].verdict.admitted
    refused = ready(replace(snapshot, namespaces={"shop": {"team": "other"}}))
    assert refused.reason == "NamespaceNotAllowed"
    assert "team=shop" in refused.message


def test_a_range_of_one_address_may_be_used():
    snapshot = a_snapshot(classes=[a_class(addressRanges=["10.88.0.200/32"])], havips=[a_havip()])
    assert desired(snapshot).vips[WEB].verdict.admitted


def test_a_missing_pool_leaves_the_vip_held_and_is_said():
    cluster = Cluster(
        a_snapshot(havips=[a_havip(frontends=[a_frontend(), a_frontend(81, pool="gone")])], pools=[a_pool()])
    )
    cluster.settle()
    said = ready(cluster.snapshot)
    assert (said.status, said.reason) == ("False", "PoolMissing")
    assert "gone" in said.message
    assert len(cluster.holders(WEB)) == 1
    served = cluster.snapshot.node_objects["edge.n1"].spec.assignments[0].frontends
    assert [frontend.port for frontend in served] == [80]


def test_a_havip_that_cannot_be_read_keeps_what_it_has():
    cluster = Cluster(a_snapshot(havips=[a_havip()]))
    cluster.settle()
    cluster.snapshot = replace(cluster.snapshot, havips={}, unreadable=frozenset([WEB]))
    assert cluster.plan() == () or not any(type(one).__name__ == "ApplyNode" for one in cluster.plan())

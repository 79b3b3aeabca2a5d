"""One id per VIP, one VIP per id on a node, and never a change in place."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from havip.model.keys import Key
from havip.plan.change import Kind
from havip.plan.desired import desired
from havip.testing.builders import a_class, a_havip, a_node, a_node_object, a_snapshot
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")
WIDE = a_class(addressRanges=["10.90.0.0/16"])


def ids(cluster):
    return {
        one.instance.havip: one.instance.virtual_router_id
        for seen in cluster.snapshot.node_objects.values()
        for one in seen.spec.assignments
    }


def many(count, **given):
    return [a_havip(f"v{index}", address=f"10.90.1.{index + 1}", uid=f"{index:04}", **given) for index in range(count)]


@settings(max_examples=15, deadline=None)
@given(vips=st.integers(1, 40), nodes=st.integers(2, 7))
def test_no_node_has_an_id_twice(vips, nodes):
    plan = desired(a_snapshot(classes=[WIDE], nodes=nodes, havips=many(vips)))
    for spec in plan.node_specs.values():
        numbers = [one.instance.virtual_router_id for one in spec.assignments]
        assert len(set(numbers)) == len(numbers)


def test_ids_stay_when_vips_come_and_go():
    cluster = Cluster(a_snapshot(classes=[WIDE], havips=many(5)))
    cluster.settle()
    before = ids(cluster)
    cluster.delete(Kind.HAVIP, Key("shop", "v1"))
    cluster.settle()
    cluster.put(a_havip("first", address="10.90.2.1", uid="0000"))
    cluster.settle()
    after = ids(cluster)
    assert {key: after[key] for key in before if key.name != "v1"} == {
        key: number for key, number in before.items() if key.name != "v1"
    }


def test_a_wiped_status_is_rebuilt_from_what_the_nodes_were_told():
    cluster = Cluster(a_snapshot(classes=[WIDE], havips=many(3)))
    cluster.settle()
    before = {key: one.object.status for key, one in cluster.snapshot.havips.items()}
    for one in many(3):
        cluster.put(one)
    cluster.settle()
    after = {key: one.object.status for key, one in cluster.snapshot.havips.items()}
    for key, status in after.items():
        assert status.virtual_router_id == before[key].virtual_router_id
        assert (status.active_node, status.nodes) == (before[key].active_node, before[key].nodes)


def test_where_the_record_is_lost_the_status_says_which_id_to_take_again():
    seen = a_havip(status={"virtualRouterId": 77})
    assert desired(a_snapshot(havips=[seen])).vips[WEB].virtual_router_id == 77


def test_the_range_of_the_class_is_kept_to():
    of = a_class(election={"vrrp": {"virtualRouterIds": {"first": 40, "last": 41}}})
    havips = [a_havip("a", address="10.88.0.200", uid="1"), a_havip("b", address="10.88.0.201", uid="2")]
    plan = desired(a_snapshot(classes=[of], havips=havips))
    assert sorted(vip.virtual_router_id or 0 for vip in plan.vips.values()) == [40, 41]


def test_exhaustion_is_said_with_the_range():
    of = a_class(election={"vrrp": {"virtualRouterIds": {"first": 7, "last": 7}}})
    havips = [a_havip("a", address="10.88.0.200", uid="1"), a_havip("b", address="10.88.0.201", uid="2")]
    plan = desired(a_snapshot(classes=[of], havips=havips))
    said = plan.havip_statuses[Key("shop", "b")].conditions[0]
    assert (said.status, said.reason) == ("False", "VirtualRouterIdsExhausted")
    assert "7 to 7" in said.message
    assert "spec.election.vrrp.virtualRouterIds" in said.message


def test_two_classes_on_one_node_share_the_ids():
    one, other = a_class(), a_class("other", addressRanges=["10.88.0.128/26"])
    havips = [a_havip(), a_havip("mail", class_name="other", address="10.88.0.130")]
    plan = desired(a_snapshot(classes=[one, other], havips=havips))
    assert len({vip.virtual_router_id for vip in plan.vips.values()}) == 2


ONLY_ONE = {"vrrp": {"virtualRouterIds": {"first": 1, "last": 1}}}


def test_ids_are_unique_in_the_cluster_while_there_are_enough():
    plan = desired(a_snapshot(classes=[WIDE], nodes=8, havips=many(30)))
    assert len({vip.virtual_router_id for vip in plan.vips.values()}) == 30


def test_vips_without_a_common_node_may_share_an_id():
    west = a_class("west", nodes={"selector": {"matchLabels": {"side": "west"}}}, election=ONLY_ONE)
    east = a_class("east", nodes={"selector": {"matchLabels": {"side": "east"}}}, election=ONLY_ONE)
    nodes = [a_node(f"n{n}", labels={"side": "west" if n < 3 else "east"}) for n in (1, 2, 3, 4)]
    objects = [a_node_object(node.name, of=west if node.labels["side"] == "west" else east) for node in nodes]
    havips = [a_havip("w", class_name="west"), a_havip("e", class_name="east", address="10.88.0.201")]
    plan = desired(a_snapshot(classes=[west, east], nodes=nodes, node_objects=objects, havips=havips))
    assert {vip.virtual_router_id for vip in plan.vips.values()} == {1}


def test_a_collision_that_labels_bring_about_makes_the_joining_one_wait_while_no_other_id_is_free():
    west = a_class("west", nodes={"selector": {"matchLabels": {"west": "true"}}}, election=ONLY_ONE)
    east = a_class("east", nodes={"selector": {"matchLabels": {"east": "true"}}}, election=ONLY_ONE)
    nodes = [a_node(f"n{n}", labels={"west" if n < 3 else "east": "true"}) for n in (1, 2, 3, 4)]
    objects = [a_node_object(node.name, of=west if "west" in node.labels else east) for node in nodes]
    havips = [a_havip("w", class_name="west"), a_havip("e", class_name="east", address="10.88.0.201")]
    cluster = Cluster(a_snapshot(classes=[west, east], nodes=nodes, node_objects=objects, havips=havips))
    cluster.settle()
    both = replace(cluster.snapshot.nodes["n3"], labels={"west": "true", "east": "true"})
    cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, "n3": both})
    wishing = a_havip("w", class_name="west", nodes={"preferred": ["n3"]}, generation=2)
    status = cluster.snapshot.havips[Key("shop", "w")].object.status
    cluster.put(replace(wishing, object=wishing.object.model_copy(update={"status": status})))
    cluster.settle()
    said = cluster.snapshot.havips[Key("shop", "w")].object.status.conditions[0]
    assert (said.status, said.reason) == ("True", "VirtualRouterIdConflict")
    assert "n3" in said.message
    assert "shop/e" in said.message
    assert "west.n3" not in desired(cluster.snapshot).vips[Key("shop", "w")].assignments
    cluster.delete(Kind.HAVIP, Key("shop", "e"))
    cluster.settle()
    assert "n3" in {name.split(".")[1] for name in desired(cluster.snapshot).vips[Key("shop", "w")].assignments}

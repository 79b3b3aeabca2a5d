"""Which nodes may hold a VIP: spread, stable, and as the user prefers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from havip.model.keys import Key
from havip.plan.desired import desired
from havip.testing.builders import NOW, a_class, a_havip, a_node, a_node_object, a_snapshot
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")
WIDE = a_class(addressRanges=["10.90.0.0/16"])


def many(count, **given):
    return [a_havip(f"v{index}", address=f"10.90.1.{index + 1}", uid=f"{index:04}", **given) for index in range(count)]


def candidates(snapshot):
    return {key: {name.split(".")[1] for name in plan.assignments} for key, plan in desired(snapshot).vips.items()}


@settings(max_examples=15, deadline=None)
@given(vips=st.integers(1, 60), nodes=st.integers(3, 8), count=st.integers(1, 5))
def test_nodes_carry_alike(vips, nodes, count):
    snapshot = a_snapshot(classes=[WIDE], nodes=nodes, havips=many(vips, nodes={"candidates": count}))
    plan = desired(snapshot)
    carried = Counter(name for vip in plan.vips.values() for name in vip.assignments)
    best = Counter(vip.target[0] for vip in plan.vips.values())
    assert max(carried.values()) - min(carried.get(f"edge.n{n + 1}", 0) for n in range(nodes)) <= 2 + count
    assert max(best.values()) - min(best.get(f"n{n + 1}", 0) for n in range(nodes)) <= 2


def test_a_node_that_is_added_moves_nothing():
    cluster = Cluster(a_snapshot(classes=[WIDE], nodes=5, havips=many(20)))
    cluster.settle()
    before = candidates(cluster.snapshot)
    cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, "n6": a_node("n6")})
    cluster.settle()
    assert candidates(cluster.snapshot) == before


def test_a_new_node_gets_the_next_vips():
    cluster = Cluster(a_snapshot(classes=[WIDE], nodes=3, havips=many(6)))
    cluster.settle()
    cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, "n4": a_node("n4")})
    cluster.settle()
    cluster.put(a_havip("late", address="10.90.2.1", uid="zzz"))
    cluster.settle()
    assert desired(cluster.snapshot).vips[Key("shop", "late")].target[0] == "n4"


def test_a_vip_that_goes_moves_no_other():
    cluster = Cluster(a_snapshot(classes=[WIDE], nodes=6, havips=many(12)))
    cluster.settle()
    before = candidates(cluster.snapshot)
    havips = {key: one for key, one in cluster.snapshot.havips.items() if key.name != "v3"}
    cluster.snapshot = replace(cluster.snapshot, havips=havips)
    cluster.settle()
    assert candidates(cluster.snapshot) == {key: nodes for key, nodes in before.items() if key.name != "v3"}


def test_a_plan_made_anew_from_nothing_is_the_same():
    snapshot = a_snapshot(classes=[WIDE], nodes=6, havips=many(12))
    assert candidates(snapshot) == candidates(a_snapshot(classes=[WIDE], nodes=6, havips=reversed(many(12))))


def test_preferred_nodes_come_first_and_in_order():
    plan = desired(a_snapshot(nodes=6, havips=[a_havip(nodes={"preferred": ["n5", "n2"]})]))
    assert plan.vips[WEB].target[:2] == ("n5", "n2")
    bases = {name: one.instance.priority for name, one in plan.vips[WEB].assignments.items()}
    assert (bases["edge.n5"], bases["edge.n2"]) == (209, 199)


def test_a_preferred_node_that_does_not_exist_is_left_out():
    plan = desired(a_snapshot(havips=[a_havip(nodes={"preferred": ["n99", "n2"]})]))
    assert plan.vips[WEB].target[0] == "n2"
    assert len(plan.vips[WEB].assignments) == 3


def test_a_node_that_is_not_ready_is_not_chosen():
    nodes = [a_node("n1"), a_node("n2"), a_node("n3", ready=False), a_node("n4")]
    assert candidates(a_snapshot(nodes=nodes, havips=[a_havip()]))[WEB] == {"n1", "n2", "n4"}


def test_a_candidate_that_is_not_ready_stays_for_five_minutes():
    cluster = Cluster(a_snapshot(nodes=4, havips=[a_havip()]))
    cluster.settle()
    before = candidates(cluster.snapshot)[WEB]
    gone = sorted(before)[1]
    cluster.unreachable.add(gone)
    cluster.set_ready(gone, False)
    cluster.wait(299)
    cluster.settle()
    assert candidates(cluster.snapshot)[WEB] == before
    cluster.wait(2)
    cluster.settle()
    assert set(desired(cluster.snapshot).vips[WEB].target) == {"n1", "n2", "n3", "n4"} - {gone}


def test_a_candidate_that_is_long_not_ready_stays_where_nobody_can_replace_it():
    cluster = Cluster(a_snapshot(nodes=3, havips=[a_havip()]))
    cluster.settle()
    cluster.unreachable.add("n2")
    cluster.set_ready("n2", False)
    cluster.wait(3600)
    cluster.settle()
    assert candidates(cluster.snapshot)[WEB] == {"n1", "n2", "n3"}


def test_the_plan_says_when_to_look_again():
    cluster = Cluster(a_snapshot(nodes=4, havips=[a_havip()]))
    cluster.settle()
    assert desired(cluster.snapshot).look_again_in is None
    cluster.set_ready(min(candidates(cluster.snapshot)[WEB]), False)
    cluster.settle()
    assert desired(cluster.snapshot).look_again_in == 40  # when its claim stops counting
    cluster.wait(40)
    cluster.settle()
    assert desired(cluster.snapshot).look_again_in == 260  # when it is replaced


def test_nodes_whose_first_report_is_still_to_come_are_waited_for():
    young = [a_node_object(f"n{n}", spoken=False, created=NOW) for n in (1, 2, 3)]
    plan = desired(a_snapshot(node_objects=young, havips=[a_havip()]))
    assert plan.vips[WEB].assignments == {}
    said = plan.havip_statuses[WEB].conditions[0]
    assert (said.status, said.reason) == ("False", "WaitingForNodes")


def test_a_node_that_never_reports_is_not_waited_for_long():
    objects = [a_node_object("n1"), a_node_object("n2"), a_node_object("n3", spoken=False)]
    plan = desired(a_snapshot(node_objects=objects, havips=[a_havip()]))
    assert set(plan.vips[WEB].assignments) == {"edge.n1", "edge.n2"}


def test_an_ipv6_vip_needs_a_node_with_an_ipv6_address():
    objects = [a_node_object("n1", own=["10.88.0.1/24"]), a_node_object("n2"), a_node_object("n3")]
    plan = desired(a_snapshot(node_objects=objects, havips=[a_havip(address="fd00:88::c8")]))
    assert set(plan.vips[WEB].assignments) == {"edge.n2", "edge.n3"}
    sources = {str(one.instance.source) for one in plan.vips[WEB].assignments.values()}
    assert sources == {"fd00:88::2", "fd00:88::3"}


def test_a_one_node_class_holds_its_vip_alone():
    plan = desired(a_snapshot(nodes=1, havips=[a_havip()]))
    spec = plan.node_specs["edge.n1"]
    assert (spec.redundant, spec.assignments[0].instance.peers) == (False, ())


def test_one_candidate_by_wish_is_run_without_peers_in_a_class_of_many():
    plan = desired(a_snapshot(havips=[a_havip(nodes={"candidates": 1})]))
    (name,) = plan.vips[WEB].assignments
    assert plan.node_specs[name].redundant is False
    assert all(spec.redundant for other, spec in plan.node_specs.items() if other != name)


def test_without_any_node_it_is_said_and_nothing_is_given():
    plan = desired(a_snapshot(nodes=[], node_objects=[], havips=[a_havip()]))
    said = plan.havip_statuses[WEB].conditions[0]
    assert (said.status, said.reason) == ("False", "NoEligibleNodes")

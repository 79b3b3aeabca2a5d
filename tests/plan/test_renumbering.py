"""A VIP whose id is taken where it is to go moves to another: add, take over, then remove. See `plan.renumbering`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from havip.model.keys import Key
from havip.model.states import Failback
from havip.plan.change import Emit
from havip.plan.desired import desired
from havip.testing.builders import a_class, a_havip, a_node, a_node_object, a_snapshot
from havip.testing.cluster import Cluster

WEB, MAIL = Key("shop", "web"), Key("shop", "mail")


def with_ids(first, last, name="edge", **spec):
    return a_class(name, election={"vrrp": {"virtualRouterIds": {"first": first, "last": last}}}, **spec)


def neighbours(*, web=("n1", "n2"), mail=("n4",), nodes=5, last=9):
    """Two VIPs with the id 1, on different nodes."""
    havips = [
        a_havip("web", address="10.88.0.200", nodes={"candidates": len(web), "preferred": list(web)}),
        a_havip("mail", address="10.88.0.201", nodes={"candidates": len(mail), "preferred": list(mail)}),
    ]
    cluster = Cluster(a_snapshot(nodes=nodes, classes=[with_ids(1, 1)], havips=havips))
    cluster.settle()
    cluster.put(with_ids(1, last))
    cluster.settle()
    assert ids(cluster) == {1}
    assert ids(cluster, MAIL) == {1}
    return cluster


def want(cluster, *nodes, count=2, havip=WEB):
    seen = cluster.snapshot.havips[havip]
    address = seen.object.spec.addresses[0]
    wish = a_havip(
        havip.name,
        address=address,
        nodes={"preferred": list(nodes), "candidates": count},
        generation=seen.metadata.generation + 1,
    )
    cluster.put(replace(wish, object=wish.object.model_copy(update={"status": seen.object.status})))


def instances(cluster, havip=WEB):
    """Node -> its instance, as recorded."""
    return {
        seen.spec.node: one.instance
        for seen in cluster.snapshot.node_objects.values()
        for one in seen.spec.assignments
        if one.instance.havip == havip
    }


def ids(cluster, havip=WEB):
    return {one.virtual_router_id for one in instances(cluster, havip).values()}


def shape(cluster):
    """Node -> (id, may be active)."""
    return {node: (one.virtual_router_id, one.eligible) for node, one in sorted(instances(cluster).items())}


def one_pass(cluster):
    cluster.reconcile()
    found = shape(cluster)
    cluster.run_nodes()
    return found


def passes_until(cluster, **wanted):
    """Goes on until the nodes are as asked for, and have applied it."""
    for _ in range(20):
        found = one_pass(cluster)
        if all(found.get(node) == state for node, state in wanted.items()):
            return
    raise AssertionError(f"never {wanted}: {found}")


def ready(cluster, havip=WEB):
    return cluster.snapshot.havips[havip].object.status.conditions[0]


def relabel(cluster, node, **labels):
    nodes = {**cluster.snapshot.nodes, node: replace(cluster.snapshot.nodes[node], labels=labels)}
    cluster.snapshot = replace(cluster.snapshot, nodes=nodes)


def lose(cluster, node):
    """Its Node is deleted."""
    cluster.power_off(node)
    nodes = {name: one for name, one in cluster.snapshot.nodes.items() if name != node}
    cluster.snapshot = replace(cluster.snapshot, nodes=nodes)


def forget_about(cluster, node):
    """It is dead for so long that nobody waits for it."""
    cluster.power_off(node)
    cluster.set_ready(node, False)
    cluster.wait(41)


# -- the way ----------------------------------------------------------------------------------------------------


def test_new_instances_are_added_then_the_old_ones_go_standbys_first():
    cluster = neighbours(web=("n1", "n2", "n3"))
    want(cluster, "n4", "n2", count=2)
    seen = [one_pass(cluster) for _ in range(8)]
    old = {"n1": (1, True), "n2": (1, True), "n3": (1, True)}
    assert list(map(dict, dict.fromkeys(tuple(one.items()) for one in seen))) == [
        {**old, "n4": (2, False)},
        {**old, "n4": (2, True)},
        {"n1": (1, True), "n2": (1, False), "n3": (1, False), "n4": (2, True)},
        {"n1": (1, False), "n4": (2, True)},
        {"n2": (2, False), "n4": (2, True)},
        {"n2": (2, True), "n4": (2, True)},
    ]


def test_the_vip_answers_all_the_time_and_twice_only_between_take_over_and_letting_go():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    held = []
    for _ in range(12):
        one_pass(cluster)
        held.append(tuple(cluster.holders(WEB)))
    assert list(dict.fromkeys(held)) == [("n1",), ("n1", "n4"), ("n4",)]


def test_old_instances_are_not_touched_before_somebody_else_holds_the_vip():
    cluster = neighbours()
    before = instances(cluster)
    want(cluster, "n4", "n1")
    while "n4" not in cluster.holders(WEB):
        one_pass(cluster)
        assert {node: one for node, one in instances(cluster).items() if node in before} == before


def test_old_and_new_are_told_apart_by_who_names_whom():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    one_pass(cluster)
    names = {node: {peer.node for peer in one.peers} for node, one in instances(cluster).items()}
    assert names == {"n1": {"n2"}, "n2": {"n1"}, "n4": {"n1", "n2"}}


def test_changed_labels_move_a_vip_with_one_candidate():
    west = with_ids(1, 1, "west", nodes={"selector": {"matchLabels": {"west": "true"}}})
    east = with_ids(1, 1, "east", nodes={"selector": {"matchLabels": {"east": "true"}}})
    nodes = [a_node(f"n{n}", labels={"west": "true"} if n == 1 else {"east": "true"}) for n in (1, 2, 3)]
    objects = [a_node_object(node.name, of=west if "west" in node.labels else east) for node in nodes]
    havips = [
        a_havip("web", class_name="west", nodes={"candidates": 1}),
        a_havip("mail", class_name="east", address="10.88.0.201", nodes={"candidates": 2}),
    ]
    cluster = Cluster(a_snapshot(classes=[west, east], nodes=nodes, node_objects=objects, havips=havips))
    cluster.settle()
    cluster.put(with_ids(1, 5, "west", nodes={"selector": {"matchLabels": {"west": "true"}}}))
    relabel(cluster, "n2", west="true", east="true")
    cluster.settle()
    relabel(cluster, "n1")
    for _ in range(12):
        one_pass(cluster)
        assert cluster.holders(WEB)
    cluster.settle()
    assert shape(cluster) == {"n2": (2, True)}
    assert cluster.holders(WEB) == ["n2"]
    assert ids(cluster, MAIL) == {1}


def test_the_order_that_the_user_prefers_holds_after_the_move():
    cluster = neighbours()
    want(cluster, "n1", "n4")
    cluster.settle()
    assert ids(cluster) == {2}
    assert cluster.holders(WEB) == ["n4"]
    assert instances(cluster)["n1"].priority > instances(cluster)["n4"].priority
    assert {one.preferred for one in instances(cluster).values()} == {("n1", "n4")}


def test_a_move_publishes_the_order_only_when_all_have_joined():
    """A changed order is the order to switch: the keeper of the node that took over compares."""
    cluster = neighbours()
    want(cluster, "n1", "n4")
    passes_until(cluster, n1=(2, False))
    assert instances(cluster)["n4"].preferred == ()


def test_five_candidates_move_to_five_other_nodes():
    five, others = ("n1", "n2", "n3", "n4", "n5"), ("n6", "n7", "n8", "n9", "n10")
    cluster = neighbours(web=five, mail=others, nodes=10)
    want(cluster, *others, count=5)
    for _ in range(40):
        one_pass(cluster)
        assert cluster.holders(WEB)
        assert all(len(one.peers) <= 4 for one in instances(cluster).values())
    assert shape(cluster) == dict.fromkeys(sorted(others), (2, True))


def test_another_node_that_will_do_is_taken_rather_than_another_id():
    cluster = neighbours(web=("n1", "n2"), mail=("n4",), nodes=4)
    want(cluster, count=3)
    cluster.settle()
    assert shape(cluster) == {"n1": (1, True), "n2": (1, True), "n3": (1, True)}


def test_a_dead_candidate_is_reason_enough():
    cluster = neighbours(web=("n1", "n2"), mail=("n3",), nodes=3)
    want(cluster, count=2)
    cluster.settle()
    forget_about(cluster, "n2")
    cluster.wait(301)
    cluster.settle()
    assert {node: state for node, state in shape(cluster).items() if node != "n2"} == {"n1": (2, True), "n3": (2, True)}


# -- what is said -----------------------------------------------------------------------------------------------


def test_the_status_says_from_what_to_what_and_because_of_whom():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    one_pass(cluster)
    cluster.reconcile()
    said = ready(cluster)
    assert (said.status, said.reason) == ("True", "VirtualRouterIdConflict")
    assert "moves from virtual router id 1 to 2, because HAVip shop/mail uses 1 on n4" in said.message


def test_the_vip_stays_ready_and_is_never_called_a_split_brain():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    numbers, events = [], len(cluster.events)
    for _ in range(16):
        one_pass(cluster)
        cluster.wait(3)
        cluster.reconcile()
        assert ready(cluster).status == "True", ready(cluster)
        numbers.append(cluster.snapshot.havips[WEB].object.status.virtual_router_id)
    assert list(dict.fromkeys(numbers)) == [1, 2]
    assert ready(cluster).reason == "Held"
    assert [one.reason for one in cluster.events[events:] if isinstance(one, Emit)].count(
        "VirtualRouterIdConflict"
    ) == 1


def test_the_take_over_is_told_as_a_planned_switch():
    cluster = neighbours()
    want(cluster, "n1", "n4")
    cluster.settle()
    last = cluster.snapshot.havips[WEB].object.status.history[0]
    assert (last.from_, last.to, last.reason) == ("n1", "n4", "PlannedSwitch")


# -- others -----------------------------------------------------------------------------------------------------


def test_two_vips_that_move_to_one_node_at_once_get_different_ids():
    havips = [
        a_havip(name, address=f"10.88.0.{last}", uid=name, nodes={"candidates": 1, "preferred": [node]})
        for name, last, node in (("mail", 200, "n1"), ("dns", 201, "n2"), ("web", 202, "n3"))
    ]
    cluster = Cluster(a_snapshot(classes=[with_ids(1, 1)], havips=havips))
    cluster.settle()
    cluster.put(with_ids(1, 9))
    want(cluster, "n3", count=1, havip=MAIL)
    want(cluster, "n3", count=1, havip=Key("shop", "dns"))
    cluster.reconcile()
    on_n3 = [one.instance.virtual_router_id for one in cluster.snapshot.node_objects["edge.n3"].spec.assignments]
    assert sorted(on_n3) == [1, 2, 3]
    cluster.settle()
    assert {one.instance.havip.name for one in cluster.snapshot.node_objects["edge.n3"].spec.assignments} == {
        "mail",
        "dns",
        "web",
    }


def test_without_a_free_id_the_joining_one_waits_until_there_is_one():
    cluster = neighbours(last=1)
    want(cluster, "n4", "n1")
    cluster.settle()
    assert ids(cluster) == {1}
    assert "n4" not in instances(cluster)
    assert (ready(cluster).status, ready(cluster).reason) == ("True", "VirtualRouterIdConflict")
    assert "spec.nodes.preferred: n4 cannot join yet: HAVip shop/mail" in ready(cluster).message
    cluster.put(with_ids(1, 2))
    cluster.settle()
    assert shape(cluster) == {"n1": (2, True), "n4": (2, True)}


def test_a_move_ends_well_although_the_conflict_goes_away_meanwhile():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    passes_until(cluster, n4=(2, True))
    want(cluster, "n5", count=1, havip=MAIL)
    cluster.settle()
    assert shape(cluster) == {"n1": (2, True), "n4": (2, True)}


# -- faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", range(1, 6))
def test_the_operator_may_die_after_any_change(stop_after):
    cluster = neighbours(web=("n1", "n2", "n3"))
    want(cluster, "n4", "n2", "n5", count=3)
    for _ in range(60):
        done = cluster.reconcile(stop_after=stop_after)
        cluster.run_nodes()
        assert cluster.holders(WEB)
        if not done:
            break
    assert shape(cluster) == {"n2": (2, True), "n4": (2, True), "n5": (2, True)}
    assert len(cluster.holders(WEB)) == 1


@pytest.mark.parametrize("before", range(7))
def test_the_old_active_node_may_die_at_any_point(before):
    cluster = neighbours(web=("n1", "n2", "n3"))
    want(cluster, "n4", "n2")
    for _ in range(before):
        one_pass(cluster)
    cluster.power_off("n1")
    cluster.elect()
    assert cluster.holders(WEB)
    cluster.set_ready("n1", False)
    for _ in range(12):
        cluster.wait(10)
        one_pass(cluster)
        assert cluster.holders(WEB)
    cluster.settle()
    assert {node: state for node, state in shape(cluster).items() if node != "n1"} == {"n2": (2, True), "n4": (2, True)}
    assert len(cluster.holders(WEB)) == 1


def test_when_all_old_nodes_die_the_new_one_takes_over_as_soon_as_it_has_confirmed():
    cluster = neighbours()
    want(cluster, "n4", "n5")
    cluster.reconcile()
    for node in ("n1", "n2"):
        lose(cluster, node)
    cluster.settle()
    assert shape(cluster) == {"n4": (2, True), "n5": (2, True)}
    assert len(cluster.holders(WEB)) == 1


@pytest.mark.parametrize("passes", range(3))
def test_a_new_node_that_dies_is_given_up_and_the_old_ones_go_on(passes):
    cluster = neighbours()
    want(cluster, "n4", "n1")
    for _ in range(passes):
        cluster.reconcile()
        cluster.run_nodes()
    if not passes:
        cluster.reconcile()
    forget_about(cluster, "n4")
    for _ in range(10):
        cluster.wait(41)
        one_pass(cluster)
        assert cluster.holders(WEB)
    live = {node: state for node, state in shape(cluster).items() if node != "n4"}
    assert live == {"n1": (1, True), "n2": (1, True)}
    assert shape(cluster)["n4"] == (2, False), "it may be alive: the record stays until it has answered"
    cluster.power_on("n4")
    cluster.set_ready("n4", True)
    cluster.settle()
    assert shape(cluster) == {"n1": (2, True), "n4": (2, True)}


def test_a_new_node_that_does_not_confirm_is_given_up_after_a_minute():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    cluster.reconcile()
    cluster.unreachable.add("n4")
    for _ in range(3):
        cluster.run_nodes()
        cluster.wait(61)
        cluster.reconcile()
    assert shape(cluster)["n1"] == shape(cluster)["n2"] == (1, True)
    assert shape(cluster)["n4"] == (2, False)
    assert instances(cluster)["n4"].peers == ()


@pytest.mark.parametrize("n4", [(2, False), (2, True)])
def test_a_new_node_that_is_not_wanted_any_more_is_dropped(n4):
    cluster = neighbours()
    want(cluster, "n4", "n1")
    while shape(cluster).get("n4") != n4:
        cluster.reconcile()
        if shape(cluster).get("n4") != n4:
            cluster.run_nodes()
    want(cluster, "n1", "n2")
    for _ in range(8):
        one_pass(cluster)
        assert cluster.holders(WEB)
    assert shape(cluster) == {"n1": (1, True), "n2": (1, True)}


@pytest.mark.parametrize("passes", range(1, 4))
def test_a_new_node_that_is_deleted_ends_the_move(passes):
    cluster = neighbours()
    want(cluster, "n4", "n1")
    for _ in range(passes):
        one_pass(cluster)
    lose(cluster, "n4")
    cluster.settle()
    assert ids(cluster) == {1}
    assert len(instances(cluster)) == 2
    assert len(cluster.holders(WEB)) == 1


def test_old_standbys_that_do_not_answer_hold_the_end_up_for_a_minute_only():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    passes_until(cluster, n4=(2, True))
    cluster.unreachable.add("n2")  # its agent is dead, its keepalived lives
    one_pass(cluster)
    cluster.wait(5)
    one_pass(cluster)
    assert shape(cluster)["n1"] == (1, True), "n2 would take over from it"
    cluster.wait(61)
    passes_until(cluster, n1=(1, False))


def test_an_old_node_that_is_cut_off_keeps_its_id_until_it_is_back():
    cluster = neighbours(web=("n1", "n2", "n3"))
    cluster.set_ready("n3", False)  # alive, and cut off from the API server
    cluster.unreachable.add("n3")
    cluster.wait(41)
    want(cluster, "n4", "n1", "n2", count=3)
    for _ in range(4):
        cluster.settle()
        cluster.wait(41)
    assert shape(cluster) == {"n1": (2, True), "n2": (2, True), "n3": (1, False), "n4": (2, True)}
    want(cluster, "n3", count=1, havip=MAIL)
    cluster.reconcile()
    assert "edge.n3" not in desired(cluster.snapshot).vips[MAIL].assignments
    cluster.unreachable.discard("n3")
    cluster.set_ready("n3", True)
    cluster.settle()
    assert "n3" not in instances(cluster)
    assert len(cluster.holders(WEB)) == 1


def test_what_the_user_changes_meanwhile_reaches_the_old_nodes():
    cluster = neighbours()
    want(cluster, "n4", "n1")
    cluster.unreachable.add("n4")
    cluster.reconcile()
    seen = cluster.snapshot.havips[WEB]
    spec = seen.object.spec.model_copy(update={"failback": Failback.IMMEDIATE})
    cluster.put(replace(seen, object=seen.object.model_copy(update={"spec": spec})))
    cluster.reconcile()
    assert {one.failback for one in instances(cluster).values()} == {Failback.IMMEDIATE}

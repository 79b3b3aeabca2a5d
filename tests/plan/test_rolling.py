"""Peers change by rolling: join held, rank, leave by handing over. The reasons stand in `havip.plan.rolling`."""

from __future__ import annotations

from dataclasses import replace

from havip.model.keys import Key
from havip.plan.desired import desired
from havip.testing.builders import a_class, a_havip, a_node, a_node_object, a_snapshot
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")


def instances(cluster):
    """Node -> its instance, as the specs say."""
    return {
        seen.spec.node: one.instance
        for seen in cluster.snapshot.node_objects.values()
        for one in seen.spec.assignments
        if one.instance.havip == WEB
    }


def peers(cluster):
    return {node: {peer.node for peer in one.peers} for node, one in instances(cluster).items()}


def settled(**given):
    cluster = Cluster(a_snapshot(havips=[a_havip()], **given))
    cluster.settle()
    return cluster


def prefer(cluster, *nodes, count=3):
    seen = cluster.snapshot.havips[WEB]
    wish = a_havip(nodes={"preferred": list(nodes), "candidates": count}, generation=seen.metadata.generation + 1)
    cluster.put(replace(wish, object=wish.object.model_copy(update={"status": seen.object.status})))


def outsider(cluster):
    return min(set(cluster.snapshot.nodes) - set(instances(cluster)))


def test_a_fresh_vip_starts_everywhere_at_once_with_all_peers():
    cluster = Cluster(a_snapshot(havips=[a_havip()]))
    cluster.reconcile()
    assert peers(cluster) == {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}}
    assert all(one.eligible for one in instances(cluster).values())
    assert sorted(one.priority for one in instances(cluster).values()) == [169, 199, 209]


def test_a_node_that_joins_is_held_until_the_others_know_it():
    cluster = settled(nodes=4)
    before = set(instances(cluster))
    new = outsider(cluster)
    prefer(cluster, new)
    cluster.reconcile()
    assert instances(cluster)[new].eligible is False
    assert all(new in peers(cluster)[node] for node in before)
    cluster.apply_spec(f"edge.{new}")
    cluster.report(f"edge.{new}")
    cluster.reconcile()
    assert instances(cluster)[new].eligible is False, "the others have not confirmed"
    cluster.run_nodes()
    cluster.reconcile()
    assert instances(cluster)[new].eligible is True


def test_a_node_that_joins_and_hears_nothing_stays_held_and_it_is_said():
    cluster = settled(nodes=4)
    (active,) = cluster.holders(WEB)
    new = outsider(cluster)
    cluster.deaf.add(frozenset((active, new)))
    prefer(cluster, new)
    cluster.settle()
    cluster.wait(5)
    cluster.settle()
    assert instances(cluster)[new].eligible is False
    assert cluster.holders(WEB) == [active]
    said = {one.type: one for one in cluster.snapshot.havips[WEB].object.status.conditions}
    assert said["VrrpBlocked"].status == "True"
    assert new in said["VrrpBlocked"].message


def test_the_preference_is_published_when_the_preferred_node_can_take_over():
    cluster = settled(nodes=4)
    new = outsider(cluster)
    prefer(cluster, new)
    cluster.reconcile()
    assert {one.preferred for node, one in instances(cluster).items() if node != new} == {()}
    cluster.settle()
    assert {one.preferred for one in instances(cluster).values()} == {(new,)}
    assert instances(cluster)[new].priority == 209


def test_a_new_order_is_published_from_the_top():
    cluster = settled(nodes=4)
    (best,) = cluster.holders(WEB)
    nodes = {name: node for name, node in cluster.snapshot.nodes.items() if name != best}
    cluster.power_off(best)
    cluster.snapshot = replace(cluster.snapshot, nodes=nodes)
    cluster.settle()
    ranks = instances(cluster)
    assert max(one.priority for one in ranks.values()) < 209, "nobody moved up: that would be a write for nothing"
    prefer(cluster, *sorted(ranks, key=lambda node: -ranks[node].priority))
    cluster.settle()
    assert sorted(one.priority for one in instances(cluster).values()) == [169, 199, 209]


def test_a_node_that_leaves_hands_over_then_loses_its_instance_then_is_forgotten():
    cluster = settled(nodes=3)
    (active,) = cluster.holders(WEB)
    others = sorted(set(instances(cluster)) - {active})
    prefer(cluster, *others, count=2)
    seen = []
    for _ in range(12):
        cluster.reconcile()
        now = instances(cluster)
        seen.append(
            (active in now, active in now and now[active].eligible, any(active in p for p in peers(cluster).values()))
        )
        cluster.run_nodes()
    order = list(dict.fromkeys(seen))
    assert order == [(True, True, True), (True, False, True), (False, False, True), (False, False, False)]
    assert cluster.holders(WEB) != [active]


def test_nobody_leaves_before_the_one_who_takes_its_place_is_in():
    cluster = settled(nodes=4)
    leaving = instances(cluster)
    new = outsider(cluster)
    prefer(cluster, new)
    cluster.reconcile()
    assert all(instances(cluster)[node].eligible for node in leaving)


def test_an_active_node_that_does_not_confirm_holds_the_join_up():
    cluster = settled(nodes=4)
    (active,) = cluster.holders(WEB)
    cluster.unreachable.add(active)  # its agent is dead, its keepalived lives
    new = outsider(cluster)
    prefer(cluster, new)
    for _ in range(5):
        cluster.reconcile()
        cluster.run_nodes()
        cluster.wait(30)
    assert instances(cluster)[new].eligible is False
    assert cluster.holders(WEB) == [active]


def test_a_silent_standby_holds_the_join_up_for_a_minute_only():
    cluster = settled(nodes=4)
    (active,) = cluster.holders(WEB)
    silent = min(set(instances(cluster)) - {active})
    cluster.unreachable.add(silent)
    new = outsider(cluster)
    prefer(cluster, new)
    cluster.settle()
    assert instances(cluster)[new].eligible is False
    cluster.wait(61)
    cluster.settle()
    assert instances(cluster)[new].eligible is True


def test_a_node_whose_label_goes_is_let_out_at_once():
    of = a_class(nodes={"selector": {"matchLabels": {"edge": "true"}}})
    nodes = [a_node(f"n{n}", labels={"edge": "true"}) for n in range(1, 5)]
    cluster = settled(classes=[of], nodes=nodes, node_objects=[a_node_object(f"n{n}", of=of) for n in range(1, 5)])
    (active,) = cluster.holders(WEB)
    bare = replace(cluster.snapshot.nodes[active], labels={})
    cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, active: bare})
    cluster.reconcile()
    assert instances(cluster)[active].eligible is False
    cluster.settle()
    assert active not in instances(cluster)
    assert f"edge.{active}" not in cluster.snapshot.node_objects
    assert len(cluster.holders(WEB)) == 1
    assert len(instances(cluster)) == 3


def without_label(cluster, node, *, pods):
    """The node leaves the class and its agent ends before it could confirm; `pods`: nodes that have a node pod."""
    bare = replace(cluster.snapshot.nodes[node], labels={})
    nodes = {**cluster.snapshot.nodes, node: bare}
    cluster.power_off(node)
    cluster.snapshot = replace(cluster.snapshot, nodes=nodes, node_pods=frozenset(f"edge.{one}" for one in pods))
    cluster.settle()


def labelled():
    of = a_class(nodes={"selector": {"matchLabels": {"edge": "true"}}})
    nodes = [a_node(f"n{n}", labels={"edge": "true"}) for n in range(1, 5)]
    return settled(classes=[of], nodes=nodes, node_objects=[a_node_object(f"n{n}", of=of) for n in range(1, 5)])


def test_a_node_that_left_is_waited_for_while_its_pod_is_ending():
    cluster = labelled()
    (active,) = cluster.holders(WEB)
    without_label(cluster, active, pods=cluster.snapshot.nodes)
    assert active in instances(cluster)


def test_a_node_that_left_is_out_when_its_pod_is_gone():
    cluster = labelled()
    (active,) = cluster.holders(WEB)
    without_label(cluster, active, pods=set(cluster.snapshot.nodes) - {active})
    assert active not in instances(cluster)
    assert f"edge.{active}" not in cluster.snapshot.node_objects


def test_a_pod_that_is_gone_says_nothing_of_a_node_that_is_not_ready():
    """Its object may have been deleted by force while it runs on."""
    cluster = labelled()
    (active,) = cluster.holders(WEB)
    cluster.set_ready(active, False)
    without_label(cluster, active, pods=set(cluster.snapshot.nodes) - {active})
    assert active in instances(cluster)


def test_a_node_that_left_is_not_forgotten_after_a_minute_while_its_pod_is_listed():
    """Its agent is dead; its keeper may hold the address."""
    cluster = labelled()
    (active,) = cluster.holders(WEB)
    without_label(cluster, active, pods=cluster.snapshot.nodes)
    cluster.wait(61)
    cluster.settle()
    assert active in instances(cluster)
    assert f"edge.{active}" in cluster.snapshot.node_objects


def test_a_node_that_left_is_not_forgotten_after_a_minute_while_its_kubelet_is_not_heard():
    """It was cut off before it could confirm, and is NotReady for less than the time that tells a dead node."""
    cluster = labelled()
    (active,) = cluster.holders(WEB)
    without_label(cluster, active, pods=cluster.snapshot.nodes)
    cluster.wait(35)
    cluster.set_ready(active, False)
    cluster.wait(30)
    cluster.settle()
    assert active in instances(cluster)
    assert f"edge.{active}" in cluster.snapshot.node_objects


def test_a_node_of_the_class_without_a_pod_keeps_what_it_has():
    """Its pod is being replaced."""
    cluster = labelled()
    before = instances(cluster)
    cluster.snapshot = replace(cluster.snapshot, node_pods=frozenset())
    cluster.settle()
    assert instances(cluster) == before


def test_a_node_that_left_is_forgotten_although_it_never_confirmed_its_empty_spec():
    """The HAVipNode may be deleted sooner than its agent can say that nothing runs any more."""
    of = a_class(nodes={"selector": {"matchLabels": {"edge": "true"}}})
    nodes = [a_node(f"n{n}", labels={"edge": "true"}) for n in range(1, 5)]
    cluster = settled(classes=[of], nodes=nodes, node_objects=[a_node_object(f"n{n}", of=of) for n in range(1, 5)])
    gone = min(instances(cluster))
    bare = replace(cluster.snapshot.nodes[gone], labels={})
    cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, gone: bare})
    while gone in instances(cluster):
        cluster.reconcile()
        if gone in instances(cluster):
            cluster.run_nodes()
    cluster.reconcile()
    assert f"edge.{gone}" not in cluster.snapshot.node_objects
    cluster.settle()
    assert all(gone not in named for named in peers(cluster).values())


def test_a_node_that_left_with_its_pod_is_not_waited_for_for_ever():
    of = a_class(nodes={"selector": {"matchLabels": {"edge": "true"}}})
    nodes = [a_node(f"n{n}", labels={"edge": "true"}) for n in range(1, 4)]
    cluster = settled(classes=[of], nodes=nodes, node_objects=[a_node_object(f"n{n}", of=of) for n in range(1, 4)])
    cluster.power_off("n2")  # the DaemonSet controller took the pod away
    bare = replace(cluster.snapshot.nodes["n2"], labels={})
    cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, "n2": bare})
    cluster.settle()
    assert "edge.n2" in cluster.snapshot.node_objects
    cluster.wait(61)
    cluster.settle()
    assert "edge.n2" not in cluster.snapshot.node_objects
    assert peers(cluster) == {"n1": {"n3"}, "n3": {"n1"}}


def test_a_node_that_is_deleted_is_forgotten_and_replaced():
    cluster = settled(nodes=4)
    gone = min(instances(cluster))
    cluster.power_off(gone)
    nodes = {name: node for name, node in cluster.snapshot.nodes.items() if name != gone}
    cluster.snapshot = replace(cluster.snapshot, nodes=nodes)
    cluster.settle()
    assert set(instances(cluster)) == {"n1", "n2", "n3", "n4"} - {gone}
    assert all(gone not in named for named in peers(cluster).values())
    assert all(one.eligible for one in instances(cluster).values())


def test_a_dead_candidate_is_replaced_and_stays_a_peer_until_it_answers():
    cluster = settled(nodes=4)
    new = outsider(cluster)
    (active,) = cluster.holders(WEB)
    dead = min(set(instances(cluster)) - {active})
    cluster.power_off(dead)
    cluster.set_ready(dead, False)
    cluster.wait(301)
    cluster.settle()
    assert instances(cluster)[new].eligible is True
    assert instances(cluster)[dead].eligible is False
    assert all(dead in peers(cluster)[node] for node in instances(cluster) if node != dead)
    cluster.power_on(dead)
    cluster.set_ready(dead, True)
    cluster.settle()
    assert dead not in instances(cluster)
    assert all(dead not in named for named in peers(cluster).values())


def test_five_candidates_can_be_exchanged_for_five_others():
    cluster = Cluster(a_snapshot(nodes=10, havips=[a_havip(nodes={"candidates": 5})]))
    cluster.settle()
    before = set(instances(cluster))
    others = sorted(set(cluster.snapshot.nodes) - before)
    prefer(cluster, *others, count=5)
    for _ in range(60):
        if not cluster.reconcile() and not cluster.run_nodes():
            break
        cluster.run_nodes()
        assert len(cluster.holders(WEB)) == 1
        assert all(len(named) <= 4 for named in peers(cluster).values())
    assert set(instances(cluster)) == set(others)


def test_the_other_vips_of_a_node_are_not_touched():
    havips = [a_havip(), a_havip("mail", address="10.88.0.201")]
    cluster = Cluster(a_snapshot(nodes=4, havips=havips))
    cluster.settle()
    mail = Key("shop", "mail")
    before = desired(cluster.snapshot).vips[mail].assignments
    prefer(cluster, outsider(cluster))
    cluster.settle()
    assert desired(cluster.snapshot).vips[mail].assignments == before


def test_an_address_change_of_a_node_reaches_its_peers():
    cluster = settled()
    seen = cluster.snapshot.node_objects["edge.n2"]
    status = replace(seen.status, interface=replace(seen.status.interface, addresses=("10.88.0.22/24",)))
    cluster.snapshot = replace(
        cluster.snapshot, node_objects={**cluster.snapshot.node_objects, "edge.n2": replace(seen, status=status)}
    )
    cluster.reconcile()
    assert str(instances(cluster)["n2"].source) == "10.88.0.22"
    assert {str(peer.address) for peer in instances(cluster)["n1"].peers} == {"10.88.0.22", "10.88.0.3"}


def test_dual_stack_is_one_instance_elected_over_ipv4():
    plan = desired(a_snapshot(havips=[a_havip(addresses=["fd00:88::c8", "10.88.0.200"])]))
    one = plan.vips[WEB].assignments["edge.n1"].instance
    assert str(one.elected) == "10.88.0.200"
    assert one.source.version == 4
    assert {peer.address.version for peer in one.peers} == {4}


def test_the_active_node_is_told_of_a_new_order_when_the_others_know_it():
    cluster = settled()
    (active,) = cluster.holders(WEB)
    best, third = sorted({"n1", "n2", "n3"} - {active})
    prefer(cluster, best, active, third)
    cluster.reconcile()
    told = instances(cluster)
    assert told[best].preferred == told[third].preferred == (best, active, third)
    assert told[active].preferred == ()
    assert cluster.reconcile() == (), "nobody has confirmed yet"
    cluster.run_nodes()
    cluster.reconcile()
    assert instances(cluster)[active].preferred == (best, active, third)
    cluster.settle()
    assert [one.priority for one in (instances(cluster)[node] for node in (best, active, third))] == [209, 199, 169]


def test_a_node_that_cannot_be_asked_does_not_hold_up_a_new_order():
    cluster = settled()
    (active,) = cluster.holders(WEB)
    best, third = sorted({"n1", "n2", "n3"} - {active})
    cluster.unreachable.add(third)
    prefer(cluster, best, active, third)
    cluster.settle()
    assert instances(cluster)[active].preferred == ()
    cluster.wait(120)
    cluster.settle()
    assert instances(cluster)[active].preferred == (best, active, third)

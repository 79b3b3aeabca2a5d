"""Nodes that die, fall silent or cannot hear each other: what the plan does, and above all what it does not do."""

from __future__ import annotations

from dataclasses import replace

from havip.model.keys import Key
from havip.model.states import State
from havip.plan.change import ApplyNode, DropFinalizer, Kind
from havip.plan.desired import desired
from havip.testing.builders import a_havip, a_snapshot
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")


def settled(**given):
    cluster = Cluster(a_snapshot(havips=[a_havip()], **given))
    cluster.settle()
    return cluster


def status(cluster):
    return cluster.snapshot.havips[WEB].object.status


def said(cluster, kind="Ready"):
    return next(one for one in status(cluster).conditions if one.type == kind)


def state_of(cluster, node):
    return next(one for one in status(cluster).nodes if one.name == node)


def eligible(cluster):
    return {
        seen.spec.node: one.instance.eligible
        for seen in cluster.snapshot.node_objects.values()
        for one in seen.spec.assignments
    }


def fail_over(cluster):
    """The active node loses its power and another takes over; the API server still believes in it."""
    (dead,) = cluster.holders(WEB)
    cluster.power_off(dead)
    cluster.wait(0.3)
    cluster.settle()
    return dead


def test_after_a_power_off_the_status_names_the_new_node_at_once():
    cluster = settled()
    dead = fail_over(cluster)
    assert status(cluster).active_node == cluster.holders(WEB)[0] != dead
    assert (said(cluster).status, said(cluster, "Claimed").status) == ("True", "True")
    assert state_of(cluster, dead).state is State.UNKNOWN
    assert status(cluster).transitions == 1
    assert status(cluster).history[0].from_ == dead


def test_a_power_off_is_not_taken_for_two_holders():
    cluster = settled()
    dead = fail_over(cluster)
    (alive,) = cluster.holders(WEB)
    for _ in range(20):
        cluster.wait(2)
        cluster.settle()
        assert cluster.holders(WEB) == [alive], "the last word of a dead node must not take the address away"
        assert said(cluster, "VrrpBlocked").status == "False"
        assert said(cluster).status == "True"
    assert eligible(cluster)[dead] is False, "it is asked whether it is there"


def test_a_node_that_was_off_is_a_candidate_again_without_the_operator():
    cluster = settled()
    dead = fail_over(cluster)
    cluster.wait(2)
    cluster.settle()
    cluster.set_ready(dead, False)
    cluster.wait(41)
    cluster.settle()
    assert eligible(cluster)[dead] is True


def test_a_node_that_returns_does_not_take_over():
    cluster = settled()
    dead = fail_over(cluster)
    (alive,) = cluster.holders(WEB)
    cluster.wait(5)
    cluster.settle()
    cluster.power_on(dead)
    cluster.settle()
    assert cluster.holders(WEB) == [alive]
    assert all(eligible(cluster).values())
    assert status(cluster).transitions == 1


def test_two_holders_who_cannot_hear_each_other_become_one():
    cluster = settled()
    before = set(cluster.holders(WEB))
    for node in ("n1", "n2", "n3"):
        cluster.deaf.update(frozenset((node, other)) for other in ("n1", "n2", "n3") if other != node)
    cluster.elect()
    assert len(cluster.holders(WEB)) == 3
    cluster.run_nodes()
    cluster.wait(0.3)
    cluster.reconcile()
    assert all(eligible(cluster).values()), "2 x M x A have not passed"
    waited = 0.3
    while len(cluster.holders(WEB)) > 1:
        cluster.wait(0.5)
        waited += 0.5
        cluster.reconcile()
        cluster.run_nodes()
        assert waited < 5
    cluster.wait(2)
    cluster.settle()
    assert sum(eligible(cluster).values()) == 1
    blocked = said(cluster, "VrrpBlocked")
    assert (blocked.status, blocked.reason) == ("True", "VrrpBlocked")
    assert "protocol 112" in blocked.message
    assert status(cluster).active_node in cluster.holders(WEB)
    assert before  # the address never had no holder
    assert [one.reason for one in cluster.events if one.warning] == ["FailedOver", "VrrpBlocked"]


def test_a_held_node_comes_back_when_it_hears_adverts():
    cluster = settled(nodes=2)
    cluster.deaf.add(frozenset(("n1", "n2")))
    cluster.run_nodes()
    for _ in range(4):
        cluster.wait(2)
        cluster.settle()
    assert sorted(eligible(cluster).values()) == [False, True]
    cluster.deaf.clear()
    cluster.settle()
    assert all(eligible(cluster).values())
    assert said(cluster, "VrrpBlocked").status == "False"
    assert len(cluster.holders(WEB)) == 1
    assert cluster.events[-1].reason == "VrrpHealed"


def test_a_held_node_takes_over_when_the_only_eligible_one_dies():
    cluster = settled(nodes=2)
    cluster.deaf.add(frozenset(("n1", "n2")))
    cluster.run_nodes()
    for _ in range(4):
        cluster.wait(2)
        cluster.settle()
    (active,) = cluster.holders(WEB)
    cluster.power_off(active)
    cluster.set_ready(active, False)
    cluster.wait(41)
    cluster.settle()
    assert len(cluster.holders(WEB)) == 1
    assert cluster.holders(WEB) != [active]


def test_a_node_that_is_not_ready_is_shown_as_unknown_with_when_it_was_heard():
    cluster = settled()
    standby = min({"n1", "n2", "n3"} - set(cluster.holders(WEB)))
    cluster.unreachable.add(standby)
    cluster.set_ready(standby, False)
    cluster.settle()
    shown = state_of(cluster, standby)
    assert (shown.state, shown.reason) == (State.UNKNOWN, "NodeNotReady")
    assert shown.last_heard is not None


def test_a_vip_without_a_second_node_is_ready_and_says_that_it_stands_alone():
    cluster = settled(nodes=1)
    assert (said(cluster).status, said(cluster).reason) == ("True", "NoRedundancy")


def test_a_havipnode_that_somebody_deletes_does_not_make_its_node_a_stranger():
    cluster = settled()
    (active,) = cluster.holders(WEB)
    objects = {name: one for name, one in cluster.snapshot.node_objects.items() if name != f"edge.{active}"}
    cluster.snapshot = replace(cluster.snapshot, node_objects=objects)  # the agent goes on with its last spec
    for _ in range(3):
        cluster.reconcile()
        for node in {"n1", "n2", "n3"} - {active}:
            cluster.apply_spec(f"edge.{node}")
            cluster.report(f"edge.{node}")
        cluster.elect()
        assert cluster.holders(WEB) == [active]
    cluster.settle()
    assert len(cluster.holders(WEB)) == 1
    assert eligible(cluster) == {"n1": True, "n2": True, "n3": True}


# -- deletion ---------------------------------------------------------------------------------------------------


def test_a_deleted_vip_goes_when_every_node_has_confirmed():
    cluster = settled()
    cluster.delete(Kind.HAVIP, WEB)
    cluster.reconcile()
    assert WEB in cluster.snapshot.havips
    assert all(one is False for one in eligible(cluster).values())
    cluster.run_nodes()
    assert cluster.holders(WEB) == []
    cluster.settle()
    assert WEB not in cluster.snapshot.havips
    assert eligible(cluster) == {}


def test_a_node_that_does_not_answer_yet_is_waited_for_and_named():
    cluster = settled()
    cluster.unreachable.add("n2")
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert said(cluster).reason == "Releasing"
    assert "n2" in said(cluster).message


def test_a_dead_node_does_not_hang_the_deletion_but_its_address_is_kept_back():
    cluster = settled()
    (dead,) = cluster.holders(WEB)
    cluster.power_off(dead)
    cluster.set_ready(dead, False)
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert WEB in cluster.snapshot.havips
    cluster.wait(41)
    cluster.settle()
    assert WEB not in cluster.snapshot.havips
    assert cluster.events[-1].reason == "Quarantined"
    assert dead in cluster.events[-1].note
    assert set(eligible(cluster)) == {dead}


def test_what_is_kept_back_is_given_to_nobody_until_the_node_is_gone():
    cluster = settled()
    test_id = status(cluster).virtual_router_id
    (dead,) = cluster.holders(WEB)
    cluster.power_off(dead)
    cluster.set_ready(dead, False)
    cluster.wait(41)
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    again = a_havip("again", uid="later")
    other = a_havip("other", uid="other", address="10.88.0.201")
    cluster.put(again)
    cluster.put(other)
    cluster.settle()
    refused = cluster.snapshot.havips[again.metadata.key].object.status.conditions[0]
    assert (refused.status, refused.reason) == ("False", "AddressReleasing")
    assert dead in refused.message
    plan = desired(cluster.snapshot).vips[other.metadata.key]
    assert f"edge.{dead}" not in plan.assignments or plan.virtual_router_id != test_id
    nodes = {name: node for name, node in cluster.snapshot.nodes.items() if name != dead}
    cluster.snapshot = replace(cluster.snapshot, nodes=nodes)
    cluster.settle()
    assert len(cluster.holders(again.metadata.key)) == 1


def test_what_is_kept_back_is_free_when_the_node_has_answered():
    cluster = settled()
    (dead,) = cluster.holders(WEB)
    cluster.unreachable.add(dead)  # alive, and only cut off from the API server
    cluster.set_ready(dead, False)
    cluster.wait(41)
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert cluster.holders(WEB) == [dead], "it cannot know"
    cluster.put(a_havip(uid="second life"))
    cluster.settle()
    assert cluster.holders(WEB) == [dead], "its namesake must not be a second holder"
    cluster.unreachable.clear()
    cluster.set_ready(dead, True)
    cluster.settle()
    assert len(cluster.holders(WEB)) == 1
    assert all(eligible(cluster).values())


def test_the_annotation_overrides_everything():
    cluster = settled()
    cluster.unreachable.add("n2")
    cluster.put(a_havip(annotations={"havip.dev/release-anyway": "true"}))
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert WEB not in cluster.snapshot.havips
    assert eligible(cluster) == {}


def test_a_havip_whose_finalizer_was_torn_off_is_released_all_the_same():
    cluster = settled()
    cluster.snapshot = replace(cluster.snapshot, havips={})
    cluster.settle()
    assert cluster.holders(WEB) == []
    assert eligible(cluster) == {}


# -- uninstall --------------------------------------------------------------------------------------------------


def test_uninstalling_empties_the_nodes_waits_and_leaves_nothing_behind():
    cluster = settled()
    cluster.snapshot = replace(cluster.snapshot, uninstalling=True)
    first = cluster.reconcile()
    assert any(isinstance(change, ApplyNode) for change in first)
    assert not any(isinstance(change, DropFinalizer) for change in first)
    assert cluster.snapshot.daemon_sets, "the pods must live until they have given the address up"
    cluster.settle()
    assert cluster.holders(WEB) == []
    assert cluster.snapshot.node_objects == {}
    assert cluster.snapshot.daemon_sets == {}
    kept = (*cluster.snapshot.havips.values(), *cluster.snapshot.classes.values())
    assert all(one.metadata.finalizers == () for one in kept)


def test_uninstalling_makes_nothing():
    cluster = Cluster(a_snapshot(havips=[a_havip(finalizers=())], node_objects=[], uninstalling=True))
    cluster.settle()
    made = {type(change).__name__ for change in cluster.writes}
    assert made <= {"WriteStatus", "DropFinalizer", "Emit"}


# -- the operator itself ----------------------------------------------------------------------------------------


def test_the_operator_may_die_after_any_change_and_the_next_one_ends_at_the_same_place():
    whole = Cluster(a_snapshot(havips=[a_havip(finalizers=())], node_objects=[]))
    whole.settle()
    for stop_after in range(1, 8):
        cluster = Cluster(a_snapshot(havips=[a_havip(finalizers=())], node_objects=[]))
        for _ in range(60):
            if not cluster.reconcile(stop_after=stop_after) and not cluster.run_nodes():
                break
            cluster.run_nodes()
        assert eligible(cluster) == eligible(whole)
        assert len(cluster.holders(WEB)) == 1
        assert said(cluster).status == "True"
        assert cluster.plan() == ()


def test_a_restart_writes_nothing():
    cluster = settled()
    cluster.wait(3600)
    assert cluster.plan() == ()

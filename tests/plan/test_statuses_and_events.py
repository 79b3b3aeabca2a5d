"""What people read: true, still while nothing happens, and said once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from havip.api.v1alpha1 import HAVipStatus
from havip.model.keys import Key
from havip.model.refusal import LeftOut
from havip.model.states import State
from havip.plan.change import ApplyNode, Emit, WriteStatus
from havip.plan.desired import desired
from havip.testing.builders import NOW, a_class, a_frontend, a_havip, a_pool, a_report, a_snapshot
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


def report(cluster, node, *vips, **changed):
    """The node's agent writes this status."""
    name = f"edge.{node}"
    seen = cluster.snapshot.node_objects[name]
    new = replace(seen.status, vips=tuple(vips) or seen.status.vips, **changed)
    seen = replace(seen, status=new, status_written=cluster.snapshot.now)
    cluster.snapshot = replace(cluster.snapshot, node_objects={**cluster.snapshot.node_objects, name: seen})


def vip(cluster, state, **given):
    return a_report(virtual_router_id=status(cluster).virtual_router_id, state=state, **given)


def test_planning_twice_says_the_same():
    cluster = settled()
    assert desired(cluster.snapshot) == desired(cluster.snapshot)


def test_statuses_survive_the_api_server_word_for_word():
    cluster = settled()
    assert HAVipStatus.model_validate(status(cluster).to_json()) == status(cluster)


def test_time_alone_writes_nothing():
    cluster = settled()
    for _ in range(5):
        cluster.wait(timedelta(days=1).total_seconds())
        assert cluster.plan() == ()


def test_a_condition_remembers_since_when():
    cluster = settled()
    before = said(cluster).last_transition_time
    cluster.wait(60)
    cluster.put(a_class(addressRanges=["10.88.0.192/26", "10.99.0.0/24"]))
    cluster.settle()
    assert said(cluster).last_transition_time == before
    cluster.put(a_class(addressRanges=["10.99.0.0/24"]))
    cluster.settle()
    assert said(cluster).last_transition_time != before


def test_a_vip_is_activated_once_and_it_is_said_once():
    cluster = settled()
    assert [one.reason for one in cluster.events] == ["Activated"]
    for _ in range(3):
        cluster.wait(10)
        cluster.settle()
    assert len(cluster.events) == 1


def test_a_fail_over_is_in_the_history_with_its_duration_and_in_one_event():
    cluster = settled()
    (old,) = cluster.holders(WEB)
    new = min({"n1", "n2", "n3"} - {old})
    cluster.wait(100)
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now, outage_ms=287))
    cluster.reconcile()
    last = status(cluster).history[0]
    assert (last.from_, last.to, last.duration_milliseconds, last.reason) == (old, new, 287, "NotHeard")
    assert status(cluster).transitions == 1
    assert cluster.events[-1].reason == "FailedOver"
    assert "287 ms" in cluster.events[-1].note
    assert cluster.events[-1].warning


def test_the_reason_of_the_old_node_is_the_reason_of_the_fail_over():
    cluster = settled()
    (old,) = cluster.holders(WEB)
    new = min({"n1", "n2", "n3"} - {old})
    report(cluster, old, vip(cluster, State.FAULT, reason="TrackFailed"))
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now, outage_ms=12))
    cluster.reconcile()
    assert status(cluster).history[0].reason == "TrackFailed"


def test_a_hand_over_in_order_is_a_planned_switch():
    cluster = settled()
    (old,) = cluster.holders(WEB)
    new = min({"n1", "n2", "n3"} - {old})
    report(cluster, old, vip(cluster, State.ACTIVE, reason="HandingOver"))
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now))
    cluster.reconcile()
    assert cluster.events[-1].reason == "PlannedSwitch"
    assert not cluster.events[-1].warning


def test_a_better_candidate_that_takes_over_outranks():
    cluster = settled()
    (old,) = cluster.holders(WEB)
    new = min({"n1", "n2", "n3"} - {old})
    report(cluster, old, vip(cluster, State.STANDBY))
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now))
    cluster.reconcile()
    assert cluster.events[-1].reason == "Outranked"
    assert not cluster.events[-1].warning


def test_a_node_whose_keeper_died_was_not_switched_away_from_as_ordered():
    cluster = settled()
    (old,) = cluster.holders(WEB)
    new = min({"n1", "n2", "n3"} - {old})
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now))
    cluster.reconcile()
    assert cluster.events[-1].reason == "FailedOver"
    assert cluster.events[-1].warning


def test_the_history_keeps_ten():
    cluster = settled()
    for turn in range(25):
        active, idle = ("n1", "n2") if turn % 2 else ("n2", "n1")
        cluster.wait(1)
        report(cluster, idle, vip(cluster, State.STANDBY))
        report(cluster, active, vip(cluster, State.ACTIVE, since=cluster.snapshot.now))
        cluster.reconcile()
    assert len(status(cluster).history) == 10
    assert status(cluster).transitions in (24, 25)
    assert status(cluster).history[0].to == "n2"


def test_the_node_before_is_known_even_after_a_time_without_any():
    cluster = settled()
    (old,) = cluster.holders(WEB)
    new = min({"n1", "n2", "n3"} - {old})
    report(cluster, old, vip(cluster, State.FAULT, reason="LinkDown"))
    cluster.reconcile()
    assert status(cluster).active_node is None
    assert (said(cluster).status, said(cluster, "Claimed").status) == ("False", "False")
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now, outage_ms=900))
    cluster.reconcile()
    assert (status(cluster).history[0].from_, status(cluster).history[0].to) == (old, new)


def test_a_hand_over_in_the_making_is_not_a_split_brain():
    cluster = settled()
    new = min({"n1", "n2", "n3"} - set(cluster.holders(WEB)))
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now))
    cluster.reconcile()
    assert (said(cluster).status, status(cluster).active_node) == ("True", new)


def test_two_who_hear_each_other_and_both_stay_are_a_split_brain():
    cluster = settled()
    (old,) = cluster.holders(WEB)
    new = min({"n1", "n2", "n3"} - {old})
    report(cluster, old, vip(cluster, State.ACTIVE, heard=[new]))
    report(cluster, new, vip(cluster, State.ACTIVE, since=cluster.snapshot.now, heard=[old]))
    cluster.wait(3)
    planned = cluster.reconcile()
    assert not any(isinstance(change, ApplyNode) for change in planned), "the election settles that"
    assert (said(cluster).reason, said(cluster, "Claimed").reason) == ("SplitBrain", "SplitBrain")
    assert status(cluster).active_node is None
    assert cluster.events[-1].reason == "SplitBrain"


def test_an_edit_of_a_working_vip_does_not_flicker_and_waiting_tools_wait():
    cluster = Cluster(a_snapshot(havips=[a_havip()], pools=[a_pool()]))
    cluster.settle()
    before = status(cluster)
    edited = a_havip(frontends=[a_frontend()], generation=2)
    cluster.put(replace(edited, object=edited.object.model_copy(update={"status": before})))
    cluster.reconcile()
    assert status(cluster) == before, "nothing is said of generation 2 before it is applied"
    cluster.settle()
    assert status(cluster).observed_generation == 2
    ready = [
        change.status["conditions"][0]["status"]
        for change in cluster.writes
        if isinstance(change, WriteStatus) and change.key == WEB and change.kind == "HAVip"
    ]
    assert ready == ["False", "True", "True"]


def test_another_vip_on_the_same_node_does_not_touch_this_one():
    cluster = settled()
    before = status(cluster)
    cluster.put(a_havip("mail", address="10.88.0.201"))
    for _ in range(6):
        cluster.reconcile()
        assert status(cluster) == before
        cluster.run_nodes()


def test_a_node_that_never_confirms_an_edit_is_named_after_a_minute():
    cluster = Cluster(a_snapshot(havips=[a_havip()], pools=[a_pool()]))
    cluster.settle()
    (active,) = cluster.holders(WEB)
    cluster.unreachable.add(active)
    edited = a_havip(frontends=[a_frontend()], generation=2)
    cluster.put(replace(edited, object=edited.object.model_copy(update={"status": status(cluster)})))
    cluster.settle()
    assert status(cluster).observed_generation == 1
    cluster.wait(61)
    cluster.settle()
    assert (said(cluster).status, said(cluster).reason) == ("False", "NotApplied")
    assert active in said(cluster).message


def test_what_a_node_left_out_is_said_on_that_havip():
    cluster = settled()
    (active,) = cluster.holders(WEB)
    out = LeftOut("shop/web", "PortInUse", "frontends[0].port", "443 is taken by another process")
    report(cluster, active, left_out=(out,))
    cluster.reconcile()
    assert (said(cluster).status, said(cluster).reason) == ("False", "PortInUse")
    assert f"{active}: frontends[0].port: 443 is taken" in said(cluster).message


def test_a_refusal_is_an_event_once():
    cluster = Cluster(a_snapshot(havips=[a_havip(address="10.99.0.1")]))
    cluster.settle()
    cluster.wait(600)
    cluster.settle()
    assert [one.reason for one in cluster.events] == ["AddressOutsideRanges"]
    assert cluster.events[0].warning


def test_a_long_refusal_fits_into_an_event():
    of = a_class(reservedPorts=list(range(1, 17)))
    cluster = Cluster(a_snapshot(classes=[of], havips=[a_havip(frontends=[a_frontend(port) for port in range(1, 17)])]))
    cluster.settle()
    assert len(said(cluster).message) > 1024
    assert all(len(one.note.encode()) <= 1024 for one in cluster.events)


def test_a_class_counts_its_nodes_and_vips():
    cluster = settled()
    of = cluster.snapshot.classes["edge"].object.status
    assert (of.nodes, of.vips, of.in_use_by) == (3, 1, ("shop/web",))
    assert (of.conditions[0].status, of.conditions[0].reason) == ("True", "NodesReporting")


def test_a_preferred_node_that_is_not_there_is_named_and_harms_nothing():
    cluster = Cluster(a_snapshot(havips=[a_havip(nodes={"preferred": ["n9", "n2"]})]))
    cluster.settle()
    ready = status(cluster).conditions[0]
    assert ready.status == "True"
    assert ready.message.endswith("; spec.nodes.preferred: n9 is no node of the class")


def test_a_class_says_which_of_its_nodes_are_not_ready():
    cluster = settled()
    for name in ("n2", "n3"):
        cluster.power_off(name)
        cluster.set_ready(name, False)
    cluster.settle()
    assert (
        cluster.snapshot.classes["edge"].object.status.conditions[0].message == "1 of 3 nodes report; NotReady: n2, n3"
    )


def test_a_class_names_the_nodes_that_do_not_report():
    cluster = Cluster(a_snapshot(node_objects=[]))
    cluster.unreachable.add("n2")
    cluster.settle()
    ready = cluster.snapshot.classes["edge"].object.status.conditions[0]
    assert (ready.status, ready.reason) == ("False", "NodesNotReporting")
    assert "n2" in ready.message


def test_a_class_without_nodes_says_so():
    ready = desired(a_snapshot(nodes=0)).class_statuses["edge"].conditions[0]
    assert (ready.status, ready.reason) == ("False", "NoNodes")


def test_no_event_is_made_of_a_status_that_did_not_change():
    cluster = settled()
    assert not any(isinstance(change, Emit) for change in cluster.plan())
    assert cluster.snapshot.now == NOW

"""Which class a HAVip is of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from havip.model.keys import Key
from havip.plan.change import DropFinalizer, Kind, WriteStatus
from havip.plan.changes import changes
from havip.plan.desired import desired
from havip.testing.builders import NOW, a_class, a_havip, a_snapshot
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")


def ready(snapshot, key=WEB):
    return next(one for one in desired(snapshot).havip_statuses[key].conditions if one.type == "Ready")


def test_a_havip_that_names_no_class_gets_the_default_one():
    snapshot = a_snapshot(classes=[a_class(default=True), a_class("other")], havips=[a_havip(class_name=None)])
    assert desired(snapshot).havip_statuses[WEB].class_name == "edge"


def test_without_a_default_class_it_is_told_what_would_be_accepted():
    said = ready(a_snapshot(havips=[a_havip(class_name=None)]))
    assert (said.status, said.reason) == ("False", "NoClass")
    assert "spec.className" in said.message
    assert "havip.dev/is-default-class" in said.message


def test_of_two_default_classes_neither_is_used():
    snapshot = a_snapshot(
        classes=[a_class(default=True), a_class("other", default=True)], havips=[a_havip(class_name=None)]
    )
    said = ready(snapshot)
    assert (said.reason, desired(snapshot).havip_statuses[WEB].class_name) == ("TwoDefaultClasses", None)
    assert "edge, other" in said.message


def test_two_default_classes_say_so_themselves():
    statuses = desired(a_snapshot(classes=[a_class(default=True), a_class("other", default=True)])).class_statuses
    for name, other in (("edge", "other"), ("other", "edge")):
        said = next(one for one in statuses[name].conditions if one.type == "Default")
        assert (said.status, said.reason) == ("False", "TwoDefaultClasses")
        assert other in said.message


def test_a_default_class_that_comes_later_takes_nobody_over():
    snapshot = a_snapshot(
        classes=[a_class(), a_class("new", default=True)],
        havips=[a_havip(class_name=None, status={"className": "edge"})],
    )
    assert desired(snapshot).vips[WEB].verdict.class_name == "edge"


def test_a_wiped_status_does_not_change_the_class():
    cluster = Cluster(a_snapshot(classes=[a_class(default=True), a_class("new")], havips=[a_havip(class_name=None)]))
    cluster.settle()
    cluster.put(a_havip(class_name=None))  # as it was, with an empty status
    cluster.put(a_class(default=False))
    cluster.put(a_class("new", default=True))
    assert desired(cluster.snapshot).vips[WEB].verdict.class_name == "edge"


def test_an_unknown_class_is_refused_with_the_names_there_are():
    said = ready(a_snapshot(havips=[a_havip(class_name="egde")]))
    assert (said.reason, said.status) == ("ClassNotFound", "False")
    assert '"egde"' in said.message
    assert "accepted would be: edge" in said.message


def test_a_class_in_use_that_is_deleted_stays_and_says_who_uses_it():
    cluster = Cluster(a_snapshot(havips=[a_havip()]))
    cluster.settle()
    cluster.delete(Kind.CLASS, Key("", "edge"))
    cluster.settle()
    said = next(one for one in cluster.snapshot.classes["edge"].object.status.conditions if one.type == "InUse")
    assert (said.status, said.reason) == ("True", "InUse")
    assert "shop/web" in said.message
    assert cluster.holders(WEB) != []


def test_a_class_that_is_being_deleted_takes_no_new_havips():
    said = ready(a_snapshot(classes=[a_class(deleting=NOW)], havips=[a_havip()]))
    assert said.reason == "ClassDeleted"


def test_a_deleted_class_goes_when_its_last_havip_has_gone():
    cluster = Cluster(a_snapshot(havips=[a_havip()]))
    cluster.settle()
    cluster.delete(Kind.CLASS, Key("", "edge"))
    cluster.settle()
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert cluster.snapshot.classes == {}
    assert cluster.snapshot.node_objects == {}
    assert cluster.snapshot.daemon_sets == {}


def test_a_class_that_disappears_by_force_leaves_its_vips_running():
    cluster = Cluster(a_snapshot(havips=[a_havip()]))
    cluster.settle()
    before = cluster.snapshot.node_objects
    cluster.snapshot = replace(cluster.snapshot, classes={})
    planned = cluster.plan()
    assert not any(type(change).__name__ in ("ApplyNode", "DeleteNode") for change in planned)
    assert cluster.snapshot.node_objects == before
    assert any(isinstance(change, WriteStatus) and change.key == WEB for change in planned)


def test_every_live_class_gets_our_finalizer_before_anything_else():
    fresh = a_class()
    snapshot = a_snapshot(classes=[replace(fresh, metadata=replace(fresh.metadata, finalizers=()))], node_objects=[])
    planned = changes(snapshot, desired(snapshot))
    assert type(planned[0]).__name__ == "HoldFinalizer"
    assert not any(isinstance(change, DropFinalizer) for change in planned)


def test_nodes_with_taints_nobody_tolerates_are_not_of_the_class():
    from havip.testing.builders import a_node

    tainted = a_node("n4", taints=[("node-role.kubernetes.io/control-plane", "", "NoSchedule")])
    snapshot = a_snapshot(nodes=[a_node("n1"), a_node("n2"), tainted], node_objects=[])
    assert set(desired(snapshot).node_specs) == {"edge.n1", "edge.n2"}
    tolerating = a_class(
        nodes={"tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]}
    )
    snapshot = replace(snapshot, classes={"edge": tolerating})
    assert set(desired(snapshot).node_specs) == {"edge.n1", "edge.n2", "edge.n4"}


def test_cordoning_a_node_changes_nothing():
    cluster = Cluster(a_snapshot(havips=[a_havip()]))
    cluster.settle()
    node = replace(cluster.snapshot.nodes["n1"], taints=(("node.kubernetes.io/unschedulable", "", "NoSchedule"),))
    cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, "n1": node})
    cluster.wait(timedelta(hours=1).total_seconds())
    assert cluster.plan() == ()

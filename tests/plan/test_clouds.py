"""What a class wants of its cloud, and what a HAVip says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from havip.api.v1alpha1 import ConditionStatus
from havip.model.keys import Key
from havip.plan.change import ApplyNode, DeleteNode, Kind
from havip.plan.cloud_report import CloudReport, SeenAt, Trouble
from havip.plan.desired import desired
from havip.testing.builders import a_class, a_frontend, a_havip, a_node, a_node_object, a_pool, a_snapshot
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")
HUAWEI = {"region": "eu-west-101", "projectId": "p", "networkId": "n", "subnetId": "s"}


def a_cloudy_class(name="edge", **spec):
    return a_class(name, provider="Huawei", huawei=HUAWEI, **spec)


def a_cluster(*havips, classes=None, **given):
    snapshot = a_snapshot(classes=classes or [a_cloudy_class()], havips=havips or [a_havip()], **given)
    cluster = Cluster(replace(snapshot, cluster="0b4c"))
    cluster.settle()
    return cluster


def wish(cluster, name="edge"):
    return desired(cluster.snapshot).clouds[name]


def report(cluster, **said):
    """The cloud says this of what is wanted now."""
    said = {"looked": True, **said}
    told = CloudReport(wish(cluster).wanted, **said)
    cluster.snapshot = replace(cluster.snapshot, clouds={"edge": told})
    cluster.settle()


def condition(cluster, kind, key=WEB):
    return next(one for one in cluster.snapshot.havips[key].object.status.conditions if one.type == kind)


def test_a_class_of_plain_layer_two_wants_nothing():
    assert desired(Cluster(a_snapshot(havips=[a_havip()])).snapshot).clouds == {}


def test_a_class_wants_its_vips_with_candidates_ports_and_the_nodes_own_addresses():
    cluster = a_cluster(a_havip(frontends=[a_frontend(443)]), pools=[a_pool()])
    found = wish(cluster)
    (vip,) = found.wanted.vips
    assert (found.provider, found.wanted.owner.cluster, found.wanted.owner.class_name) == ("Huawei", "0b4c", "edge")
    assert (vip.havip, vip.candidates, vip.ports) == (WEB, ("n1", "n2", "n3"), (("TCP", 443),))
    assert [node.name for node in found.wanted.nodes] == ["n1", "n2", "n3"]
    assert all(node.addresses for node in found.wanted.nodes)
    assert found.wanted.settings.project_id == "p"


def test_the_wish_is_the_same_while_nothing_changes_whoever_is_active():
    cluster = a_cluster()
    before = wish(cluster)
    (active,) = cluster.holders(WEB)
    cluster.power_off(active)
    cluster.settle()
    assert cluster.holders(WEB) != [active]
    assert wish(cluster) == before, "a failover is no reason to call a cloud"


def test_a_vip_is_ready_only_when_the_cloud_carries_it():
    cluster = a_cluster()
    assert condition(cluster, "Ready").status is ConditionStatus.FALSE
    assert condition(cluster, "Programmed").reason == "Programming"
    report(cluster)
    assert condition(cluster, "Programmed").status is ConditionStatus.TRUE
    assert condition(cluster, "Ready").status is ConditionStatus.TRUE


def test_what_blocks_one_vip_is_said_there():
    other = a_havip("other", addresses=["10.88.0.251"])
    cluster = a_cluster(a_havip(), other)
    report(cluster, blocked={WEB: Trouble("NotProgrammable", "spec.addresses: 10.88.0.250 is taken")})
    assert condition(cluster, "Programmed").reason == "NotProgrammable"
    assert "Huawei: spec.addresses: 10.88.0.250 is taken" in condition(cluster, "Ready").message
    assert condition(cluster, "Ready", Key("shop", "other")).status is ConditionStatus.TRUE


def test_trouble_later_takes_nothing_from_a_vip_that_works():
    cluster = a_cluster()
    report(cluster)
    report(cluster, looked=False, trouble=Trouble("Throttled", "too many calls"))
    assert condition(cluster, "Ready").status is ConditionStatus.TRUE
    said = next(one for one in cluster.snapshot.classes["edge"].object.status.conditions if one.type == "Ready")
    assert (said.reason, said.message) == ("Throttled", "Huawei: too many calls")


def test_a_deleted_havip_is_wanted_no_more_and_goes_when_the_cloud_has_given_it_back():
    cluster = a_cluster()
    report(cluster)
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert wish(cluster).wanted.vips == ()
    assert WEB in cluster.snapshot.havips, "the cloud still has it"
    assert condition(cluster, "Ready").message.endswith("; waiting until Huawei has nothing of it any more")
    report(cluster, pending=frozenset({WEB}), trouble=Trouble("Throttled", "too many calls"))
    assert WEB in cluster.snapshot.havips
    said = condition(cluster, "Ready").message
    assert "Huawei has nothing of it any more, but: too many calls; annotate it with havip.dev/release-anyway" in said
    report(cluster)
    assert WEB not in cluster.snapshot.havips


def test_a_deleted_havip_says_when_its_cloud_cannot_be_asked():
    cluster = a_cluster(classes=[a_cloudy_class(credentials_secret="key")])  # noqa: S106 - a name
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert WEB in cluster.snapshot.havips
    assert "the operator may not read the Secret key; name it in the chart" in condition(cluster, "Ready").message


def test_a_havip_that_may_go_anyway_does_not_wait_for_the_cloud():
    cluster = a_cluster()
    cluster.delete(Kind.HAVIP, WEB)
    seen = cluster.snapshot.havips[WEB]
    metadata = replace(seen.metadata, annotations={"havip.dev/release-anyway": "true"})
    cluster.snapshot = replace(cluster.snapshot, havips={WEB: replace(seen, metadata=metadata)})
    cluster.settle()
    assert WEB not in cluster.snapshot.havips


def test_a_class_goes_when_its_cloud_has_nothing_of_it_left():
    cluster = a_cluster()
    report(cluster)
    cluster.delete(Kind.CLASS, Key("", "edge"))
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert "edge" in cluster.snapshot.classes
    report(cluster)
    assert WEB not in cluster.snapshot.havips
    assert "edge" not in cluster.snapshot.classes


@pytest.mark.parametrize("left", [{"unnamed": True}, {"pending": frozenset({Key("shop", "other")})}])
def test_a_class_waits_for_what_is_left_in_its_cloud_whoever_it_is_for(left):
    cluster = a_cluster()
    cluster.delete(Kind.CLASS, Key("", "edge"))
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    report(cluster, **left)
    assert "edge" in cluster.snapshot.classes
    report(cluster)
    assert "edge" not in cluster.snapshot.classes


def test_a_deleted_class_that_may_go_anyway_does_not_wait_for_its_cloud_and_says_how():
    cluster = a_cluster(classes=[a_cloudy_class(credentialsSecret="key")])
    cluster.delete(Kind.CLASS, Key("", "edge"))
    cluster.delete(Kind.HAVIP, WEB)
    anyway = {"havip.dev/release-anyway": "true"}
    seen = cluster.snapshot.havips[WEB]
    gone = replace(seen, metadata=replace(seen.metadata, annotations=anyway))
    cluster.snapshot = replace(cluster.snapshot, havips={WEB: gone})
    cluster.settle()
    of = cluster.snapshot.classes["edge"]
    said = next(one for one in of.object.status.conditions if one.type == "Ready").message
    assert said.endswith("annotate it with havip.dev/release-anyway=true to leave the cloud as it is")
    of = replace(of, metadata=replace(of.metadata, annotations=anyway))
    cluster.snapshot = replace(cluster.snapshot, classes={"edge": of})
    cluster.settle()
    assert cluster.snapshot.classes == {}


def test_a_vip_without_a_node_keeps_what_it_has_in_the_cloud():
    """All nodes of a class may be away for a night; the address must not become somebody else's."""
    cluster = a_cluster()
    report(cluster)
    cluster.snapshot = replace(cluster.snapshot, nodes={})
    cluster.settle()
    cluster.wait(600)
    cluster.settle()
    assert (wish(cluster).wanted.vips, wish(cluster).wanted.kept) == ((), {WEB})
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert wish(cluster).wanted.kept == frozenset()


def test_what_an_unreadable_node_object_has_on_record_is_neither_overwritten_nor_given_back():
    """An operator stepped back by a version reads its successor's objects."""
    cluster = a_cluster()
    report(cluster)
    objects = dict(cluster.snapshot.node_objects)
    del objects["edge.n1"]
    cluster.snapshot = replace(cluster.snapshot, node_objects=objects, unreadable_nodes=frozenset({"edge.n1"}))
    assert not [one for one in cluster.plan() if isinstance(one, (ApplyNode, DeleteNode))]
    assert (wish(cluster).wanted.vips, wish(cluster).wanted.kept) == ((), {WEB})
    cluster.snapshot = replace(cluster.snapshot, unreadable_nodes=frozenset({"other.n1"}))
    assert [one.name for one in cluster.plan() if isinstance(one, ApplyNode)] == ["edge.n1"]


def test_a_node_on_its_way_out_is_a_candidate_that_the_cloud_need_not_know():
    nodes = [a_node(f"n{number}") for number in range(1, 5)]
    cluster = a_cluster(nodes=nodes, node_objects=[a_node_object(f"n{number}") for number in range(1, 5)])
    (vip,) = wish(cluster).wanted.vips
    assert vip.leaving == ()
    (active,) = cluster.holders(WEB)
    cluster.power_off(active)
    cluster.set_ready(active, False)
    cluster.settle()
    cluster.wait(301)
    cluster.settle()
    (vip,) = wish(cluster).wanted.vips
    assert vip.leaving == (active,)
    assert len(set(vip.candidates) - {active}) == 3


def test_a_changed_vip_that_the_cloud_refuses_is_not_said_to_be_carried():
    cluster = a_cluster(a_havip(frontends=[a_frontend(443)]), pools=[a_pool()])
    (before,) = wish(cluster).wanted.vips
    report(cluster, carried={WEB: before})
    assert condition(cluster, "Programmed").status is ConditionStatus.TRUE
    trouble = Trouble("RefusedByCloud", "no more rules")
    older = replace(before, candidates=("n1",))
    report(cluster, looked=False, carried={WEB: older}, trouble=trouble)
    assert condition(cluster, "Programmed").status is ConditionStatus.TRUE, "which nodes hold it is no wish of a user"
    older = replace(before, ports=(("TCP", 80),))
    report(cluster, looked=False, carried={WEB: older}, trouble=trouble)
    assert condition(cluster, "Programmed").reason == "RefusedByCloud"
    seen = cluster.snapshot.havips[WEB]
    newer = replace(seen, metadata=replace(seen.metadata, generation=2))
    cluster.snapshot = replace(cluster.snapshot, havips={WEB: newer})
    cluster.settle()
    ready = condition(cluster, "Ready")
    assert (ready.status, ready.observed_generation) == (ConditionStatus.TRUE, 1), "what was there before goes on"


def test_a_havip_that_cannot_be_read_keeps_what_it_has_in_the_cloud():
    cluster = a_cluster()
    cluster.snapshot = replace(cluster.snapshot, havips={}, unreadable=frozenset({WEB}))
    assert wish(cluster).wanted.kept == {WEB}


def test_a_secret_that_the_chart_does_not_name_is_not_read_and_both_say_so():
    cluster = a_cluster(classes=[a_cloudy_class(credentialsSecret="of-the-cloud")])
    assert desired(cluster.snapshot).clouds == {}
    assert condition(cluster, "Programmed").reason == "CredentialsNotAllowed"
    assert "credentialSecrets" in condition(cluster, "Ready").message
    cluster.snapshot = replace(cluster.snapshot, credential_secrets=("of-the-cloud",))
    assert wish(cluster).secret in cluster.snapshot.credential_secrets


@pytest.mark.parametrize("nodes", [3, 5])
def test_only_candidates_are_named(nodes):
    names = [f"n{number}" for number in range(1, nodes + 1)]
    cluster = a_cluster(nodes=[a_node(name) for name in names], node_objects=[a_node_object(name) for name in names])
    (vip,) = wish(cluster).wanted.vips
    assert len(vip.candidates) == 3
    assert [node.name for node in wish(cluster).wanted.nodes] == list(vip.candidates)


def test_nodes_of_a_class_whose_cloud_probes_get_a_port_of_the_havip():
    azure = {
        "subscriptionId": "00000000-0000-0000-0000-000000000000",
        "resourceGroup": "group",
        "loadBalancer": {"name": "vips"},
    }
    of = a_class("edge", provider="Azure", azure=azure)
    cluster = a_cluster(a_havip(), a_havip("other", addresses=["10.88.0.251"]), classes=[of])
    ports = {
        one.instance.havip: one.instance.probe.port
        for seen in cluster.snapshot.node_objects.values()
        for one in seen.spec.assignments
    }
    assert sorted(ports.values()) == [59_998, 59_999]
    assert {vip.havip: vip.probe_port for vip in wish(cluster).wanted.vips} == ports
    before = cluster.snapshot.node_objects
    assert cluster.plan() == ()
    cluster.settle()
    assert cluster.snapshot.node_objects == before


def test_a_public_address_that_the_class_does_not_name_is_refused():
    cluster = a_cluster(a_havip(publicIp="eip-of-somebody"), classes=[a_cloudy_class(publicIps=["eip-1"])])
    said = condition(cluster, "Ready")
    assert (said.reason, "eip-of-somebody" in said.message, "eip-1" in said.message) == (
        "PublicIpNotAllowed",
        True,
        True,
    )
    assert wish(cluster).wanted.vips == ()


def test_a_public_address_that_the_class_names_is_wanted():
    cluster = a_cluster(a_havip(publicIp="eip-1"), classes=[a_cloudy_class(publicIps=["eip-1"])])
    (vip,) = wish(cluster).wanted.vips
    assert vip.public_ip == "eip-1"


# What a cloud that learns by announcements shows


def assigned(cluster):
    return [
        record.instance.announce for seen in cluster.snapshot.node_objects.values() for record in seen.spec.assignments
    ]


def test_the_active_node_is_told_to_announce_again_and_a_later_report_takes_nothing_back():
    cluster = a_cluster()
    assert set(assigned(cluster)) == {0}
    report(cluster, announce={WEB: 1_790_000_000})
    assert set(assigned(cluster)) == {1_790_000_000}
    report(cluster)
    assert set(assigned(cluster)) == {1_790_000_000}


def moved_cluster():
    """A VIP that has just moved, and the node it is on."""
    cluster = a_cluster()
    report(cluster)
    (before,) = cluster.holders(WEB)
    cluster.power_off(before)
    cluster.settle()
    (active,) = cluster.holders(WEB)
    return cluster, before, active


def shown(cluster, node, *, transitions=1):
    return {WEB: SeenAt(node, f"ins-{node}", "2026-11-26 10:34:58", transitions)}


def status(cluster):
    return cluster.snapshot.havips[WEB].object.status


def test_what_the_cloud_says_of_a_failover_stands_beside_our_own_measurement():
    cluster, before, active = moved_cluster()
    report(cluster, shown=shown(cluster, active))
    last = status(cluster).history[0]
    assert [one.reason for one in cluster.events].count("FailedOver") == 1, "it is no other failover"
    assert (last.from_, last.to) == (before, active)
    assert (last.cloud_instance, last.cloud_since) == (f"ins-{active}", "2026-11-26 10:34:58")
    assert condition(cluster, "Programmed").status is ConditionStatus.TRUE


def test_what_it_said_before_the_failover_is_no_word_on_it():
    cluster, _, active = moved_cluster()
    report(cluster, shown=shown(cluster, active, transitions=0))
    assert status(cluster).history[0].cloud_instance is None


def test_a_vip_that_the_cloud_shows_elsewhere_is_said_once_and_stays_ready():
    cluster, before, active = moved_cluster()
    report(cluster, shown=shown(cluster, before))
    found = condition(cluster, "Programmed")
    assert (found.status, found.reason) == (ConditionStatus.FALSE, "ShownElsewhere")
    assert f"Huawei still shows the VIP on {before}" in found.message
    assert condition(cluster, "Ready").status is ConditionStatus.TRUE
    told = [one for one in cluster.events if one.reason == "ShownElsewhere"]
    assert len(told) == 1
    cluster.settle()
    assert [one for one in cluster.events if one.reason == "ShownElsewhere"] == told
    report(cluster, shown=shown(cluster, active))
    assert condition(cluster, "Programmed").status is ConditionStatus.TRUE

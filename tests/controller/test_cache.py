"""The cache: facts and nothing else, the newer one wins, one bad object is one bad object."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from tests.controller.bodies import (
    config_map,
    daemon_set,
    endpoint_slice,
    havip,
    havip_node,
    metadata,
    node,
    node_pod,
    pool_of_service,
)

from havip.controller import resources
from havip.controller.cache import Cache
from havip.controller.resources import Reference, Resource
from havip.model.keys import Key
from havip.plan.snapshot import Endpoint, Service, Snapshot

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEB = Key("shop", "web")


def snapshot(cache: Cache) -> Snapshot:
    return cache.snapshot(NOW)


def filled(*observed: tuple[Resource, dict[str, Any]]) -> Cache:
    cache = Cache()
    for resource, body in observed:
        cache.observe(resource, body)
    return cache


def test_an_empty_cluster_is_an_empty_snapshot() -> None:
    assert snapshot(Cache()) == Snapshot(now=NOW, node_pods=frozenset())


def test_a_new_object_is_news_and_the_same_one_is_not() -> None:
    cache = Cache()
    assert cache.observe(resources.HAVIPS, havip(version=5))
    assert not cache.observe(resources.HAVIPS, havip(version=5))
    assert not cache.observe(resources.HAVIPS, havip(version=6))
    assert list(snapshot(cache).havips) == [WEB]


def test_what_comes_late_changes_nothing() -> None:
    """The watch still brings what was before our own write."""
    cache = filled((resources.HAVIPS, havip(version=9, status={"observedGeneration": 1})))
    assert not cache.observe(resources.HAVIPS, havip(version=7))
    assert snapshot(cache).havips[WEB].object.status.observed_generation == 1


def test_a_heartbeat_is_no_news() -> None:
    cache = filled((resources.NODES, node(version=1)))
    assert not cache.observe(resources.NODES, node(version=2, heartbeat="2026-03-01T10:00:10Z"))
    assert cache.observe(resources.NODES, node(version=3, ready="Unknown"))


def test_a_node_is_kept_as_its_labels_addresses_taints_and_readiness() -> None:
    kept = snapshot(filled((resources.NODES, node()))).nodes["n1"]
    assert kept.ready
    assert kept.ready_since == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert kept.addresses == (ip_address("10.88.0.11"), ip_address("fd00::11"))
    assert kept.taints == (("edge", "", "NoSchedule"),)
    assert kept.labels == {"havip.dev/edge": "true"}


@pytest.mark.parametrize("field", ["managedFields", "resourceVersion"])
def test_metadata_that_no_decision_looks_at_is_no_news(field: str) -> None:
    cache = filled((resources.HAVIPS, havip(version=1)))
    body = havip(version=2)
    body["metadata"][field] = "3" if field == "resourceVersion" else []
    assert not cache.observe(resources.HAVIPS, body)


def test_annotations_of_others_are_not_kept() -> None:
    body = havip()
    body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "havip.dev/x": "y"}
    kept = snapshot(filled((resources.HAVIPS, body))).havips[WEB].metadata
    assert kept.annotations == {"havip.dev/x": "y"}


def test_what_is_here_already_is_no_news_for_the_watches() -> None:
    cache = filled((resources.HAVIPS, havip(version=5)))
    assert cache.has(resources.HAVIPS, havip(version=5))
    assert cache.has(resources.HAVIPS, havip(version=4))
    assert not cache.has(resources.HAVIPS, havip(version=6))
    assert not cache.has(resources.HAVIPS, havip("api", version=5))
    reborn = havip(version=5)
    reborn["metadata"]["uid"] = "another"
    assert not cache.has(resources.HAVIPS, reborn)


def test_an_object_of_the_same_name_and_another_uid_is_another_object() -> None:
    cache = filled((resources.HAVIPS, havip(version=1)))
    other = havip(version=2)
    other["metadata"]["uid"] = "another"
    assert cache.observe(resources.HAVIPS, other)
    assert not cache.forget(resources.HAVIPS, WEB, uid="uid-web"), "the end of the first one is not the second one's"
    assert cache.forget(resources.HAVIPS, WEB, uid="another")
    assert snapshot(cache).havips == {}


def test_an_object_that_loses_its_last_finalizer_while_deleted_is_gone() -> None:
    cache = filled((resources.HAVIPS, havip(version=1)))
    body = havip(version=2)
    body["metadata"]["deletionTimestamp"] = "2026-03-01T11:00:00Z"
    assert cache.observe(resources.HAVIPS, body)
    assert snapshot(cache).havips == {}


def test_an_object_that_is_gone_does_not_come_back_by_what_the_watch_still_brings() -> None:
    cache = filled((resources.HAVIPS, havip(version=5)))
    assert cache.forget(resources.HAVIPS, WEB)
    assert not cache.observe(resources.HAVIPS, havip(version=4))
    assert snapshot(cache).havips == {}
    reborn = havip(version=9)
    reborn["metadata"]["uid"] = "another"
    assert cache.observe(resources.HAVIPS, reborn)


def test_an_unreadable_object_keeps_its_last_good_fact_and_says_why() -> None:
    cache = filled((resources.HAVIPS, havip(version=1)))
    cache.observe(resources.HAVIPS, havip(version=2, spec={"addresses": "none"}))
    assert list(snapshot(cache).havips) == [WEB]
    assert "spec.addresses" in cache.problems()[Reference(resources.HAVIPS, WEB)]
    assert cache.observe(resources.HAVIPS, havip(version=3))
    assert cache.problems() == {}


def test_an_object_that_never_could_be_read_is_named_as_unreadable_and_hides_nobody() -> None:
    cache = filled(
        (resources.HAVIPS, havip("bad", spec=None)),
        (resources.HAVIPS, havip("worse", spec={"addresses": [{}]})),
        (resources.HAVIPS, havip("web")),
    )
    seen = snapshot(cache)
    assert list(seen.havips) == [WEB]
    assert seen.unreadable == {Key("shop", "bad"), Key("shop", "worse")}


def test_a_node_object_that_never_could_be_read_is_named() -> None:
    cache = Cache()
    body = havip_node()
    body["spec"]["ofALaterVersion"] = 1
    cache.observe(resources.NODE_OBJECTS, body)
    found = snapshot(cache)
    assert (found.node_objects, found.unreadable_nodes) == ({}, {"edge.n1"})


def test_a_status_that_cannot_be_read_counts_as_none() -> None:
    cache = filled((resources.HAVIPS, havip(status={"observedGeneration": "many"})))
    assert snapshot(cache).havips[WEB].object.status.observed_generation == -1


@pytest.mark.parametrize("body", [{}, {"spec": 7}, {"spec": {"addresses": 7}}, {"status": []}])
def test_no_stored_body_can_break_the_cache(body: dict[str, Any]) -> None:
    for resource in resources.WATCHED:
        cache = Cache()
        cache.observe(resource, {"metadata": metadata("x", namespace="havip-system"), **body})
        snapshot(cache)


def test_endpoints_are_kept_only_where_a_pool_wants_them() -> None:
    cache = filled(
        (resources.POOLS, pool_of_service("web", "web")),
        (resources.SLICES, endpoint_slice("web", "10.99.0.1")),
        (resources.SLICES, endpoint_slice("huge", *[f"10.98.0.{n}" for n in range(200)])),
    )
    assert snapshot(cache).endpoints == {WEB: (Endpoint(ip_address("10.99.0.1"), "http", 8080),)}
    assert list(cache.known(resources.SLICES)) == [Key("shop", "web-x")]


def test_endpoints_in_several_slices_are_one_sorted_tuple() -> None:
    cache = filled(
        (resources.POOLS, pool_of_service("web", "web")),
        (resources.SLICES, endpoint_slice("web", "10.99.0.9", "10.99.0.1", name="b")),
        (resources.SLICES, endpoint_slice("web", "10.99.0.1", "10.99.0.5", name="a")),
    )
    found = [str(one.address) for one in snapshot(cache).endpoints[WEB]]
    assert found == ["10.99.0.1", "10.99.0.5", "10.99.0.9"]


def test_an_endpoint_that_terminates_serves_until_it_does_not() -> None:
    body = endpoint_slice("web", "10.99.0.1", "10.99.0.2", "10.99.0.3")
    body["endpoints"][0]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    body["endpoints"][1]["conditions"] = {"ready": False, "serving": False, "terminating": True}
    body["endpoints"][2]["conditions"] = {}
    cache = filled((resources.POOLS, pool_of_service("web", "web")), (resources.SLICES, body))
    found = {str(one.address): one.ready for one in snapshot(cache).endpoints[WEB]}
    assert found == {"10.99.0.1": False, "10.99.0.3": True}


def test_a_service_that_becomes_wanted_has_to_be_listed_once() -> None:
    cache = Cache()
    api_server = Key("default", "kubernetes")
    assert cache.unlisted_services() == {api_server}
    cache.listed(cache.wanted_services())
    cache.observe(resources.POOLS, pool_of_service("web", "web"))
    assert cache.unlisted_services() == {WEB}
    cache.listed({WEB})
    assert cache.unlisted_services() == frozenset()
    cache.forget(resources.POOLS, WEB)
    assert cache.wanted_services() == {api_server}
    again = pool_of_service("web", "web")
    again["metadata"]["uid"] = "another"
    cache.observe(resources.POOLS, again)
    assert cache.unlisted_services() == {WEB}, "its slices were dropped meanwhile"


def test_a_service_claims_every_address_it_has() -> None:
    body = {
        "metadata": metadata("web", namespace="shop"),
        "spec": {
            "clusterIP": "10.96.0.9",
            "clusterIPs": ["10.96.0.9", "fd00::9"],
            "externalIPs": ["192.0.2.1"],
            "ports": [{"name": "http", "port": 80}, {"port": 443}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"hostname": "lb.example.org"}]}},
    }
    addresses = tuple(map(ip_address, ("10.96.0.9", "192.0.2.1", "192.0.2.2", "fd00::9")))
    seen = snapshot(filled((resources.SERVICES, body))).services[WEB]
    assert seen == Service(addresses, (("http", 80), ("", 443)))


def test_a_headless_service_claims_none() -> None:
    body = {"metadata": metadata("web", namespace="shop"), "spec": {"clusterIP": "None", "clusterIPs": ["None"]}}
    assert snapshot(filled((resources.SERVICES, body))).services[WEB].addresses == ()


def test_the_api_servers_addresses_are_the_endpoints_of_its_service() -> None:
    body = endpoint_slice("kubernetes", "10.88.0.1")
    body["metadata"]["namespace"] = "default"
    assert snapshot(filled((resources.SLICES, body))).api_server == (ip_address("10.88.0.1"),)


def test_a_node_object_says_when_its_spec_and_its_status_were_written() -> None:
    seen = snapshot(filled((resources.NODE_OBJECTS, havip_node(status={"appliedGeneration": 1})))).node_objects
    assert seen["edge.n1"].spec_written == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert seen["edge.n1"].status_written == datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)
    assert seen["edge.n1"].status is not None
    assert seen["edge.n1"].status.applied_generation == 1


def test_a_node_object_whose_agent_has_not_spoken_or_speaks_another_version_has_no_status() -> None:
    for status in (None, {}, {"appliedGeneration": "one"}, {"somethingNew": True}):
        seen = snapshot(filled((resources.NODE_OBJECTS, havip_node(status=status))))
        assert seen.node_objects["edge.n1"].status is None


def test_config_maps_are_pools_the_template_or_the_uninstall_mark_and_nothing_else() -> None:
    pool = {"havip.dev/pool": "true"}
    cache = filled(
        (resources.CONFIG_MAPS, config_map("shop.web", {"pool.json": "{}"}, labels=pool)),
        (resources.CONFIG_MAPS, config_map("kube-root-ca.crt", {"ca.crt": "..."})),
        (resources.CONFIG_MAPS, config_map("havip-node-template", {"podTemplate.yaml": "spec: {}"})),
    )
    seen = snapshot(cache)
    assert seen.pool_documents == {"shop.web": "{}"}
    assert seen.template_digest != ""
    assert not seen.uninstalling
    assert len(cache.known(resources.CONFIG_MAPS)) == 2
    cache.observe(resources.CONFIG_MAPS, config_map("havip-uninstall"))
    assert snapshot(cache).uninstalling


def test_the_templates_digest_follows_both_its_files() -> None:
    digests = set()
    for data in (
        {"podTemplate.yaml": "a"},
        {"podTemplate.yaml": "b"},
        {"podTemplate.yaml": "a", "daemonSet.yaml": "minReadySeconds: 9"},
    ):
        cache = filled((resources.CONFIG_MAPS, config_map("havip-node-template", data)))
        digests.add(snapshot(cache).template_digest)
    assert len(digests) == 3


def test_a_daemon_set_counts_with_its_digest_until_somebody_else_changes_its_spec() -> None:
    cache = filled((resources.DAEMON_SETS, daemon_set(version=1, generation=1)))
    assert snapshot(cache).daemon_sets == {"edge": "d1"}
    cache.observe(resources.DAEMON_SETS, daemon_set(version=2, generation=2))
    assert snapshot(cache).daemon_sets == {"edge": ""}
    ours = daemon_set(version=3, generation=3)
    cache.adopt_daemon_set(ours)
    cache.observe(resources.DAEMON_SETS, ours)
    assert snapshot(cache).daemon_sets == {"edge": "d1"}


def test_a_node_pod_counts_from_when_it_has_a_node_until_nothing_of_it_runs() -> None:
    cache = filled((resources.PODS, node_pod(on="", version=1)))
    assert snapshot(cache).node_pods == frozenset()
    cache.observe(resources.PODS, node_pod(version=2))
    assert snapshot(cache).node_pods == {"edge.n1"}
    ending = {"deletionTimestamp": "2026-03-01T12:00:00Z", "deletionGracePeriodSeconds": 39}
    cache.observe(resources.PODS, node_pod(version=3, **ending))
    assert snapshot(cache).node_pods == {"edge.n1"}
    cache.observe(resources.PODS, node_pod(version=4, **ending | {"deletionGracePeriodSeconds": 0}))
    assert snapshot(cache).node_pods == frozenset()


def test_pods_of_others_are_not_kept() -> None:
    stranger = node_pod()
    stranger["metadata"]["labels"] = {"app.kubernetes.io/name": "havip-operator"}
    assert snapshot(filled((resources.PODS, stranger))).node_pods == frozenset()

"""BackendPools as the nodes get them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from havip.model.keys import Key
from havip.model.node import PoolReport
from havip.model.pool import SERVERS, Pool
from havip.plan.change import ApplyPool, DeletePool, Kind
from havip.plan.desired import desired
from havip.plan.observed import Observed
from havip.plan.pools import document, plan_pool
from havip.testing.builders import a_frontend, a_havip, a_pool, a_service, a_snapshot, an_endpoint
from havip.testing.cluster import Cluster

WEB = Key("shop", "web")


def resolved(seen, **given):
    return plan_pool(WEB, seen, Observed(a_snapshot(**given)))


def servers(plan):
    return [(str(one.address), one.port, one.weight) for one in plan.pool.servers]


def of_service(*endpoints, ports=(("http", 80),), port=80):
    return resolved(
        a_pool(service=("web", port)), services={WEB: a_service(ports=ports)}, endpoints={WEB: tuple(endpoints)}
    )


def test_static_members_are_sorted_and_doubles_are_dropped():
    plan = resolved(a_pool(servers=[("10.1.0.2", 80), ("10.1.0.1", 81), ("10.1.0.1", 80)]))
    assert servers(plan) == [("10.1.0.1", 80, 1), ("10.1.0.1", 81, 1), ("10.1.0.2", 80, 1)]


def test_one_server_written_twice_counts_once():
    plan = resolved(a_pool(servers=[("fd00::1", 80), ("fd00:0::1", 80)]))
    assert servers(plan) == [("fd00::1", 80, 1)]


def test_a_service_gives_its_ready_endpoints_on_their_own_port():
    plan = of_service(an_endpoint("10.1.0.2"), an_endpoint("10.1.0.1", port=9090))
    assert servers(plan) == [("10.1.0.1", 9090, 1), ("10.1.0.2", 8080, 1)]


def test_the_port_is_found_by_the_name_it_has_in_the_service():
    ports = (("http", 80), ("metrics", 9100))
    endpoints = (an_endpoint("10.1.0.1"), an_endpoint("10.1.0.1", name="metrics", port=9101))
    assert servers(of_service(*endpoints, ports=ports, port=9100)) == [("10.1.0.1", 9101, 1)]


def test_an_endpoint_that_ends_gets_no_new_connections():
    plan = of_service(an_endpoint("10.1.0.1"), an_endpoint("10.1.0.2", ready=False))
    assert servers(plan) == [("10.1.0.1", 8080, 1), ("10.1.0.2", 8080, 0)]


def test_where_all_endpoints_end_they_serve_until_the_last():
    assert servers(of_service(an_endpoint("10.1.0.1", ready=False))) == [("10.1.0.1", 8080, 1)]


def test_a_missing_service_is_said_by_name():
    plan = resolved(a_pool(service=("wbe", 80)))
    assert [one.reason for one in plan.problems] == ["ServiceMissing"]
    assert 'spec.members.service.name: there is no Service "wbe"' in plan.problems[0].message


def test_a_port_that_the_service_has_not_is_said_with_those_it_has():
    plan = of_service(port=81)
    assert [one.reason for one in plan.problems] == ["PortMissing"]
    assert "81" in plan.problems[0].message
    assert "accepted would be: 80" in plan.problems[0].message


def test_too_many_servers_are_cut_and_said():
    endpoints = [an_endpoint(f"10.{index // 250}.1.{index % 250 + 1}") for index in range(SERVERS + 5)]
    plan = of_service(*endpoints)
    assert len(plan.pool.servers) == SERVERS
    assert [one.reason for one in plan.problems] == ["TooManyServers"]
    assert str(SERVERS + 5) in plan.problems[0].message


def test_the_order_of_endpoints_changes_nothing():
    endpoints = [an_endpoint(f"10.1.0.{index}") for index in range(1, 9)]
    assert document(of_service(*endpoints).pool) == document(of_service(*reversed(endpoints)).pool)


def test_the_document_is_what_the_agent_reads():
    plan = resolved(a_pool(healthCheck={"http": {"path": "/healthz"}, "timeoutMilliseconds": 500}))
    assert Pool.from_json(json.loads(document(plan.pool))) == plan.pool
    assert plan.pool.health_check is not None
    assert (plan.pool.health_check.timeout_ms, plan.pool.health_check.http_path) == (500, "/healthz")


def test_only_pools_in_use_travel():
    cluster = Cluster(a_snapshot(havips=[a_havip(frontends=[a_frontend()])], pools=[a_pool(), a_pool("idle")]))
    cluster.settle()
    assert set(cluster.snapshot.pool_documents) == {"shop.web"}


def test_a_pool_is_written_before_the_front_end_that_needs_it_and_goes_after_it():
    cluster = Cluster(a_snapshot(havips=[a_havip(frontends=[a_frontend()])], pools=[a_pool()]))
    first = [type(change).__name__ for change in cluster.reconcile()]
    assert first.index("ApplyPool") < first.index("ApplyNode")
    cluster.settle()
    cluster.put(a_havip(generation=2))
    second = cluster.reconcile()
    assert not any(isinstance(change, DeletePool) for change in second)
    cluster.settle()
    assert cluster.snapshot.pool_documents == {}


def test_a_changed_endpoint_writes_the_pool_and_nothing_else():
    cluster = Cluster(
        a_snapshot(
            havips=[a_havip(frontends=[a_frontend()])],
            pools=[a_pool(service=("web", 80))],
            services={WEB: a_service()},
            endpoints={WEB: (an_endpoint("10.1.0.1"),)},
        )
    )
    cluster.settle()
    cluster.snapshot = replace(cluster.snapshot, endpoints={WEB: (an_endpoint("10.1.0.9"),)})
    assert [type(change) for change in cluster.plan()] == [ApplyPool]


def test_a_pool_in_use_that_is_deleted_stays_and_says_who_uses_it():
    cluster = Cluster(a_snapshot(havips=[a_havip(frontends=[a_frontend()])], pools=[a_pool()]))
    cluster.settle()
    cluster.delete(Kind.POOL, WEB)
    cluster.settle()
    said = {one.type: one for one in cluster.snapshot.pools[WEB].object.status.conditions}
    assert said["InUse"].status == "True"
    assert "web" in said["InUse"].message
    assert set(cluster.snapshot.pool_documents) == {"shop.web"}
    cluster.delete(Kind.HAVIP, WEB)
    cluster.settle()
    assert cluster.snapshot.pools == {}
    assert cluster.snapshot.pool_documents == {}


@pytest.mark.parametrize(("healthy", "status", "reason"), [(0, "False", "NoneHealthy"), (1, "True", "Serving")])
def test_health_is_what_the_active_node_says(healthy, status, reason):
    cluster = Cluster(a_snapshot(havips=[a_havip(frontends=[a_frontend()])], pools=[a_pool()]))
    cluster.settle()
    (active,) = cluster.holders(WEB)
    seen = cluster.snapshot.node_objects[f"edge.{active}"]
    assert seen.status is not None
    said = replace(seen, status=replace(seen.status, pools=(PoolReport(WEB, "digest", healthy=healthy, total=2),)))
    cluster.snapshot = replace(cluster.snapshot, node_objects={**cluster.snapshot.node_objects, f"edge.{active}": said})
    pool = desired(cluster.snapshot).pool_statuses[WEB]
    assert (pool.servers, pool.healthy, pool.used_by) == (2, healthy, ("web",))
    assert (pool.conditions[0].status, pool.conditions[0].reason) == (status, reason)

"""The models as Python sees them: frozen, camelCase on the wire, absent instead of null, tolerant of newer fields."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from havip.api.schema import exactly_one
from havip.api.v1alpha1 import (
    BackendPool,
    Failback,
    Failover,
    Frontend,
    HAVip,
    HAVipClass,
    HAVipSpec,
    HAVipStatus,
    PoolRef,
    Protocol,
)

CLASS = {
    "spec": {
        "provider": "None",
        "interface": {"fromDefaultRoute": {}},
        "addressRanges": ["192.0.2.0/24"],
        "namespaces": {"all": {}},
    }
}


def test_an_object_is_read_as_the_api_server_gives_it() -> None:
    body = {
        "apiVersion": "havip.dev/v1alpha1",
        "kind": "HAVip",
        "metadata": {"name": "web", "uid": "1"},
        "spec": {
            "addresses": ["192.0.2.200"],
            "failback": "Delayed",
            "failbackDelaySeconds": 60,
            "frontends": [{"name": "http", "port": 80, "protocol": "TCP", "poolRef": {"name": "web"}}],
        },
        "status": {"observedGeneration": -1},
    }
    spec = HAVip.model_validate(body).spec
    assert spec.failback is Failback.DELAYED
    assert spec.failback_delay_seconds == 60
    assert spec.frontends == (Frontend(name="http", port=80, protocol=Protocol.TCP, pool_ref=PoolRef(name="web")),)
    assert spec.nodes.candidates == 3


def test_what_is_not_set_is_absent_on_the_wire() -> None:
    body = HAVip(spec=HAVipSpec(addresses=("192.0.2.200",))).to_json()
    assert "className" not in body["spec"]
    assert body["spec"]["nodes"] == {"candidates": 3, "preferred": []}
    assert body["status"] == {"conditions": [], "observedGeneration": -1, "nodes": [], "history": []}


def test_a_failover_says_from_where() -> None:
    failover = Failover(from_="n1", to="n2", at="2026-01-01T00:00:00Z")
    assert failover.to_json()["from"] == "n1"
    assert Failover.model_validate(failover.to_json()) == failover


def test_a_class_has_the_documented_defaults() -> None:
    spec = HAVipClass.model_validate(CLASS).spec
    vrrp = spec.election.vrrp
    assert (vrrp.advert_interval_milliseconds, vrrp.missed_adverts, vrrp.settle_seconds) == (100, 3, 30)
    assert (vrrp.virtual_router_ids.first, vrrp.virtual_router_ids.last) == (1, 255)
    assert spec.reserved_ports == (22, 6443, 10250)
    assert spec.namespaces.all is not None
    assert spec.namespaces.names is None


def test_a_field_of_a_newer_release_does_not_stop_an_older_operator() -> None:
    body = {"spec": {**CLASS["spec"], "probe": {"sources": ["168.63.129.16"]}}}
    assert HAVipClass.model_validate(body) == HAVipClass.model_validate(CLASS)


def test_values_do_not_change_under_a_plan() -> None:
    spec = HAVipSpec(addresses=("192.0.2.200",))
    with pytest.raises(ValidationError, match="frozen"):
        spec.failback = Failback.IMMEDIATE


def test_an_unseen_object_says_so() -> None:
    assert HAVipStatus().observed_generation == -1


def test_a_pool_is_checked_unless_told_how() -> None:
    pool = BackendPool.model_validate({"spec": {"members": {"service": {"name": "web", "port": 80}}}})
    check = pool.spec.health_check
    assert (check.interval_milliseconds, check.timeout_milliseconds, check.rise, check.fall) == (1000, None, 2, 3)
    assert check.http is None


def test_a_union_names_its_branches() -> None:
    assert exactly_one("a", "b", "c").message == "must have exactly one of a, b or c"

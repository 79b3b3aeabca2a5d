"""From `kubectl apply` to a status that says who holds the VIP, and back to nothing, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml
from tests.apiserver.operating.agents import Agents, own_addresses
from tests.apiserver.operating.objects import NODES, SHOP, WEB, havip, node, pool, template
from tests.apiserver.operating.stand import NAMESPACE, Body, Stand, condition, value

from havip.controller.resources import (
    CLASSES,
    CONFIG_MAPS,
    DAEMON_SETS,
    HAVIPS,
    NODE_OBJECTS,
    POOLS,
)
from havip.model.keys import FINALIZER, Key

pytestmark = pytest.mark.apiserver


@pytest.fixture
def agents(stand: Stand) -> Iterator[Agents]:
    with Agents(stand.control, own_addresses(NODES)) as agents:
        yield agents


def instances(stand: Stand, name: str) -> dict[str, Body]:
    """HAVip -> what the HAVipNode's spec says of it."""
    body = stand.client.get(NODE_OBJECTS, Key(NAMESPACE, name))
    return {one["havip"]: one for one in value(body, "spec.instances") or []}


def test_an_applied_vip_becomes_ready_with_everything_its_nodes_need(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(pool("web", "10.99.0.1", "10.99.0.2"), havip("web", pool="web"))
    ready = stand.until_ready(WEB)

    status = ready["status"]
    assert status["activeNode"] == agents.active(WEB)
    assert status["observedGeneration"] == ready["metadata"]["generation"]
    assert status["className"] == "edge"
    assert condition(ready, "Claimed").startswith("True/")
    assert {one["name"] for one in status["nodes"]} == set(NODES)
    assert FINALIZER in ready["metadata"]["finalizers"]

    told = {name: instances(stand, f"edge.{name}")["shop/web"] for name in NODES}
    assert {one["virtualRouterId"] for one in told.values()} == {status["virtualRouterId"]}
    assert sorted(one["priority"] for one in told.values()) == [169, 199, 209]
    assert all(len(one["peers"]) == 2 for one in told.values())
    assert all(one["frontends"][0]["pool"] == "shop/web" for one in told.values())

    document = stand.client.get(CONFIG_MAPS, Key(NAMESPACE, "shop.web"))
    assert value(document, "metadata.labels")["havip.dev/pool"] == "true"
    servers = json.loads(value(document, "data")["pool.json"])["servers"]
    assert [one["address"] for one in servers] == ["10.99.0.1", "10.99.0.2"]


def test_a_class_gets_one_daemon_set_made_of_the_charts_template(stand: Stand) -> None:
    stand.operator()
    name = Key(NAMESPACE, "havip-node-edge")
    made = stand.until(DAEMON_SETS, name, lambda body: body is not None)
    pod = value(made, "spec.template")
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/name": "havip-node", "havip.dev/class": "edge"}
    assert pod["spec"]["nodeSelector"] == {"havip.dev/edge": "true"}
    assert pod["spec"]["containers"][0]["env"] == [{"name": "HAVIP_CLASS", "value": "edge"}]

    stand.apply(template(image="example.org/node:2"))
    stand.until(
        DAEMON_SETS,
        name,
        lambda body: value(body, "spec.template.spec")["containers"][0]["image"] == "example.org/node:2",
        what="made of the new template",
    )


def test_a_daemon_set_that_somebody_changed_is_put_right(stand: Stand) -> None:
    stand.operator()
    name = Key(NAMESPACE, "havip-node-edge")
    stand.until(DAEMON_SETS, name, lambda body: body is not None)
    stand.patch(DAEMON_SETS, name, {"spec": {"template": {"spec": {"nodeSelector": {"havip.dev/edge": "stolen"}}}}})
    stand.until(
        DAEMON_SETS, name, lambda body: value(body, "spec.template.spec")["nodeSelector"] == {"havip.dev/edge": "true"}
    )


def test_a_deleted_vip_is_released_on_every_node_before_it_goes(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(pool(), havip(pool="web"))
    stand.until_ready(WEB)
    stand.delete(HAVIPS, WEB)
    stand.until_gone(HAVIPS, WEB)
    assert all(instances(stand, f"edge.{name}") == {} for name in NODES)
    assert agents.active(WEB) is None
    stand.until_gone(CONFIG_MAPS, Key(NAMESPACE, "shop.web"))


def test_a_class_in_use_stays_until_nobody_uses_it(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(havip())
    stand.until_ready(WEB)
    stand.delete(CLASSES, Key("", "edge"))
    body = stand.until(CLASSES, Key("", "edge"), lambda body: condition(body, "InUse").startswith("True/"))
    assert value(body, "status.inUseBy") == ["shop/web"]
    stand.delete(HAVIPS, WEB)
    stand.until_gone(CLASSES, Key("", "edge"))
    stand.until_gone(DAEMON_SETS, Key(NAMESPACE, "havip-node-edge"))
    assert stand.client.items(NODE_OBJECTS, NAMESPACE) == []


def test_a_pool_of_a_service_follows_its_endpoints(stand: Stand, agents: Agents) -> None:
    stand.operator()
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": SHOP}}
    stand.apply(
        {**service, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}},
        _slice("10.99.0.1"),
        {**pool(), "spec": {"members": {"service": {"name": "web", "port": 80}}}},
        havip(pool="web"),
    )
    document = Key(NAMESPACE, "shop.web")
    stand.until(CONFIG_MAPS, document, lambda body: _servers(body) == ["10.99.0.1:8080"])
    stand.apply(_slice("10.99.0.1", "10.99.0.2"))
    stand.until(CONFIG_MAPS, document, lambda body: _servers(body) == ["10.99.0.1:8080", "10.99.0.2:8080"])


def _slice(*addresses: str) -> Body:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-x", "namespace": SHOP, "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


def _servers(body: Body | None) -> list[str]:
    text = (value(body, "data") or {}).get("pool.json", '{"servers": []}')
    return [f"{one['address']}:{one['port']}" for one in json.loads(text)["servers"]]


def test_a_vip_that_the_class_refuses_says_so_in_a_condition_and_an_event(stand: Stand) -> None:
    stand.operator()
    stand.apply(havip(address="10.77.0.1"))
    body = stand.until(HAVIPS, WEB, lambda body: condition(body, "Ready").startswith("False/"))
    assert body is not None
    said = stand.until_event(body)
    assert said["reason"] == condition(body, "Ready").split("/")[1]
    assert said["type"] == "Warning"
    assert said["reportingController"] == "havip.dev/operator"


def test_a_node_that_joins_and_one_that_leaves_are_followed(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(node("n9"))
    stand.until(NODE_OBJECTS, Key(NAMESPACE, "edge.n9"), lambda body: body is not None)
    stand.client.call("DELETE", "/api/v1/nodes/n9")
    stand.until_gone(NODE_OBJECTS, Key(NAMESPACE, "edge.n9"))


def test_events_and_logs_are_quiet(stand: Stand, agents: Agents) -> None:
    operator = stand.operator()
    stand.apply(pool(), havip(pool="web"))
    stand.until_ready(WEB)
    lines = operator.log_lines()
    assert [line for line in lines if line["level"] not in ("INFO",)] == []
    assert len(lines) <= 5
    assert all(set(line) <= {"time", "level", "logger", "message", "object"} for line in lines)


def test_the_metrics_say_who_is_active(stand: Stand, agents: Agents) -> None:
    operator = stand.operator()
    stand.apply(havip())
    ready = stand.until_ready(WEB)
    figures = operator.figures()
    active = ready["status"]["activeNode"]
    assert figures[f'havip_active_node{{name="web",namespace="shop",node="{active}"}}'] == 1
    assert figures["havip_operator_leading"] == 1
    assert figures["havip_operator_reconciles_total"] >= 1
    assert operator.page("/healthz") == "ok\n"
    assert operator.page("/readyz") == "ok\n"


def test_a_template_that_is_no_template_is_named_and_blocks_nothing_else(stand: Stand, agents: Agents) -> None:
    broken = template()
    broken["data"]["podTemplate.yaml"] = yaml.safe_dump({"spec": {"containers": []}})
    stand.apply(broken)
    operator = stand.operator()
    stand.apply(havip())
    stand.until_ready(WEB)
    complaints = [line["message"] for line in operator.log_lines() if line["level"] == "WARNING"]
    assert any("podTemplate.yaml" in message for message in complaints)


def test_pools_and_classes_have_a_status_too(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(pool(), havip(pool="web"))
    stand.until(POOLS, WEB, lambda body: value(body, "status.usedBy") == ["web"])
    stand.until(CLASSES, Key("", "edge"), lambda body: value(body, "status.vips") == 1)

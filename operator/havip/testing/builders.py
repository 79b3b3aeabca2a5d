"""Valid by default: a class, nodes, HAVips and pools of which a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from havip.api.v1alpha1 import (
    DEFAULT_CLASS_ANNOTATION,
    BackendPool,
    BackendPoolStatus,
    HAVip,
    HAVipClass,
    HAVipClassStatus,
    HAVipStatus,
)
from havip.model.keys import FINALIZER, Key, node_object_name
from havip.model.node import InterfaceReport, NodeSpec, NodeStatus
from havip.model.report import InstanceReport
from havip.model.states import State
from havip.plan.settings import interface_of, timing_of
from havip.plan.snapshot import (
    Endpoint,
    Metadata,
    Node,
    SeenClass,
    SeenHAVip,
    SeenNode,
    SeenPool,
    Service,
    Snapshot,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
CLASS = "edge"
NAMESPACE = "shop"
SUBNET = "10.88.0"


def some_metadata(name: str, **given: Any) -> Metadata:
    """Created long ago; the uid follows the name."""
    given.setdefault("uid", f"uid-{given.get('namespace', '')}-{name}")
    given.setdefault("created", LONG_AGO)
    return Metadata(name=name, **given)


def a_class(
    name: str = CLASS,
    *,
    default: bool = False,
    deleting: datetime | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> SeenClass:
    """All nodes, 10.88.0.192/26 and fd00:88::/64, namespace shop. `spec`: fields in their wire names."""
    body = {
        "provider": "None",
        "interface": {"name": "eth0"},
        "addressRanges": ["10.88.0.192/26", "fd00:88::c0/122"],
        "namespaces": {"names": [NAMESPACE]},
        **spec,
    }
    annotations = {DEFAULT_CLASS_ANNOTATION: "true"} if default else {}
    metadata = some_metadata(name, annotations=annotations, deleting=deleting, finalizers=(FINALIZER,))
    return SeenClass(metadata, HAVipClass.model_validate({"spec": body, "status": dict(status or {})}))


def a_node(
    name: str = "n1",
    *,
    ready: bool = True,
    ready_since: datetime = LONG_AGO,
    labels: Mapping[str, str] | None = None,
    address: str = "",
    taints: Sequence[tuple[str, str, str]] = (),
) -> Node:
    """Ready for long, at 10.88.0.<number in its name>."""
    return Node(
        name=name,
        labels=dict(labels or {}),
        ready=ready,
        ready_since=ready_since,
        addresses=(ip_address(address or node_address(name)),),
        taints=tuple(taints),
    )


def node_address(name: str) -> str:
    return f"{SUBNET}.{int(''.join(filter(str.isdigit, name)) or 1)}"


def a_havip(
    name: str = "web",
    *,
    namespace: str = NAMESPACE,
    address: str = "10.88.0.200",
    addresses: Sequence[str] = (),
    created: datetime = LONG_AGO,
    uid: str = "",
    generation: int = 1,
    deleting: datetime | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (FINALIZER,),
    class_name: str | None = CLASS,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> SeenHAVip:
    """Of class edge at 10.88.0.200, without front ends. `spec`: further fields in their wire names."""
    body: dict[str, Any] = {"addresses": list(addresses or [address]), **spec}
    if class_name is not None:
        body["className"] = class_name
    metadata = some_metadata(
        name,
        namespace=namespace,
        created=created,
        uid=uid or f"uid-{namespace}-{name}",
        generation=generation,
        deleting=deleting,
        annotations=dict(annotations or {}),
        finalizers=tuple(finalizers),
    )
    return SeenHAVip(metadata, HAVip.model_validate({"spec": body, "status": dict(status or {})}))


def a_frontend(port: int = 80, *, pool: str = "web", name: str = "") -> dict[str, Any]:
    return {"name": name or f"p{port}", "port": port, "poolRef": {"name": pool}}


def a_pool(
    name: str = "web",
    *,
    namespace: str = NAMESPACE,
    servers: Sequence[tuple[str, int]] = (("10.1.0.1", 8080), ("10.1.0.2", 8080)),
    service: tuple[str, int] | None = None,
    deleting: datetime | None = None,
    **spec: Any,
) -> SeenPool:
    """Two static members, or the endpoints of `service` (name, port)."""
    members: dict[str, Any] = (
        {"static": [{"address": address, "port": port} for address, port in servers]}
        if service is None
        else {"service": {"name": service[0], "port": service[1]}}
    )
    metadata = some_metadata(name, namespace=namespace, deleting=deleting, finalizers=(FINALIZER,))
    return SeenPool(metadata, BackendPool.model_validate({"spec": {"members": members, **spec}}))


def a_service(*, ports: Sequence[tuple[str, int]] = (("http", 80),), addresses: Sequence[str] = ()) -> Service:
    return Service(tuple(map(ip_address, addresses)), tuple(ports))


def an_endpoint(address: str, *, port: int = 8080, name: str = "http", ready: bool = True) -> Endpoint:
    return Endpoint(ip_address(address), name, port, ready)


def a_report(
    havip: str = "shop/web",
    *,
    state: State = State.STANDBY,
    virtual_router_id: int = 1,
    since: datetime = LONG_AGO,
    reason: str = "Elected",
    heard: Sequence[str] = (),
    outage_ms: int | None = None,
) -> InstanceReport:
    """What a node says of one VIP."""
    text = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return InstanceReport(Key.parse(havip), virtual_router_id, state, text, reason, tuple(sorted(heard)), outage_ms)


def a_node_object(
    node: str = "n1",
    *,
    of: SeenClass | None = None,
    spec: NodeSpec | None = None,
    generation: int = 1,
    applied: int | None = None,
    vips: Iterable[InstanceReport] = (),
    own: Sequence[str] | None = None,
    spoken: bool = True,
    created: datetime = LONG_AGO,
    **given: Any,
) -> SeenNode:
    """A HAVipNode whose agent has confirmed its spec and reported eth0. `spoken` False = it never said a word."""
    seen_class = of or a_class()
    name = seen_class.metadata.name
    status = NodeStatus(
        applied_generation=generation if applied is None else applied,
        interface=InterfaceReport("eth0", tuple(own if own is not None else own_addresses(node))),
        vips=tuple(vips),
    )
    return SeenNode(
        metadata=some_metadata(node_object_name(name, node), generation=generation, created=created),
        spec=spec or NodeSpec(name, node, interface_of(seen_class.object), timing_of(seen_class.object), False),
        status=status if spoken else None,
        **given,
    )


def own_addresses(node: str) -> tuple[str, ...]:
    number = node_address(node).rsplit(".", 1)[1]
    return (f"{SUBNET}.{number}/24", f"fd00:88::{number}/64", f"fe80::{number}/64")


def a_snapshot(
    *,
    now: datetime = NOW,
    classes: Iterable[SeenClass] | None = None,
    havips: Iterable[SeenHAVip] = (),
    pools: Iterable[SeenPool] = (),
    nodes: Iterable[Node] | int = 3,
    node_objects: Iterable[SeenNode] | None = None,
    **given: Any,
) -> Snapshot:
    """Class edge, nodes n1 to n3 that have all reported, and nothing else. `nodes`: Nodes, or how many."""
    of = list(classes) if classes is not None else [a_class()]
    kube = [a_node(f"n{index + 1}") for index in range(nodes)] if isinstance(nodes, int) else list(nodes)
    objects = (
        list(node_objects)
        if node_objects is not None
        else [a_node_object(node.name, of=one) for one in of for node in kube]
    )
    given.setdefault("template_digest", "template")
    given.setdefault("namespaces", {NAMESPACE: {"kubernetes.io/metadata.name": NAMESPACE}})
    return Snapshot(
        now=now,
        classes={one.metadata.name: one for one in of},
        havips={one.metadata.key: one for one in havips},
        pools={one.metadata.key: one for one in pools},
        nodes={node.name: node for node in kube},
        node_objects={one.metadata.name: one for one in objects},
        **given,
    )


def with_status(seen: SeenClass | SeenHAVip | SeenPool, status: Mapping[str, Any]) -> SeenClass | SeenHAVip | SeenPool:
    """The object after its status was written, as the API server would give it back."""
    if isinstance(seen, SeenClass):
        return replace(seen, object=seen.object.model_copy(update={"status": HAVipClassStatus.model_validate(status)}))
    if isinstance(seen, SeenHAVip):
        return replace(seen, object=seen.object.model_copy(update={"status": HAVipStatus.model_validate(status)}))
    return replace(seen, object=seen.object.model_copy(update={"status": BackendPoolStatus.model_validate(status)}))

"""What is kept of each object: a stored body in, a small frozen fact out. Pure; nothing is remembered here.

A fact holds what a decision may look at and nothing else, so that two bodies that differ in a heartbeat or in
managedFields give equal facts, and equal facts wake nobody. What cannot be read raises `Refused` or `ValueError`
for this one object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from havip.api.v1alpha1 import BackendPool, HAVip, HAVipClass
from havip.controller import resources
from havip.controller.resources import Resource
from havip.model.address import Address, parse_address
from havip.model.keys import FIELD_MANAGER, GROUP, Key
from havip.model.node import NodeSpec, NodeStatus
from havip.model.pool import POOL_FILE
from havip.model.refusal import Refused, shown
from havip.plan.snapshot import Endpoint, Metadata, Node, SeenClass, SeenHAVip, SeenNode, SeenPool, Service

CLASS_LABEL = f"{GROUP}/class"
NODE_LABEL = f"{GROUP}/node"
POOL_LABEL = f"{GROUP}/pool"
DIGEST_ANNOTATION = f"{GROUP}/digest"
"""On a DaemonSet: what it was applied with."""
NODE_POD = "havip-node"
"""`app.kubernetes.io/name` of the DaemonSets and their pods."""
TEMPLATE = "havip-node-template"
"""The chart's ConfigMap with the node pods' template."""
TEMPLATE_FILE = "podTemplate.yaml"
ROLLING_FILE = "daemonSet.yaml"
"""Beside it: `minReadySeconds` and `updateStrategy` of the DaemonSets."""
UNINSTALL = "havip-uninstall"
"""A ConfigMap of this name says that the release is going away."""

M = TypeVar("M", HAVipClass, HAVip, BackendPool)


@dataclass(frozen=True, slots=True)
class Template:
    """The chart's node pod, and how a DaemonSet of it rolls; both as YAML text."""

    pod: str = ""
    rolling: str = ""

    @property
    def digest(self) -> str:
        """Empty when there is no template."""
        return digest(f"{self.pod}\0{self.rolling}") if self.pod else ""


@dataclass(frozen=True, slots=True)
class PoolDocument:
    text: str


@dataclass(frozen=True, slots=True)
class UninstallMark:
    """The release is going away."""


@dataclass(frozen=True, slots=True)
class OwnDaemonSet:
    """A class's DaemonSet: the digest it was applied with and the generation of its spec."""

    class_name: str
    digest: str
    generation: int


@dataclass(frozen=True, slots=True)
class NodePod:
    """A pod of a class's DaemonSet, from when it has a node until its kubelet has said that nothing of it runs."""

    class_name: str
    node: str


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a Service's endpoints."""

    service: str
    endpoints: tuple[Endpoint, ...]


def digest(text: str) -> str:
    """A short name for a text, the same on every replica."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fact_of(resource: Resource, body: Mapping[str, Any], before: object | None = None) -> object | None:
    """The fact of one body; None = an object we do not keep. Raises `Refused` or `ValueError`.

    `before`: the fact of the same object as last seen.
    """
    if resource is resources.NODE_OBJECTS:
        return _node_object(body, before)
    return _READERS[resource](body)


def metadata_of(body: Mapping[str, Any]) -> Metadata:
    """Annotations are kept where they are ours: others may be large (last-applied) and change often."""
    raw = body["metadata"]
    deleting = raw.get("deletionTimestamp")
    return Metadata(
        name=raw["name"],
        uid=raw.get("uid", ""),
        created=_time(raw.get("creationTimestamp")),
        generation=raw.get("generation", 1),
        namespace=raw.get("namespace", ""),
        labels=raw.get("labels") or {},
        annotations={key: value for key, value in (raw.get("annotations") or {}).items() if key.startswith(GROUP)},
        finalizers=tuple(raw.get("finalizers") or ()),
        deleting=None if deleting is None else _time(deleting),
    )


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "1970-01-01T00:00:00Z")


def _custom(model: type[M], body: Mapping[str, Any]) -> M:
    """Spec and status as the API's model; a status that cannot be read counts as absent and is written anew."""
    spec, status = body.get("spec"), body.get("status")
    try:
        return model.model_validate({"spec": spec, "status": status or {}})
    except ValidationError as error:
        if all(problem["loc"][:1] == ("status",) for problem in error.errors()):
            return model.model_validate({"spec": spec})
        first = error.errors()[0]
        raise Refused(".".join(map(str, first["loc"])), first["msg"]) from None


def _class(body: Mapping[str, Any]) -> SeenClass:
    return SeenClass(metadata_of(body), _custom(HAVipClass, body))


def _havip(body: Mapping[str, Any]) -> SeenHAVip:
    return SeenHAVip(metadata_of(body), _custom(HAVip, body))


def _pool(body: Mapping[str, Any]) -> SeenPool:
    return SeenPool(metadata_of(body), _custom(BackendPool, body))


def _node_object(body: Mapping[str, Any], before: object | None) -> SeenNode:
    metadata = metadata_of(body)
    if isinstance(before, SeenNode) and before.metadata.generation == metadata.generation:
        # Agents report often; reading a spec of 125 instances again for each report would be most of our time.
        spec = before.spec
    else:
        spec, _left_out = NodeSpec.from_json(body.get("spec") or {})
    status = body.get("status")
    try:
        read = NodeStatus.from_json(status) if status else None
    except Refused:
        # Written by an agent of another version: as good as one that has not spoken.
        read = None
    entries = body["metadata"].get("managedFields") or ()
    return SeenNode(
        metadata,
        spec,
        read,
        spec_written=_latest(entry for entry in entries if entry.get("manager") == FIELD_MANAGER),
        status_written=_latest(entry for entry in entries if entry.get("subresource") == "status"),
    )


def _latest(entries: Iterable[Mapping[str, Any]]) -> datetime | None:
    """When one of these managedFields entries was last written, by the API server's clock (whole seconds)."""
    return max((_time(entry["time"]) for entry in entries if entry.get("time")), default=None)


def _node(body: Mapping[str, Any]) -> Node:
    status = body.get("status") or {}
    conditions: dict[str, Mapping[str, Any]] = {item["type"]: item for item in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    return Node(
        name=body["metadata"]["name"],
        labels=body["metadata"].get("labels") or {},
        ready=ready.get("status") == "True",
        ready_since=_time(ready.get("lastTransitionTime") or body["metadata"].get("creationTimestamp")),
        addresses=_addresses(
            item.get("address") for item in status.get("addresses") or () if item.get("type") == "InternalIP"
        ),
        taints=tuple(
            (taint.get("key", ""), taint.get("value", ""), taint.get("effect", ""))
            for taint in (body.get("spec") or {}).get("taints") or ()
        ),
    )


def _namespace(body: Mapping[str, Any]) -> Mapping[str, str]:
    labels: dict[str, str] = dict(body["metadata"].get("labels") or {})
    return labels


def _service(body: Mapping[str, Any]) -> Service:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    claimed = (
        *(spec.get("clusterIPs") or (spec.get("clusterIP"),)),
        *(spec.get("externalIPs") or ()),
        spec.get("loadBalancerIP"),
        *(item.get("ip") for item in ingress),
    )
    return Service(
        addresses=tuple(sorted(set(_addresses(claimed)), key=_order)),
        ports=tuple((port.get("name", ""), port["port"]) for port in spec.get("ports") or ()),
    )


def _slice(body: Mapping[str, Any]) -> Slice | None:
    service = (body["metadata"].get("labels") or {}).get(resources.SERVICE_OF_SLICE)
    if not service or body.get("addressType") not in ("IPv4", "IPv6"):
        return None
    ports = [(port.get("name") or "", port["port"]) for port in body.get("ports") or () if port.get("port")]
    found: set[Endpoint] = set()
    for endpoint in body.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        ready = conditions.get("ready") is not False
        if not ready and not (conditions.get("terminating") and conditions.get("serving")):
            continue
        for address in _addresses(endpoint.get("addresses") or ()):
            found.update(Endpoint(address, name, port, ready) for name, port in ports)
    return Slice(service, tuple(sorted(found, key=_endpoint_order)))


def _config_map(body: Mapping[str, Any]) -> PoolDocument | Template | UninstallMark | None:
    name, data = body["metadata"]["name"], body.get("data") or {}
    if name == UNINSTALL:
        return UninstallMark()
    if name == TEMPLATE:
        return Template(data.get(TEMPLATE_FILE, ""), data.get(ROLLING_FILE, ""))
    if (body["metadata"].get("labels") or {}).get(POOL_LABEL) == "true":
        return PoolDocument(data.get(POOL_FILE, ""))
    return None


def _class_of(body: Mapping[str, Any]) -> str | None:
    """The class that a DaemonSet or pod of ours serves; None = it is somebody else's."""
    labels = body["metadata"].get("labels") or {}
    return labels.get(CLASS_LABEL) if labels.get("app.kubernetes.io/name") == NODE_POD else None


def _daemon_set(body: Mapping[str, Any]) -> OwnDaemonSet | None:
    class_name = _class_of(body)
    if class_name is None:
        return None
    raw = body["metadata"]
    return OwnDaemonSet(
        class_name=class_name,
        digest=(raw.get("annotations") or {}).get(DIGEST_ANNOTATION, ""),
        generation=raw.get("generation", 1),
    )


def _pod(body: Mapping[str, Any]) -> NodePod | None:
    class_name, node = _class_of(body), (body.get("spec") or {}).get("nodeName")
    return NodePod(class_name, node) if class_name is not None and node else None


def _addresses(texts: Any) -> tuple[Address, ...]:
    """Those that are addresses; a Service may say `None`, a Node a host name."""
    found = []
    for text in texts:
        try:
            found.append(parse_address(text))
        except Refused:
            continue
    return tuple(found)


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)


def _endpoint_order(endpoint: Endpoint) -> tuple[tuple[int, int], str, int, bool]:
    return _order(endpoint.address), endpoint.port_name, endpoint.port, endpoint.ready


def problem_of(error: Exception) -> str:
    """Why an object was not understood, as its owner may read it."""
    return str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {shown(str(error))}"


def key_of(body: Mapping[str, Any]) -> Key:
    metadata = body["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


_READERS: dict[Resource, Callable[[Mapping[str, Any]], object | None]] = {
    resources.CLASSES: _class,
    resources.HAVIPS: _havip,
    resources.POOLS: _pool,
    resources.NODES: _node,
    resources.NAMESPACES: _namespace,
    resources.SERVICES: _service,
    resources.SLICES: _slice,
    resources.CONFIG_MAPS: _config_map,
    resources.DAEMON_SETS: _daemon_set,
    resources.PODS: _pod,
}

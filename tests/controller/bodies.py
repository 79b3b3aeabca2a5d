"""Stored objects as the API server gives them, with all the noise that is not to be kept."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]
NOISE = [
    {
        "manager": "havip-operator",
        "operation": "Apply",
        "time": "2026-03-01T10:00:00Z",
        "fieldsV1": {"f:spec": {}},
    },
    {
        "manager": "havip-agent",
        "operation": "Apply",
        "subresource": "status",
        "time": "2026-03-01T10:00:05Z",
        "fieldsV1": {"f:status": {}},
    },
]


def metadata(name: str, *, namespace: str = "", version: int = 1, uid: str = "", **rest: object) -> Body:
    out: Body = {
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-03-01T09:00:00Z",
        "managedFields": NOISE,
        **rest,
    }
    return out | ({"namespace": namespace} if namespace else {})


def havip(name: str = "web", *, version: int = 1, **rest: Any) -> Body:
    body: Body = {
        "metadata": metadata(name, namespace="shop", version=version),
        "spec": {"className": "edge", "addresses": ["10.88.0.200"], "frontends": []},
        "status": {"observedGeneration": -1},
    }
    return body | rest


def pool_of_service(name: str, service: str, *, version: int = 1) -> Body:
    return {
        "metadata": metadata(name, namespace="shop", version=version),
        "spec": {"members": {"service": {"name": service, "port": 80}}},
    }


def node(name: str = "n1", *, version: int = 1, heartbeat: str = "2026-03-01T10:00:00Z", ready: str = "True") -> Body:
    return {
        "metadata": metadata(name, version=version, labels={"havip.dev/edge": "true"}),
        "spec": {"podCIDR": "10.244.0.0/24", "taints": [{"key": "edge", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "10.88.0.11"},
                {"type": "InternalIP", "address": "fd00::11"},
                {"type": "Hostname", "address": "n1"},
            ],
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": heartbeat},
                {
                    "type": "Ready",
                    "status": ready,
                    "lastHeartbeatTime": heartbeat,
                    "lastTransitionTime": "2026-03-01T09:30:00Z",
                },
            ],
            "images": [{"names": ["x"] * 5, "sizeBytes": 1}] * 50,
        },
    }


def endpoint_slice(service: str, *addresses: str, name: str = "", version: int = 1) -> Body:
    return {
        "metadata": metadata(
            name or f"{service}-x",
            namespace="shop",
            version=version,
            labels={"kubernetes.io/service-name": service},
        ),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


def havip_node(*, version: int = 1, status: Body | None = None, **metadata_fields: object) -> Body:
    body: Body = {
        "metadata": metadata("edge.n1", namespace="havip-system", version=version, **metadata_fields),
        "spec": {
            "className": "edge",
            "nodeName": "n1",
            "interface": {"name": "eth0"},
            "timing": {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30},
            "redundant": True,
            "instances": [],
        },
    }
    return body | ({"status": status} if status is not None else {})


def config_map(name: str, data: Body | None = None, *, version: int = 1, labels: Body | None = None) -> Body:
    return {
        "metadata": metadata(name, namespace="havip-system", version=version, labels=labels or {}),
        "data": data or {},
    }


def daemon_set(*, version: int = 1, generation: int = 1, digest: str = "d1") -> Body:
    return {
        "metadata": metadata(
            "havip-node-edge",
            namespace="havip-system",
            version=version,
            labels={"app.kubernetes.io/name": "havip-node", "havip.dev/class": "edge"},
            annotations={"havip.dev/digest": digest},
        )
        | {"generation": generation},
        "spec": {},
    }


def node_pod(*, on: str = "n1", version: int = 1, **metadata_fields: object) -> Body:
    labels = {"app.kubernetes.io/name": "havip-node", "havip.dev/class": "edge"}
    return {
        "metadata": metadata(
            "havip-node-edge-x", namespace="havip-system", version=version, labels=labels, **metadata_fields
        ),
        "spec": {"nodeName": on} if on else {},
    }

"""What the tests apply: nodes, a class, pools, HAVips. Small and valid."""

from __future__ import annotations

from tests.apiserver.operating.stand import NAMESPACE, Body

from havip.model.keys import Key

API_VERSION = "havip.dev/v1alpha1"
SHOP = "shop"
WEB = Key(SHOP, "web")
NODES = ("n1", "n2", "n3")


def node(name: str, *, ready: bool = True, since: str = "2026-01-01T00:00:00Z") -> Body:
    """n7 has the address 10.88.0.7."""
    state = {"type": "Ready", "status": str(ready), "reason": "Test", "message": "", "lastTransitionTime": since}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"havip.dev/edge": "true"}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": f"10.88.0.{name.removeprefix('n')}"}],
            "conditions": [state],
        },
    }


def klass(name: str = "edge", **spec: object) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": "HAVipClass",
        "metadata": {"name": name},
        "spec": {
            "provider": "None",
            "nodes": {"selector": {"matchLabels": {"havip.dev/edge": "true"}}},
            "interface": {"name": "eth0"},
            "addressRanges": ["10.88.0.0/16"],
            "namespaces": {"names": [SHOP]},
            **spec,
        },
    }


def pool(name: str = "web", *servers: str) -> Body:
    members = [{"address": address, "port": 8080} for address in servers or ("10.99.0.1",)]
    return {
        "apiVersion": API_VERSION,
        "kind": "BackendPool",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {"members": {"static": members}},
    }


def havip(name: str = "web", address: str = "10.88.1.1", *, pool: str = "", **spec: object) -> Body:
    frontends = [{"name": "http", "port": 80, "poolRef": {"name": pool}}] if pool else []
    return {
        "apiVersion": API_VERSION,
        "kind": "HAVip",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {"className": "edge", "addresses": [address], "frontends": frontends, **spec},
    }


def template(image: str = "example.org/node:1") -> Body:
    """The chart's ConfigMap, in small."""
    pod = f"""
metadata: {{labels: {{app.kubernetes.io/name: havip-node}}}}
spec:
  hostNetwork: true
  serviceAccountName: havip-node
  containers:
  - {{name: keeper, image: "{image}", env: [{{name: HAVIP_CLASS, value: set-by-the-operator}}]}}
"""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "havip-node-template", "namespace": NAMESPACE},
        "data": {"podTemplate.yaml": pod},
    }

"""Valid objects of every kind, with every field of their specs set, and ways to change one value in a copy."""

from __future__ import annotations

import copy
from typing import Any

API_VERSION = "havip.dev/v1alpha1"
Body = dict[str, Any]

_SPECS: dict[str, Body] = {
    "HAVipClass": {
        "provider": "None",
        "nodes": {
            "selector": {"matchLabels": {"havip.dev/edge": "true"}},
            "tolerations": [{"key": "edge", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
        },
        "interface": {"name": "eth0"},
        "addressRanges": ["192.0.2.192/26", "2001:db8::/64"],
        "namespaces": {"names": ["shop"]},
        "election": {
            "vrrp": {
                "advertIntervalMilliseconds": 100,
                "missedAdverts": 3,
                "virtualRouterIds": {"first": 1, "last": 255},
                "settleSeconds": 30,
            }
        },
        "reservedPorts": [22, 6443, 10250],
    },
    "HAVip": {
        "className": "edge",
        "addresses": ["192.0.2.200", "2001:db8::200"],
        "publicIp": "eip-1",
        "nodes": {"candidates": 3, "preferred": ["n1", "n2.example.org"]},
        "failback": "Delayed",
        "failbackDelaySeconds": 60,
        "frontends": [{"name": "http", "port": 80, "protocol": "TCP", "poolRef": {"name": "web"}}],
    },
    "BackendPool": {
        "engine": "HAProxy",
        "algorithm": "RoundRobin",
        "members": {"static": [{"address": "192.0.2.10", "port": 8080, "weight": 1}]},
        "healthCheck": {
            "intervalMilliseconds": 1000,
            "timeoutMilliseconds": 500,
            "rise": 2,
            "fall": 3,
            "http": {"path": "/healthz?full=1"},
        },
    },
    "HAVipNode": {
        "className": "edge",
        "nodeName": "n1",
        "interface": {"name": "eth0"},
        "timing": {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30},
        "redundant": True,
        "instances": [
            {
                "havip": "shop/web",
                "virtualRouterId": 7,
                "priority": 209,
                "addresses": ["192.0.2.200", "2001:db8::200"],
                "sourceAddress": "192.0.2.11",
                "peers": [{"nodeName": "n2", "address": "192.0.2.12"}],
                "eligible": True,
                "preferred": ["n1", "n2"],
                "failback": "Never",
                "failbackDelaySeconds": 0,
                "announce": 0,
                "tracked": True,
                "probe": {
                    "port": 59_999,
                    "sources": ["192.0.2.16/32"],
                    "intervalMilliseconds": 5000,
                    "threshold": 1,
                    "overlapFlowsMilliseconds": 10_000,
                },
                "frontends": [{"name": "http", "port": 80, "protocol": "TCP", "pool": "shop/web"}],
            }
        ],
    },
}
_OF_A_CLOUD: Body = {"credentialsSecret": "of-the-cloud", "publicIps": ["eip-1"]}
_CLOUDS: tuple[Body, ...] = (
    {
        "provider": "Azure",
        "azure": {
            "subscriptionId": "00000000-0000-0000-0000-000000000000",
            "resourceGroup": "cluster",
            "nodeResourceGroup": "nodes",
            "loadBalancer": {"name": "vips", "create": {"location": "westeurope"}},
            "subnetId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/s",
            "probe": {"intervalSeconds": 5, "threshold": 1, "sources": ["192.0.2.16/32"]},
            "loadDistribution": "SourceIP",
            "endpoint": "https://management.example.com",
            "authority": "https://login.example.com",
        },
    },
    {
        "provider": "Huawei",
        "huawei": {
            "region": "eu-west-101",
            "projectId": "p1",
            "networkId": "n1",
            "subnetId": "s4",
            "ipv6SubnetId": "s6",
            "endpoint": "https://vpc.example.com",
        },
    },
    {
        "provider": "Tencent",
        "tencent": {
            "region": "ap-guangzhou",
            "vpcId": "vpc-1",
            "subnetId": "subnet-1",
            "instanceType": "CVM",
            "endpoint": "https://vpc.example.com",
        },
    },
)
OTHER_BRANCHES: dict[str, tuple[tuple[str, Any], ...]] = {
    "HAVipClass": (
        ("spec.namespaces", {"selector": {"matchLabels": {"team": "shop"}}}),
        *(("spec", {**_SPECS["HAVipClass"], **block, **_OF_A_CLOUD}) for block in _CLOUDS),
    ),
    "HAVip": (),
    "BackendPool": (("spec.members", {"service": {"name": "web", "port": 80}}),),
    "HAVipNode": (),
}
"""The unions' other branches that hold text, for those who have to reach every field."""
_NAMES = {"HAVipClass": "edge", "HAVip": "web", "BackendPool": "web", "HAVipNode": "edge.n1"}
_REMOVED = object()


def sample(kind: str, *, name: str | None = None) -> Body:
    """A valid object with everything set."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name or _NAMES[kind]},
        "spec": copy.deepcopy(_SPECS[kind]),
    }


def having(body: Body, path: str, value: Any) -> Body:
    """A copy with the value at `path` (`spec.frontends.0.port`) put in place; a list may grow by one."""
    return _changed(body, path, copy.deepcopy(value))


def without(body: Body, path: str) -> Body:
    """A copy without what is at `path`."""
    return _changed(body, path, _REMOVED)


def _changed(body: Body, path: str, value: Any) -> Body:
    out = copy.deepcopy(body)
    *way, last = path.split(".")
    here: Any = out
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    if value is _REMOVED:
        del here[int(last) if isinstance(here, list) else last]
    elif isinstance(here, list) and int(last) == len(here):
        here.append(value)
    else:
        here[int(last) if isinstance(here, list) else last] = value
    return out

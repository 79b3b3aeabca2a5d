"""Orders for a node as the operator writes them, and a folder to run an agent in; for the tests of the agent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from havip.agent.desired import Desired, understand
from havip.agent.source.base import NodeObject, Observed
from havip.model.paths import Folders
from havip.model.report import InstanceReport, KeeperReport

Body = dict[str, Any]
CHECK = {"intervalMilliseconds": 1000, "timeoutMilliseconds": 500, "rise": 2, "fall": 3, "httpPath": None}


def frontend(name: str = "http", port: int = 80, pool: str = "shop/web") -> Body:
    return {"name": name, "port": port, "protocol": "TCP", "pool": pool}


def instance(
    havip: str = "shop/web", *, vrid: int = 7, addresses: Iterable[str] = ("10.88.0.200",), **more: Any
) -> Body:
    listed = list(addresses)
    source, peer = ("fd00::1", "fd00::2") if all(":" in text for text in listed) else ("10.88.0.11", "10.88.0.12")
    return {
        "havip": havip,
        "virtualRouterId": vrid,
        "priority": 209,
        "addresses": listed,
        "sourceAddress": source,
        "peers": [{"nodeName": "n2", "address": peer}],
        "frontends": [frontend()],
        **more,
    }


def spec(*instances: Body, **more: Any) -> Body:
    return {
        "className": "edge",
        "nodeName": "n1",
        "interface": {"name": "eth0"},
        "timing": {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30},
        "redundant": True,
        "instances": list(instances),
        **more,
    }


def pool(
    key: str = "shop/web", *, servers: Iterable[str | tuple[str, int, int]] = ("10.0.0.1:8080",), **more: Any
) -> Body:
    listed = []
    for server in servers:
        if isinstance(server, str):
            address, _, port = server.rpartition(":")
            listed.append({"address": address.strip("[]"), "port": int(port), "weight": 1})
        else:
            listed.append({"address": server[0], "port": server[1], "weight": server[2]})
    return {
        "version": 1,
        "pool": key,
        "engine": "HAProxy",
        "algorithm": "RoundRobin",
        "healthCheck": None,
        "servers": listed,
        **more,
    }


def observed(body: Body, *pools: Body, generation: int = 1, status: object = None) -> Observed:
    texts = {item["pool"].replace("/", "."): json.dumps(item) for item in pools}
    return Observed(NodeObject(generation, body, status), texts)


def desired(body: Body, *pools: Body, previous: Desired | None = None, generation: int = 1) -> Desired:
    out = understand(observed(body, *pools, generation=generation), previous, class_name="edge", node="n1")
    assert out is not None
    return out


def keeper_report(*instances: InstanceReport, applied: int = 1, **more: Any) -> KeeperReport:
    return KeeperReport(
        applied_generation=applied,
        error=more.pop("error", ""),
        keepalived_version="2.2.7",
        keepalived_running=True,
        track_healthy=True,
        instances=instances,
        **more,
    )


def folders_in(root: Path) -> Folders:
    """The folders of a node pod below `root`, made as a pod's mounts would be."""
    folders = Folders(PurePosixPath(root))
    for path in (folders.election, folders.state, folders.haproxy_config, folders.haproxy, folders.keeper):
        Path(path).mkdir(parents=True, exist_ok=True)
    return folders


def write_source(folder: Path, body: Body, *pools: Body, generation: int) -> None:
    """A folder source's files, each replaced whole; pools that are not given any more are removed."""
    (folder / "pools").mkdir(parents=True, exist_ok=True)
    names: Mapping[str, Body] = {item["pool"].replace("/", ".") + ".json": item for item in pools}
    for path in (folder / "pools").glob("*.json"):
        if path.name not in names:
            path.unlink()
    for name, item in names.items():
        _replace(folder / "pools" / name, item)
    _replace(folder / "node.json", {"generation": generation, "spec": body})


def _replace(path: Path, body: Body) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(body))
    beside.replace(path)

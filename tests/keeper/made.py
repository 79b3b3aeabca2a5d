"""Instances and documents for the keeper's tests, by what matters to a test."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import Any

from havip.keeper.keepalived.render import Rendered
from havip.model.election import Election, Instance, Peer, Probe, Timing
from havip.model.keys import Key

TIMING = Timing(advert_interval_ms=100, missed_adverts=3, settle_seconds=30)


def an_instance(**wanted: Any) -> Instance:
    """`shop/web` on n1 with two peers; every field can be another."""
    addresses = wanted.pop("addresses", ("10.88.0.200",))
    peers = wanted.pop("peers", (("n2", "10.88.0.12"), ("n3", "10.88.0.13")))
    values: dict[str, Any] = {
        "havip": Key("shop", wanted.pop("name", "web")),
        "virtual_router_id": 51,
        "priority": 209,
        "addresses": tuple(map(ip_address, addresses)),
        "source": ip_address(wanted.pop("source", "10.88.0.11")),
        "peers": tuple(Peer(node, ip_address(address)) for node, address in peers),
        **wanted,
    }
    return Instance(**values)


def a_probe(**wanted: Any) -> Probe:
    """Asked on 59999 as by Azure, and handed over with an overlap; every field can be another."""
    sources = wanted.pop("sources", ("168.63.129.16/32",))
    values: dict[str, Any] = {
        "port": 59_999,
        "interval_ms": 5000,
        "threshold": 1,
        "overlap_flows_ms": 10_000,
        "sources": tuple(map(ip_network, sources)),
        **wanted,
    }
    return Probe(**values)


def free_port() -> int:
    """One of 127.0.0.1 that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def rendered(instance: Instance | None = None, *, timing: Timing = TIMING, interface: str = "eth0") -> Rendered:
    return Rendered(instance or an_instance(), interface, timing)


def an_election(*instances: Instance, redundant: bool = True, generation: int = 1) -> Election:
    return Election("edge", "n1", generation, "eth0", TIMING, redundant, instances)

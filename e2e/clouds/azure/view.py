"""What may pass, for a fabric to ask: typed, read-only, and only what the cloud was told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from e2e.clouds.azure.balancers import FRONT_ENDS, POOLS, PROBES, RULES, members
from e2e.clouds.azure.store import Json, Store, children, properties, reference, references


@dataclass(frozen=True, slots=True)
class Backend:
    """A node's own address, where its probe and its packets go, and the interface that has it."""

    address: str
    interface: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One load balancing rule. `protocol`: Tcp, Udp or All (then `port` is 0). `probe_port` None = nothing is probed
    and every back end counts as well."""

    balancer: str
    name: str
    address: str
    protocol: str
    port: int
    backend_port: int
    floating: bool
    probe_port: int | None
    probe_interval: int
    probe_threshold: int
    backends: tuple[Backend, ...]
    tcp_reset: bool
    idle_minutes: int
    distribution: str


def rules(store: Store) -> Iterator[Rule]:
    for balancer in store.all("loadBalancers"):
        for one in children(balancer, RULES):
            yield _rule(store, balancer, one)


def _rule(store: Store, balancer: Json, one: Json) -> Rule:
    inside = properties(one)
    front = _named(balancer, FRONT_ENDS, reference(one, "frontendIPConfiguration"))
    probe = properties(_named(balancer, PROBES, reference(one, "probe")))
    pools = dict.fromkeys(filter(None, [reference(one, "backendAddressPool"), *references(one, POOLS)]))
    return Rule(
        balancer["id"],
        one["name"],
        _address(store, front),
        inside["protocol"],
        inside["frontendPort"],
        int(inside.get("backendPort") or inside["frontendPort"]),
        bool(inside.get("enableFloatingIP")),
        probe.get("port"),
        probe.get("intervalInSeconds", 15),
        probe.get("probeThreshold", 1),
        tuple(backend for pool in pools for member in members(store, pool) for backend in _backend(store, member)),
        bool(inside.get("enableTcpReset")),
        inside.get("idleTimeoutInMinutes", 4),
        inside.get("loadDistribution", "Default"),
    )


def _named(balancer: Json, kind: str, resource: str) -> Json:
    name = resource.rpartition("/")[2].lower()
    return next((one for one in children(balancer, kind) if str(one["name"]).lower() == name), {})


def _address(store: Store, front: Json) -> str:
    if public := store.get(reference(front, "publicIPAddress")):
        return str(properties(public).get("ipAddress"))
    return str(properties(front).get("privateIPAddress"))


def _backend(store: Store, member: str) -> Iterator[Backend]:
    interface, _, name = member.partition("/ipConfigurations/")
    there = store.get(interface)
    for one in children(there or {}, "ipConfigurations"):
        if one["name"] == name:
            yield Backend(properties(one)["privateIPAddress"], interface.rpartition("/")[2])


def forwards(store: Store, address: str) -> bool:
    """Whether the interface with this address may send and receive what is not its own."""
    return any(
        bool(properties(interface).get("enableIPForwarding"))
        for interface in store.all("networkInterfaces")
        for config in children(interface, "ipConfigurations")
        if properties(config).get("privateIPAddress") == address
    )

"""What haproxy is to do, as values: front ends, backends and servers with their names. Pure.

The names are ours and carry what they stand for, so that the running haproxy can be asked what it has: a front end
`shop.web:http:10.88.0.200:80` is proof that this process holds that address and port.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from havip.agent.desired import Desired
from havip.model.address import Address
from havip.model.keys import Key
from havip.model.node import Assignment, Frontend
from havip.model.pool import HealthCheck, Pool, RealServer
from havip.model.refusal import LeftOut
from havip.model.states import Algorithm

BALANCE: Mapping[Algorithm, tuple[str, ...]] = {
    Algorithm.ROUND_ROBIN: ("balance roundrobin",),
    Algorithm.LEAST_CONNECTIONS: ("balance leastconn",),
    # Consistent hashing moves few clients when a server comes or goes, and the runtime API adds servers only there.
    Algorithm.SOURCE: ("balance source", "hash-type consistent"),
}


@dataclass(frozen=True, slots=True)
class FrontendSection:
    """One front end of one HAVip on one of its addresses."""

    havip: Key
    frontend: str
    address: Address
    port: int
    pool: Key

    @property
    def name(self) -> str:
        return f"{dotted(self.havip)}:{self.frontend}:{_plain(self.address)}:{self.port}"

    @property
    def bind(self) -> str:
        """The address and port in haproxy's own spelling."""
        if self.address.version == 6:
            return f"ipv6@[{self.address}]:{self.port}"
        return f"ipv4@{self.address}:{self.port}"

    @property
    def backend(self) -> str:
        return dotted(self.pool)

    def left_out(self, reason: str, message: str) -> LeftOut:
        return LeftOut(str(self.havip), reason, f"frontends[{self.frontend}].port", message[:1024])


@dataclass(frozen=True, slots=True)
class BackendSection:
    """One pool. Its name is `namespace.name`; a namespace has no dot, so no two pools share one."""

    pool: Key
    balance: tuple[str, ...]
    check: HealthCheck | None
    servers: tuple[RealServer, ...]

    @property
    def name(self) -> str:
        return dotted(self.pool)

    def bare(self) -> BackendSection:
        """The same without what the runtime API can change."""
        return replace(self, servers=())


@dataclass(frozen=True, slots=True)
class Configuration:
    """All sections, sorted, so that equal orders give equal bytes."""

    frontends: tuple[FrontendSection, ...] = ()
    backends: tuple[BackendSection, ...] = ()

    def with_frontends(self, names: Collection[str]) -> Configuration:
        """The same with only those front ends; every backend stays."""
        return replace(self, frontends=tuple(front for front in self.frontends if front.name in names))

    def structure(self) -> Configuration:
        """What needs a reload when it changes; all the rest the runtime API can do."""
        return replace(self, backends=tuple(backend.bare() for backend in self.backends))


def dotted(key: Key) -> str:
    return f"{key.namespace}.{key.name}"


def _plain(address: Address) -> str:
    return str(address).replace(":", "-")


def server_name(server: RealServer) -> str:
    """Stable for one address and port, whatever else is in the pool."""
    return f"{_plain(server.address)}_{server.port}"


def server_address(server: RealServer) -> str:
    if server.address.version == 6:
        return f"ipv6@[{server.address}]:{server.port}"
    return f"ipv4@{server.address}:{server.port}"


def configure(desired: Desired) -> tuple[Configuration, tuple[LeftOut, ...]]:
    """The configuration for all orders, and the front ends that cannot be part of it."""
    frontends: dict[tuple[Address, int], FrontendSection] = {}
    left_out: list[LeftOut] = []
    for item in desired.spec.assignments:
        for section in _sections(item):
            other = frontends.setdefault((section.address, section.port), section)
            if other is not section:
                message = f"{section.port} on {section.address} is already used by {other.havip} {other.frontend}"
                left_out.append(section.left_out("Invalid", message))
        left_out += _pool_problems(item, desired)
    pools = {section.pool for section in frontends.values()}
    configuration = Configuration(
        frontends=tuple(sorted(frontends.values(), key=lambda section: section.name)),
        backends=tuple(_backend(key, desired) for key in sorted(pools)),
    )
    return configuration, tuple(left_out)


def _sections(item: Assignment) -> list[FrontendSection]:
    return [
        FrontendSection(item.instance.havip, front.name, address, front.port, front.pool)
        for front in item.frontends
        for address in item.instance.addresses
    ]


def _pool_problems(item: Assignment, desired: Desired) -> list[LeftOut]:
    return [
        _pool_problem(item.instance.havip, front, desired)
        for front in item.frontends
        if front.pool in desired.pool_errors
    ]


def _pool_problem(havip: Key, front: Frontend, desired: Desired) -> LeftOut:
    kept = "its last good servers stay" if front.pool in desired.pools else "it has no servers here"
    message = f"pool {front.pool} is not understood, {kept}: {desired.pool_errors[front.pool]}"
    return LeftOut(str(havip), "PoolInvalid", f"frontends[{front.name}].poolRef", message[:1024])


def _backend(key: Key, desired: Desired) -> BackendSection:
    order = desired.pools.get(key)
    return empty_backend(key) if order is None else _section(order.pool)


def empty_backend(key: Key) -> BackendSection:
    """A pool that is not there: its front ends still hold their ports, and close what connects."""
    return BackendSection(key, BALANCE[Algorithm.ROUND_ROBIN], None, ())


def _section(pool: Pool) -> BackendSection:
    # The model promises no duplicates; a document that breaks it must not break the whole file.
    servers = {server_name(server): server for server in pool.servers}
    return BackendSection(
        pool.key, BALANCE[pool.algorithm], pool.health_check, tuple(servers[name] for name in sorted(servers))
    )

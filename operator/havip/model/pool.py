"""A pool as it travels from the operator to the nodes: one ConfigMap per BackendPool, key `pool.json`.

The agent reads it as hostile input; nothing of it reaches haproxy.cfg that is not typed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from havip.model.address import Address, parse_virtual_address
from havip.model.keys import Key
from havip.model.reading import Reader
from havip.model.refusal import Refused, shown
from havip.model.states import Algorithm, Engine

POOL_VERSION = 1
POOL_FILE = "pool.json"
SERVERS = 1000
_PATH = re.compile(r"/[A-Za-z0-9._~!$&()*+,;=:@%/?-]{0,1023}")  # RFC 3986 path and query; no quote, space or backslash


def parse_http_path(value: object) -> str:
    """A request target in origin form (RFC 9112, 3.2.1) without characters a configuration file could act on."""
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise Refused("", f"must be a path such as /healthz, at most 1024 characters of a URL, not {shown(value)}")
    return value


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How the load balancer asks a real server "are you well?".

    Times in milliseconds; `rise` and `fall` in checks in a row; `http_path` None = a TCP connect is enough.
    """

    interval_ms: int
    timeout_ms: int
    rise: int
    fall: int
    http_path: str | None

    @classmethod
    def from_json(cls, value: object) -> HealthCheck:
        read = Reader(value)
        path = read.raw("httpPath", default=None)
        check = cls(
            interval_ms=read.integer("intervalMilliseconds", low=100, high=3_600_000),
            timeout_ms=read.integer("timeoutMilliseconds", low=50, high=3_600_000),
            rise=read.integer("rise", low=1, high=100),
            fall=read.integer("fall", low=1, high=100),
            http_path=None if path is None else _under("httpPath", path),
        )
        read.done()
        return check

    def to_json(self) -> dict[str, object]:
        return {
            "intervalMilliseconds": self.interval_ms,
            "timeoutMilliseconds": self.timeout_ms,
            "rise": self.rise,
            "fall": self.fall,
            "httpPath": self.http_path,
        }


def _under(field: str, value: object) -> str:
    try:
        return parse_http_path(value)
    except Refused as refused:
        raise refused.under(field) from None


@dataclass(frozen=True, slots=True, order=True)
class RealServer:
    """Where a connection ends. `weight` 0 = no new sessions (drain)."""

    address: Address
    port: int
    weight: int = 1

    @classmethod
    def from_json(cls, value: object) -> RealServer:
        read = Reader(value)
        server = cls(
            # A node's loopback or the cloud's metadata service behind a VIP would open them to every client.
            address=read.parsed("address", parse_virtual_address),
            port=read.integer("port", low=1, high=65_535),
            weight=read.integer("weight", low=0, high=256, default=1),
        )
        read.done()
        return server

    def to_json(self) -> dict[str, object]:
        return {"address": str(self.address), "port": self.port, "weight": self.weight}


@dataclass(frozen=True, slots=True)
class Pool:
    """One BackendPool with its real servers resolved, sorted, without duplicates."""

    key: Key
    engine: Engine
    algorithm: Algorithm
    health_check: HealthCheck | None
    servers: tuple[RealServer, ...]

    @classmethod
    def from_json(cls, value: object) -> Pool:
        """Raises `Refused` naming the field."""
        read = Reader(value)
        read.integer("version", low=POOL_VERSION, high=POOL_VERSION)
        check = read.raw("healthCheck", default=None)
        pool = cls(
            key=read.parsed("pool", Key.parse),
            engine=read.choice("engine", Engine),
            algorithm=read.choice("algorithm", Algorithm),
            health_check=None if check is None else HealthCheck.from_json(check),
            servers=read.listed("servers", RealServer.from_json, limit=SERVERS),
        )
        read.done()
        return pool

    def to_json(self) -> dict[str, object]:
        return {
            "version": POOL_VERSION,
            "pool": str(self.key),
            "engine": self.engine.value,
            "algorithm": self.algorithm.value,
            "healthCheck": None if self.health_check is None else self.health_check.to_json(),
            "servers": [server.to_json() for server in self.servers],
        }

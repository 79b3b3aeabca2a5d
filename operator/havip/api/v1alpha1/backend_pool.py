"""BackendPool: the real servers behind a HAVip's ports, and how connections are spread over them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from havip.api.schema import ListType, Model, Rule, Rules, exactly_one
from havip.api.v1alpha1.conditions import Conditions
from havip.api.v1alpha1.text import Count, Generation, Int32, Label, ObjectName, Port, UnicastAddress
from havip.model.states import Algorithm, Engine

STATIC_MEMBERS = 256
USED_BY = 10
"""How many users of a pool its status names."""


class StaticMember(Model):
    """A real server by its address."""

    address: UnicastAddress
    """Its IPv4 or IPv6 address. Names are not resolved."""
    port: Port
    """The port it listens on."""
    weight: Annotated[int, Field(ge=0, le=256), Int32] = 1
    """Its share of connections relative to the others. 0: no new connections, the old ones end (drain)."""


class ServiceMembers(Model):
    """The ready endpoints of a Service in the same namespace."""

    name: Label
    """The Service's name."""
    port: Port
    """One of the Service's ports (not its target port); connections go to the pods directly."""


class Members(Model):
    """Where the real servers come from."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one("static", "service"),)

    static: (
        Annotated[tuple[StaticMember, ...], Field(max_length=STATIC_MEMBERS), ListType("map", ("address", "port"))]
        | None
    ) = None
    """Real servers by their addresses. An empty list is a pool without servers: connections are closed at
    once."""
    service: ServiceMembers | None = None
    """The ready endpoints of a Service."""


class HttpCheck(Model):
    """An HTTP GET that must be answered with a status from 200 to 399."""

    path: Annotated[
        str,
        Field(min_length=1, max_length=1024),
        Rules(
            (
                Rule(
                    "self.matches('^/[A-Za-z0-9._~!$&()*+,;=:@%/?-]*$')",
                    "must be a path such as /healthz: begin with '/', at most 1024 characters, only those of a URL's"
                    " path and query (no space, quote or backslash)",
                ),
            )
        ),
    ] = "/"
    """Path, and query if any, that is asked for."""


class HealthCheck(Model):
    """How each node asks a real server whether it is well: a TCP connect, or an HTTP request where http is set."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.timeoutMilliseconds) || self.timeoutMilliseconds <= self.intervalMilliseconds",
            "timeoutMilliseconds must not be greater than intervalMilliseconds",
            field="timeoutMilliseconds",
        ),
    )

    interval_milliseconds: Annotated[int, Field(ge=100, le=3_600_000), Int32] = 1000
    """Time between two checks of one server, in milliseconds."""
    timeout_milliseconds: Annotated[int, Field(ge=50, le=3_600_000), Int32] | None = None
    """How long an answer may take, in milliseconds, at most intervalMilliseconds. Absent: intervalMilliseconds."""
    rise: Annotated[int, Field(ge=1, le=100), Int32] = 2
    """How many checks in a row must succeed before a server that was down gets connections."""
    fall: Annotated[int, Field(ge=1, le=100), Int32] = 3
    """How many checks in a row must fail before a server gets no more connections."""
    http: HttpCheck | None = None
    """Ask by HTTP. Absent: a TCP connect is enough."""


class BackendPoolSpec(Model):
    """The real servers and how connections are spread over them."""

    engine: Engine = Engine.HAPROXY
    """What balances. HAProxy: connections are proxied on the active node and end when the VIP moves."""
    algorithm: Algorithm = Algorithm.ROUND_ROBIN
    """How a server is chosen. RoundRobin: in turn, by weight. LeastConnections: the one with the fewest. Source: by
    the client's address, so that a client keeps its server while the pool does not change."""
    members: Members
    """The real servers. Exactly one of static and service."""
    health_check: HealthCheck = HealthCheck()
    """How each node asks a real server whether it is well."""


class BackendPoolStatus(Model):
    """What the nodes see of this pool."""

    conditions: Conditions = ()
    """Ready: the pool is valid, in use by the nodes, and has a healthy server."""
    observed_generation: Generation = -1
    """The metadata.generation this status is about; -1 until the operator has seen the object."""
    servers: Count | None = None
    """How many real servers the pool has."""
    healthy: Count | None = None
    """How many of them the active node finds healthy; the fewest, where VIPs on several nodes use the pool."""
    used_by: Annotated[tuple[ObjectName, ...], Field(max_length=USED_BY), ListType("set")] = ()
    """HAVips of this namespace that use the pool, the first few in order."""


class BackendPool(Model):
    """The real servers behind a HAVip's ports, how connections are spread over them, and how their health is
    checked."""

    spec: BackendPoolSpec
    """The real servers and how connections are spread over them."""
    status: BackendPoolStatus = BackendPoolStatus()
    """What the nodes see of this pool. Written by the operator."""

"""HAVipNode on the wire: `spec` is what one node is to do for one class, `status` what it does.

The operator writes the spec, that node's agent the status, nobody else either. The pydantic models in
`havip.api` carry the schema of the same fields; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from havip.model.address import parse_interface_name
from havip.model.election import INSTANCES, Instance, Timing
from havip.model.keys import Key, parse_label, parse_subdomain
from havip.model.reading import Reader
from havip.model.refusal import LeftOut, Refused
from havip.model.report import InstanceReport, left_out_from_json
from havip.model.states import Protocol

FRONTENDS = 16


class InterfaceSource(StrEnum):
    """How a node finds the interface that carries its VIPs."""

    NAME = "name"
    DEFAULT_ROUTE = "fromDefaultRoute"
    ADDRESS_SUBNET = "fromAddressSubnet"


@dataclass(frozen=True, slots=True)
class InterfaceChoice:
    """`{name: eth0}`, `{fromDefaultRoute: {}}` or `{fromAddressSubnet: {}}`. `name` is empty but for the first."""

    source: InterfaceSource
    name: str = ""

    @classmethod
    def from_json(cls, value: object) -> InterfaceChoice:
        if not isinstance(value, dict) or len(value) != 1:
            raise Refused("", f"must be exactly one of {', '.join(InterfaceSource)}")
        (key, inner), *_ = value.items()
        if key == InterfaceSource.NAME:
            try:
                return cls(InterfaceSource.NAME, parse_interface_name(inner))
            except Refused as refused:
                raise refused.under("name") from None
        if key not in set(InterfaceSource):
            raise Refused("", f"must be exactly one of {', '.join(InterfaceSource)}")
        return cls(InterfaceSource(key))

    def to_json(self) -> dict[str, object]:
        return {self.source.value: self.name if self.source is InterfaceSource.NAME else {}}


@dataclass(frozen=True, slots=True)
class Frontend:
    """A port of the VIP and the pool behind it."""

    name: str
    port: int
    protocol: Protocol
    pool: Key

    @classmethod
    def from_json(cls, value: object) -> Frontend:
        read = Reader(value)
        frontend = cls(
            name=read.parsed("name", parse_label),
            port=read.integer("port", low=1, high=65_535),
            protocol=read.choice("protocol", Protocol),
            pool=read.parsed("pool", Key.parse),
        )
        read.done()
        return frontend

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "port": self.port,
            "protocol": self.protocol.value,
            "pool": str(self.pool),
        }


@dataclass(frozen=True, slots=True)
class Assignment:
    """One HAVip on one node: its VRRP instance and its front ends, one object on the wire."""

    instance: Instance
    frontends: tuple[Frontend, ...] = ()

    @classmethod
    def from_json(cls, value: object) -> Assignment:
        if not isinstance(value, dict):
            raise Refused("", "must be an object")
        read = Reader({"frontends": value.get("frontends", [])})
        frontends = read.listed("frontends", Frontend.from_json, limit=FRONTENDS)
        rest = {key: item for key, item in value.items() if key != "frontends"}
        return cls(Instance.from_json(rest), frontends)

    def to_json(self) -> dict[str, object]:
        return {**self.instance.to_json(), "frontends": [frontend.to_json() for frontend in self.frontends]}


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """HAVipNode.spec. `assignments` is `instances` on the wire, sorted by HAVip."""

    class_name: str
    node: str
    interface: InterfaceChoice
    timing: Timing
    redundant: bool
    assignments: tuple[Assignment, ...] = ()

    @classmethod
    def from_json(cls, value: object) -> tuple[NodeSpec, tuple[LeftOut, ...]]:
        """The spec and the assignments that were not understood. Raises `Refused` when the frame is not."""
        read = Reader(value)
        raw = read.listed("instances", lambda item: item, limit=INSTANCES, default=())
        taken: list[Assignment] = []
        left_out: list[LeftOut] = []
        for index, item in enumerate(raw):
            try:
                taken.append(Assignment.from_json(item))
            except Refused as refused:
                where = refused.under(f"instances[{index}]")
                name = item.get("havip") if isinstance(item, dict) else ""
                left_out.append(LeftOut(str(name)[:320], "Invalid", where.field, where.message))
        spec = cls(
            class_name=read.parsed("className", parse_label),
            node=read.parsed("nodeName", parse_subdomain),
            interface=read.parsed("interface", InterfaceChoice.from_json),
            timing=read.parsed("timing", Timing.from_json),
            redundant=read.boolean("redundant", default=False),
            assignments=tuple(taken),
        )
        read.done()
        return spec, tuple(left_out)

    def to_json(self) -> dict[str, object]:
        return {
            "className": self.class_name,
            "nodeName": self.node,
            "interface": self.interface.to_json(),
            "timing": self.timing.to_json(),
            "redundant": self.redundant,
            "instances": [assignment.to_json() for assignment in self.assignments],
        }


@dataclass(frozen=True, slots=True)
class InterfaceReport:
    """The interface found and its own addresses in CIDR form (never a VIP)."""

    name: str
    addresses: tuple[str, ...]

    @classmethod
    def from_json(cls, value: object) -> InterfaceReport:
        read = Reader(value)
        report = cls(
            name=read.parsed("name", parse_interface_name),
            addresses=read.listed("addresses", lambda item: str(item)[:64], limit=64),
        )
        read.done()
        return report

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "addresses": list(self.addresses)}


@dataclass(frozen=True, slots=True)
class PoolReport:
    """A pool as this node runs it. `digest` is of its `pool.json`; `healthy` of `total` servers are up."""

    pool: Key
    digest: str
    healthy: int
    total: int

    @classmethod
    def from_json(cls, value: object) -> PoolReport:
        read = Reader(value)
        report = cls(
            pool=read.parsed("pool", Key.parse),
            digest=read.string("digest", limit=64),
            healthy=read.integer("healthy", low=0, high=100_000),
            total=read.integer("total", low=0, high=100_000),
        )
        read.done()
        return report

    def to_json(self) -> dict[str, object]:
        return {"pool": str(self.pool), "digest": self.digest, "healthy": self.healthy, "total": self.total}


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """HAVipNode.status. `applied_generation` counts only what the keeper confirmed; `error` says what it did not."""

    applied_generation: int = 0
    error: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    """Keys `agent`, `keepalived`, `haproxy`."""
    interface: InterfaceReport | None = None
    vips: tuple[InstanceReport, ...] = ()
    pools: tuple[PoolReport, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def from_json(cls, value: object) -> NodeStatus:
        read = Reader(value)
        interface = read.raw("interface", default=None)
        versions = read.raw("versions", default={})
        if not isinstance(versions, dict):
            raise Refused("versions", "must be an object")
        status = cls(
            applied_generation=read.integer("appliedGeneration", low=0, high=2**63 - 1, default=0),
            error=read.string("error", limit=1024, default=""),
            versions={str(key): str(item)[:64] for key, item in versions.items()},
            interface=None if interface is None else InterfaceReport.from_json(interface),
            vips=read.listed("vips", InstanceReport.from_json, limit=INSTANCES, default=()),
            pools=read.listed("pools", PoolReport.from_json, limit=1024, default=()),
            left_out=read.listed("leftOut", left_out_from_json, limit=INSTANCES, default=()),
        )
        read.done()
        return status

    def to_json(self) -> dict[str, object]:
        body: dict[str, object] = {
            "appliedGeneration": self.applied_generation,
            "error": self.error,
            "versions": dict(self.versions),
            "vips": [vip.to_json() for vip in self.vips],
            "pools": [pool.to_json() for pool in self.pools],
            "leftOut": [item.to_json() for item in self.left_out],
        }
        if self.interface is not None:
            body["interface"] = self.interface.to_json()
        return body

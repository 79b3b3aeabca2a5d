"""HAVip: *what* a user wants: an address that outlives its node, and the ports behind it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from havip.api.schema import ListType, Model, Refusal, Rule, Rules, immutable
from havip.api.v1alpha1.clouds import PublicIp
from havip.api.v1alpha1.conditions import Conditions
from havip.api.v1alpha1.text import (
    ClassName,
    Count,
    Generation,
    Int32,
    Label,
    NodeName,
    ObjectName,
    Port,
    ReasonWord,
    Time,
    UnicastAddress,
)
from havip.model.node import FRONTENDS
from havip.model.priority import BASES
from havip.model.states import Failback, Protocol, State

CANDIDATES = len(BASES)
"""Most nodes that may hold one VIP: the priority budget has no more."""
HISTORY = 10
"""How many failovers a HAVip's status remembers."""


class CandidateNodes(Model):
    """The nodes that may hold the VIP; they are each other's VRRP peers."""

    candidates: Annotated[int, Field(ge=1, le=CANDIDATES), Int32] = 3
    """How many nodes may hold the VIP. 1 means that it does not outlive its node."""
    preferred: Annotated[
        tuple[NodeName, ...],
        Field(max_length=CANDIDATES),
        Rules(
            (
                Rule(
                    "self.all(node, self.exists_one(other, other == node))",
                    "must name each node once, best first",
                ),
            )
        ),
    ] = ()
    """Names of nodes in order of preference, best first; they are candidates before others. Absent, the operator
    spreads VIPs over the class's nodes. A change of the order switches the VIP to the best one, without loss."""


class PoolRef(Model):
    """A BackendPool in the same namespace."""

    name: ObjectName
    """The BackendPool's name."""


class Frontend(Model):
    """A port of the VIP and the pool behind it."""

    name: Label
    """What it is called, unique in this HAVip."""
    port: Port
    """The port clients connect to. The class's reservedPorts are refused."""
    protocol: Protocol = Protocol.TCP
    """The transport protocol."""
    pool_ref: PoolRef
    """The BackendPool that connections go to, in the same namespace."""


class HAVipSpec(Model):
    """The address, who may hold it, and what answers on it."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(oldSelf.className) || (has(self.className) && self.className == oldSelf.className)",
            "className is immutable once set; create a new HAVip to use another class",
            field="className",
            reason=Refusal.FORBIDDEN,
        ),
        Rule(
            "self.failback != 'Delayed' || has(self.failbackDelaySeconds)",
            "failbackDelaySeconds is required when failback is Delayed: 1 to 86400 seconds",
            field="failbackDelaySeconds",
        ),
        Rule(
            "self.failback == 'Delayed' || !has(self.failbackDelaySeconds)",
            "failbackDelaySeconds must be absent unless failback is Delayed",
            field="failbackDelaySeconds",
        ),
    )

    class_name: ClassName | None = None
    """The HAVipClass. Absent, the default class is used, found once and kept in status.className. Immutable once
    set."""
    addresses: Annotated[
        tuple[UnicastAddress, ...],
        Field(min_length=1, max_length=2),
        Rules(
            (
                immutable("addresses"),
                Rule(
                    "self.size() != 2 || !self.all(address, isIP(address))"
                    " || ip(self[0]).family() != ip(self[1]).family()",
                    "must be one IPv4 or one IPv6 address, or one of each; make another HAVip for a second address of"
                    " the same family",
                ),
            )
        ),
    ]
    """The VIP: one IPv4 or one IPv6 address, or one of each (they then move together). No prefix length. Must lie in
    the class's addressRanges. Immutable."""
    public_ip: Annotated[PublicIp, Rules((immutable("publicIp"),))] | None = None
    """A public address of the cloud that leads to the VIP, by the cloud's own id; the class's publicIps must name it.
    Immutable once set."""
    nodes: CandidateNodes = CandidateNodes()
    """The nodes that may hold the VIP."""
    failback: Failback = Failback.NEVER
    """What a better candidate does when it returns. Never: it does not take over, once the election of the active node
    has run for the class's settleSeconds. Immediate: it takes over at once. Delayed: it takes over after
    failbackDelaySeconds."""
    failback_delay_seconds: Annotated[int, Field(ge=1, le=86_400), Int32] | None = None
    """How long, in seconds, a returning node waits with failback Delayed; required then and refused otherwise."""
    frontends: Annotated[
        tuple[Frontend, ...],
        Field(max_length=FRONTENDS),
        ListType("map", ("name",)),
        Rules(
            (
                Rule(
                    "self.all(one, self.exists_one(other, other.port == one.port && other.protocol == one.protocol))",
                    "must have each port of a protocol once",
                ),
            )
        ),
    ] = ()
    """Ports of the VIP and the BackendPools behind them. None: the address is held and nothing listens on it here."""


class HAVipNodeState(Model):
    """What one candidate is for this VIP."""

    name: NodeName
    """The node's name."""
    state: State
    """Active holds the address; Standby could take over; Fault cannot, reason says why; Unknown: not heard from, or
    address and election disagree."""
    since: Time | None = None
    """When the state began, RFC 3339."""
    reason: ReasonWord = ""
    """Why, as one CamelCase word."""
    last_heard: Time | None = None
    """When the node was last heard from, RFC 3339; only while the Node is not ready."""


class Failover(Model):
    """One change of the active node."""

    from_: Annotated[NodeName | None, Field(alias="from")] = None
    """The node that was active; absent when there was none."""
    to: NodeName
    """The node that became active."""
    reason: ReasonWord = ""
    """Why, as one CamelCase word."""
    duration_milliseconds: Annotated[int, Field(ge=0), Int32] | None = None
    """From the last sign of the node before to the address on the new one, in milliseconds; absent when unknown."""
    at: Time
    """When the new node became active, RFC 3339."""
    cloud_instance: Annotated[str | None, Field(max_length=64)] = None
    """The instance that the cloud itself showed the VIP on 10 s later, where the cloud says so (Tencent)."""
    cloud_since: Annotated[str | None, Field(max_length=64)] = None
    """Since when, as the cloud writes it (Tencent: FlushedTime)."""


class HAVipStatus(Model):
    """What is true of this VIP, gathered from the nodes."""

    conditions: Conditions = ()
    """Ready: the VIP is held by one node and answers. Claimed: exactly one node is active. Programmed: everything
    around the nodes is as wanted."""
    observed_generation: Generation = -1
    """The metadata.generation this status is about; -1 until the operator has seen the object."""
    class_name: ClassName | None = None
    """The HAVipClass in use."""
    active_node: NodeName | None = None
    """The node that holds the VIP; absent when none does, or more than one says so."""
    virtual_router_id: Annotated[int, Field(ge=1, le=255), Int32] | None = None
    """The VRRP virtual router id that the operator gave to this VIP."""
    nodes: Annotated[tuple[HAVipNodeState, ...], Field(max_length=16), ListType("map", ("name",))] = ()
    """The candidates and what each of them is."""
    transitions: Count | None = None
    """How often the active node has changed."""
    history: Annotated[tuple[Failover, ...], Field(max_length=HISTORY)] = ()
    """The last failovers, newest first."""


class HAVip(Model):
    """A virtual IP address that exactly one of its candidate nodes holds, and that moves when this node fails."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.spec.className) || !has(oldSelf.status) || !has(oldSelf.status.className)"
            " || self.spec.className == oldSelf.status.className",
            "spec.className is immutable: a class is in use already, status.className says which; that one would be"
            " accepted",
            field="spec.className",
            reason=Refusal.FORBIDDEN,
        ),
    )

    spec: HAVipSpec
    """The address, who may hold it, and what answers on it."""
    status: HAVipStatus = HAVipStatus()
    """What is true of this VIP. Written by the operator."""

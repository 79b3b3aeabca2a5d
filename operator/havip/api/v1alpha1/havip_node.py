"""HAVipNode: what one node is to do for one class, and what it does. The wire form is `havip.model.node`'s.

These models carry the schema only; processes read and write HAVipNodes with `NodeSpec` and `NodeStatus`, and a test
holds the two together.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from havip.api.schema import Model, Rule, Rules, immutable
from havip.api.v1alpha1.havip_class import Interface
from havip.api.v1alpha1.text import (
    ClassName,
    Generation,
    Int32,
    Int64,
    InterfaceName,
    NodeName,
    PlainAddress,
    PlainLabel,
    PlainNodeName,
    Port,
    ReasonWord,
)
from havip.model.election import INSTANCES, PEERS, PROBE_SOURCES
from havip.model.node import FRONTENDS
from havip.model.priority import BASES
from havip.model.states import Failback, Protocol, State

_KEY = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
NamespacedName = Annotated[str, Field(min_length=3, max_length=317, pattern=_KEY)]
PlainNetwork = Annotated[str, Field(min_length=4, max_length=49, pattern="^[0-9a-f.:]+/[0-9]{1,3}$")]


class NodeTiming(Model):
    """When a standby takes over; the class's, the same on all nodes."""

    advert_interval_milliseconds: Annotated[int, Field(ge=10, le=40_950), Int32]
    """Time between two adverts, in milliseconds."""
    missed_adverts: Annotated[int, Field(ge=2, le=100), Int32]
    """Adverts that must be missing in a row before a standby takes over."""
    settle_seconds: Annotated[int, Field(ge=0, le=3600), Int32]
    """How long, in seconds, the election must have run before an active node gets the incumbent bonus."""


class NodePeer(Model):
    """Another candidate of the VIP."""

    node_name: PlainNodeName
    """Its node's name."""
    address: PlainAddress
    """The address its adverts come from."""


class NodeProbe(Model):
    """How the cloud's load balancer asks this node "are you active?", by a TCP connection to the node's own address."""

    port: Port
    """The port it asks on, the HAVip's own; answered only where the address is."""
    sources: Annotated[tuple[PlainNetwork, ...], Field(min_length=1, max_length=PROBE_SOURCES)]
    """The networks it asks from; nobody else is answered."""
    interval_milliseconds: Annotated[int, Field(ge=100, le=60_000), Int32]
    """Time between two probes of a node, in milliseconds."""
    threshold: Annotated[int, Field(ge=1, le=10), Int32]
    """How many answers of one kind in a row change what the load balancer thinks of a node."""
    overlap_flows_milliseconds: Annotated[int, Field(ge=0, le=600_000), Int32] | None = None
    """Set: during a planned switch both nodes answer until the load balancer has learnt it, and flows on the old one
    have this many milliseconds after that. Absent: a planned switch moves the address at once."""


class NodeFrontend(Model):
    """A port of the VIP and the pool behind it."""

    name: PlainLabel
    """The front end's name in its HAVip."""
    port: Port
    """The port to listen on."""
    protocol: Protocol
    """The transport protocol."""
    pool: NamespacedName
    """The BackendPool, as namespace/name."""


class NodeInstance(Model):
    """One HAVip on this node: its VRRP instance and its front ends."""

    havip: NamespacedName
    """The HAVip, as namespace/name."""
    virtual_router_id: Annotated[int, Field(ge=1, le=255), Int32]
    """The VRRP virtual router id, unique among HAVips that share a node."""
    priority: Annotated[int, Field(ge=BASES[-1], le=BASES[0]), Int32]
    """The base priority by this node's rank among the candidates."""
    addresses: Annotated[tuple[PlainAddress, ...], Field(min_length=1, max_length=2)]
    """The VIP: one address, or an IPv4 and an IPv6 one."""
    source_address: PlainAddress
    """This node's own address that adverts leave from."""
    peers: Annotated[tuple[NodePeer, ...], Field(max_length=PEERS)]
    """The other candidates."""
    eligible: bool = True
    """False: give the address up in order and stay out until the operator says otherwise."""
    preferred: Annotated[tuple[PlainNodeName, ...], Field(max_length=len(BASES))] = ()
    """The user's order of nodes; a change of it is the order to switch."""
    failback: Failback = Failback.NEVER
    """What this node does when it returns and is the better candidate."""
    failback_delay_seconds: Annotated[int, Field(ge=0, le=86_400), Int32] = 0
    """How long, in seconds, it waits with failback Delayed."""
    announce: Annotated[int, Field(ge=0, le=2**31 - 1), Int32] = 0
    """When it grows, the active node announces the VIP's addresses again: the moment of the newest reason to do so,
    in seconds since 1970; 0 means that there was none."""
    tracked: bool = False
    """True: the local haproxy must answer for this node to keep its priority."""
    probe: NodeProbe | None = None
    """How the cloud's load balancer finds the active node; absent where it does not ask."""
    frontends: Annotated[tuple[NodeFrontend, ...], Field(max_length=FRONTENDS)] = ()
    """Ports of the VIP and the pools behind them."""


class HAVipNodeSpec(Model):
    """What this node is to do for this class. Written by the operator; also the record of what it allocated."""

    class_name: Annotated[ClassName, Rules((immutable("className"),))]
    """The HAVipClass. Immutable."""
    node_name: Annotated[NodeName, Rules((immutable("nodeName"),))]
    """The Kubernetes Node. Immutable."""
    interface: Interface
    """The class's way to find the interface that carries the VIPs."""
    timing: NodeTiming
    """The class's election timing."""
    redundant: bool = False
    """True: the class has two or more nodes, so an instance without peers is a mistake and is not run."""
    # A whole with one writer, as every list of this kind: as maps, managedFields would be half of the object, and
    # server-side apply of an emptied map of a required field (peers) leaves null, which is refused.
    instances: Annotated[tuple[NodeInstance, ...], Field(max_length=INSTANCES)] = ()
    """The HAVips this node is a candidate of."""


class NodeInterface(Model):
    """The interface that carries the VIPs."""

    name: InterfaceName
    """Its name on this node."""
    addresses: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)]
    """Its own addresses with prefix length, VIPs left out."""


class NodeVip(Model):
    """One HAVip as this node runs it."""

    havip: NamespacedName
    """The HAVip, as namespace/name."""
    virtual_router_id: Annotated[int, Field(ge=1, le=255), Int32]
    """The VRRP virtual router id in use."""
    state: State
    """What this node is for the VIP."""
    since: Annotated[str, Field(max_length=40)]
    """When the state began, RFC 3339 UTC with milliseconds."""
    reason: Annotated[ReasonWord, Field(max_length=64)]
    """Why, as one CamelCase word."""
    heard: Annotated[tuple[PlainNodeName, ...], Field(max_length=8)]
    """Nodes whose adverts for this VIP arrive. On an active node: others that claim it too."""
    outage_milliseconds: Annotated[int, Field(ge=0), Int64] | None = None
    """On an active node: from the last advert of the one before to the address here, in milliseconds; absent after
    a hand-over in order."""


class NodePool(Model):
    """One BackendPool as this node runs it."""

    pool: NamespacedName
    """The BackendPool, as namespace/name."""
    digest: Annotated[str, Field(max_length=64)]
    """Digest of the pool document that is applied."""
    healthy: Annotated[int, Field(ge=0, le=100_000), Int32]
    """Servers that are healthy, seen from this node."""
    total: Annotated[int, Field(ge=0, le=100_000), Int32]
    """Servers there are."""


class NodeLeftOut(Model):
    """Something this node was told and did not do. The rest goes on."""

    havip: Annotated[str, Field(max_length=320)]
    """The HAVip, as namespace/name; empty when it could not be read."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z][A-Za-z0-9]*$")]
    """Why, as one CamelCase word."""
    field: Annotated[str, Field(max_length=253)]
    """The field that was not accepted; empty when all of it is meant."""
    message: Annotated[str, Field(max_length=1024)]
    """What would be accepted."""


class HAVipNodeStatus(Model):
    """What this node does for this class. Written by that node's agent, nobody else."""

    applied_generation: Annotated[Generation, Field(ge=0)] | None = None
    """The metadata.generation that the node confirmed as applied; 0 before the first."""
    error: Annotated[str, Field(max_length=1024)] | None = None
    """Why the newest spec is not applied as a whole; empty when it is."""
    versions: Annotated[dict[str, Annotated[str, Field(max_length=64)]], Field(max_length=16)] | None = None
    """Versions of agent, keepalived and haproxy on this node."""
    interface: NodeInterface | None = None
    """The interface that carries the VIPs, as found."""
    vips: Annotated[tuple[NodeVip, ...], Field(max_length=INSTANCES)] | None = None
    """Each HAVip and what this node is for it."""
    pools: Annotated[tuple[NodePool, ...], Field(max_length=1024)] | None = None
    """Each BackendPool and how it runs here."""
    left_out: Annotated[tuple[NodeLeftOut, ...], Field(max_length=INSTANCES)] | None = None
    """What was left out, by name, and why."""


class HAVipNode(Model):
    """One node's part in one class: the operator writes what it is to do, its agent what it does. Not for users to
    write."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.metadata.name == self.spec.className + '.' + self.spec.nodeName",
            "metadata.name must be <className>.<nodeName>",
        ),
    )

    spec: HAVipNodeSpec
    """What this node is to do for this class. Written by the operator."""
    status: HAVipNodeStatus = HAVipNodeStatus()
    """What this node does. Written by that node's agent."""

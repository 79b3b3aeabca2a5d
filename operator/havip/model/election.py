"""The election document: what the agent hands to the keeper, one JSON file, replaced atomically.

The keeper reads it as hostile input: every value is typed here before it can reach keepalived.conf. A bad
instance is left out by name, the others go on; an unknown version refuses the whole, and the last good one stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from havip.model.address import (
    Address,
    Network,
    parse_address,
    parse_interface_name,
    parse_network,
    parse_virtual_address,
)
from havip.model.keys import Key, parse_label, parse_subdomain
from havip.model.priority import BASES
from havip.model.reading import Reader
from havip.model.refusal import LeftOut, Refused
from havip.model.states import Failback

DOCUMENT_VERSION = 1
INSTANCES = 255  # a VRID is one octet
PEERS = 4  # at most five candidates
PROBE_SOURCES = 8


@dataclass(frozen=True, slots=True)
class Timing:
    """When a standby takes over: after `missed_adverts` adverts that did not come, plus skew (RFC 9568, 6.1).

    `advert_interval_ms` in milliseconds; `settle_seconds` until an active node may get the incumbent bonus.
    """

    advert_interval_ms: int
    missed_adverts: int
    settle_seconds: int

    @classmethod
    def from_json(cls, value: object) -> Timing:
        read = Reader(value)
        timing = cls(
            advert_interval_ms=read.integer("advertIntervalMilliseconds", low=10, high=40_950),
            missed_adverts=read.integer("missedAdverts", low=2, high=100),
            settle_seconds=read.integer("settleSeconds", low=0, high=3600),
        )
        read.done()
        return timing

    def to_json(self) -> dict[str, object]:
        return {
            "advertIntervalMilliseconds": self.advert_interval_ms,
            "missedAdverts": self.missed_adverts,
            "settleSeconds": self.settle_seconds,
        }


@dataclass(frozen=True, slots=True)
class Peer:
    """Another candidate: its node's name and the address its adverts come from."""

    node: str
    address: Address

    @classmethod
    def from_json(cls, value: object) -> Peer:
        read = Reader(value)
        peer = cls(node=read.parsed("nodeName", parse_subdomain), address=read.parsed("address", parse_address))
        read.done()
        return peer

    def to_json(self) -> dict[str, object]:
        return {"nodeName": self.node, "address": str(self.address)}


@dataclass(frozen=True, slots=True)
class Probe:
    """How the cloud's load balancer asks this node's own address "are you active?", by a TCP connection.

    `port`: the HAVip's own, answered only where the address is. `sources`: who may ask; from anywhere else nobody is
    answered. `interval_ms`, `threshold`: the load balancer's, that many answers of one kind in a row change its mind.
    `overlap_flows_ms`: None = a planned switch moves the address at once. Else both nodes answer until the load
    balancer knows the new one, and the old one serves what still reaches it until the load balancer has dropped it,
    and this much longer for the flows that live on. Only for fabrics where the load balancer, not ARP, picks the node.
    """

    port: int
    sources: tuple[Network, ...]
    interval_ms: int
    threshold: int
    overlap_flows_ms: int | None = None

    @classmethod
    def from_json(cls, value: object) -> Probe:
        read = Reader(value)
        flows = read.raw("overlapFlowsMilliseconds", default=None)
        probe = cls(
            port=read.integer("port", low=1, high=65_535),
            sources=read.listed("sources", parse_network, limit=PROBE_SOURCES),
            interval_ms=read.integer("intervalMilliseconds", low=100, high=60_000),
            threshold=read.integer("threshold", low=1, high=10),
            overlap_flows_ms=None if flows is None else _flows_ms(flows),
        )
        read.done()
        if not probe.sources:
            raise Refused("sources", "must name at least one network that probes come from")
        return probe

    def to_json(self) -> dict[str, object]:
        body: dict[str, object] = {
            "port": self.port,
            "sources": [str(source) for source in self.sources],
            "intervalMilliseconds": self.interval_ms,
            "threshold": self.threshold,
        }
        if self.overlap_flows_ms is not None:
            body["overlapFlowsMilliseconds"] = self.overlap_flows_ms
        return body


def _probe(value: object) -> Probe | None:
    return None if value is None else Probe.from_json(value)


def _flows_ms(value: object) -> int:
    name = "overlapFlowsMilliseconds"
    return Reader({name: value}).integer(name, low=0, high=600_000)


@dataclass(frozen=True, slots=True)
class Instance:
    """One VRRP instance: one HAVip on one node.

    `addresses`: one, or an IPv4 and an IPv6 one (dual stack; the IPv4 one is then elected, both move together).
    `source`: this node's own address that adverts leave from, of the elected family.
    `eligible`: False = give the address up in order and stay out until the operator says otherwise.
    `preferred`: the user's node order as last planned; a change of it is the order to switch.
    `announce`: a counter; when it grows, gratuitous ARP and unsolicited NA are sent again.
    `tracked`: the local haproxy must answer for this node to keep its priority.
    `probe`: how the cloud finds the active node; None = it does not ask (absent on the wire).
    """

    havip: Key
    virtual_router_id: int
    priority: int
    addresses: tuple[Address, ...]
    source: Address
    peers: tuple[Peer, ...]
    eligible: bool = True
    preferred: tuple[str, ...] = ()
    failback: Failback = Failback.NEVER
    failback_delay_seconds: int = 0
    announce: int = 0
    tracked: bool = False
    probe: Probe | None = None

    @property
    def elected(self) -> Address:
        """The address whose family the adverts are of: the IPv4 one where there is one."""
        return min(self.addresses, key=lambda address: address.version)

    @property
    def excluded(self) -> tuple[Address, ...]:
        """Addresses that move along without being in the adverts."""
        return tuple(address for address in self.addresses if address != self.elected)

    @classmethod
    def from_json(cls, value: object) -> Instance:
        """Raises `Refused` naming the field."""
        read = Reader(value)
        instance = cls(
            havip=read.parsed("havip", Key.parse),
            virtual_router_id=read.integer("virtualRouterId", low=1, high=255),
            priority=read.integer("priority", low=BASES[-1], high=BASES[0]),
            addresses=read.listed("addresses", parse_virtual_address, limit=2),
            source=read.parsed("sourceAddress", parse_virtual_address),
            peers=read.listed("peers", Peer.from_json, limit=PEERS),
            eligible=read.boolean("eligible", default=True),
            preferred=read.listed("preferred", parse_subdomain, limit=len(BASES), default=()),
            failback=read.choice("failback", Failback, default=Failback.NEVER),
            failback_delay_seconds=read.integer("failbackDelaySeconds", low=0, high=86_400, default=0),
            announce=read.integer("announce", low=0, high=2**31 - 1, default=0),
            tracked=read.boolean("tracked", default=False),
            probe=read.parsed("probe", _probe, default=None),
        )
        read.done()
        instance._consistent()
        return instance

    def _consistent(self) -> None:
        families = [address.version for address in self.addresses]
        if not families or len(set(families)) != len(families):
            raise Refused("addresses", "must be one IPv4 or one IPv6 address, or one of each")
        if self.source.version != self.elected.version:
            raise Refused("sourceAddress", f"must be an IPv{self.elected.version} address, as {self.elected} is")
        if self.source in self.addresses:
            raise Refused("addresses", f"must not be this node's own address {self.source}")
        for index, peer in enumerate(self.peers):
            if peer.address.version != self.elected.version:
                raise Refused(f"peers[{index}].address", f"must be an IPv{self.elected.version} address")
            if peer.address == self.source or peer.address in self.addresses:
                raise Refused(f"peers[{index}].address", "must be another node's own address")
        if len({peer.address for peer in self.peers}) != len(self.peers):
            raise Refused("peers", "must not name one address twice")
        for index, network in enumerate(self.probe.sources if self.probe else ()):
            if network.version != self.elected.version:
                raise Refused(f"probe.sources[{index}]", f"must be an IPv{self.elected.version} network")

    def to_json(self) -> dict[str, object]:
        body: dict[str, object] = {
            "havip": str(self.havip),
            "virtualRouterId": self.virtual_router_id,
            "priority": self.priority,
            "addresses": [str(address) for address in self.addresses],
            "sourceAddress": str(self.source),
            "peers": [peer.to_json() for peer in self.peers],
            "eligible": self.eligible,
            "preferred": list(self.preferred),
            "failback": self.failback.value,
            "failbackDelaySeconds": self.failback_delay_seconds,
            "announce": self.announce,
            "tracked": self.tracked,
        }
        if self.probe is not None:
            body["probe"] = self.probe.to_json()
        return body


@dataclass(frozen=True, slots=True)
class Election:
    """The whole document of one class on one node.

    `generation` is HAVipNode.metadata.generation; `redundant` says that the class has two or more nodes,
    so that an instance without peers must not be started.
    """

    class_name: str
    node: str
    generation: int
    interface: str
    timing: Timing
    redundant: bool
    instances: tuple[Instance, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "version": DOCUMENT_VERSION,
            "className": self.class_name,
            "nodeName": self.node,
            "generation": self.generation,
            "interface": self.interface,
            "timing": self.timing.to_json(),
            "redundant": self.redundant,
            "instances": [instance.to_json() for instance in self.instances],
        }


def _name_of(item: object) -> str:
    """The HAVip a refused instance belongs to, if it says so in a form that can be shown."""
    try:
        return str(Key.parse(item["havip"])) if isinstance(item, dict) else ""
    except (Refused, KeyError):
        return ""


def read_election(value: object) -> tuple[Election, tuple[LeftOut, ...]]:
    """The document and what of it was left out. Raises `Refused` when the frame itself is not understood."""
    read = Reader(value)
    version = read.raw("version")
    if version != DOCUMENT_VERSION or isinstance(version, bool):
        raise Refused("version", f"must be {DOCUMENT_VERSION}: this keeper knows no other")
    class_name = read.parsed("className", parse_label)
    node = read.parsed("nodeName", parse_subdomain)
    generation = read.integer("generation", low=0, high=2**63 - 1)
    interface = read.parsed("interface", parse_interface_name)
    timing = read.parsed("timing", Timing.from_json)
    redundant = read.boolean("redundant")
    raw = read.listed("instances", lambda item: item, limit=INSTANCES)
    read.done()
    taken: list[Instance] = []
    left_out: list[LeftOut] = []
    for index, item in enumerate(raw):
        try:
            instance = Instance.from_json(item)
            _alone(instance, taken)
        except Refused as refused:
            where = refused.under(f"instances[{index}]")
            left_out.append(LeftOut(_name_of(item), "Invalid", where.field, where.message))
        else:
            taken.append(instance)
    election = Election(class_name, node, generation, interface, timing, redundant, tuple(taken))
    return election, tuple(left_out)


def _alone(instance: Instance, others: list[Instance]) -> None:
    for other in others:
        if other.havip == instance.havip:
            raise Refused("havip", f"{instance.havip} is there twice")
        if other.virtual_router_id == instance.virtual_router_id:
            raise Refused("virtualRouterId", f"{instance.virtual_router_id} is already used by {other.havip}")
        shared: set[IPv4Address | IPv6Address] = set(other.addresses) & set(instance.addresses)
        if shared:
            raise Refused("addresses", f"{min(map(str, shared))} is already held by {other.havip}")
        if instance.probe and other.probe and instance.probe.port == other.probe.port:
            raise Refused("probe.port", f"{instance.probe.port} is already the probe of {other.havip}")

"""What a HAVip asks for, and the node specs that follow from it, in the simplest way that keeps the rules.

The operator's planner decides in a cluster. The lab's is this page: no memory, no rolling change, so that a scenario
knows beforehand which node gets which priority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from havip.model.election import Instance, Peer, Probe, Timing
from havip.model.keys import Key
from havip.model.node import Assignment, Frontend, InterfaceChoice, InterfaceSource, NodeSpec
from havip.model.priority import bases_for
from havip.model.states import Failback, Protocol

NAMESPACE = "lab"
DEFAULT_TIMING = Timing(advert_interval_ms=100, missed_adverts=3, settle_seconds=1)
"""The product's default election; only the settle time is shorter, so that scenarios need not wait for it."""


@dataclass(frozen=True, slots=True)
class Vip:
    """A HAVip as a scenario declares it.

    `preferred`: node names, best first; those not named follow, turned by the VRID so that VIPs spread.
    `published`: the order the nodes are told, where that is still another one (the first half of a switch).
    `port`: a front end on that port, behind it the pool `pool`; None = no front end, then haproxy is no track.
    """

    addresses: tuple[str, ...]
    virtual_router_id: int
    name: str = ""
    preferred: tuple[str, ...] = ()
    failback: Failback = Failback.NEVER
    failback_delay_seconds: int = 0
    port: int | None = None
    pool: str = "web"
    candidates: int = 3
    announce: int = 0
    ineligible: frozenset[str] = field(default_factory=frozenset)
    published: tuple[str, ...] | None = None
    probe: Probe | None = None
    """How a load balancer asks the nodes; None = there is none."""

    @property
    def address(self) -> str:
        """The elected address."""
        return min(self.addresses, key=lambda text: ip_address(text).version)

    @property
    def key(self) -> Key:
        return Key(NAMESPACE, self.name or f"vip{self.virtual_router_id}")


@dataclass(frozen=True, slots=True)
class Member:
    """A node of a class: its name and its own addresses."""

    name: str
    address4: str
    address6: str

    def address(self, version: int) -> str:
        return self.address4 if version == 4 else self.address6


def ranking(vip: Vip, members: Sequence[Member]) -> list[Member]:
    """The candidates, best first."""
    by_name = {member.name: member for member in members}
    first = [by_name[name] for name in vip.preferred if name in by_name]
    turn = vip.virtual_router_id % max(1, len(members))
    others = [member for member in [*members[turn:], *members[:turn]] if member not in first]
    return [*first, *others][: vip.candidates]


def node_specs(
    class_name: str, members: Sequence[Member], vips: Sequence[Vip], timing: Timing = DEFAULT_TIMING
) -> dict[str, NodeSpec]:
    """HAVipNode.spec of every member, by node name."""
    assigned: dict[str, list[Assignment]] = {member.name: [] for member in members}
    for vip in sorted(vips, key=lambda vip: vip.key):
        ranked = ranking(vip, members)
        for member, base in zip(ranked, bases_for(len(ranked)), strict=True):
            assigned[member.name].append(_assignment(vip, member, ranked, base))
    interface = InterfaceChoice(InterfaceSource.NAME, "eth0")
    return {
        member.name: NodeSpec(
            class_name, member.name, interface, timing, len(members) > 1, tuple(assigned[member.name])
        )
        for member in members
    }


def _assignment(vip: Vip, member: Member, ranked: Sequence[Member], priority: int) -> Assignment:
    version = ip_address(vip.address).version
    peers = tuple(Peer(other.name, ip_address(other.address(version))) for other in ranked if other.name != member.name)
    instance = Instance(
        havip=vip.key,
        virtual_router_id=vip.virtual_router_id,
        priority=priority,
        addresses=tuple(ip_address(text) for text in vip.addresses),
        source=ip_address(member.address(version)),
        peers=peers,
        eligible=member.name not in vip.ineligible,
        preferred=vip.preferred if vip.published is None else vip.published,
        failback=vip.failback,
        failback_delay_seconds=vip.failback_delay_seconds,
        announce=vip.announce,
        tracked=vip.port is not None,
        probe=vip.probe,
    )
    if vip.port is None:
        return Assignment(instance)
    return Assignment(instance, (Frontend("lab", vip.port, Protocol.TCP, Key(NAMESPACE, vip.pool)),))

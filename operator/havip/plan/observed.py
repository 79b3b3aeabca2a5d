"""The snapshot, indexed once per pass: who belongs where, who has confirmed what, what was allocated.

Nothing is decided here; it must stay linear in the number of objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_interface
from typing import NamedTuple

from havip.api.v1alpha1 import HAVipClass, LabelSelector
from havip.model.address import Address, Network
from havip.model.keys import Key, node_object_name
from havip.model.node import Assignment, NodeSpec
from havip.model.report import InstanceReport
from havip.model.states import State
from havip.plan.settings import interface_of, timing_of
from havip.plan.snapshot import Metadata, Node, SeenClass, SeenNode, Snapshot
from havip.plan.waits import CUT_OFF_AFTER, SILENT_AFTER, YOUNG_FOR, Waits


class OwnAddress(NamedTuple):
    """A node's own address and the subnet it is in."""

    ip: Address
    network: Network


# Taints that the DaemonSet controller makes its pods tolerate; the last one because ours use the host's network.
_DAEMON_SETS_TOLERATE = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/network-unavailable",
    }
)


class Standing(StrEnum):
    """How far a node's word can be had about its newest spec."""

    CONFIRMED = "Confirmed"
    """It has applied exactly what the spec says."""
    BEHIND = "Behind"
    """Not yet; it is waited for."""
    SILENT = "Silent"
    """Ready, and has not confirmed for `SILENT_AFTER`; it may go on as before."""
    CUT_OFF = "CutOff"
    """NotReady for `CUT_OFF_AFTER`, and has not confirmed; it may be dead, or alive and only unreachable."""
    GONE = "Gone"
    """Its Node does not exist, or its pod was taken away because the Node left the class: nobody is left to ask."""


@dataclass(frozen=True, slots=True)
class Member:
    """One HAVipNode and all that is known of it. `node` is the Node's name, `kube` the Node, if there is one."""

    name: str
    class_name: str
    node: str
    seen: SeenNode
    kube: Node | None
    belongs: bool
    standing: Standing
    young: bool
    own: tuple[OwnAddress, ...]
    assignments: Mapping[Key, Assignment]
    reports: Mapping[Key, InstanceReport]

    @property
    def ready(self) -> bool:
        return self.kube is not None and self.kube.ready

    @property
    def confirmed(self) -> bool:
        return self.standing is Standing.CONFIRMED

    def active(self, havip: Key) -> bool:
        """Whether its last word was that it holds the address."""
        report = self.reports.get(havip)
        return report is not None and report.state is State.ACTIVE

    def answers(self, havip: Key) -> bool:
        """Whether its last word was that it answers for the VIP: active, or draining after it handed over."""
        report = self.reports.get(havip)
        return report is not None and report.state in (State.ACTIVE, State.DRAINING)

    def source(self, version: int, near: Address, before: Address | None = None) -> Address | None:
        """Its own address that adverts for `near` leave from: `before` while it has it, else one in its subnet."""
        usable = [one for one in self.own if one.ip.version == version]
        if before is not None and any(one.ip == before for one in usable):
            return before
        if not usable:
            return None
        return min(usable, key=lambda one: (near not in one.network, int(one.ip))).ip

    def speaks(self, version: int) -> bool:
        """Whether it has an address of the family, or may still report one."""
        return self.young or any(one.ip.version == version for one in self.own)


def quarantined(assignment: Assignment) -> bool:
    """A record of something given up: not eligible and without peers, kept until the node has confirmed it."""
    return not assignment.instance.eligible and not assignment.instance.peers


@lru_cache(maxsize=4096)
def own_address(text: str) -> OwnAddress | None:
    """An address as an agent reports it (CIDR form); None when it is not one that adverts can leave from."""
    try:
        read = ip_interface(text)
    except ValueError:
        return None
    return None if read.is_link_local or read.is_loopback else OwnAddress(read.ip, read.network)


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether the labels match; an absent selector matches everything."""
    return selector is None or all(labels.get(key) == value for key, value in selector.match_labels.items())


def tolerates(node: Node, spec: HAVipClass, *, effects: tuple[str, ...]) -> bool:
    """Whether a pod of the class may be on the node, as far as taints with these effects go."""
    return all(
        effect not in effects or key in _DAEMON_SETS_TOLERATE or _tolerated(spec, key, value, effect)
        for key, value, effect in node.taints
    )


def _tolerated(spec: HAVipClass, key: str, value: str, effect: str) -> bool:
    for one in spec.spec.nodes.tolerations:
        if one.effect is not None and one.effect.value != effect:
            continue
        if one.key is None or (one.key == key and (one.operator.value == "Exists" or (one.value or "") == value)):
            return True
    return False


class Observed:
    """A snapshot with its indexes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.waits = Waits(snapshot.now)
        self.members = {name: self._member(name, seen) for name, seen in sorted(snapshot.node_objects.items())}
        self.of_class: dict[str, list[Member]] = {name: [] for name in snapshot.classes}
        self.allocated: dict[Key, list[Member]] = {}
        """HAVip -> the HAVipNodes whose spec names it. The truth about what was given to whom."""
        for member in self.members.values():
            self.of_class.setdefault(member.class_name, []).append(member)
            for key in member.assignments:
                self.allocated.setdefault(key, []).append(member)

    def member(self, class_name: str, node: str) -> Member | None:
        return self.members.get(node_object_name(class_name, node))

    def known(self, class_name: str, node: str) -> Member:
        """The HAVipNode, or what can be known where somebody has deleted it: its agent goes on with its last spec."""
        there = self.member(class_name, node)
        if there is not None:
            return there
        name = node_object_name(class_name, node)
        of = self.snapshot.classes[class_name].object
        lost = NodeSpec(class_name, node, interface_of(of), timing_of(of), redundant=True)
        member = self._member(name, SeenNode(Metadata(name, uid="", created=self.snapshot.now), lost, status=None))
        # Where the Node has left the class it was we who deleted it, after it was held: nobody is there to wait for.
        return member if member.belongs else replace(member, standing=Standing.GONE)

    def wanted_nodes(self, seen: SeenClass) -> Iterator[Node]:
        """Nodes the class's pods run on, those included that have no HAVipNode yet."""
        for name, node in sorted(self.snapshot.nodes.items()):
            if self._belongs(seen, node, there=node_object_name(seen.metadata.name, name) in self.members):
                yield node

    def _belongs(self, seen: SeenClass, node: Node, *, there: bool) -> bool:
        # NoSchedule keeps new pods away and lets those be that run.
        effects = ("NoExecute",) if there else ("NoExecute", "NoSchedule")
        return selects(seen.object.spec.nodes.selector, node.labels) and tolerates(node, seen.object, effects=effects)

    def _member(self, name: str, seen: SeenNode) -> Member:
        node = self.snapshot.nodes.get(seen.spec.node)
        of = self.snapshot.classes.get(seen.spec.class_name)
        belongs = node is not None and of is not None and self._belongs(of, node, there=True)
        status = seen.status
        interface = status.interface if status else None
        return Member(
            name=name,
            class_name=seen.spec.class_name,
            node=seen.spec.node,
            seen=seen,
            kube=node,
            belongs=belongs,
            standing=self._standing(seen, node, belongs=belongs or of is None),
            young=interface is None and not self.waits.over(seen.metadata.created, YOUNG_FOR),
            own=tuple(filter(None, map(own_address, interface.addresses))) if interface else (),
            assignments={one.instance.havip: one for one in seen.spec.assignments},
            reports={one.havip: one for one in status.vips} if status else {},
        )

    def _standing(self, seen: SeenNode, node: Node | None, *, belongs: bool) -> Standing:
        if node is None:
            return Standing.GONE
        if seen.status is not None and seen.status.applied_generation >= seen.metadata.generation:
            return Standing.CONFIRMED
        if not node.ready and self.waits.over(node.ready_since, CUT_OFF_AFTER):
            return Standing.CUT_OFF
        if not belongs and node.ready and self._has_no_pod(seen):
            return Standing.GONE
        if seen.spec_written is not None and self.waits.over(seen.spec_written, SILENT_AFTER):
            return Standing.SILENT if belongs or self._may_run(seen, node) else Standing.GONE
        return Standing.BEHIND

    def _may_run(self, seen: SeenNode, node: Node) -> bool:
        """Whether a node pod may still hold what it held: it is listed, or its kubelet is not heard."""
        return self.snapshot.node_pods is not None and not (node.ready and self._has_no_pod(seen))

    def _has_no_pod(self, seen: SeenNode) -> bool:
        """Whether the kubelet of a Ready node has said that nothing of the class runs there any more."""
        pods = self.snapshot.node_pods
        return pods is not None and node_object_name(seen.spec.class_name, seen.spec.node) not in pods

"""The operator's own planner over the lab's real nodes: an API server in memory, no Kubernetes.

Each pass gives the planner what the agents have really reported, and gives the nodes what it decided. Decisions are
the product's; what happens on the wire is real.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from e2e.lab.declare import NAMESPACE
from e2e.lab.follow import NotInTime, Watch
from e2e.lab.lab import DEFAULT_CLASS, Lab, Node
from e2e.lab.pod import Pod
from havip.model.keys import Key
from havip.model.priority import BONUS
from havip.plan.change import Kind
from havip.plan.desired import desired
from havip.plan.snapshot import SeenHAVip, SeenNode
from havip.testing.builders import a_class, a_havip, a_node, a_snapshot
from havip.testing.cluster import Cluster

MEMBER = {"havip.dev/edge": "true"}
"""The label that makes a node one of the class."""
_LOOK_AGAIN_SECONDS = 0.1


class LabOperator:
    """Plans for one class. Nodes are members as their labels say; at the beginning those in `members` are."""

    def __init__(self, lab: Lab, *, members: tuple[Node, ...] = (), settle_seconds: int = 1) -> None:
        self.lab = lab
        election = {"vrrp": {"settleSeconds": settle_seconds}}
        of = a_class(
            DEFAULT_CLASS,
            addressRanges=["10.77.0.0/24", "fd77::/64"],
            namespaces={"names": [NAMESPACE]},
            nodes={"selector": {"matchLabels": MEMBER}},
            election=election,
        )
        labelled = {node.name for node in members or lab.nodes}
        nodes = [
            a_node(node.name, labels=MEMBER if node.name in labelled else {}, address=node.member.address4)
            for node in lab.nodes
        ]
        namespaces: Mapping[str, Mapping[str, str]] = {NAMESPACE: {}}
        self.cluster = Cluster(
            a_snapshot(now=_now(), classes=[of], nodes=nodes, node_objects=[], namespaces=namespaces)
        )
        self._told: dict[str, int] = {}

    # -- what users and Kubernetes do -----------------------------------------------------------------------------

    def apply(self, name: str, address: str, **spec: Any) -> Key:
        """`kubectl apply` of a HAVip; `spec` in wire names. What the operator wrote on it stays."""
        key = Key(NAMESPACE, name)
        self.lab.observer.watch(address)
        fresh = a_havip(name, namespace=NAMESPACE, address=address, class_name=DEFAULT_CLASS, created=_now(), **spec)
        before = self.cluster.snapshot.havips.get(key)
        if before is not None:
            metadata = replace(before.metadata, generation=before.metadata.generation + 1)
            status = before.object.status
            fresh = replace(fresh, metadata=metadata, object=fresh.object.model_copy(update={"status": status}))
        self.cluster.put(fresh)
        return key

    def delete(self, key: Key) -> None:
        self.cluster.delete(Kind.HAVIP, key)

    def label(self, node: Node, *, member: bool) -> None:
        """`kubectl label node`."""
        nodes = dict(self.cluster.snapshot.nodes)
        nodes[node.name] = replace(nodes[node.name], labels=MEMBER if member else {})
        self.cluster.snapshot = replace(self.cluster.snapshot, nodes=nodes)

    def set_ready(self, node: Node, *, ready: bool) -> None:
        """What kubelet's silence makes of the Node."""
        self.cluster.set_ready(node.name, ready)

    # -- the loop -------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """One pass. True = something was decided that was not before."""
        seen = {name: self._reported(one) for name, one in self.cluster.snapshot.node_objects.items()}
        self.cluster.snapshot = replace(self.cluster.snapshot, now=_now(), node_objects=seen)
        changes = self.cluster.reconcile()
        for one in self.cluster.snapshot.node_objects.values():
            self._tell(one)
        return bool(changes)

    def _reported(self, seen: SeenNode) -> SeenNode:
        status = self._pod(seen).status()
        if status is None or status == seen.status:
            return seen
        return replace(seen, status=status, status_written=_now())

    def _tell(self, seen: SeenNode) -> None:
        generation = seen.metadata.generation
        if self._told.get(seen.metadata.name) != generation:
            self._told[seen.metadata.name] = generation
            pod = self._pod(seen)
            pod.generation = generation - 1
            pod.write_spec(seen.spec)

    def _pod(self, seen: SeenNode) -> Pod:
        return self.lab.node(seen.spec.node).pod(seen.spec.class_name)

    def run_until(self, what: str, reached: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Plan at every report of a node, and every 100 ms, until that is so. Raises `NotInTime`."""
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise NotInTime(f"not within {seconds} s: {what}; {self.told()}")
            with Watch(*(pod.source for node in self.lab.nodes for pod in node.pods.values())) as reports:
                if not self.step():
                    reports.wait(_LOOK_AGAIN_SECONDS)

    def run_until_settled(self, key: Key, *, seconds: float = 30.0) -> None:
        """Until the HAVip is Ready, nothing is left to decide, and the active node advertises its bonus."""

        def reached() -> bool:
            plan = desired(self.cluster.snapshot).vips.get(key)
            rolled = plan is not None and plan.step.settled
            return rolled and self.reason(key, "Ready") == "True" and self._has_its_bonus(key) and not self.step()

        self.run_until(f"{key} is settled", reached, seconds=seconds)

    def _has_its_bonus(self, key: Key) -> bool:
        """Whether the one node that holds the VIP says on the wire that it is the incumbent."""
        for seen in self.cluster.snapshot.node_objects.values():
            for assignment in seen.spec.assignments:
                instance = assignment.instance
                number = self.lab.node(seen.spec.node).number
                if instance.havip == key and self.lab.observer.holders(str(instance.elected)) == (number,):
                    advertised = self.lab.observer.priority(number, instance.virtual_router_id)
                    return advertised == instance.priority + BONUS
        return False

    # -- what came of it ------------------------------------------------------------------------------------------

    def havip(self, key: Key) -> SeenHAVip | None:
        return self.cluster.snapshot.havips.get(key)

    def conditions(self, key: Key) -> dict[str, tuple[str, str]]:
        """Type -> (status, reason), as `kubectl describe` would show it."""
        seen = self.havip(key)
        if seen is None or seen.object.status is None:
            return {}
        return {str(one.type): (str(one.status), str(one.reason)) for one in seen.object.status.conditions}

    def reason(self, key: Key, condition: str) -> str:
        """`True` where the condition is true, else its reason; empty before it was written."""
        status, reason = self.conditions(key).get(condition, ("", ""))
        return "True" if status == "True" else reason

    def told(self) -> str:
        return "; ".join(f"{key}: {self.conditions(key)}" for key in self.cluster.snapshot.havips)


def _now() -> datetime:
    return datetime.now(UTC)

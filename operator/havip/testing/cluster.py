"""A cluster in memory: an API server's objects, nodes that do as they are told, and a clock that one turns by hand.

It carries Changes out exactly as they say and nothing else, so that a plan can be followed to its end, interrupted
anywhere, and watched at every step. No election of its own beyond "the best eligible node that hears nobody better".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from havip.model.election import Instance
from havip.model.keys import FINALIZER, Key
from havip.model.node import InterfaceReport, NodeSpec, NodeStatus, PoolReport
from havip.model.report import InstanceReport
from havip.model.states import State
from havip.plan.change import (
    ApplyDaemonSet,
    ApplyNode,
    ApplyPool,
    Change,
    DeleteDaemonSet,
    DeleteNode,
    DeletePool,
    DropFinalizer,
    Emit,
    HoldFinalizer,
    Kind,
    WriteStatus,
)
from havip.plan.changes import changes
from havip.plan.desired import desired
from havip.plan.pools import document
from havip.plan.snapshot import Metadata, SeenClass, SeenHAVip, SeenNode, SeenPool, Snapshot
from havip.testing.builders import own_addresses, some_metadata, with_status


class Cluster:
    """`snapshot` is the API server's content; `running` what each node does: the spec it has applied.

    `unreachable`: nodes whose agent neither reads nor writes. `deaf`: pairs of nodes between which no advert passes.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.running: dict[str, NodeSpec] = {}
        self.active: dict[tuple[str, Key], datetime] = {}
        self.unreachable: set[str] = set()
        self.dead: set[str] = set()
        self.deaf: set[frozenset[str]] = set()
        self.events: list[Emit] = []
        self.writes: list[Change] = []

    # -- the operator -----------------------------------------------------------------------------------------

    def plan(self) -> tuple[Change, ...]:
        return changes(self.snapshot, desired(self.snapshot))

    def reconcile(self, *, stop_after: int | None = None) -> tuple[Change, ...]:
        """One pass; `stop_after` = the operator dies after so many changes."""
        planned = self.plan()
        for change in planned[:stop_after]:
            self.apply(change)
        return planned

    def settle(self, *, passes: int = 40) -> None:
        """Passes and nodes in turn until nothing changes. Raises when that never happens."""
        for _ in range(passes):
            done = self.reconcile()
            if not self.run_nodes() and not done:
                return
        raise AssertionError(f"does not settle: {self.plan()}")

    def apply(self, change: Change) -> None:
        self.writes.append(change)
        _APPLY[type(change)](self, change)

    # -- time and faults --------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        self.snapshot = replace(self.snapshot, now=self.snapshot.now + timedelta(seconds=seconds))

    def set_ready(self, node: str, ready: bool) -> None:
        nodes = dict(self.snapshot.nodes)
        nodes[node] = replace(nodes[node], ready=ready, ready_since=self.snapshot.now)
        self.snapshot = replace(self.snapshot, nodes=nodes)

    def power_off(self, node: str) -> None:
        """The node is gone at once; the API server does not know yet."""
        self.unreachable.add(node)
        self.dead.add(node)
        for name in [one for one in self.running if self._node_of(one) == node]:
            del self.running[name]
        self.active = {place: since for place, since in self.active.items() if self._node_of(place[0]) != node}

    def power_on(self, node: str) -> None:
        self.unreachable.discard(node)
        self.dead.discard(node)

    # -- the nodes --------------------------------------------------------------------------------------------

    def run_nodes(self) -> bool:
        """Every reachable node applies and elects, then reports. True = somebody had something new to say."""
        for name, seen in self.snapshot.node_objects.items():
            if seen.spec.node not in self.unreachable:
                self.running[name] = seen.spec
        self.elect()
        said = [self.report(name) for name in list(self.snapshot.node_objects)]
        return any(said)

    def apply_spec(self, name: str) -> None:
        seen = self.snapshot.node_objects[name]
        if seen.spec.node not in self.unreachable:
            self.running[name] = seen.spec

    def elect(self) -> None:
        """VRRP, brought to rest: an eligible node is active unless it hears one that stays active."""
        for key in {one.instance.havip for spec in self.running.values() for one in spec.assignments}:
            seats = self.seats(key)
            # The incumbent's bonus outweighs any base.
            seats.sort(key=lambda name: ((name, key) not in self.active, -self._base(name, key), name))
            holding: list[str] = []
            for name in seats:
                if not any(self._hears(name, other, key) for other in holding):
                    holding.append(name)
            for name in self.running:
                if name in holding:
                    self.active.setdefault((name, key), self.snapshot.now)
                else:
                    self.active.pop((name, key), None)
        self.active = {place: since for place, since in self.active.items() if place[1] in self._keys(place[0])}

    def seats(self, key: Key) -> list[str]:
        """HAVipNodes that run an eligible instance of it."""
        return [
            name
            for name, spec in self.running.items()
            for one in spec.assignments
            if one.instance.havip == key and one.instance.eligible and (one.instance.peers or not spec.redundant)
        ]

    def holders(self, key: Key) -> list[str]:
        """Nodes that hold the address, in truth."""
        return sorted(self._node_of(name) for name, havip in self.active if havip == key)

    def report(self, name: str) -> bool:
        seen = self.snapshot.node_objects.get(name)
        if seen is None or seen.spec.node in self.unreachable or name not in self.running:
            return False
        spec = self.running[name]
        status = NodeStatus(
            applied_generation=seen.metadata.generation if spec == seen.spec else 0,
            interface=InterfaceReport("eth0", own_addresses(spec.node)),
            vips=tuple(
                self._vip(name, one.instance.havip) for one in spec.assignments if self._runs(spec, one.instance)
            ),
            pools=tuple(self._pool_reports(spec)),
        )
        if seen.status == status:
            return False
        self._put_node(replace(seen, status=status, status_written=self.snapshot.now))
        return True

    @staticmethod
    def _runs(spec: NodeSpec, instance: Instance) -> bool:
        return bool(instance.peers) or not spec.redundant

    def _pool_reports(self, spec: NodeSpec) -> Iterable[PoolReport]:
        for pool in sorted({frontend.pool for one in spec.assignments for frontend in one.frontends}):
            yield PoolReport(pool, "digest", healthy=2, total=2)

    def _vip(self, name: str, key: Key) -> InstanceReport:
        instance = next(one.instance for one in self.running[name].assignments if one.instance.havip == key)
        since = self.active.get((name, key))
        state = State.ACTIVE if since else State.STANDBY if instance.eligible else State.FAULT
        others = (other for other, havip in self.active if havip == key and other != name)
        heard = sorted(self._node_of(other) for other in others if self._hears(name, other, key))
        when = (since or datetime(2026, 1, 1, tzinfo=UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        return InstanceReport(key, instance.virtual_router_id, state, when, "Elected", tuple(heard))

    def _hears(self, name: str, other: str, key: Key) -> bool:
        """Adverts of `other` reach `name`: both list each other, they carry one id, and the wire passes them."""
        one, two = self._instance(name, key), self._instance(other, key)
        if one is None or two is None or one.virtual_router_id != two.virtual_router_id:
            return False
        mine, theirs = self._node_of(name), self._node_of(other)
        listed = any(peer.node == theirs for peer in one.peers) and any(peer.node == mine for peer in two.peers)
        return listed and frozenset((mine, theirs)) not in self.deaf

    def _instance(self, name: str, key: Key) -> Instance | None:
        spec = self.running.get(name)
        return next((one.instance for one in spec.assignments if one.instance.havip == key), None) if spec else None

    def _base(self, name: str, key: Key) -> int:
        instance = self._instance(name, key)
        return instance.priority if instance else 0

    def _keys(self, name: str) -> set[Key]:
        spec = self.running.get(name)
        return {one.instance.havip for one in spec.assignments} if spec else set()

    def _node_of(self, name: str) -> str:
        return name.split(".", 1)[1]

    # -- the API server ---------------------------------------------------------------------------------------

    def _put_node(self, seen: SeenNode) -> None:
        self.snapshot = replace(self.snapshot, node_objects={**self.snapshot.node_objects, seen.metadata.name: seen})

    def _apply_node(self, change: ApplyNode) -> None:
        seen = self.snapshot.node_objects.get(change.name)
        now = self.snapshot.now
        if seen is None:
            metadata = some_metadata(change.name, created=now)
            self._put_node(SeenNode(metadata, change.spec, None, spec_written=now))
        else:
            metadata = replace(seen.metadata, generation=seen.metadata.generation + 1)
            self._put_node(replace(seen, metadata=metadata, spec=change.spec, spec_written=now))

    def _delete_node(self, change: DeleteNode) -> None:
        objects = {name: one for name, one in self.snapshot.node_objects.items() if name != change.name}
        self.snapshot = replace(self.snapshot, node_objects=objects)
        if change.name in self.running:
            # API away: it goes on with its last document, until its pod is taken away.
            del self.running[change.name]
            self.active = {place: since for place, since in self.active.items() if place[0] != change.name}

    def _apply_pool(self, change: ApplyPool) -> None:
        documents = {**self.snapshot.pool_documents, change.name: document(change.pool)}
        self.snapshot = replace(self.snapshot, pool_documents=documents)

    def _delete_pool(self, change: DeletePool) -> None:
        documents = {name: text for name, text in self.snapshot.pool_documents.items() if name != change.name}
        self.snapshot = replace(self.snapshot, pool_documents=documents)

    def _apply_daemon_set(self, change: ApplyDaemonSet) -> None:
        sets = {**self.snapshot.daemon_sets, change.class_name: change.digest}
        self.snapshot = replace(self.snapshot, daemon_sets=sets)

    def _delete_daemon_set(self, change: DeleteDaemonSet) -> None:
        sets = {name: one for name, one in self.snapshot.daemon_sets.items() if name != change.class_name}
        self.snapshot = replace(self.snapshot, daemon_sets=sets)

    def _hold(self, change: HoldFinalizer) -> None:
        self._change(change.kind, change.key, lambda seen: _with(seen, finalizers=(FINALIZER,)))

    def _drop(self, change: DropFinalizer) -> None:
        seen = self._find(change.kind, change.key)
        if seen is not None and seen.metadata.deleting is not None:
            self._remove(change.kind, change.key)
        else:
            self._change(change.kind, change.key, lambda seen: _with(seen, finalizers=()))

    def _write_status(self, change: WriteStatus) -> None:
        self._change(change.kind, change.key, lambda seen: with_status(seen, change.status))

    def _emit(self, change: Emit) -> None:
        self.events.append(change)

    def _find(self, kind: Kind, key: Key) -> SeenClass | SeenHAVip | SeenPool | None:
        if kind is Kind.CLASS:
            return self.snapshot.classes.get(key.name)
        return self.snapshot.havips.get(key) if kind is Kind.HAVIP else self.snapshot.pools.get(key)

    def _change(self, kind: Kind, key: Key, how: Callable[[Seen], Seen]) -> None:
        seen = self._find(kind, key)
        if seen is not None:
            self.put(how(seen))

    def put(self, seen: Seen) -> None:
        """Create or replace a class, HAVip or pool."""
        if isinstance(seen, SeenClass):
            classes = {**self.snapshot.classes, seen.metadata.name: seen}
            self.snapshot = replace(self.snapshot, classes=classes)
        elif isinstance(seen, SeenHAVip):
            self.snapshot = replace(self.snapshot, havips={**self.snapshot.havips, seen.metadata.key: seen})
        else:
            self.snapshot = replace(self.snapshot, pools={**self.snapshot.pools, seen.metadata.key: seen})

    def delete(self, kind: Kind, key: Key) -> None:
        """What `kubectl delete` does: gone at once, or marked when a finalizer holds it."""
        seen = self._find(kind, key)
        if seen is not None and seen.metadata.finalizers:
            self.put(_with(seen, deleting=self.snapshot.now))
        else:
            self._remove(kind, key)

    def _remove(self, kind: Kind, key: Key) -> None:
        if kind is Kind.CLASS:
            kept = {name: one for name, one in self.snapshot.classes.items() if name != key.name}
            self.snapshot = replace(self.snapshot, classes=kept)
        elif kind is Kind.HAVIP:
            havips = {name: one for name, one in self.snapshot.havips.items() if name != key}
            self.snapshot = replace(self.snapshot, havips=havips)
        else:
            pools = {name: one for name, one in self.snapshot.pools.items() if name != key}
            self.snapshot = replace(self.snapshot, pools=pools)


Seen = SeenClass | SeenHAVip | SeenPool


def _with(seen: Seen, **metadata: object) -> Seen:
    changed: Metadata = replace(seen.metadata, **metadata)  # type: ignore[arg-type]  # names are Metadata's own
    return replace(seen, metadata=changed)


_APPLY: dict[type, Callable[..., None]] = {
    ApplyNode: Cluster._apply_node,
    DeleteNode: Cluster._delete_node,
    ApplyPool: Cluster._apply_pool,
    DeletePool: Cluster._delete_pool,
    ApplyDaemonSet: Cluster._apply_daemon_set,
    DeleteDaemonSet: Cluster._delete_daemon_set,
    HoldFinalizer: Cluster._hold,
    DropFinalizer: Cluster._drop,
    WriteStatus: Cluster._write_status,
    Emit: Cluster._emit,
}

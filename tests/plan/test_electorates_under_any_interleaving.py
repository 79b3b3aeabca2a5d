"""Whatever happens in whatever order, and wherever the operator dies: no two nodes elect themselves.

The machine turns every knob a user or an administrator has while nodes apply and report one by one, each in its own
time, and the operator stops after any change. The cluster in memory elects from what each node *runs*, so a wrong
order of steps shows as two holders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from havip.model.election import PEERS, Instance
from havip.model.keys import Key
from havip.model.node import NodeSpec
from havip.plan.change import ApplyNode, Change, Kind
from havip.plan.desired import desired
from havip.plan.observed import quarantined
from havip.plan.snapshot import SeenHAVip, Snapshot
from havip.testing.builders import a_class, a_havip, a_node, a_snapshot
from havip.testing.cluster import Cluster

NODES = tuple(f"n{number}" for number in range(1, 7))
NAMES = ("web", "mail", "dns", "ftp")
LABEL = {"havip.dev/edge": "true"}
node_names = st.sampled_from(NODES)
names = st.sampled_from(NAMES)


class Electorates(RuleBasedStateMachine):
    """Nodes that live; what changes is what people want."""

    @initialize(labelled=st.sets(node_names, min_size=2), count=st.integers(1, 3), ids=st.integers(2, 4))
    def begin(self, labelled: set[str], count: int, ids: int) -> None:
        # Fewer ids than VIPs, so that VIPs that have no node in common share them, and collide when nodes change.
        of = a_class(nodes={"selector": {"matchLabels": LABEL}}, election=_ids(1))
        nodes = [a_node(name, labels=LABEL if name in labelled else {}) for name in NODES]
        self.cluster = Watched(a_snapshot(classes=[of], nodes=nodes, node_objects=[]))
        self.generation = 0
        self.create("web", last=200, count=count)
        self.create("mail", last=201, count=count)
        self.cluster.settle()
        self.cluster.put(
            replace(of, object=a_class(nodes={"selector": {"matchLabels": LABEL}}, election=_ids(ids)).object)
        )

    # -- people -----------------------------------------------------------------------------------------------

    @rule(name=names, last=st.integers(200, 202), count=st.integers(1, 5))
    def create(self, name: str, last: int, count: int) -> None:
        if Key("shop", name) not in self.cluster.snapshot.havips:
            self.generation += 1
            seen = a_havip(
                name,
                address=f"10.88.0.{last}",
                uid=f"{name}-{self.generation:04}",
                created=self.cluster.snapshot.now,
                finalizers=(),
                nodes={"candidates": count},
            )
            self.cluster.put(seen)

    @rule(name=names)
    def delete(self, name: str) -> None:
        key = Key("shop", name)
        if key in self.cluster.snapshot.havips:
            self.cluster.delete(Kind.HAVIP, key)

    @rule(name=names, preferred=st.lists(node_names, max_size=3, unique=True), count=st.integers(1, 5))
    def prefer(self, name: str, preferred: list[str], count: int) -> None:
        seen = self.cluster.snapshot.havips.get(Key("shop", name))
        if seen is not None:
            self.cluster.put(_preferring(seen, preferred, count))

    @rule(name=names, other=names)
    def prefer_the_nodes_of_another(self, name: str, other: str) -> None:
        seen = self.cluster.snapshot.havips.get(Key("shop", name))
        theirs = self.cluster.holders(Key("shop", other))
        if seen is not None and theirs:
            self.cluster.put(_preferring(seen, theirs, max(seen.object.spec.nodes.candidates, len(theirs))))

    @rule(node=node_names)
    def label_or_unlabel(self, node: str) -> None:
        nodes = dict(self.cluster.snapshot.nodes)
        nodes[node] = replace(nodes[node], labels={} if nodes[node].labels else LABEL)
        self.cluster.snapshot = replace(self.cluster.snapshot, nodes=nodes)

    # -- machines ---------------------------------------------------------------------------------------------

    @rule(stop_after=st.none() | st.integers(0, 6))
    def reconcile(self, stop_after: int | None) -> None:
        self.cluster.reconcile(stop_after=stop_after)

    @rule(nodes=st.sets(node_names, min_size=1, max_size=3))
    def apply(self, nodes: set[str]) -> None:
        for node in sorted(nodes):
            if f"edge.{node}" in self.cluster.snapshot.node_objects:
                self.cluster.apply_spec(f"edge.{node}")
        self.cluster.elect()

    @rule(nodes=st.sets(node_names, min_size=1))
    def report(self, nodes: set[str]) -> None:
        for node in sorted(nodes):
            self.cluster.report(f"edge.{node}")

    @rule(nodes=st.sets(node_names, min_size=1, max_size=5))
    def a_pass_of_all_and_some_are_slow(self, nodes: set[str]) -> None:
        self.cluster.reconcile()
        self.apply(nodes)
        self.report(nodes)

    @precondition(lambda self: self.cluster.running)
    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.cluster.wait(seconds)

    @rule()
    def everybody_catches_up(self) -> None:
        self.cluster.settle()
        for key, seen in self.cluster.snapshot.havips.items():
            assert seen.metadata.deleting is None, f"{key} is released, and still there"
            assert len(self.cluster.ids(key)) <= 1, f"{key} has the ids {self.cluster.ids(key)}"
        assert self.cluster.plan() == ()
        for key, plan in desired(self.cluster.snapshot).vips.items():
            recorded = self.cluster.snapshot.node_objects
            assert {seen.spec.node for seen in recorded.values() if key in _eligible(seen.spec)} == set(plan.target)

    # -- what must hold ---------------------------------------------------------------------------------------

    @invariant()
    def nobody_shares_a_vip(self) -> None:
        """But for the moment in which it moves to another virtual router id: then it is held under either."""
        owners: dict[str, set[Key]] = {}
        for key in {havip for _, havip in self.cluster.active}:
            holders = [name for name, havip in self.cluster.active if havip == key]
            ids = Counter(self.cluster.instance(name, key).virtual_router_id for name in holders)
            assert all(count == 1 for count in ids.values()), f"{key} is held by {holders}"
            assert len(ids) <= 2
            for name in holders:
                for address in self.cluster.instance(name, key).addresses:
                    owners.setdefault(str(address), set()).add(key)
        assert all(len(keys) == 1 for keys in owners.values()), f"one address of two VIPs: {owners}"

    @invariant()
    def nodes_that_may_be_active_list_each_other(self) -> None:
        for name in NAMES:
            seats = {
                one: self.cluster.instance(one, Key("shop", name)) for one in self.cluster.seats(Key("shop", name))
            }
            for one, instance in seats.items():
                others = {
                    other.split(".", 1)[1]
                    for other, theirs in seats.items()
                    if other != one and theirs.virtual_router_id == instance.virtual_router_id
                }
                peers = {peer.node for peer in instance.peers}
                assert others <= peers, f"{name}: {one} knows {peers}, and {others} are eligible too"

    @invariant()
    def one_vip_for_a_router_id_on_a_node(self) -> None:
        recorded = {name: seen.spec for name, seen in self.cluster.snapshot.node_objects.items()}
        for specs in (self.cluster.running, recorded):
            for name, spec in specs.items():
                ids = [one.instance.virtual_router_id for one in spec.assignments]
                assert len(set(ids)) == len(ids), f"{name}: {spec.assignments}"
                assert len({one.instance.havip for one in spec.assignments}) == len(ids), f"{name}: one VIP twice"
                assert all(len(one.instance.peers) <= PEERS for one in spec.assignments)


class Watched(Cluster):
    """A cluster that looks at itself whenever nodes have applied something."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self._before: dict[tuple[str, Key], Instance] = {}

    def instance(self, name: str, key: Key) -> Instance:
        return next(one.instance for one in self.running[name].assignments if one.instance.havip == key)

    def ids(self, key: Key) -> set[int]:
        """Of what is recorded, and of what runs."""
        specs = [*self.running.values(), *(seen.spec for seen in self.snapshot.node_objects.values())]
        return _ids_of(key, (one.instance for spec in specs for one in spec.assignments))

    def moves_away(self, name: str, key: Key) -> bool:
        """Whether the VIP moves, and the instance recorded here is one of those with the old id."""
        live = {
            name: one.instance
            for name, seen in self.snapshot.node_objects.items()
            for one in seen.spec.assignments
            if one.instance.havip == key and not quarantined(one)
        }
        mine = live[name]
        others = {one.split(".", 1)[1] for one, it in live.items() if it.virtual_router_id != mine.virtual_router_id}
        return bool(others) and not any(peer.node in others for peer in mine.peers)

    def apply(self, change: Change) -> None:
        if isinstance(change, ApplyNode) and change.name in self.snapshot.node_objects:
            before, after = self.snapshot.node_objects[change.name].spec, change.spec
            for key in _eligible(before) - _eligible(after):
                serves = change.name in self.seats(key)
                assert not serves or self._another_serves(change.name, key) or self._may_end(change.name, key), (
                    f"{change.name} is to let go of {key}, and nobody else may be active"
                )
        super().apply(change)

    def _another_serves(self, name: str, key: Key) -> bool:
        recorded = self.snapshot.node_objects
        others = set(self.seats(key)) & set(recorded) - {name}
        return any(key in _eligible(recorded[other].spec) for other in others)

    def _may_end(self, name: str, key: Key) -> bool:
        """The HAVip is going or is another one now; or a node lost its label, and with it soon its pod."""
        seen = self.snapshot.havips.get(key)
        if seen is None or seen.metadata.deleting is not None:
            return True
        ours = {str(one) for one in self.instance(name, key).addresses} == set(seen.object.spec.addresses)
        return not ours or not (self.snapshot.nodes[name.split(".", 1)[1]].labels or self.moves_away(name, key))

    def elect(self) -> None:
        super().elect()
        now = {
            (name, one.instance.havip): one.instance
            for name, spec in self.running.items()
            for one in spec.assignments
            if one.instance.eligible
        }
        for place, instance in now.items():
            before = self._before.get(place, instance)
            assert before.virtual_router_id == instance.virtual_router_id, f"{place}: the id changed in place"
        self._before = now


def _eligible(spec: NodeSpec) -> set[Key]:
    return {one.instance.havip for one in spec.assignments if one.instance.eligible}


def _ids_of(key: Key, instances: Iterable[Instance]) -> set[int]:
    return {one.virtual_router_id for one in instances if one.havip == key}


def _ids(last: int) -> dict[str, object]:
    return {"vrrp": {"virtualRouterIds": {"first": 1, "last": last}}}


def _preferring(seen: SeenHAVip, preferred: list[str], count: int) -> SeenHAVip:
    nodes = seen.object.spec.nodes.model_copy(update={"preferred": tuple(preferred), "candidates": count})
    spec = seen.object.spec.model_copy(update={"nodes": nodes})
    metadata = replace(seen.metadata, generation=seen.metadata.generation + 1)
    return replace(seen, metadata=metadata, object=seen.object.model_copy(update={"spec": spec}))


TestElectorates = Electorates.TestCase
TestElectorates.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

"""Whatever happens in whatever order, and wherever the operator dies: no two nodes elect themselves.

The machine turns every knob a user or an administrator has while nodes apply and report one by one, each in its own
time, and the operator stops after any change. The cluster in memory elects from what each node *runs*, so a wrong
order of steps shows as two holders.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from havip.model.keys import Key
from havip.plan.change import Kind
from havip.plan.snapshot import SeenHAVip
from havip.testing.builders import a_class, a_havip, a_node, a_snapshot
from havip.testing.cluster import Cluster

NODES = tuple(f"n{number}" for number in range(1, 7))
NAMES = ("web", "mail", "dns")
LABEL = {"havip.dev/edge": "true"}
node_names = st.sampled_from(NODES)
names = st.sampled_from(NAMES)


class Electorates(RuleBasedStateMachine):
    """Nodes that live; what changes is what people want."""

    @initialize(labelled=st.sets(node_names, min_size=2), count=st.integers(1, 4))
    def begin(self, labelled: set[str], count: int) -> None:
        # Fewer ids than VIPs, so that they have to be shared by VIPs that have no node in common.
        ids = {"vrrp": {"virtualRouterIds": {"first": 1, "last": 2}}}
        of = a_class(nodes={"selector": {"matchLabels": LABEL}}, election=ids)
        nodes = [a_node(name, labels=LABEL if name in labelled else {}) for name in NODES]
        self.cluster = Cluster(a_snapshot(classes=[of], nodes=nodes, node_objects=[]))
        self.generation = 0
        self.create("web", last=200, count=count)
        self.create("mail", last=201, count=count)
        self.cluster.settle()

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
        assert self.cluster.plan() == ()

    # -- what must hold ---------------------------------------------------------------------------------------

    @invariant()
    def nobody_shares_a_vip(self) -> None:
        held: Counter[str] = Counter()
        for key in {havip for _, havip in self.cluster.active}:
            holders = self.cluster.holders(key)
            assert len(holders) <= 1, f"{key} is held by {holders}"
        for name, key in self.cluster.active:
            held.update(map(str, self._instance(name, key).addresses))
        assert all(count == 1 for count in held.values()), f"one address, two holders: {held}"

    @invariant()
    def nodes_that_may_be_active_list_each_other(self) -> None:
        for key in NAMES:
            seats = self.cluster.seats(Key("shop", key))
            for one in seats:
                peers = {peer.node for peer in self._instance(one, Key("shop", key)).peers}
                others = {other.split(".", 1)[1] for other in seats if other != one}
                assert others <= peers, f"{key}: {one} knows {peers}, and {others} are eligible too"

    @invariant()
    def one_router_id_for_a_vip_and_one_vip_for_a_router_id(self) -> None:
        seats = {
            (name, one.instance.havip): one.instance
            for name, spec in self.cluster.running.items()
            for one in spec.assignments
        }
        ids: dict[Key, set[int]] = {}
        for (name, key), instance in seats.items():
            if instance.eligible:
                ids.setdefault(key, set()).add(instance.virtual_router_id)
            others = [other for (where, whose), other in seats.items() if where == name and whose != key]
            assert instance.virtual_router_id not in {other.virtual_router_id for other in others}
        assert all(len(found) == 1 for found in ids.values()), ids

    def _instance(self, name: str, key: Key):
        return next(one.instance for one in self.cluster.running[name].assignments if one.instance.havip == key)


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

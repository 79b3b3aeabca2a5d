"""Whatever breaks: the plan never stumbles, a healed cluster comes to rest by itself, each VIP with one holder.

Here nodes lose power or their API server, Nodes are NotReady or deleted, and paths between nodes drop adverts. Two
holders can exist while that lasts (a cut-off node cannot be told anything); they must not outlast it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from havip.model.keys import Key
from havip.plan.change import Kind
from havip.plan.changes import changes
from havip.plan.desired import desired
from havip.plan.snapshot import SeenClass
from havip.testing.builders import a_class, a_havip, a_node, a_snapshot
from havip.testing.cluster import Cluster

NODES = tuple(f"n{number}" for number in range(1, 6))
VIPS = (Key("shop", "web"), Key("shop", "mail"), Key("shop", "dns"))
node_names = st.sampled_from(NODES)


class Faults(RuleBasedStateMachine):
    """Faults come and go; `healed` puts everything right and asks whether the plan comes to rest."""

    @initialize(count=st.integers(1, 4), ids=st.sampled_from([2, 3, 255]))
    def begin(self, count: int, ids: int) -> None:
        havips = [
            a_havip(key.name, address=f"10.88.0.{200 + index}", nodes={"candidates": count})
            for index, key in enumerate(VIPS)
        ]
        # VIPs without a common node share the only id, and collide when they come to have one.
        self.cluster = Cluster(a_snapshot(nodes=len(NODES), classes=[_with_ids(1)], havips=havips))
        self.cluster.settle()
        self.cluster.put(_with_ids(ids))
        self.cluster.settle()

    @rule(name=st.sampled_from(VIPS), preferred=st.lists(node_names, max_size=2, unique=True), count=st.integers(1, 4))
    def preferred(self, name: Key, preferred: list[str], count: int) -> None:
        seen = self.cluster.snapshot.havips.get(name)
        if seen is not None:
            nodes = seen.object.spec.nodes.model_copy(update={"preferred": tuple(preferred), "candidates": count})
            spec = seen.object.spec.model_copy(update={"nodes": nodes})
            metadata = replace(seen.metadata, generation=seen.metadata.generation + 1)
            self.cluster.put(replace(seen, metadata=metadata, object=seen.object.model_copy(update={"spec": spec})))

    @rule(node=node_names)
    def power(self, node: str) -> None:
        if node in self.cluster.dead:
            self.cluster.power_on(node)
        else:
            self.cluster.power_off(node)

    @rule(node=node_names)
    def api_server_unreachable(self, node: str) -> None:
        self.cluster.unreachable.add(node)

    @rule(node=node_names)
    def node_condition(self, node: str) -> None:
        if node in self.cluster.snapshot.nodes:
            self.cluster.set_ready(node, not self.cluster.snapshot.nodes[node].ready)

    @rule(node=node_names)
    def node_deleted(self, node: str) -> None:
        nodes = {name: one for name, one in self.cluster.snapshot.nodes.items() if name != node}
        self.cluster.snapshot = replace(self.cluster.snapshot, nodes=nodes)

    @rule(one=node_names, other=node_names)
    def path_blocked(self, one: str, other: str) -> None:
        if one != other:
            self.cluster.deaf.add(frozenset((one, other)))

    @rule(name=st.sampled_from(VIPS))
    def deleted(self, name: Key) -> None:
        self.cluster.delete(Kind.HAVIP, name)

    @rule(seconds=st.sampled_from([1, 5, 41, 61, 301]))
    def time_passes(self, seconds: int) -> None:
        self.cluster.wait(seconds)

    @rule(stop_after=st.none() | st.integers(0, 4))
    def reconcile(self, stop_after: int | None) -> None:
        self.cluster.reconcile(stop_after=stop_after)

    @rule()
    def nodes_act(self) -> None:
        self.cluster.run_nodes()

    @rule()
    def healed(self) -> None:
        cluster = self.cluster
        for node in NODES:
            if node not in cluster.snapshot.nodes:
                cluster.snapshot = replace(cluster.snapshot, nodes={**cluster.snapshot.nodes, node: a_node(node)})
            if node in cluster.dead:
                cluster.power_on(node)
            cluster.unreachable.discard(node)
            cluster.set_ready(node, True)
        cluster.deaf.clear()
        for _ in range(4):
            cluster.settle()
            cluster.wait(5)
        cluster.settle()
        assert cluster.plan() == ()
        for key in VIPS:
            if key in cluster.snapshot.havips:
                if self._without_an_id(key):
                    continue
                assert len(cluster.holders(key)) == 1, f"{key}: {cluster.holders(key)}"
                assert len(self._ids(key)) == 1
                ready = cluster.snapshot.havips[key].object.status.conditions[0]
                assert ready.status == "True", ready
            else:
                assert cluster.holders(key) == []

    def _without_an_id(self, key: Key) -> bool:
        """Whether there are more VIPs on the nodes than ids, so that this one never came to be."""
        ready = self.cluster.snapshot.havips[key].object.status.conditions[0]
        return ready.reason == "VirtualRouterIdsExhausted" and not self._ids(key)

    def _ids(self, key: Key) -> set[int]:
        return {
            one.instance.virtual_router_id
            for seen in self.cluster.snapshot.node_objects.values()
            for one in seen.spec.assignments
            if one.instance.havip == key
        }

    @invariant()
    def one_vip_for_a_router_id_on_a_node(self) -> None:
        for name, seen in self.cluster.snapshot.node_objects.items():
            ids = [one.instance.virtual_router_id for one in seen.spec.assignments]
            assert len(set(ids)) == len(ids), f"{name}: {seen.spec.assignments}"

    @invariant()
    def time_changes_nothing_before_the_plan_said_so(self) -> None:
        now = self.cluster.snapshot
        planned = desired(now)
        if changes(now, planned) == ():
            quiet = 86_400.0 if planned.look_again_in is None else planned.look_again_in - 0.001
            later = replace(now, now=now.now + timedelta(seconds=quiet))
            assert changes(later, desired(later)) == ()

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.healed()


def _with_ids(last: int) -> SeenClass:
    return a_class(election={"vrrp": {"virtualRouterIds": {"first": 1, "last": last}}})


TestFaults = Faults.TestCase
TestFaults.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

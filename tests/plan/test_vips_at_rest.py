"""The quick way for VIPs at rest must come to what the long way comes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from havip.plan import instances
from havip.plan.desired import desired
from havip.testing.builders import a_class, a_frontend, a_havip, a_node, a_pool, a_snapshot
from havip.testing.cluster import Cluster

WISHES = [
    {},
    {"nodes": {"preferred": ["n3", "n1"]}},
    {"nodes": {"candidates": 1}},
    {"nodes": {"candidates": 5}},
    {"failback": "Delayed", "failbackDelaySeconds": 7},
    {"frontends": [a_frontend()]},
    {"addresses": ["10.88.0.210", "fd00:88::d2"]},
]


def a_cluster():
    havips = [a_havip(f"v{index}", address=f"10.88.0.{200 + index}", **wish) for index, wish in enumerate(WISHES)]
    cluster = Cluster(a_snapshot(nodes=5, havips=havips, pools=[a_pool()]))
    cluster.settle()
    return cluster


def nothing(cluster):
    pass


def a_new_class_timing(cluster):
    cluster.put(a_class(election={"vrrp": {"missedAdverts": 5}}))


def a_node_not_ready(cluster):
    cluster.set_ready("n2", False)


def a_node_long_not_ready(cluster):
    cluster.set_ready("n2", False)
    cluster.wait(400)


def a_node_relabelled(cluster):
    cluster.put(a_class(nodes={"selector": {"matchLabels": {"edge": "true"}}}))
    nodes = {name: a_node(name, labels={} if name == "n1" else {"edge": "true"}) for name in cluster.snapshot.nodes}
    cluster.snapshot = replace(cluster.snapshot, nodes=nodes)


def a_split(cluster):
    cluster.deaf.update(frozenset(("n1", other)) for other in ("n2", "n3", "n4", "n5"))
    cluster.run_nodes()
    cluster.wait(10)


def a_pool_gone(cluster):
    cluster.snapshot = replace(cluster.snapshot, pools={})


def a_spec_not_confirmed(cluster):
    cluster.unreachable.add("n3")
    a_new_class_timing(cluster)
    cluster.reconcile()


@pytest.mark.parametrize(
    "happening",
    [nothing, a_new_class_timing, a_node_not_ready, a_node_long_not_ready, a_node_relabelled, a_split, a_pool_gone,
     a_spec_not_confirmed],
)  # fmt: skip
def test_both_ways_come_to_the_same(happening, monkeypatch):
    cluster = a_cluster()
    happening(cluster)
    quick = desired(cluster.snapshot)
    monkeypatch.setattr(instances, "at_rest", lambda *args, **kwargs: None)
    long = desired(cluster.snapshot)
    for key, plan in long.vips.items():
        assert plan.assignments == quick.vips[key].assignments, key
        assert plan.target == quick.vips[key].target, key
        assert plan.step.roles == quick.vips[key].step.roles, key
    assert long.node_specs == quick.node_specs
    assert long.havip_statuses == quick.havip_statuses


def test_most_vips_at_rest_go_the_quick_way(monkeypatch):
    cluster = a_cluster()
    ways: Counter[bool] = Counter()
    real = instances.at_rest

    def counting(*args, **kwargs):
        found = real(*args, **kwargs)
        ways[found is not None] += 1
        return found

    monkeypatch.setattr(instances, "at_rest", counting)
    desired(cluster.snapshot)
    assert ways[True] >= len(WISHES) - 1

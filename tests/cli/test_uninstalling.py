"""Giving a release back: with the operator, without it, and with half of it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.cli.memory import Memory, Time

from havip.cli.connection import (
    ACCOUNTS,
    CLASSES,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    HAVIPS,
    NODE_OBJECTS,
    PODS,
    POOLS,
    Connection,
)
from havip.cli.failing import Failed
from havip.cli.uninstalling import MARK, Patience, Uninstall
from havip.model.keys import FINALIZER

NAMESPACE = "havip-system"
NODE_POD = {"app.kubernetes.io/name": "havip-node"}


class Release:
    """One class, two nodes, one VIP with its pool."""

    def __init__(self, *, replicas: int = 2) -> None:
        self.cluster = Memory()
        self.time = Time()
        self.said: list[str] = []
        put = self.cluster.put
        put(ACCOUNTS, {"metadata": {"name": "havip-operator"}}, namespace=NAMESPACE)
        put(
            DEPLOYMENTS,
            {"metadata": {"name": "havip-operator"}, "status": {"readyReplicas": replicas}},
            namespace=NAMESPACE,
        )
        held: dict[str, Any] = {"finalizers": ["of.somebody/else", FINALIZER]}
        put(CLASSES, {"metadata": {"name": "edge", **held}})
        put(HAVIPS, {"metadata": {"name": "web", "finalizers": [*held["finalizers"]]}}, namespace="shop")
        put(POOLS, {"metadata": {"name": "web", "finalizers": [*held["finalizers"]]}}, namespace="shop")
        for node in ("n1", "n2"):
            body = {
                "metadata": {"name": f"edge.{node}"},
                "spec": {"instances": [{"havip": "shop/web"}]},
                "status": {"appliedGeneration": 1},
            }
            put(NODE_OBJECTS, body, namespace=NAMESPACE)
            put(PODS, {"metadata": {"name": f"havip-node-edge-{node}", "labels": NODE_POD}}, namespace=NAMESPACE)
        put(DAEMON_SETS, {"metadata": {"name": "havip-node-edge", "labels": NODE_POD}}, namespace=NAMESPACE)
        pool = {"metadata": {"name": "shop.web", "labels": {"havip.dev/pool": "true"}}}
        put(CONFIG_MAPS, pool, namespace=NAMESPACE)
        put(CONFIG_MAPS, {"metadata": {"name": "havip-node-template"}}, namespace=NAMESPACE)

    def uninstall(self, patience: Patience | None = None) -> None:
        Uninstall(
            cast(Connection, self.cluster),
            NAMESPACE,
            patience=patience or Patience(),
            say=self.said.append,
            now=self.time.now,
            pause=self.time.pause,
        ).run()

    def agents_confirm(self) -> None:
        for node in self.cluster.objects.values():
            if "instances" in node.get("spec", {}):
                node["status"] = {"appliedGeneration": node["metadata"]["generation"]}

    def pods_end(self) -> None:
        """As the DaemonSet controller and kubelets would."""
        if not self.cluster.all(DAEMON_SETS):
            for pod in self.cluster.all(PODS):
                del self.cluster.objects[("pods", NAMESPACE, pod["metadata"]["name"])]

    def world(self, seconds: float) -> None:
        self.agents_confirm()
        self.pods_end()

    def finalizers(self) -> list[str]:
        return [one for body in self.cluster.objects.values() for one in body["metadata"].get("finalizers", ())]


def _order(log: list[str], *steps: str) -> bool:
    places = [log.index(step) for step in steps]
    return places == sorted(places)


def test_a_working_operator_does_it_and_the_job_only_watches() -> None:
    release = Release()

    def operator(seconds: float) -> None:
        release.world(seconds)
        if ("configmaps", NAMESPACE, MARK) not in release.cluster.objects:
            return
        if seconds > 20:
            for place in [each for each in release.cluster.objects if each[0] in ("havipnodes", "daemonsets")]:
                del release.cluster.objects[place]
        if seconds > 40:
            for body in release.cluster.objects.values():
                body["metadata"].pop("finalizers", None)

    release.time.then = operator
    release.uninstall()
    assert release.cluster.log == [f"create configmaps {MARK}", "delete configmaps shop.web"]
    assert release.said[-1] == "nothing is held any more"


def test_the_mark_goes_with_the_operators_rights_and_not_with_its_deployment() -> None:
    release = Release(replicas=0)
    release.time.then = release.world
    release.uninstall()
    (owner,) = release.cluster.get(CONFIG_MAPS, MARK, namespace=NAMESPACE)["metadata"]["ownerReferences"]
    account = release.cluster.get(ACCOUNTS, "havip-operator", namespace=NAMESPACE)
    assert (owner["kind"], owner["uid"]) == ("ServiceAccount", account["metadata"]["uid"])


def test_without_an_operator_nodes_are_emptied_then_pods_end_then_finalizers_go() -> None:
    release = Release(replicas=0)
    release.time.then = release.world
    release.uninstall()
    assert _order(
        release.cluster.log,
        "merge havipnodes edge.n1",
        "merge havipnodes edge.n2",
        "delete daemonsets havip-node-edge",
        "strip havips web",
        "delete havipnodes edge.n1",
        "delete configmaps shop.web",
    )
    assert release.time.seconds < 15


def test_only_our_own_finalizer_is_taken_and_no_object_of_a_user_is_deleted() -> None:
    release = Release(replicas=0)
    release.time.then = release.world
    release.uninstall()
    assert release.finalizers() == ["of.somebody/else"] * 3
    assert release.cluster.get(HAVIPS, "web", namespace="shop")
    assert release.cluster.get(POOLS, "web", namespace="shop")
    assert release.cluster.get(CONFIG_MAPS, "havip-node-template", namespace=NAMESPACE)


def test_an_operator_that_works_and_gets_nowhere_is_not_waited_for_to_the_end() -> None:
    release = Release()
    release.time.then = release.world
    release.uninstall(Patience(deadline=600, stall=30))
    assert 30 <= release.time.seconds < 60
    assert FINALIZER not in release.finalizers()


def test_an_operator_that_moves_for_ever_is_cut_off_at_the_deadline() -> None:
    release = Release()

    def restless(seconds: float) -> None:
        release.pods_end()
        for node in release.cluster.objects.values():
            if "instances" in node.get("spec", {}):
                node["status"] = {"appliedGeneration": node["metadata"]["generation"] + int(seconds)}

    release.time.then = restless
    release.uninstall(Patience(deadline=100, stall=30))
    assert 100 <= release.time.seconds < 130
    assert FINALIZER not in release.finalizers()


def test_a_node_that_is_off_delays_and_does_not_stop_it() -> None:
    release = Release(replicas=0)
    patience = Patience()
    release.uninstall(patience)
    assert FINALIZER not in release.finalizers()
    assert release.time.seconds < patience.alone + patience.emptied + patience.ended + 5
    assert any("edge.n1, edge.n2 have not confirmed" in line for line in release.said)
    assert any("have not ended" in line for line in release.said)


def test_it_can_be_repeated_after_it_was_killed_at_any_point() -> None:
    whole = Release(replicas=0)
    whole.time.then = whole.world
    whole.uninstall()
    writes = len(whole.cluster.log)
    for survived in range(writes):
        release = Release(replicas=0)
        release.time.then = release.world
        _die_after(release, survived)
        with pytest.raises(KeyboardInterrupt):
            release.uninstall()
        _live_on(release)
        release.uninstall()
        assert FINALIZER not in release.finalizers()
        assert not release.cluster.all(NODE_OBJECTS)
        assert not release.cluster.all(DAEMON_SETS)


def _die_after(release: Release, writes: int) -> None:
    """The write number `writes` + 1 does not happen."""
    cluster = release.cluster
    for name in ("create", "merge", "json_patch", "delete"):
        original = getattr(cluster, name)

        def dying(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            if len(cluster.log) >= writes:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        setattr(cluster, name, dying)


def _live_on(release: Release) -> None:
    for name in ("create", "merge", "json_patch", "delete"):
        delattr(release.cluster, name)


def test_a_release_without_anything_is_gone_at_once() -> None:
    release = Release()
    kept = {"serviceaccounts", "deployments"}
    release.cluster.objects = {place: body for place, body in release.cluster.objects.items() if place[0] in kept}
    release.uninstall()
    assert release.time.seconds == 0


def test_the_mark_does_not_outlive_a_release_that_has_no_account_any_more() -> None:
    release = Release(replicas=0)
    release.time.then = release.world
    del release.cluster.objects[("serviceaccounts", NAMESPACE, "havip-operator")]
    release.uninstall()
    assert ("configmaps", NAMESPACE, MARK) not in release.cluster.objects


def test_somebody_who_puts_the_finalizer_back_is_named() -> None:
    release = Release(replicas=0)
    release.time.then = release.world
    strip = release.cluster.json_patch

    def put_back(*args: Any, **kwargs: Any) -> Any:
        stored = strip(*args, **kwargs)
        stored["metadata"]["finalizers"].append(FINALIZER)
        return stored

    release.cluster.json_patch = put_back  # type: ignore[method-assign]  # a controller that fights back
    with pytest.raises(Failed, match="still held after everything was tried: 3 finalizers"):
        release.uninstall()

"""Declaring, changing and deleting: what the operator does on the real cluster, and what survives its death."""

from __future__ import annotations

import json

import pytest

from e2e.cluster.control_plane import KubectlError
from e2e.product import Installation, Vip, client_of
from e2e.product.installation import EDGE, NAMESPACE, USER_NAMESPACE


def operator_pods(installation: Installation) -> list[str]:
    found = installation.cluster.get(
        "pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=havip-operator"
    )
    return [pod["metadata"]["name"] for pod in found["items"]]


def test_a_deleted_havip_leaves_no_address_and_no_finalizer(installation: Installation, vip: Vip) -> None:
    installation.delete(vip.name)
    installation.cluster.until(lambda: installation.holders(vip.address) == set(), "no node holds the address", 10)
    specs = installation.cluster.get("havipnodes", "--all-namespaces")["items"]
    assert all(not one["spec"].get("instances") for one in specs)


def test_a_havip_can_be_deleted_while_its_active_node_is_dead(installation: Installation, vip: Vip) -> None:
    cluster = installation.cluster
    cluster.power_off("n1")
    cluster.until(lambda: "n1" not in cluster.ready_nodes(), "Kubernetes says that n1 is not Ready", 90)
    installation.wait_active(vip.name, "n2", "n3")
    installation.delete(vip.name)
    assert installation.holders(vip.address) == set()


def test_the_operator_may_be_killed_in_the_middle_of_its_work(installation: Installation) -> None:
    vips = [Vip(f"many-{number}", f"10.88.0.{210 + number}") for number in range(10)]
    installation.apply(*(one.manifest() for one in vips))
    installation.cluster.kubectl(
        "delete", "pod", f"--namespace={NAMESPACE}", "--force", "--grace-period=0", *operator_pods(installation)
    )
    installation.wait_ready(*(one.name for one in vips), seconds=120)
    holders = [installation.holders(one.address) for one in vips]
    assert all(len(found) == 1 for found in holders), holders
    ids = [installation.havip(one.name)["status"]["virtualRouterId"] for one in vips]
    assert len(set(ids)) == len(ids)


def test_two_havips_with_one_address_give_it_to_the_older(installation: Installation, vip: Vip) -> None:
    installation.apply(Vip("younger", vip.address).manifest())
    installation.cluster.until(
        lambda: installation.condition("younger", "Ready").get("reason") == "AddressConflict", "it is refused", 30
    )
    message = installation.condition("younger", "Ready")["message"]
    assert vip.name in message, message
    assert "addresses" in message, message
    assert len(installation.holders(vip.address)) == 1
    installation.wait_ready(vip.name)


@pytest.mark.parametrize(
    ("address", "reason"),
    [("10.88.0.7", "AddressOutsideRanges"), ("10.99.0.1", "AddressOutsideRanges")],
)
def test_an_address_the_class_does_not_allow_is_refused_by_name(
    installation: Installation, address: str, reason: str
) -> None:
    installation.apply(Vip("stranger", address).manifest())
    installation.cluster.until(
        lambda: installation.condition("stranger", "Ready").get("reason") == reason, f"it is refused as {reason}", 30
    )
    assert address in installation.condition("stranger", "Ready")["message"]
    assert installation.holders(address) == set()


def test_a_typing_mistake_is_refused_by_kubectl_apply(installation: Installation) -> None:
    manifest = Vip("typo", "10.88.0.220").manifest()
    manifest["spec"]["addresses"] = ["10.88.0.220/24"]
    with pytest.raises(KubectlError, match="addresses"):
        installation.apply(manifest)


def test_a_node_leaves_the_class_and_comes_back_without_loss(installation: Installation, vip: Vip) -> None:
    cluster = installation.cluster
    with client_of(cluster, vip.address) as client:
        client.wait_answered()
        installation.unlabel_node("n1")
        installation.wait_active(vip.name, "n2", "n3")
        cluster.until(lambda: not node_object_exists(installation, "n1"), "n1's orders are gone", 60)
        installation.label_nodes(["n1"])
        cluster.until(lambda: node_object_exists(installation, "n1"), "n1 has orders again", 60)
        installation.wait_ready(vip.name)
        client.wait_answered()
        figures = client.history().all_figures()
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < 300


def node_object_exists(installation: Installation, node: str) -> bool:
    found = installation.cluster.get("havipnodes", f"--namespace={NAMESPACE}")["items"]
    return any(one["spec"]["nodeName"] == node for one in found)


def test_dual_stack_moves_both_addresses_together(installation: Installation) -> None:
    both = Vip("both", preferred=("n1", "n2"), addresses=("10.88.0.230", "fd88::d0"))
    installation.apply(both.manifest())
    installation.wait_settled("both")
    assert installation.holders("10.88.0.230") == installation.holders("fd88::d0") == {"n1"}
    installation.prefer("both", "n2")
    installation.wait_active("both", "n2")
    installation.cluster.until(
        lambda: installation.holders("10.88.0.230") == installation.holders("fd88::d0") == {"n2"}, "both moved", 10
    )


def test_a_wiped_status_is_rebuilt(installation: Installation, vip: Vip) -> None:
    before = installation.havip(vip.name)["status"]
    installation.cluster.kubectl(
        "patch", "havip", vip.name, f"--namespace={USER_NAMESPACE}", "--subresource=status", "--type=json", "-p",
        json.dumps([{"op": "replace", "path": "/status", "value": {"observedGeneration": -1}}]),
    )  # fmt: skip
    installation.wait_ready(vip.name, seconds=30)
    after = installation.havip(vip.name)["status"]
    assert after["virtualRouterId"] == before["virtualRouterId"]
    assert after["activeNode"] == before["activeNode"]


def test_a_steady_cluster_is_not_written_to(installation: Installation, vip: Vip) -> None:
    cluster = installation.cluster
    kinds = ("havips", "backendpools", "havipclasses", "havipnodes", "configmaps", "daemonsets")

    def versions() -> dict[str, str]:
        return {
            f"{kind}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
            for kind in kinds
            for one in cluster.get(kind, "--all-namespaces")["items"]
            if one["metadata"].get("namespace", "") in ("", NAMESPACE, USER_NAMESPACE)
        }

    installation.wait_ready(vip.name)
    before = versions()
    # Nothing to wait for: the absence of writes is what is asked about. A node's heartbeat passes in this time.
    with client_of(cluster, vip.address) as client:
        client.wait_answered()
        cluster.until(lambda: len(list(client.records())) > 15_000, "15 s of questions have been asked", 60)
    assert versions() == before


def test_kubectl_explains_and_lists(installation: Installation, vip: Vip) -> None:
    assert "address" in installation.cluster.kubectl("explain", "havip.spec.addresses").lower()
    listed = installation.cluster.kubectl("get", "vip", "-n", USER_NAMESPACE)
    assert vip.address in listed
    assert "n1" in listed
    assert EDGE in installation.manifest("class")

"""A cluster in an emulated Huawei Cloud: the operator's calls by the real SDK decide whether the VIP is reached."""

from __future__ import annotations

import sys

from e2e.clouds.regions import HuaweiRegion
from e2e.clouds.service import Trouble
from e2e.lab import Stretch, now
from e2e.product import Installation, Vip, client_of
from e2e.product.installation import NAMESPACE
from e2e.product.under_a_cloud import UnderACloud

PROVIDER = "Huawei"
LOST_NODE_MS = 2000.0
BEFORE = 200_000_000
_CONNECT = "import socket, sys; print(socket.create_connection((sys.argv[1], 90), 2).recv(1) != b'')"


def region(cloud: UnderACloud) -> HuaweiRegion:
    assert isinstance(cloud.region, HuaweiRegion)
    return cloud.region


def reached_from(installation: Installation, vip: Vip) -> set[str]:
    """The nodes, and the client, that a pod greets through the VIP."""

    def reached(name: str) -> bool:
        try:
            return "True" in installation.on_node(name, sys.executable, "-c", _CONNECT, vip.address)
        except Exception:  # whatever it says: it was not reached
            return False

    return {name for name in ("n1", "n2", "n3", "client") if reached(name)}


def test_every_node_and_the_client_reach_the_vip(installation: Installation, carried: Vip, cloud: UnderACloud) -> None:
    assert cloud.region.carried() == {carried.address: {"n1", "n2", "n3"}}
    installation.cluster.until(
        lambda: reached_from(installation, carried) == {"n1", "n2", "n3", "client"}, "everybody reaches it", 20
    )


def test_a_node_that_loses_its_power_is_replaced_without_a_call(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    with client_of(installation.cluster, carried.address) as client:
        client.wait_answered()
        writes, start = cloud.region.service.writes(), now()
        installation.cluster.power_off("n1")
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < LOST_NODE_MS
    installation.wait_active(carried.name, "n2", "n3")
    assert cloud.region.service.writes() == writes


def test_node_pods_deleted_one_after_the_other_the_vip_walks_and_stays_in_reach(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    before = installation.active_node(carried.name)
    for _ in range(2):
        installation.cluster.kubectl(
            "delete", "pod", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=havip-node",
            f"--field-selector=spec.nodeName={before}", "--wait=false",
        )  # fmt: skip
        heir = installation.wait_active(carried.name, *({"n1", "n2", "n3"} - {before}))
        installation.cluster.until(
            lambda: reached_from(installation, carried) == {"n1", "n2", "n3", "client"}, "everybody reaches it", 20
        )
        installation.wait_agents()
        installation.wait_ready(carried.name)
        before = heir


def test_a_planned_switch_loses_nothing_and_calls_nothing(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    with client_of(installation.cluster, carried.address) as client:
        client.wait_answered()
        writes, start = cloud.region.service.writes(), now()
        installation.prefer(carried.name, "n2")
        installation.wait_active(carried.name, "n2")
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert sum(one.lost for one in figures) <= 20
    assert cloud.region.service.writes() == writes


def test_the_active_node_dies_while_the_cloud_is_away(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    service = cloud.region.service
    service.fail_always(Trouble.UNAVAILABLE)
    try:
        with client_of(installation.cluster, carried.address) as client:
            client.wait_answered()
            start = now()
            installation.cluster.power_off("n1")
            client.wait_answered(after=now())
            figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    finally:
        service.fail_always(None)
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < LOST_NODE_MS


def test_a_node_that_leaves_the_class_is_unbound_and_its_network_interface_checked_again(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    installation.unlabel_node("n1")
    installation.wait_active(carried.name, "n2", "n3")
    installation.cluster.until(lambda: cloud.region.carried() == {carried.address: {"n2", "n3"}}, "n1 is unbound", 120)
    store, left = region(cloud).cloud.store, cloud.region.site.nodes["n1"]

    def checked() -> bool:
        return any(not nic.unchecked for nic in store.nics() if left in map(str, nic.addresses))

    installation.cluster.until(checked, "n1's source/destination check is on", 30)


def test_a_deleted_havip_leaves_nothing_in_the_cloud(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    installation.delete(carried.name)
    assert cloud.region.carried() == {}
    assert not any(nic.unchecked for nic in region(cloud).cloud.store.nics())
    assert installation.ask(carried.address) == ""

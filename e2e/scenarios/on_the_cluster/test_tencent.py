"""A cluster in an emulated Tencent Cloud: a HAVIP goes to the instance of its range that announced it last."""

from __future__ import annotations

from e2e.clouds.regions import TencentRegion
from e2e.lab import Stretch, now
from e2e.product import Installation, Vip, client_of
from e2e.product.installation import USER_NAMESPACE
from e2e.product.under_a_cloud import UnderACloud

PROVIDER = "Tencent"
LOST_NODE_MS = 2000.0
BEFORE = 200_000_000


def region(cloud: UnderACloud) -> TencentRegion:
    assert isinstance(cloud.region, TencentRegion)
    return cloud.region


def test_the_havip_has_its_range_and_the_client_is_answered(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    assert cloud.region.carried() == {carried.address: {"n1", "n2", "n3"}}
    with client_of(installation.cluster, carried.address) as client:
        client.wait_answered(seconds=20)
    holder = region(cloud).cloud.holder(carried.address)
    assert holder is not None
    assert holder.instance == "ins-n1"


def test_a_lost_node_is_replaced_and_the_cloud_s_word_stands_in_the_history(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    with client_of(installation.cluster, carried.address) as client:
        client.wait_answered(seconds=20)
        installation.cluster.until(lambda: len(list(client.records())) > 1000, "it is answered for a while", 20)
        before = region(cloud).cloud.holder(carried.address)
        writes, start = cloud.region.service.writes(), now()
        installation.cluster.power_off("n1")
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start - BEFORE, now()))
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < LOST_NODE_MS
    heir = installation.wait_active(carried.name, "n2", "n3")
    after = region(cloud).cloud.holder(carried.address)
    assert before is not None
    assert after is not None
    assert (before.instance, after.instance) == ("ins-n1", f"ins-{heir}")
    assert after.flushed > before.flushed

    def told() -> bool:
        last = installation.havip(carried.name)["status"]["history"][0]
        return (last.get("cloudInstance"), last.get("cloudSince")) == (f"ins-{heir}", after.flushed)

    installation.cluster.until(told, "the history says what the cloud shows", 40)
    assert cloud.region.service.writes() == writes


def test_a_cloud_that_did_not_hear_the_switch_is_told_again_and_so_are_people(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    estate = region(cloud).cloud.estate
    with client_of(installation.cluster, carried.address) as client:
        client.wait_answered(seconds=20)
        estate.lose_announcements = 1_000_000
        installation.prefer(carried.name, "n2")
        installation.wait_active(carried.name, "n2")
        installation.cluster.until(
            lambda: installation.condition(carried.name, "Programmed").get("reason") == "ShownElsewhere",
            "the condition says where the cloud shows it",
            40,
        )
        estate.lose_announcements = 0
        client.wait_answered(after=now(), seconds=40)
    described = installation.cluster.kubectl("describe", "havip", carried.name, f"--namespace={USER_NAMESPACE}")
    assert "ShownElsewhere" in described
    installation.cluster.until(
        lambda: installation.condition(carried.name, "Programmed").get("status") == "True", "it is well again", 40
    )


def test_a_deleted_havip_leaves_nothing_in_the_cloud(
    installation: Installation, carried: Vip, cloud: UnderACloud
) -> None:
    installation.delete(carried.name)
    assert cloud.region.carried() == {}
    assert installation.ask(carried.address) == ""

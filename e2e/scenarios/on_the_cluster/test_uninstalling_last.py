"""Upgrading and uninstalling the release under live VIPs. Last in the folder: afterwards nothing is installed."""

from __future__ import annotations

from typing import Any

from e2e.lab import Stretch, now
from e2e.product import Installation, Vip, client_of
from e2e.product.installation import NAMESPACE, USER_NAMESPACE
from e2e.scenarios.on_the_cluster.conftest import NODES


def leftovers(installation: Installation) -> list[str]:
    """Addresses, tables and objects of ours that are still there."""
    found = []
    for name in NODES:
        tables = installation.on_node(name, "nft", "list", "tables")
        found += [f"{name}: {line}" for line in tables.splitlines() if "havip" in line]
    return found


def runs_only(pod: dict[str, Any], tag: str) -> bool:
    """Whether all containers of a pod are of images with this tag."""
    spec = pod["spec"]
    return all(one["image"].endswith(f":{tag}") for one in (*spec["initContainers"], *spec["containers"]))


def test_a_new_image_rolls_over_the_nodes_without_loss(installation: Installation, vip: Vip) -> None:
    cluster = installation.cluster
    upgrade = []
    for name in ("node", "haproxy"):
        image = installation.images[name]
        cluster.tag_image(image.reference, f"{image.repository}:next")
        upgrade += ["--set-string", f"image.{name}.tag=next"]
    with client_of(cluster, vip.address) as client:
        client.wait_answered()
        start = now()
        installation.upgrade(*upgrade)
        installation.wait_rolled(lambda pod: runs_only(pod, "next"))
        installation.wait_agents()
        installation.wait_ready(vip.name)
        client.wait_answered(after=now())
        figures = client.history().all_figures(Stretch(start, now()))
    print("\n".join(map(str, figures)))
    assert max(one.outage_ms for one in figures) < 300


def test_uninstalling_with_live_vips_leaves_nothing(installed: Installation) -> None:
    vips = [Vip("last-1", "10.88.0.240"), Vip("last-2", "10.88.0.241")]
    installed.apply(*(one.manifest() for one in vips))
    installed.wait_ready(*(one.name for one in vips))
    installed.uninstall()
    assert all(installed.holders(one.address) == set() for one in vips)
    assert leftovers(installed) == []
    remaining = installed.cluster.get("havips", f"--namespace={USER_NAMESPACE}")["items"]
    assert all(not one["metadata"].get("finalizers") for one in remaining)
    installed.cluster.kubectl("delete", "havips", "--all", f"--namespace={USER_NAMESPACE}", "--timeout=30s")


def test_uninstalling_with_a_dead_operator_leaves_nothing(installed: Installation) -> None:
    installed.install()
    installed.wait_agents()
    vip = Vip("orphan", "10.88.0.242")
    installed.apply(vip.manifest())
    installed.wait_ready(vip.name)
    installed.cluster.kubectl(
        "scale", "deployment/havip-operator", f"--namespace={NAMESPACE}", "--replicas=0", "--timeout=60s"
    )
    installed.uninstall()
    assert installed.holders(vip.address) == set()
    assert leftovers(installed) == []
    installed.cluster.kubectl("delete", "havips", "--all", f"--namespace={USER_NAMESPACE}", "--timeout=30s")

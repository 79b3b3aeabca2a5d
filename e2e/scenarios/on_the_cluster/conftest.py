"""One cluster with the operator installed, for all scenarios of this folder; each leaves it as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.cluster.cluster import Cluster
from e2e.lab.compiled import cache_folder
from e2e.product.installation import USER_NAMESPACE, Installation, Vip
from e2e.setup.images import product_images

NODES = ("n1", "n2", "n3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "on_the_cluster":
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(420))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes that have the product's images."""
    with Cluster(nodes=3, images=[one.archive for one in product_images(cache_folder()).values()]) as running:
        yield running


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Installation:
    """The operator by Helm, an application on n2 and n3, the class and the pools; no HAVip yet."""
    installation = Installation(cluster)
    installation.install_with_application()
    return installation


@pytest.fixture
def installation(installed: Installation) -> Iterator[Installation]:
    """The session's installation; healed afterwards: control plane and nodes run, labels are back, no HAVip is left."""
    yield installed
    cluster = installed.cluster
    if cluster.control.etcd is None:
        cluster.start_etcd()
    if cluster.control.api_server is None:
        cluster.start_api_server()
    for name, node in cluster.nodes.items():
        if not node.powered:
            cluster.power_on(name)
    installed.label_nodes(NODES)
    cluster.kubectl("delete", "havips", "--all", f"--namespace={USER_NAMESPACE}", "--timeout=90s")
    installed.wait_agents()
    cluster.until(lambda: cluster.ready_nodes() == set(NODES), "every node is Ready", 90)


@pytest.fixture
def vip(installation: Installation, request: pytest.FixtureRequest) -> Vip:
    """A HAVip on its first choice n1, settled, with an address of its own."""
    number = 201 + sum(map(ord, request.node.name)) % 50
    made = Vip("under-test", f"10.88.0.{number}", preferred=("n1", "n2", "n3"))
    installation.apply(made.manifest())
    installation.wait_settled(made.name)
    return made

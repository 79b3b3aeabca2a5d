"""One cluster with the operator installed, for all scenarios of this folder; each leaves it as it found it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from e2e.cluster.cluster import Cluster
from e2e.lab.compiled import cache_folder
from e2e.product.evidence import evidence
from e2e.product.installation import NAMESPACE, USER_NAMESPACE, Installation, Vip
from e2e.product.under_a_cloud import ALLOWED, UnderACloud, under_a_cloud
from e2e.setup.images import product_images

NODES = ("n1", "n2", "n3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "on_the_cluster":
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(420))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed scenario shows the cluster as it was then."""
    report = yield
    installed = getattr(item, "funcargs", {}).get("installed")
    if report.failed and report.when != "teardown" and isinstance(installed, Installation):
        report.sections.extend(evidence(installed))
    return report


@pytest.fixture(scope="package")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three nodes that have the product's images. What they said is kept when a scenario has failed."""
    with Cluster(nodes=3, images=[one.archive for one in product_images(cache_folder()).values()]) as running:
        yield running
        if request.session.testsfailed:
            print(f"the cluster's logs: {running.save_logs()}")


@pytest.fixture(scope="package")
def installed(cluster: Cluster) -> Installation:
    """The operator by Helm, an application on n2 and n3, the class and the pools; no HAVip yet."""
    installation = Installation(cluster)
    installation.install_with_application(*ALLOWED)
    return installation


@pytest.fixture(scope="module")
def cloud(installed: Installation, request: pytest.FixtureRequest) -> Iterator[UnderACloud]:
    """The module's `PROVIDER` around the nodes, with its class and no HAVip; afterwards they are on a bridge again."""
    with under_a_cloud(installed.cluster, request.module.PROVIDER) as around:
        prepare = getattr(request.module, "prepare", None)
        if prepare is not None:
            prepare(around)
        installed.apply(around.secret(), around.class_manifest())
        installed.cluster.until(lambda: _has_orders(installed, around.class_name), "its nodes have orders", 60)
        installed.wait_agents()
        yield around
        installed.cluster.kubectl("delete", "havipclass", around.class_name, "--timeout=90s")
        installed.cluster.until(lambda: len(installed.node_pods()) == len(NODES), "its node pods are gone", 90)


def _has_orders(installed: Installation, class_name: str) -> bool:
    found = installed.cluster.get("havipnodes", f"--namespace={NAMESPACE}")["items"]
    return [one["spec"]["className"] for one in found].count(class_name) == len(NODES)


@pytest.fixture
def carried(installation: Installation, cloud: UnderACloud) -> Vip:
    """A HAVip of the cloud's class on its first choice n1, settled."""
    frontends = (("greeting", 90, "greeting"), ("http", 80, "web"))
    return installation.apply_settled(
        Vip("carried", "10.88.0.201", preferred=NODES, class_name=cloud.class_name, frontends=frontends)
    )


@pytest.fixture
def installation(installed: Installation) -> Iterator[Installation]:
    """The folder's installation; healed afterwards: control plane and nodes run, labels are back, no HAVip is left."""
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
    return installation.apply_settled(Vip("under-test", f"10.88.0.{number}", preferred=("n1", "n2", "n3")))

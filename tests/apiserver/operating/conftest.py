"""An API server of their own for the operator's tests: the operator looks at everything in a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster.control_plane import CHECKOUT, ControlPlane, MissingBinary
from tests.apiserver.operating.objects import NODES, SHOP, klass, node, template
from tests.apiserver.operating.stand import NAMESPACE, Stand


@pytest.fixture(scope="session")
def control() -> Iterator[ControlPlane]:
    """etcd and kube-apiserver with the CRDs; no controller-manager, no kubelet."""
    try:
        with ControlPlane() as control:
            control.kubectl("apply", "--server-side", "-f", str(CHECKOUT / "crds"))
            control.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")
            for namespace in (NAMESPACE, SHOP):
                control.kubectl("create", "namespace", namespace)
            yield control
    except MissingBinary as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def stand(control: ControlPlane, tmp_path: Path) -> Iterator[Stand]:
    """Three nodes, the class `edge` and the chart's template; no operator yet."""
    one = Stand(control, tmp_path)
    try:
        one.apply(*map(node, NODES), klass(), template())
        yield one
    finally:
        one.clear()
        one.client.close()

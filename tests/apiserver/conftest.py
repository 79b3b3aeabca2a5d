"""A real kube-apiserver for the tests of this folder, started once per run, with the product's CRDs installed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import kubernetes
import pytest
from e2e.cluster.control_plane import CHECKOUT, ControlPlane, MissingBinary

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ControlPlane]:
    """etcd and kube-apiserver with the CRDs of `crds/`. No controller runs: objects stay as they are written."""
    try:
        with ControlPlane() as control:
            control.kubectl("apply", "--server-side", "-f", str(CHECKOUT / "crds"))
            control.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")
            yield control
    except MissingBinary as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def admin(api_server: ControlPlane) -> Iterator[kubernetes.client.ApiClient]:
    """The official client as a cluster administrator."""
    config = str(api_server.kubeconfig())
    with kubernetes.config.new_client_from_config(config) as client:  # type: ignore[no-untyped-call]  # the package has no types here
        yield client


@pytest.fixture
def namespace(api_server: ControlPlane) -> str:
    """A namespace of this test's own. It stays until the API server ends: nobody here deletes what is in one."""
    name = f"test-{next(_numbers)}"
    api_server.kubectl("create", "namespace", name)
    return name

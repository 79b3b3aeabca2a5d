"""The agent's own HTTP client against a real API server, with the rights that the chart gives an agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.cluster.certificates import Authority
from e2e.cluster.control_plane import CHECKOUT, ControlPlane, MissingBinary
from tests.agent import orders

from havip.agent.desired import understand
from havip.agent.settings import ApiAccess
from havip.agent.source import api as api_source
from havip.agent.source.api import ApiSource
from havip.agent.source.base import Observed, SourceAway
from havip.model.keys import Key
from havip.model.node import InterfaceReport, NodeStatus, PoolReport
from havip.model.report import InstanceReport
from havip.model.states import State

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(180)]

STATUS = NodeStatus(
    applied_generation=1,
    versions={"agent": "0.1.0"},
    interface=InterfaceReport("eth0", ("10.88.0.11/24",)),
    vips=(InstanceReport(Key("shop", "web"), 7, State.ACTIVE, "2026-01-01T00:00:00.123Z", "Elected", ("n2",), 312),),
    pools=(PoolReport(Key("shop", "web"), "0123", 1, 2),),
)


@dataclass(frozen=True, slots=True)
class Operator:
    """Writes what an operator writes, by kubectl."""

    control: ControlPlane
    namespace: str

    def node(self, body: orders.Body) -> None:
        self._apply("havip.dev/v1alpha1", "HAVipNode", "edge.n1", spec=body)

    def pool(self, body: orders.Body) -> None:
        name = body["pool"].replace("/", ".")
        self._apply("v1", "ConfigMap", name, labels={"havip.dev/pool": "true"}, data={"pool.json": json.dumps(body)})

    def other_config_map(self) -> None:
        self._apply("v1", "ConfigMap", "not-a-pool", data={"pool.json": "{}"})

    def delete(self, kind: str, name: str) -> None:
        self.control.kubectl("delete", kind, name, "-n", self.namespace)

    def status(self) -> NodeStatus:
        text = self.control.kubectl("get", "havipnode", "edge.n1", "-n", self.namespace, "-o", "json")
        return NodeStatus.from_json(json.loads(text)["status"])

    def version(self) -> str:
        path = "jsonpath={.metadata.resourceVersion}"
        return self.control.kubectl("get", "havipnode", "edge.n1", "-n", self.namespace, "-o", path)

    def _apply(
        self, version: str, kind: str, name: str, *, labels: dict[str, str] | None = None, **rest: object
    ) -> None:
        metadata = {"name": name, "namespace": self.namespace, "labels": labels or {}}
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
        self.control.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(body))


def starting(control: ControlPlane, namespace: str) -> Operator:
    operator = Operator(control, namespace)
    operator.node(orders.spec(orders.instance()))
    operator.pool(orders.pool())
    return operator


def as_in_a_pod(control: ControlPlane, namespace: str, folder: Path) -> ApiAccess:
    """A ServiceAccount with an agent's role, and files as a pod has them."""
    kubectl = control.kubectl
    kubectl("create", "serviceaccount", "havip-node", "-n", namespace)
    kubectl(
        "create", "role", "havip-node", "-n", namespace, "--verb=get,list,watch",
        "--resource=havipnodes.havip.dev,configmaps",
    )  # fmt: skip
    kubectl("create", "role", "status", "-n", namespace, "--verb=patch", "--resource=havipnodes.havip.dev/status")
    for role in ("havip-node", "status"):
        kubectl(
            "create", "rolebinding", role, "-n", namespace, f"--role={role}",
            f"--serviceaccount={namespace}:havip-node",
        )  # fmt: skip
    token, ca = folder / "token", folder / "ca.crt"
    token.write_text(kubectl("create", "token", "havip-node", "-n", namespace))
    ca.write_bytes(control.authority.certificate)
    return ApiAccess("127.0.0.1", control.ports.api, tls=True, ca=ca, token_file=token)


@pytest.fixture
def operator(api_server: ControlPlane, namespace: str) -> Operator:
    return starting(api_server, namespace)


@pytest.fixture
def access(api_server: ControlPlane, namespace: str, tmp_path: Path) -> ApiAccess:
    return as_in_a_pod(api_server, namespace, tmp_path)


class Following:
    def __init__(self, access: ApiAccess, namespace: str) -> None:
        self.source = ApiSource(access, namespace=namespace, class_name="edge", node="n1")
        self.told: list[Observed] = []
        self._new = asyncio.Event()

    def take(self, observed: Observed) -> None:
        self.told.append(observed)
        self._new.set()

    async def until(self, condition: Callable[[Observed], bool]) -> Observed:
        async with asyncio.timeout(90):
            while not self.told or not condition(self.told[-1]):
                await self._new.wait()
                self._new.clear()
        return self.told[-1]

    async def generation(self, number: int) -> Observed:
        return await self.until(lambda seen: seen.node is not None and seen.node.generation == number)


@contextlib.asynccontextmanager
async def following(access: ApiAccess, namespace: str) -> AsyncIterator[Following]:
    it = Following(access, namespace)
    task = asyncio.create_task(it.source.run(it.take))
    try:
        yield it
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_orders_and_pools_are_followed(operator: Operator, access: ApiAccess) -> None:
    async def story() -> None:
        operator.other_config_map()
        async with following(access, operator.namespace) as it:
            first = await it.generation(1)
            assert list(first.pools) == ["shop.web"]
            desired = understand(first, None, class_name="edge", node="n1")
            assert desired is not None
            assert (desired.error, desired.left_out, desired.pool_errors) == ("", (), {})
            await asyncio.to_thread(operator.node, orders.spec())
            await it.generation(2)
            await asyncio.to_thread(operator.pool, orders.pool(servers=["10.9.9.9:80"]))
            await it.until(lambda seen: "10.9.9.9" in seen.pools["shop.web"])
            await asyncio.to_thread(operator.delete, "configmap", "shop.web")
            await it.until(lambda seen: not seen.pools)
            await asyncio.to_thread(operator.delete, "havipnode", "edge.n1")
            await asyncio.to_thread(operator.pool, orders.pool("shop/after"))
            last = await it.until(lambda seen: list(seen.pools) == ["shop.after"])
            assert last.node is not None, "a deleted HAVipNode is the API server being away"

    asyncio.run(story())


def test_a_status_is_applied_as_it_is_and_again_without_a_trace(operator: Operator, access: ApiAccess) -> None:
    async def story() -> None:
        async with following(access, operator.namespace) as it:
            await it.generation(1)
            await it.source.write_status(STATUS)
            seen = await it.until(lambda seen: seen.node is not None and seen.node.status is not None)
            assert seen.node is not None
            assert NodeStatus.from_json(seen.node.status) == STATUS
            version = operator.version()
            await it.source.write_status(STATUS)
            assert operator.version() == version
            less = NodeStatus(applied_generation=2, versions={"agent": "0.1.0"})
            await it.source.write_status(less)
            assert operator.status() == less, "what is not said any more is gone"

    asyncio.run(story())


def test_a_status_for_an_object_that_was_deleted_is_refused_and_makes_none(
    operator: Operator, access: ApiAccess
) -> None:
    source = ApiSource(access, namespace=operator.namespace, class_name="edge", node="n1")
    operator.delete("havipnode", "edge.n1")
    with pytest.raises(SourceAway, match="404"):
        asyncio.run(source.write_status(STATUS))


def test_an_api_server_that_is_restarted_is_followed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an API server of its own: the other tests go on with the shared one."""
    monkeypatch.setattr(api_source, "BACK_OFF_SECONDS", (0.1, 0.5))

    async def story(control: ControlPlane) -> None:
        operator, access = starting(control, "default"), as_in_a_pod(control, "default", tmp_path)
        async with following(access, "default") as it:
            await it.generation(1)
            await asyncio.to_thread(control.stop_api_server)
            with pytest.raises(SourceAway):
                await it.source.write_status(STATUS)
            assert it.told[-1].pools, "the last orders stay"
            await asyncio.to_thread(control.start_api_server)
            await asyncio.to_thread(operator.node, orders.spec())
            await it.generation(2)
            await it.source.write_status(STATUS)

    try:
        with ControlPlane() as control:
            control.kubectl("apply", "--server-side", "-f", str(CHECKOUT / "crds"))
            control.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")
            asyncio.run(story(control))
    except MissingBinary as missing:
        pytest.fail(str(missing), pytrace=False)


def test_a_server_with_another_authority_is_not_believed(operator: Operator, access: ApiAccess, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(Authority().certificate)
    wrong = ApiAccess(access.host, access.port, tls=True, ca=other, token_file=access.token_file)
    source = ApiSource(wrong, namespace=operator.namespace, class_name="edge", node="n1")
    with pytest.raises(SourceAway, match="certificate verify failed"):
        asyncio.run(source.write_status(STATUS))

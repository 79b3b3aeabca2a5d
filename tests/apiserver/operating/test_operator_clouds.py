"""From `kubectl apply` to an emulated cloud that carries the VIP, by the real SDK, and back to what was before."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from e2e.clouds.regions import REGIONS, Region, Site
from e2e.clouds.service import Trouble
from tests.apiserver.operating.agents import Agents, own_addresses
from tests.apiserver.operating.objects import NODES, SHOP, WEB, havip, klass, node, pool
from tests.apiserver.operating.stand import NAMESPACE, Body, Operator, Stand, condition, value

from havip.cli.planning import planned
from havip.controller.resources import CLASSES, HAVIPS, SECRETS
from havip.model.keys import Key

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(120)]
SECRET = "of-the-cloud"  # noqa: S105 - a name
CLOUDY = Key("", "cloudy")
VIP = "10.88.1.1"
NEEDED = {
    "Azure": "Microsoft.Network/loadBalancers/write",
    "Huawei": "vpc:ports:create",
    "Tencent": "vpc:CreateHaVip",
}
SITE = Site({name: f"10.88.0.{name.removeprefix('n')}" for name in ("n1", "n2", "n3")}, "10.88.0.0/16")


@pytest.fixture
def agents(stand: Stand) -> Iterator[Agents]:
    with Agents(stand.control, own_addresses(NODES)) as agents:
        yield agents


@pytest.fixture(params=sorted(REGIONS))
def region(request: pytest.FixtureRequest) -> Iterator[Region]:
    with REGIONS[request.param](SITE) as one:
        yield one


def put_secret(stand: Stand, values: dict[str, str]) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "data": {key: b64encode(text.encode()).decode() for key, text in values.items()},
    }
    path = SECRETS.path(NAMESPACE, SECRET) + "?fieldManager=user&force=true"
    stand.client.call("PATCH", path, body, content="application/apply-patch+yaml")


def cloudy_class(region: Region) -> Body:
    return klass(
        "cloudy",
        provider=region.provider,
        credentialsSecret=SECRET,
        **{region.provider.lower(): region.settings},
    )


def begin(stand: Stand, region: Region, *vips: Body, resync: float = 600.0) -> Operator:
    put_secret(stand, region.secret)
    operator = stand.operator(HAVIP_CREDENTIAL_SECRETS=SECRET, HAVIP_RESYNC_SECONDS=str(resync))
    stand.apply(cloudy_class(region), pool(), *vips)
    return operator


def a_vip(name: str = "web", address: str = VIP, **spec: object) -> Body:
    return havip(name, address, pool="web", className="cloudy", **spec)


def a_node(name: str, *, member: bool) -> Body:
    body = node(name)
    body["metadata"]["labels"] = {"havip.dev/edge": str(member).lower()}
    return body


def test_an_applied_vip_is_carried_and_a_deleted_one_is_given_back(
    stand: Stand, agents: Agents, region: Region
) -> None:
    begin(stand, region, a_vip(), a_vip("two", "10.88.1.2"))
    stand.until_ready(WEB)
    stand.until_ready(Key(SHOP, "two"))
    assert region.carried() == {VIP: set(NODES), "10.88.1.2": set(NODES)}
    stand.delete(HAVIPS, WEB)
    stand.until_gone(HAVIPS, WEB)
    assert region.carried() == {"10.88.1.2": set(NODES)}
    stand.delete(HAVIPS, Key(SHOP, "two"))
    stand.delete(CLASSES, CLOUDY)
    stand.until_gone(CLASSES, CLOUDY)
    assert region.carried() == {}


def test_neither_a_failover_nor_another_preference_writes_to_the_cloud(
    stand: Stand, agents: Agents, region: Region
) -> None:
    begin(stand, region, a_vip())
    stand.until_ready(WEB)
    writes = region.service.writes()
    active = agents.active(WEB)
    assert active is not None
    agents.silence(active)
    stand.until(HAVIPS, WEB, lambda body: value(body, "status.activeNode") not in (None, active))
    agents.speak(active)
    stand.apply(a_vip(nodes={"preferred": [active]}))
    stand.until(HAVIPS, WEB, lambda body: value(body, "status.observedGeneration") == 2)
    assert region.service.writes() == writes


def test_a_throttled_cloud_is_said_not_stormed_and_recovers(stand: Stand, agents: Agents, region: Region) -> None:
    region.service.fail_always(Trouble.THROTTLED)
    begin(stand, region, a_vip())
    stand.until(CLASSES, CLOUDY, lambda body: condition(body, "Ready") == "False/Throttled")
    assert len(region.service.exchanges) < 10
    region.service.fail_always(None)
    stand.until_ready(WEB)


def test_wrong_credentials_are_named_and_right_ones_taken_without_a_restart(
    stand: Stand, agents: Agents, region: Region
) -> None:
    operator = begin(stand, region, a_vip())
    stand.until_ready(WEB)
    rotated = region.rotate()
    stand.apply(a_vip("two", "10.88.1.2"))
    stand.until(CLASSES, CLOUDY, lambda body: condition(body, "Ready") == "False/Forbidden")
    assert condition(stand.client.get(HAVIPS, WEB), "Ready").startswith("True/"), "what works goes on"
    put_secret(stand, rotated)
    stand.apply(a_vip("three", "10.88.1.3"))  # any news; else the next try comes by itself
    stand.until_ready(Key(SHOP, "two"))
    assert set(region.carried()) == {VIP, "10.88.1.2", "10.88.1.3"}
    told = operator.log.read_text() + str(stand.client.get(CLASSES, CLOUDY)) + str(stand.client.items(HAVIPS))
    assert not [text for text in (*region.secret.values(), *rotated.values()) if "secret" in text and text in told]


def test_a_missing_permission_is_named_by_the_class_and_granted_it_goes_on(
    stand: Stand, agents: Agents, region: Region
) -> None:
    needed = NEEDED[region.provider]
    region.cloud.denied.add(needed)
    begin(stand, region, a_vip())
    body = stand.until(CLASSES, CLOUDY, lambda body: condition(body, "Ready") == "False/Forbidden")
    said = next(one for one in value(body, "status.conditions") if one["type"] == "Ready")
    assert needed in said["message"]
    assert region.carried() == {}
    region.cloud.denied.clear()
    stand.apply(a_vip("two", "10.88.1.2"))  # any news; else the next try comes by itself
    stand.until_ready(WEB)
    assert set(region.carried()) == {VIP, "10.88.1.2"}


def test_a_class_whose_nodes_change_twenty_times_ends_where_it_began(
    stand: Stand, agents: Agents, region: Region
) -> None:
    begin(stand, region, a_vip())
    stand.until_ready(WEB)
    for turn in range(20):
        stand.apply(a_node(NODES[turn % len(NODES)], member=turn % 2 == 1))
    for name in NODES:
        stand.apply(a_node(name, member=True))
    stand.until_ready(WEB)
    deadline = time.monotonic() + 60
    while region.carried() != {VIP: set(NODES)}:
        assert time.monotonic() < deadline, region.carried()
        time.sleep(0.1)


def test_a_restarted_operator_writes_nothing(stand: Stand, agents: Agents, region: Region) -> None:
    operator = begin(stand, region, a_vip())
    stand.until_ready(WEB)
    writes = region.service.writes()
    operator.terminate()
    second = stand.operator("second", HAVIP_CREDENTIAL_SECRETS=SECRET)
    stand.until_leads(second)
    stand.apply(a_vip("two", "10.88.1.2"))
    stand.until_ready(Key(SHOP, "two"))
    made = [one for one in region.service.exchanges if not region.service.cloud.reads(one.request)][writes:]
    assert not [one for one in made if VIP.encode() in one.request.body and b"10.88.1.2" not in one.request.body]
    assert set(region.carried()) == {VIP, "10.88.1.2"}


def test_killed_while_it_works_the_next_one_ends_the_same(stand: Stand, agents: Agents, region: Region) -> None:
    operator = begin(stand, region, *(a_vip(f"v{number}", f"10.88.1.{number}") for number in range(1, 9)))
    stand.until_ready(Key(SHOP, "v1"))
    operator.kill()
    stand.operators.remove(operator)
    stand.operator("second", HAVIP_CREDENTIAL_SECRETS=SECRET, HAVIP_LEASE_SECONDS="3", HAVIP_LEASE_RENEW_SECONDS="2")
    for number in range(1, 9):
        stand.until_ready(Key(SHOP, f"v{number}"), seconds=60)
    assert set(region.carried()) == {f"10.88.1.{number}" for number in range(1, 9)}


def test_a_plan_says_what_would_be_called_and_calls_nothing(
    stand: Stand, agents: Agents, region: Region, tmp_path: Path
) -> None:
    begin(stand, region, a_vip())
    stand.until_ready(WEB)
    writes = region.service.writes()
    file = tmp_path / "havips.yaml"

    def planned_for(*bodies: Body) -> str:
        file.write_text(yaml.safe_dump_all(bodies))
        answer = planned(file, namespace=NAMESPACE, kubeconfig=str(stand.control.kubeconfig()))
        assert answer.complete is not any("not planned" in line for line in answer.lines)
        return "\n".join(answer.lines)

    assert planned_for(a_vip()) == f"HAVipClass cloudy ({region.provider}):\n  nothing to do"
    new = planned_for(a_vip("two", "10.88.1.2"))
    assert "  1. " in new
    assert "10.88.1.2" in new or "shop/two" in new
    refused = planned_for(a_vip("odd", "10.99.0.1"))
    assert "HAVip shop/odd: not planned (AddressOutsideRanges): spec.addresses[0]: 10.99.0.1 is outside" in refused
    assert region.service.writes() == writes
    assert set(region.carried()) == {VIP}

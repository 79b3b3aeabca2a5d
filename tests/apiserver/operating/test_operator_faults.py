"""What goes wrong around the operator, on a real API server: it dies, it is doubled, it is lied to, it is blocked."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence

import pytest
from tests.apiserver.operating.agents import Agents, own_addresses
from tests.apiserver.operating.objects import NODES, SHOP, WEB, havip, node, pool
from tests.apiserver.operating.stand import NAMESPACE, PATIENCE, Operator, Refused, Stand, value

from havip.controller.resources import HAVIPS, LEASES, NODE_OBJECTS, Resource
from havip.model.keys import FINALIZER, Key

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(180)]

LEASE = Key(NAMESPACE, "havip-operator")
API = Key(SHOP, "api")
QUICK_LEASE = {"HAVIP_LEASE_SECONDS": "4", "HAVIP_LEASE_RENEW_SECONDS": "2.5", "HAVIP_LEASE_RETRY_SECONDS": "0.5"}


@pytest.fixture
def agents(stand: Stand) -> Iterator[Agents]:
    with Agents(stand.control, own_addresses(NODES)) as agents:
        yield agents


def until_it_leads(stand: Stand, operator: Operator, *, seconds: float = PATIENCE) -> float:
    """Returns how long that took."""
    began = time.monotonic()
    stand.until_leads(operator, seconds=seconds)
    return time.monotonic() - began


def until_settled(operator: Operator, *, quiet: float = 2.0) -> dict[str, float]:
    """Its writes, once there were none for a while: nothing announces that nothing comes any more."""
    before, since = operator.writes(), time.monotonic()
    while time.monotonic() - since < quiet:
        time.sleep(0.1)
        now = operator.writes()
        if now != before:
            before, since = now, time.monotonic()
    return before


def test_a_standby_waits_and_takes_over_at_once_when_the_leader_is_told_to_stop(stand: Stand, agents: Agents) -> None:
    one = stand.operator("one")
    until_it_leads(stand, one)
    two = stand.operator("two")
    stand.apply(pool(), havip(pool="web"))
    stand.until_ready(WEB)
    assert two.page("/readyz") == "ok\n"
    assert two.figures()["havip_operator_leading"] == 0
    assert two.writes() == {}

    began = time.monotonic()
    stand.operators.remove(one)
    assert one.terminate() == 0
    until_it_leads(stand, two)
    took = time.monotonic() - began
    assert took < 5 * 3, "2.4 s on a quiet machine: the other one looks every 2 s, with jitter"
    stand.apply(havip("api", "10.88.1.2"))
    stand.until_ready(API)


def test_a_killed_leader_is_replaced_after_its_lease(stand: Stand, agents: Agents) -> None:
    one = stand.operator("one", **QUICK_LEASE)
    until_it_leads(stand, one)
    stand.operator("two", **QUICK_LEASE)
    stand.operators.remove(one)
    one.kill()
    took = until_it_leads(stand, stand.operators[0])
    assert took < 5 * 5, "the Lease of 4 s and one look on a quiet machine"
    stand.apply(havip())
    stand.until_ready(WEB)


def test_a_leader_whose_lease_is_taken_ends_its_process(stand: Stand) -> None:
    one = stand.operator("one", **QUICK_LEASE)
    until_it_leads(stand, one)
    stand.operators.remove(one)
    stand.patch(LEASES, LEASE, {"spec": {"holderIdentity": "somebody-else"}})
    assert one.wait() == 1


def test_a_restarted_operator_writes_nothing(stand: Stand, agents: Agents) -> None:
    one = stand.operator("one")
    stand.apply(pool(), *(havip(f"v{number}", f"10.88.1.{number}", pool="web") for number in range(1, 6)))
    for number in range(1, 6):
        stand.until_ready(Key(SHOP, f"v{number}"))
    until_settled(one)
    stand.operators.remove(one)
    one.terminate()

    two = stand.operator("two")
    until_it_leads(stand, two)
    assert until_settled(two) == {}


def test_a_settled_cluster_is_left_alone(stand: Stand, agents: Agents) -> None:
    operator = stand.operator("one", HAVIP_RESYNC_SECONDS="1")
    stand.apply(pool(), havip(pool="web"))
    stand.until_ready(WEB)
    before = until_settled(operator)
    passes = operator.figures()["havip_operator_reconciles_total"]
    time.sleep(5)  # five resyncs: that nothing is written can only be seen by waiting
    assert operator.writes() == before
    assert operator.figures()["havip_operator_reconciles_total"] >= passes + 3


def test_a_heartbeat_of_a_node_wakes_nobody(stand: Stand, agents: Agents) -> None:
    operator = stand.operator()
    stand.apply(havip())
    stand.until_ready(WEB)
    until_settled(operator)
    passes = operator.figures()["havip_operator_reconciles_total"]
    for second in range(30):
        heartbeat = {"type": "Ready", "status": "True", "lastHeartbeatTime": f"2026-01-01T00:00:{second:02d}Z"}
        body = node("n1")
        body["status"]["conditions"][0] |= heartbeat
        stand.apply(body)
    stand.apply(node("n8"))  # seen after the heartbeats, and planned
    stand.until(NODE_OBJECTS, Key(NAMESPACE, "edge.n8"), lambda body: body is not None)
    until_settled(operator)
    assert operator.figures()["havip_operator_reconciles_total"] < passes + 15, "n8 alone takes 5 to 10"


def test_a_wiped_status_is_rebuilt_as_it_was(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(havip())
    before = stand.until_ready(WEB)["status"]
    path = HAVIPS.path(SHOP, "web", "status")
    whole = stand.client.get(HAVIPS, WEB)
    assert whole is not None
    whole["status"] = {}
    stand.client.call("PUT", path, whole)
    after = stand.until_ready(WEB)["status"]
    for field in ("virtualRouterId", "activeNode", "className", "observedGeneration"):
        assert after[field] == before[field]


def test_a_finalizer_that_a_user_strips_is_restored(stand: Stand, agents: Agents) -> None:
    stand.operator()
    stand.apply(havip())
    stand.until_ready(WEB)
    stand.patch(HAVIPS, WEB, {"metadata": {"finalizers": None}})
    stand.until(HAVIPS, WEB, lambda body: FINALIZER in (value(body, "metadata.finalizers") or []))


def test_a_vip_restored_with_our_finalizer_in_it_can_still_go(stand: Stand, agents: Agents) -> None:
    stand.operator()
    body = havip()
    body["metadata"]["finalizers"] = [FINALIZER]
    stand.apply(body)
    stand.until_ready(WEB)
    stand.delete(HAVIPS, WEB)
    stand.until_gone(HAVIPS, WEB)


def test_a_vip_deleted_while_the_operator_is_away_is_released_when_it_is_back(stand: Stand, agents: Agents) -> None:
    one = stand.operator("one")
    stand.apply(havip())
    stand.until_ready(WEB)
    stand.operators.remove(one)
    one.kill()
    stand.delete(HAVIPS, WEB)
    stand.operator("one")
    stand.until_gone(HAVIPS, WEB)
    assert agents.active(WEB) is None


def test_an_object_that_cannot_be_written_does_not_hold_up_the_others(stand: Stand, agents: Agents) -> None:
    operator = stand.operator()
    stand.apply(havip("probe", "10.88.1.8"))
    with denied(stand, HAVIPS, ("poison", "probe"), probe=Key(SHOP, "probe")):
        stand.apply(havip("poison", "10.88.1.9"))
        for number in range(1, 4):
            stand.apply(havip(f"v{number}", f"10.88.1.{number}"))
        for number in range(1, 4):
            stand.until_ready(Key(SHOP, f"v{number}"))
        complaints = [line for line in operator.log_lines() if line.get("object") == "HAVip shop/poison"]
        assert complaints
        assert all("denied by the test" in line["message"] for line in complaints)
        assert len(complaints) <= 12, "a back-off that does not back off"
    stand.until_ready(Key(SHOP, "poison"), seconds=3 * PATIENCE)


@contextlib.contextmanager
def denied(stand: Stand, resource: Resource, names: Sequence[str], *, probe: Key) -> Iterator[None]:
    """An admission policy that denies every update of these objects; `probe` is one of them that is there."""
    rule = {
        "apiGroups": [resource.group],
        "apiVersions": ["*"],
        "operations": ["UPDATE"],
        "resources": [resource.plural, f"{resource.plural}/status"],
    }
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "denied"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {"expression": f"!(object.metadata.name in {json.dumps(names)})", "message": "denied by the test"}
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "denied"},
        "spec": {"policyName": "denied", "validationActions": ["Deny"]},
    }
    stand.control.apply(policy, binding)
    try:
        _until_denied(stand, resource, probe)
        yield
    finally:
        stand.control.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "denied")


def _until_denied(stand: Stand, resource: Resource, probe: Key) -> None:
    """A policy works some time after it was made; a dry run tells."""
    deadline = time.monotonic() + PATIENCE
    path = resource.path(probe.namespace, probe.name) + "?dryRun=All"
    while time.monotonic() < deadline:
        try:
            stand.client.call("PATCH", path, {"metadata": {"labels": {"asked": "yes"}}})
        except Refused:
            return
        time.sleep(0.1)
    raise AssertionError("the policy did not take effect")


def test_an_operator_killed_again_and_again_while_it_works_ends_where_it_should(stand: Stand, agents: Agents) -> None:
    names = [f"v{number}" for number in range(1, 21)]
    stand.apply(pool(), *(havip(name, f"10.88.1.{index}", pool="web") for index, name in enumerate(names, 1)))
    for life in range(6):
        operator = stand.operator("one")
        until_it_leads(stand, operator)
        time.sleep(0.4 + 0.15 * life)  # somewhere in its work: where is chance, that is the test
        stand.operators.remove(operator)
        operator.kill()
    stand.operator("one")
    ids = {stand.until_ready(Key(SHOP, name))["status"]["virtualRouterId"] for name in names}
    assert len(ids) == len(names)


def test_etcd_restarted_under_it_changes_nothing(stand: Stand, agents: Agents) -> None:
    stand.operator("one", **{**QUICK_LEASE, "HAVIP_LEASE_SECONDS": "60", "HAVIP_LEASE_RENEW_SECONDS": "40"})
    stand.apply(havip())
    before = stand.until_ready(WEB)["status"]
    stand.control.stop_etcd()
    stand.control.start_etcd()
    stand.control.wait_until_ready()
    stand.apply(havip("api", "10.88.1.2"))
    stand.until_ready(API, seconds=2 * PATIENCE)
    assert stand.until_ready(WEB)["status"]["activeNode"] == before["activeNode"]

"""What the chart's admission policies take and refuse, on a real API server, with tokens as pods get them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from e2e.cluster.control_plane import ControlPlane
from tests.apiserver.acting import Account, Answer, Body
from tests.apiserver.releasing import installed
from tests.chart.rendering import one, render

from havip.controller.daemon_sets import daemon_set
from havip.controller.facts import Template
from havip.plan.change import ApplyDaemonSet

pytestmark = [pytest.mark.apiserver, pytest.mark.helm]

NAMESPACE = "havip-policies"
_NODES = f"/apis/havip.dev/v1alpha1/namespaces/{NAMESPACE}/havipnodes"
_DAEMON_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
_CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_ACTIVE_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Release:
    """What the chart rendered, and the API server it was applied to."""

    control: ControlPlane
    documents: list[Body]

    def operator(self) -> Account:
        return Account.of(self.control, NAMESPACE, "havip-operator")

    def agent(self, node: str) -> Account:
        return Account.of(self.control, NAMESPACE, "havip-node", pod=f"agent-{node}")

    def daemon_set(self, class_name: str = "edge") -> Body:
        """The DaemonSet as the operator's own code makes it."""
        data = one(self.documents, "ConfigMap", "havip-node-template")["data"]
        change = ApplyDaemonSet(
            class_name=class_name,
            selector=(("havip.dev/edge", "true"),),
            tolerations=((("key", "edge"), ("operator", "Exists")),),
            digest="0" * 16,
        )
        body = daemon_set(
            change, namespace=NAMESPACE, template=Template(data["podTemplate.yaml"], data["daemonSet.yaml"])
        )
        return {"apiVersion": "apps/v1", "kind": "DaemonSet", **body}


@pytest.fixture(scope="module")
def release(api_server: ControlPlane) -> Iterator[Release]:
    """The chart installed, nodes n1 and n2 with a pod and a HAVipNode each; every policy is in force."""
    with installed(api_server, NAMESPACE):
        for node in ("n1", "n2"):
            api_server.apply(_named("v1", "Node", node, namespace=""))
            api_server.apply(_pod(node), _node_object(node))
        release = Release(api_server, render(namespace=NAMESPACE))
        _wait_until_in_force(release)
        yield release


def _named(version: str, kind: str, name: str, *, namespace: str = NAMESPACE, **rest: object) -> Body:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _pod(node: str) -> Body:
    containers = [{"name": "agent", "image": "agent:1"}]
    spec = {"serviceAccountName": "havip-node", "nodeName": node, "containers": containers}
    return _named("v1", "Pod", f"agent-{node}", spec=spec)


def _node_object(node: str) -> Body:
    timing = {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30}
    spec = {"className": "edge", "nodeName": node, "interface": {"name": "eth0"}, "timing": timing, "instances": []}
    return _named("havip.dev/v1alpha1", "HAVipNode", f"edge.{node}", spec=spec)


def _wait_until_in_force(release: Release) -> None:
    """A policy works some time after it is made: ask what it will refuse, as a dry run, until it does."""
    agent, operator = release.agent("n1"), release.operator()
    hostile = release.daemon_set()
    hostile["spec"]["template"]["spec"]["hostPID"] = True
    asks: list[Callable[[], Answer]] = [
        lambda: agent.merge(f"{_NODES}/edge.n2/status", {"status": {"error": "x"}}, dry=True),
        lambda: operator.create(_DAEMON_SETS, hostile, dry=True),
        lambda: operator.delete(f"{_CONFIG_MAPS}/havip-node-template", dry=True),
    ]
    end = time.monotonic() + _ACTIVE_WITHIN
    while taken := [answer for ask in asks if (answer := ask()).taken]:
        assert time.monotonic() < end, f"not every policy was in force after {_ACTIVE_WITHIN:.0f} s: {taken[0].body}"
        time.sleep(0.2)  # nothing announces it


def _status_path(node: str) -> str:
    return f"{_NODES}/edge.{node}/status"


def _status(node: str, error: str = "no interface") -> Body:
    return _named("havip.dev/v1alpha1", "HAVipNode", f"edge.{node}", status={"appliedGeneration": 0, "error": error})


def test_an_agent_writes_the_status_of_its_own_node(release: Release) -> None:
    answer = release.agent("n1").apply(_status_path("n1"), _status("n1"))
    assert answer.taken, answer.message
    assert answer.body["status"]["error"] == "no interface"


def test_an_agent_does_not_write_the_status_of_another_node(release: Release) -> None:
    answer = release.agent("n1").apply(_status_path("n2"), _status("n2"))
    assert answer.code == 403
    assert "only the HAVipNodes of the node that its token was issued for" in answer.message


def test_a_token_of_no_pod_writes_no_status_at_all(release: Release) -> None:
    unbound = Account.of(release.control, NAMESPACE, "havip-node")
    answer = unbound.apply(_status_path("n1"), _status("n1"))
    assert answer.code == 403
    assert "only the HAVipNodes of the node that its token was issued for" in answer.message


def test_an_agent_has_no_right_to_a_spec_a_secret_or_a_pool(release: Release) -> None:
    agent = release.agent("n1")
    spec = {"spec": {"redundant": True}}
    assert agent.merge(f"{_NODES}/edge.n1", spec).code == 403
    assert agent.get(f"/api/v1/namespaces/{NAMESPACE}/secrets").code == 403
    assert agent.create(_CONFIG_MAPS, _named("v1", "ConfigMap", "shop.web"), dry=True).code == 403
    assert agent.get("/api/v1/nodes").code == 403
    assert agent.get("/apis/havip.dev/v1alpha1/havips").code == 403


def test_an_agent_reads_what_it_is_to_do(release: Release) -> None:
    agent = release.agent("n1")
    assert agent.get(f"{_NODES}/edge.n1").taken
    assert agent.get(_NODES).taken
    assert agent.get(_CONFIG_MAPS).taken


def test_the_operator_makes_and_changes_the_node_pods_of_the_chart(release: Release) -> None:
    operator = release.operator()
    body = release.daemon_set()
    path = f"{_DAEMON_SETS}/{body['metadata']['name']}"
    first = operator.apply(path, body)
    assert first.taken, first.message
    body["spec"]["template"]["spec"]["nodeSelector"] = {"havip.dev/edge": "yes"}
    second = operator.apply(path, body)
    assert second.taken, second.message
    deleted = operator.delete(path)
    assert deleted.taken, deleted.message


def _every(pod: Body, name: str) -> Body:
    (found,) = [each for each in (*pod["initContainers"], *pod["containers"]) if each["name"] == name]
    container: Body = found
    return container


Change = Callable[[Body], object]


def _of(container: str, field: str, value: object) -> Change:
    return lambda pod: _every(pod, container).update({field: value})


def _context(container: str, **fields: object) -> Change:
    return lambda pod: _every(pod, container)["securityContext"].update(fields)


HOSTILE: dict[str, tuple[Change, str]] = {
    "a privileged keeper": (
        _context("keeper", privileged=True, allowPrivilegeEscalation=True),
        "container keeper of a node pod must have the security context of the chart",
    ),
    "a keeper with one capability more": (
        _context("keeper", capabilities={"add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"], "drop": ["ALL"]}),
        "container keeper of a node pod must have the security context of the chart",
    ),
    "an agent that is root": (
        _context("agent", runAsUser=0, runAsNonRoot=False),
        "container agent of a node pod must have the security context of the chart",
    ),
    "a haproxy without a security context": (
        lambda pod: _every(pod, "haproxy").pop("securityContext"),
        "container haproxy of a node pod must have the security context of the chart",
    ),
    "another image": (_of("keeper", "image", "evil/keeper:1"), "container keeper of a node pod must run the image"),
    "another command": (_of("keeper", "command", ["sh", "-c", "id"]), "must have the command and environment"),
    "arguments": (_of("keeper", "args", ["--evil"]), "must have the command and environment"),
    "one more variable": (
        lambda pod: _every(pod, "keeper")["env"].append({"name": "LD_PRELOAD", "value": "/tmp/evil.so"}),
        "must have the command and environment",
    ),
    "a variable from a Secret": (
        _of("agent", "envFrom", [{"secretRef": {"name": "cloud"}}]),
        "must have the command and environment",
    ),
    "a hook of its life": (
        _of("keeper", "lifecycle", {"postStart": {"exec": {"command": ["id"]}}}),
        "must have the command and environment",
    ),
    "a probe that runs something": (
        _of("keeper", "livenessProbe", {"exec": {"command": ["id"]}}),
        "must have the command and environment",
    ),
    "another readiness probe": (
        lambda pod: _every(pod, "keeper")["readinessProbe"]["exec"].update({"command": ["id"]}),
        "must have the command and environment",
    ),
    "another class in a container than on the label": (
        lambda pod: _every(pod, "agent")["env"][0].update({"value": "other"}),
        "must have the command and environment",
    ),
    "a folder of the host": (
        lambda pod: pod["volumes"].append({"name": "root", "hostPath": {"path": "/"}}),
        "must have the chart's volumes and no others",
    ),
    "a folder of the host in place of one in memory": (
        lambda pod: pod["volumes"].__setitem__(0, {"name": "election", "hostPath": {"path": "/"}}),
        "must have the chart's volumes and no others",
    ),
    "the token in haproxy": (
        lambda pod: _every(pod, "haproxy")["volumeMounts"].append({"name": "api-access", "mountPath": "/token"}),
        "container haproxy of a node pod must mount the chart's volumes as the chart does",
    ),
    "the election document writable in the keeper": (
        lambda pod: _every(pod, "keeper")["volumeMounts"][0].pop("readOnly"),
        "container keeper of a node pod must mount the chart's volumes as the chart does",
    ),
    "a container more": (
        lambda pod: pod["containers"].append({"name": "shell", "image": "havip/node:0.1.0"}),
        "must have the containers of the chart",
    ),
    "a container twice in two places": (
        lambda pod: pod["initContainers"].append({"name": "shell", "image": "havip/node:0.1.0"}),
        "must have the containers of the chart",
    ),
    "the account of the operator": (
        lambda pod: pod.update({"serviceAccountName": "havip-operator"}),
        "must use the ServiceAccount havip-node",
    ),
    "a token in every container": (
        lambda pod: pod.update({"automountServiceAccountToken": True}),
        "must use the ServiceAccount havip-node",
    ),
    "the host's processes": (lambda pod: pod.update({"hostPID": True}), "no other pod settings"),
    "a shared process namespace": (lambda pod: pod.update({"shareProcessNamespace": True}), "no other pod settings"),
    "another user for files": (lambda pod: pod["securityContext"].update({"fsGroup": 0}), "pod security context"),
    "a network of its own": (
        lambda pod: pod.update({"hostNetwork": False}),
        "must use the host's network",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_the_operators_account_makes_no_other_pods_than_the_charts(release: Release, case: str) -> None:
    change, message = HOSTILE[case]
    body = copy.deepcopy(release.daemon_set())
    change(body["spec"]["template"]["spec"])
    answer = release.operator().create(_DAEMON_SETS, body, dry=True)
    assert answer.code == 403, answer.body
    assert message in answer.message


def test_the_operators_account_makes_no_daemon_set_of_another_name(release: Release) -> None:
    body = release.daemon_set()
    body["metadata"]["name"] = "kube-proxy"
    answer = release.operator().create(_DAEMON_SETS, body, dry=True)
    assert answer.code == 403
    assert "named havip-node-<class> only" in answer.message


def test_the_operators_account_deletes_no_daemon_set_of_others(release: Release) -> None:
    body = release.daemon_set()
    body["metadata"]["name"] = "of-somebody-else"
    release.control.apply(body)
    answer = release.operator().delete(f"{_DAEMON_SETS}/of-somebody-else")
    assert answer.code == 403
    assert "may delete DaemonSets named havip-node-<class> only" in answer.message


def test_nobody_else_is_held_to_the_node_pods(release: Release) -> None:
    """Each policy looks at one account: a cluster's other DaemonSets are none of its business."""
    body = release.daemon_set()
    body["metadata"]["name"] = "privileged-of-an-admin"
    _every(body["spec"]["template"]["spec"], "keeper")["securityContext"] = {"privileged": True}
    release.control.apply(body)


def test_the_template_is_the_charts_alone(release: Release) -> None:
    operator = release.operator()
    changed = operator.merge(f"{_CONFIG_MAPS}/havip-node-template", {"data": {"podTemplate.yaml": "{}"}})
    deleted = operator.delete(f"{_CONFIG_MAPS}/havip-node-template")
    labelled = operator.merge(
        f"{_CONFIG_MAPS}/havip-node-template", {"metadata": {"labels": {"havip.dev/pool": "true"}}}
    )
    for answer in (changed, deleted, labelled):
        assert answer.code == 403
        assert "the template of the node pods belongs to the chart" in answer.message


def _pool(name: str, labels: dict[str, str] | None) -> Body:
    body = _named("v1", "ConfigMap", name, data={"pool.json": "{}"})
    if labels is not None:
        body["metadata"]["labels"] = labels
    return body


def test_the_operator_writes_pools_and_no_other_config_maps(release: Release) -> None:
    operator = release.operator()
    label = {"havip.dev/pool": "true"}
    pool = operator.apply(f"{_CONFIG_MAPS}/shop.web", _pool("shop.web", label))
    assert pool.taken, pool.message
    for body in (_pool("shop.api", None), _pool("shop.api", {"havip.dev/pool": "no"}), _pool("settings", label)):
        answer = operator.create(_CONFIG_MAPS, body, dry=True)
        assert answer.code == 403
        assert "may write ConfigMaps of pools only" in answer.message
    deleted = operator.delete(f"{_CONFIG_MAPS}/shop.web")
    assert deleted.taken, deleted.message


def test_a_config_map_of_somebody_else_does_not_become_a_pool(release: Release) -> None:
    release.control.apply(_pool("kube-root-ca.crt", {}))
    label = {"metadata": {"labels": {"havip.dev/pool": "true"}}}
    answer = release.operator().merge(f"{_CONFIG_MAPS}/kube-root-ca.crt", label)
    assert answer.code == 403
    assert "may write ConfigMaps of pools only" in answer.message


def test_the_operator_has_its_own_rights_and_no_more(release: Release) -> None:
    operator = release.operator()
    assert operator.get("/apis/havip.dev/v1alpha1/havips").taken
    assert operator.get("/api/v1/services").taken
    assert operator.get(f"/api/v1/namespaces/{NAMESPACE}/secrets").code == 403
    assert operator.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/any").code == 403
    assert operator.get("/api/v1/configmaps").code == 403
    assert operator.merge(_status_path("n1"), {"status": {"error": "x"}}).code == 403
    assert operator.create(f"/api/v1/namespaces/{NAMESPACE}/pods", _pod("n1"), dry=True).code == 403

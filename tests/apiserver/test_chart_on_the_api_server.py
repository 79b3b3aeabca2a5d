"""The chart on a real API server: helm installs and upgrades it, and its hooks' commands do with their rights what they
are for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
from e2e.cluster.control_plane import ControlPlane, KubectlError
from tests.apiserver.releasing import installed, upgraded
from tests.chart.rendering import Body, node_pod, render

from havip.cli.connection import Connection, Refusal
from havip.cli.definitions import apply_all, verify_all
from havip.cli.failing import Failed
from havip.cli.uninstalling import MARK, Patience, Uninstall
from havip.model.keys import FINALIZER

pytestmark = [pytest.mark.apiserver, pytest.mark.helm]

_CLASS = {
    "provider": "None",
    "nodes": {"selector": {"matchLabels": {"havip.dev/edge": "true"}}},
    "interface": {"fromDefaultRoute": {}},
    "addressRanges": ["10.88.0.192/26"],
    "namespaces": {"names": ["shop"]},
}
_HURRIED = Patience(deadline=20, stall=1, alone=0.2, emptied=0.5, ended=0.5, look_every=0.1)


def test_helm_installs_it_and_its_notes_say_what_comes_next(api_server: ControlPlane, namespace: str) -> None:
    with installed(api_server, namespace) as printed:
        assert "kubectl explain havipclass.spec" in printed
        assert f"label namespace {namespace} pod-security.kubernetes.io/enforce=privileged" in printed
        assert "WARNING" not in printed


def test_its_notes_warn_of_what_was_switched_off(api_server: ControlPlane, namespace: str) -> None:
    off = {"admissionPolicies": {"enabled": False}, "hooks": {"uninstall": {"enabled": False}}}
    with installed(api_server, namespace, off) as printed:
        assert "WARNING: admissionPolicies.enabled is false" in printed
        assert "WARNING: hooks.uninstall.enabled is false" in printed


def test_the_default_class_of_the_values_is_made_with_the_release(api_server: ControlPlane, namespace: str) -> None:
    with installed(api_server, namespace, {"defaultClass": {"create": True, "name": "of-values", "spec": _CLASS}}):
        made = api_server.get("havipclass", "of-values")
        assert made["metadata"]["annotations"]["havip.dev/is-default-class"] == "true"
        assert made["spec"]["addressRanges"] == ["10.88.0.192/26"]


def test_an_upgrade_changes_the_template_and_nothing_that_cannot_change(
    api_server: ControlPlane, namespace: str
) -> None:
    with installed(api_server, namespace):
        upgraded(api_server, namespace, {"node": {"podAnnotations": {"rolled": "yes"}}, "operator": {"replicas": 1}})
        template = api_server.get("configmap", "havip-node-template", f"--namespace={namespace}")
        assert 'rolled: "yes"' in template["data"]["podTemplate.yaml"]
        upgraded(api_server, namespace, {})


def test_every_hook_is_taken_by_the_api_server(api_server: ControlPlane, namespace: str) -> None:
    hooks = [each for each in render(namespace=namespace, upgrade=True) if _is_hook(each)]
    assert {each["kind"] for each in hooks} >= {"Job", "ServiceAccount", "ClusterRole", "Role"}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": hooks})
    api_server.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", input=text)


def test_the_node_pod_is_one_that_kubernetes_takes(api_server: ControlPlane, namespace: str) -> None:
    """A DaemonSet checks its template only from outside; a pod of it goes through every check."""
    api_server.kubectl("create", "serviceaccount", "havip-node", f"--namespace={namespace}")
    spec = node_pod(render(namespace=namespace))["spec"]
    del spec["priorityClassName"]  # the class of this name is made by a controller that does not run here
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": namespace}, "spec": spec}
    api_server.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(pod))


def _is_hook(document: Body) -> bool:
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


class Hooks:
    """The hooks' accounts with their rights, in one namespace; `as_account` speaks with a token of one."""

    def __init__(self, control: ControlPlane, namespace: str) -> None:
        self.control = control
        self.namespace = namespace
        self.said: list[str] = []
        hooks = [each for each in render(namespace=namespace, upgrade=True) if _is_hook(each) and each["kind"] != "Job"]
        control.apply(*hooks)

    def as_account(self, name: str) -> Connection:
        token = self.control.kubectl("create", "token", name, f"--namespace={self.namespace}").strip()
        config = kubernetes.client.Configuration()
        config.host = self.control.url
        config.ssl_ca_cert = str(self.control.folder / "ca.crt")
        config.api_key = {"authorization": token}
        config.api_key_prefix = {"authorization": "Bearer"}
        return Connection(kubernetes.client.ApiClient(config))

    def uninstall(self) -> None:
        connection = self.as_account("havip-uninstall")
        Uninstall(connection, self.namespace, patience=_HURRIED, say=self.said.append).run()


@pytest.fixture
def hooks(api_server: ControlPlane, namespace: str) -> Iterator[Hooks]:
    made = Hooks(api_server, namespace)
    yield made
    for name in ("havip-crds", "havip-uninstall"):
        api_server.kubectl("delete", "clusterrole,clusterrolebinding", name)


def test_the_upgrade_hook_brings_an_old_definition_up_to_date(hooks: Hooks) -> None:
    """Helm put an older one there, with a column and a field that are gone by now."""
    control = hooks.control
    name = "backendpools.havip.dev"
    old = control.get("customresourcedefinition", name)
    columns = [*old["spec"]["versions"][0]["additionalPrinterColumns"]]
    columns.append({"name": "Old", "type": "string", "jsonPath": ".spec.old"})
    patch = [{"op": "replace", "path": "/spec/versions/0/additionalPrinterColumns", "value": columns}]
    control.kubectl("patch", "customresourcedefinition", name, "--type=json", f"--patch={json.dumps(patch)}")

    connection = hooks.as_account("havip-crds")
    with pytest.raises(Failed, match=rf"not as in this version: {name}; run: havip crds apply"):
        verify_all(connection, hooks.said.append)
    hooks.said.clear()
    apply_all(connection, hooks.said.append)
    assert f"{name}: updated" in hooks.said
    verify_all(connection, hooks.said.append)
    now = control.get("customresourcedefinition", name)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert "Old" not in {column["name"] for column in now}


def test_a_second_upgrade_hook_changes_nothing(hooks: Hooks) -> None:
    connection = hooks.as_account("havip-crds")
    apply_all(connection, hooks.said.append)
    hooks.said.clear()
    apply_all(connection, hooks.said.append)
    assert len(hooks.said) == 4
    assert all(line.endswith(": unchanged") for line in hooks.said)


def test_the_upgrade_hook_touches_no_other_definition(hooks: Hooks) -> None:
    connection = hooks.as_account("havip-crds")
    from havip.cli.connection import DEFINITIONS

    foreign = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {},
    }
    with pytest.raises(Refusal) as refused:
        connection.apply(DEFINITIONS, foreign, manager="havip-crds")
    assert refused.value.forbidden


def _populate(control: ControlPlane, namespace: str) -> None:
    """A class, a VIP with its pool, a node's orders and its DaemonSet, as a dead operator leaves them."""
    held = {"finalizers": [FINALIZER]}
    frontends = [{"name": "http", "port": 80, "poolRef": {"name": "web"}}]
    instance = {
        "havip": f"{namespace}/web",
        "virtualRouterId": 1,
        "priority": 209,
        "addresses": ["10.88.0.200"],
        "sourceAddress": "10.88.0.11",
        "peers": [],
    }
    timing = {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30}
    labels = {"app.kubernetes.io/name": "havip-node"}
    pod = {"containers": [{"name": "keeper", "image": "keeper:1"}]}
    control.apply(
        _object("HAVipClass", {"name": f"edge-{namespace}", **held}, _CLASS),
        _object("HAVip", {"name": "web", "namespace": namespace, **held}, _vip(frontends)),
        _object("BackendPool", {"name": "web", "namespace": namespace, **held}, {"members": {"static": [_SERVER]}}),
        _object(
            "HAVipNode",
            {"name": "edge.n1", "namespace": namespace},
            {
                "className": "edge",
                "nodeName": "n1",
                "interface": {"name": "eth0"},
                "timing": timing,
                "instances": [instance],
            },
        ),
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "havip-node-edge", "namespace": namespace, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{namespace}.web", "namespace": namespace, "labels": {"havip.dev/pool": "true"}},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "havip-operator", "namespace": namespace}},
    )


_SERVER = {"address": "10.1.0.5", "port": 8080}


def _vip(frontends: list[Body]) -> Body:
    return {"className": "edge", "addresses": ["10.88.0.200"], "frontends": frontends}


def _object(kind: str, metadata: Body, spec: Any) -> Body:
    return {"apiVersion": "havip.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def test_the_uninstall_hook_has_the_rights_it_needs_to_do_without_the_operator(hooks: Hooks) -> None:
    control, namespace = hooks.control, hooks.namespace
    _populate(control, namespace)
    hooks.uninstall()
    assert hooks.said[-1] == "nothing is held any more"
    here = f"--namespace={namespace}"
    assert control.get("daemonsets,havipnodes", here)["items"] == []
    for kind, name in (("havip", "web"), ("backendpool", "web"), ("havipclass", f"edge-{namespace}")):
        assert "finalizers" not in control.get(kind, name, here)["metadata"]
    maps = {each["metadata"]["name"]: each for each in control.get("configmaps", here)["items"]}
    assert f"{namespace}.web" not in maps
    (owner,) = maps[MARK]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ServiceAccount", "havip-operator")
    with pytest.raises(KubectlError, match="not found"):
        control.kubectl("get", "havipnode", "edge.n1", here)
    control.kubectl("delete", "havipclass", f"edge-{namespace}")


def test_the_uninstall_hook_can_be_repeated(hooks: Hooks) -> None:
    _populate(hooks.control, hooks.namespace)
    hooks.uninstall()
    hooks.uninstall()
    assert hooks.said[-1] == "nothing is held any more"
    hooks.control.kubectl("delete", "havipclass", f"edge-{hooks.namespace}")


def test_status_tells_what_the_cluster_knows(
    api_server: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from havip.cli.main import main

    monkeypatch.delenv("HAVIP_NAMESPACE", raising=False)
    _populate(api_server, namespace)
    config = str(api_server.kubeconfig())
    assert main(["status", "-n", namespace, "--kubeconfig", config]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{namespace}/web 10.88.0.200 class ? active: nobody",
        "  not ready: the operator has not seen it yet",
        "  n1 Unknown NotReported",
    ]
    assert main(["crds", "verify", "--kubeconfig", config]) == 0
    capsys.readouterr()
    stranger = str(api_server.kubeconfig("stranger"))
    assert main(["status", "--kubeconfig", stranger]) == 1
    assert "give -n NAMESPACE for one namespace" in capsys.readouterr().err

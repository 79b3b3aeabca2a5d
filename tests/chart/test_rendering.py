"""What the chart makes of different values."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.chart.rendering import CHART, MONITORING, NAMESPACE, Body, HelmSaidNo, helm, one, render, values_files

pytestmark = pytest.mark.helm


@pytest.fixture(scope="module")
def release() -> list[Body]:
    return render()


@pytest.mark.parametrize("path", values_files(), ids=lambda path: path.stem)
def test_helm_finds_nothing_wrong_with_the_chart(path: Path) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), f"--values={path}")


@pytest.mark.parametrize("path", values_files(), ids=lambda path: path.stem)
def test_every_document_is_named_and_none_is_there_twice(path: Path) -> None:
    documents = render(yaml.safe_load(path.read_text()), api_versions=MONITORING, upgrade=True)
    names = [(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in documents]
    assert len(names) == len(set(names))
    assert all(namespace in ("", NAMESPACE) for _, namespace, _ in names)


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    with pytest.raises(HelmSaidNo, match=r"requires kubeVersion: >=1\.32\.0-0"):
        render(kube_version="1.31.9")


def test_pre_releases_of_a_cloud_are_no_older_version() -> None:
    assert render(kube_version="1.32.0-gke.1")


def test_two_replicas_are_protected_from_being_evicted_together(release: list[Body]) -> None:
    deployment = one(release, "Deployment", "havip-operator")
    budget = one(release, "PodDisruptionBudget", "havip-operator")
    assert deployment["spec"]["replicas"] == 2
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert budget["spec"]["maxUnavailable"] == 1


def test_one_replica_has_no_budget_that_would_block_every_drain() -> None:
    documents = render({"operator": {"replicas": 1}})
    assert not [each for each in documents if each["kind"] == "PodDisruptionBudget"]


def test_every_selector_finds_the_operators_pods_and_no_hook(release: list[Body]) -> None:
    operator = one(release, "Deployment", "havip-operator")["spec"]["template"]["metadata"]["labels"]
    hook = one(release, "Job", "havip-uninstall")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one(release, "Deployment", "havip-operator")["spec"]["selector"]["matchLabels"],
        one(release, "Service", "havip-operator")["spec"]["selector"],
        one(release, "NetworkPolicy", "havip-operator")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= operator.items()
        assert not selector.items() <= hook.items()


def test_the_operator_is_told_who_and_where_it_is() -> None:
    documents = render({"credentialSecrets": ["cloud", "other"], "operator": {"logLevel": "warning", "port": 9090}})
    (container,) = one(documents, "Deployment", "havip-operator")["spec"]["template"]["spec"]["containers"]
    variables = {
        each["name"]: each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"]
    }
    assert variables == {
        "HAVIP_NAMESPACE": "metadata.namespace",
        "POD_NAME": "metadata.name",
        "HAVIP_LOG_LEVEL": "WARNING",
        "HAVIP_PORT": "9090",
        "HAVIP_CREDENTIAL_SECRETS": "cloud,other",
    }
    assert container["ports"] == [{"name": "http", "containerPort": 9090, "protocol": "TCP"}]


def test_the_operators_settings_are_those_it_understands(release: list[Body]) -> None:
    """The variables go through the operator's own reader."""
    from havip.controller.settings import Settings

    (container,) = one(release, "Deployment", "havip-operator")["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value", "havip-system") for each in container["env"]}
    settings = Settings.from_env({**told, "KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert (settings.port, settings.log_level, settings.credential_secrets) == (8080, "INFO", ())


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "a" * 64
    documents = render({"image": {"operator": {"digest": digest}}})
    (container,) = one(documents, "Deployment", "havip-operator")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"havip/operator@{digest}"


def test_monitoring_objects_are_made_only_where_their_kinds_exist(release: list[Body]) -> None:
    kinds = {"ServiceMonitor", "PrometheusRule"}
    assert not kinds & {each["kind"] for each in release}
    with_kinds = render(api_versions=MONITORING)
    assert kinds <= {each["kind"] for each in with_kinds}
    monitor = one(with_kinds, "ServiceMonitor", "havip-operator")
    service = one(with_kinds, "Service", "havip-operator")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


def test_alerts_ask_for_metrics_that_the_operator_has() -> None:
    import re

    from havip.controller.cache import Cache
    from havip.controller.metrics import Metrics

    metrics = Metrics()
    metrics.watch(Cache(credential_secrets=()))
    exported = set(re.findall(r"^# TYPE (\S+)", metrics.text().decode(), re.MULTILINE))
    rules = one(render(api_versions=MONITORING), "PrometheusRule", "havip-operator")
    asked = {
        name
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
        for name in re.findall(r"\bhavip_[a-z_]+", rule["expr"])
    }
    assert asked
    assert asked <= exported | {f"{name}_total" for name in exported} | {f"{name}_bucket" for name in exported}


def test_the_network_policy_limits_who_connects_where_it_is_told_to() -> None:
    policy = one(
        render({"networkPolicy": {"egressPorts": [6443], "ingressFrom": [{"podSelector": {}}]}}),
        "NetworkPolicy",
        "havip-operator",
    )
    (egress,) = policy["spec"]["egress"]
    assert [(each["port"], each["protocol"]) for each in egress["ports"]] == [(53, "UDP"), (53, "TCP"), (6443, "TCP")]
    (ingress,) = policy["spec"]["ingress"]
    assert ingress["from"] == [{"podSelector": {}}]


def test_a_default_class_is_the_only_custom_resource_of_a_release(release: list[Body]) -> None:
    assert not [each for each in release if each["apiVersion"].startswith("havip.dev/")]
    spec = {"provider": "None", "addressRanges": ["10.88.0.192/26"]}
    documents = render({"defaultClass": {"create": True, "name": "edge", "spec": spec}})
    (made,) = [each for each in documents if each["apiVersion"].startswith("havip.dev/")]
    assert (made["kind"], made["metadata"]["name"], made["spec"]) == ("HAVipClass", "edge", spec)
    assert made["metadata"]["annotations"] == {"havip.dev/is-default-class": "true"}

"""A DaemonSet is the chart's template with four things set, and every other word of it as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from havip.controller.daemon_sets import daemon_set
from havip.controller.facts import Template
from havip.model.refusal import Refused
from havip.plan.change import ApplyDaemonSet

POD: dict[str, Any] = {
    "metadata": {"labels": {"team": "edge"}, "annotations": {"a": "b"}},
    "spec": {
        "hostNetwork": True,
        "serviceAccountName": "havip-node",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
        "initContainers": [
            {
                "name": "agent",
                "env": [{"name": "HAVIP_CLASS", "value": "set-by-the-operator"}, {"name": "X", "value": "y"}],
            }
        ],
        "containers": [{"name": "keeper", "securityContext": {"capabilities": {"drop": ["ALL"]}}}],
        "volumes": [{"name": "state", "emptyDir": {"medium": "Memory"}}],
    },
}
CHANGE = ApplyDaemonSet(
    "edge",
    selector=(("havip.dev/edge", "true"),),
    tolerations=((("effect", "NoSchedule"), ("key", "edge"), ("operator", "Exists")),),
    digest="d1",
)


def made(change: ApplyDaemonSet = CHANGE, *, pod: dict[str, Any] = POD, rolling: str = "") -> dict[str, Any]:
    return daemon_set(change, namespace="havip-system", template=Template(yaml.safe_dump(pod), rolling))


def test_it_is_found_by_its_class_and_says_what_it_was_made_of() -> None:
    metadata = made()["metadata"]
    assert metadata == {
        "name": "havip-node-edge",
        "namespace": "havip-system",
        "labels": {"app.kubernetes.io/name": "havip-node", "havip.dev/class": "edge"},
        "annotations": {"havip.dev/digest": "d1"},
    }


def test_its_selector_selects_its_own_pods() -> None:
    spec = made()["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels["team"] == "edge"


def test_nothing_of_the_template_is_lost_and_nothing_but_the_four_is_added() -> None:
    expected = copy.deepcopy(POD)
    expected["metadata"]["labels"] |= {"app.kubernetes.io/name": "havip-node", "havip.dev/class": "edge"}
    expected["spec"]["nodeSelector"] |= {"havip.dev/edge": "true"}
    expected["spec"]["tolerations"].append({"key": "edge", "operator": "Exists", "effect": "NoSchedule"})
    expected["spec"]["initContainers"][0]["env"][0]["value"] = "edge"
    assert made()["spec"]["template"] == expected


def test_a_class_of_every_node_adds_no_selector() -> None:
    pod = {"spec": {"containers": [{"name": "keeper"}]}}
    spec = made(ApplyDaemonSet("edge", (), (), "d1"), pod=pod)["spec"]["template"]["spec"]
    assert spec == pod["spec"]


def test_the_chart_says_how_it_rolls() -> None:
    assert made()["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}
    spec = made(rolling="minReadySeconds: 9\nsomethingElse: 1\n")["spec"]
    assert spec["minReadySeconds"] == 9
    assert "somethingElse" not in spec


@pytest.mark.parametrize("text", ["", "[]", "spec: {}", "spec: {containers: []}", "{", "spec: {containers: {}}"])
def test_a_template_that_is_none_is_refused_by_where_it_lies(text: str) -> None:
    with pytest.raises(Refused, match=r"havip-node-template, key podTemplate\.yaml"):
        daemon_set(CHANGE, namespace="havip-system", template=Template(text))

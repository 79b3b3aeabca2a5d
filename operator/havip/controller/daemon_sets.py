"""A class's DaemonSet, made of the chart's pod template. Pure: text and settings in, one body out.

Of the template only labels, nodeSelector, tolerations and the value of HAVIP_CLASS are set. Everything else is the
chart's: an admission policy pins images, accounts, capabilities and volumes, and this must not work around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from havip.controller.facts import (
    CLASS_LABEL,
    DIGEST_ANNOTATION,
    NODE_POD,
    ROLLING_FILE,
    TEMPLATE,
    TEMPLATE_FILE,
    Template,
)
from havip.model.refusal import Refused
from havip.plan.change import ApplyDaemonSet

CLASS_VARIABLE = "HAVIP_CLASS"
_ROLLING = {
    # One node at a time: a class survives the roll only if the others can hold the VIPs meanwhile.
    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
    # A node that has just come back is a standby again before the next one goes.
    "minReadySeconds": 5,
}


def daemon_set_name(class_name: str) -> str:
    return f"{NODE_POD}-{class_name}"


def daemon_set(change: ApplyDaemonSet, *, namespace: str, template: Template) -> dict[str, Any]:
    """The body for server-side apply. Raises `Refused` naming what is wrong with the template."""
    labels = {"app.kubernetes.io/name": NODE_POD, CLASS_LABEL: change.class_name}
    pod = _pod(template.pod)
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    spec = pod["spec"]
    selector = {**(spec.get("nodeSelector") or {}), **dict(change.selector)}
    if selector:
        spec["nodeSelector"] = selector
    tolerations = [*(spec.get("tolerations") or ()), *(dict(one) for one in change.tolerations)]
    if tolerations:
        spec["tolerations"] = tolerations
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        _set_class(container, change.class_name)
    return {
        "metadata": {
            "name": daemon_set_name(change.class_name),
            "namespace": namespace,
            "labels": labels,
            "annotations": {DIGEST_ANNOTATION: change.digest},
        },
        "spec": {
            "selector": {"matchLabels": labels},
            **_rolling(template.rolling),
            "template": pod,
        },
    }


def _pod(template: str) -> dict[str, Any]:
    where = f"ConfigMap {TEMPLATE}, key {TEMPLATE_FILE}"
    if not template:
        raise Refused(where, "must hold the node pods' PodTemplateSpec; the chart writes it")
    pod = _mapping(template, where)
    spec = pod.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("containers"), list) or not spec["containers"]:
        raise Refused(where, "must be a PodTemplateSpec with spec.containers")
    return pod


def _rolling(text: str) -> dict[str, Any]:
    given = _mapping(text, f"ConfigMap {TEMPLATE}, key {ROLLING_FILE}") if text else {}
    return {name: given.get(name, default) for name, default in _ROLLING.items()}


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refused(where, f"must be YAML: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise Refused(where, "must be a YAML mapping")
    return value


def _set_class(container: dict[str, Any], class_name: str) -> None:
    variables: Sequence[dict[str, Any]] = container.get("env") or ()
    for variable in variables:
        if variable.get("name") == CLASS_VARIABLE:
            variable.pop("valueFrom", None)
            variable["value"] = class_name

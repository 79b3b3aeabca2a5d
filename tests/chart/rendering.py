"""Runs the built helm on the chart: what it would install, or what it says against the values."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.cluster.control_plane import CHECKOUT, MissingBinary, binary

CHART = CHECKOUT / "charts" / "havip-operator"
NAMESPACE = "havip-system"
MONITORING = ("monitoring.coreos.com/v1",)

Body = dict[str, Any]


class HelmSaidNo(Exception):
    """helm's standard error."""


def helm(*arguments: str, stdin: str = "") -> str:
    """Standard output of helm. Raises `HelmSaidNo`; fails the test by name where helm is not built."""
    try:
        program = binary("helm")
    except MissingBinary as missing:
        pytest.fail(str(missing), pytrace=False)
    with tempfile.TemporaryDirectory(prefix="havip-helm-") as home:
        homes = {f"HELM_{kind}_HOME": f"{home}/{kind}" for kind in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **homes, "HOME": home},
        )
    if done.returncode != 0:
        raise HelmSaidNo(done.stderr)
    return done.stdout


def render(
    values: Mapping[str, Any] | None = None,
    *,
    namespace: str = NAMESPACE,
    kube_version: str = "1.34.0",
    api_versions: Sequence[str] = (),
    upgrade: bool = False,
) -> list[Body]:
    """Every document of the release, hooks included, in helm's order. `values` are laid over the defaults."""
    flags = [f"--namespace={namespace}", f"--kube-version={kube_version}", "--values=-"]
    flags += [f"--api-versions={version}" for version in api_versions]
    flags += ["--is-upgrade"] if upgrade else []
    text = helm("template", "havip", str(CHART), *flags, stdin=yaml.safe_dump(dict(values or {})))
    return [document for document in yaml.safe_load_all(text) if document]


def refusal(values: Mapping[str, Any]) -> str:
    """What helm says against `values`."""
    with pytest.raises(HelmSaidNo) as caught:
        render(values)
    return str(caught.value)


def one(documents: Sequence[Body], kind: str, name: str) -> Body:
    """The only document of this kind and name."""
    (found,) = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def node_pod(documents: Sequence[Body]) -> Body:
    """The PodTemplateSpec that the operator copies."""
    text = one(documents, "ConfigMap", "havip-node-template")["data"]["podTemplate.yaml"]
    pod: Body = yaml.safe_load(text)
    return pod


def containers(pod: Body) -> list[Body]:
    """All containers of a PodTemplateSpec, in the order they start."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def values_files() -> list[Path]:
    return sorted((Path(__file__).parent / "values").glob("*.yaml"))

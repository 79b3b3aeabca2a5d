"""The chart installed on the tests' API server by helm itself. Hooks are left out: no controller runs their Jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml
from e2e.cluster.control_plane import ControlPlane
from tests.chart.rendering import CHART, helm

RELEASE = "havip"


@contextmanager
def installed(control: ControlPlane, namespace: str, values: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Gives what helm printed. One at a time: the release's names are cluster-wide."""
    where = [f"--namespace={namespace}", f"--kubeconfig={control.kubeconfig()}", "--no-hooks"]
    text = yaml.safe_dump(dict(values or {}))
    printed = helm("install", RELEASE, str(CHART), "--create-namespace", "--values=-", *where, stdin=text)
    try:
        yield printed
    finally:
        helm("uninstall", RELEASE, *where)


def upgraded(control: ControlPlane, namespace: str, values: Mapping[str, Any]) -> str:
    """What `helm upgrade` printed."""
    where = [f"--namespace={namespace}", f"--kubeconfig={control.kubeconfig()}", "--no-hooks"]
    return helm("upgrade", RELEASE, str(CHART), "--values=-", *where, stdin=yaml.safe_dump(dict(values)))

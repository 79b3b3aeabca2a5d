"""Who may do what on the real cluster: capabilities, volumes, tokens, and what they do not reach."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.cluster.commands import CommandFailed
from e2e.cluster.control_plane import KubectlError
from e2e.product import Installation, Vip
from e2e.product.installation import NAMESPACE


def node_pod(installation: Installation, node: str = "n1") -> dict[str, Any]:
    found = installation.cluster.get(
        "pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=havip-node",
        f"--field-selector=spec.nodeName={node}",
    )  # fmt: skip
    pod: dict[str, Any] = found["items"][0]
    return pod


def inside(installation: Installation, container: str, *argv: str) -> str:
    name = node_pod(installation)["metadata"]["name"]
    return installation.cluster.kubectl("exec", name, f"--namespace={NAMESPACE}", "-c", container, "--", *argv)


def effective(installation: Installation, container: str) -> set[str]:
    """Bits of CapEff of the container's first process."""
    text = inside(installation, container, "cat", "/proc/1/status")
    line = next(one for one in text.splitlines() if one.startswith("CapEff"))
    mask = int(line.split()[1], 16)
    names = {10: "NET_BIND_SERVICE", 12: "NET_ADMIN", 13: "NET_RAW"}
    return {names.get(bit, f"bit {bit}") for bit in range(64) if mask >> bit & 1}


def test_the_keeper_has_two_capabilities_and_no_token(installation: Installation, vip: Vip) -> None:
    assert effective(installation, "keeper") == {"NET_ADMIN", "NET_RAW"}
    with pytest.raises(KubectlError, match="No such file"):
        inside(installation, "keeper", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")


def test_the_agent_has_a_token_and_no_capability(installation: Installation, vip: Vip) -> None:
    assert effective(installation, "agent") == set()
    assert inside(installation, "agent", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")


def test_haproxy_may_bind_low_ports_and_nothing_else(installation: Installation, vip: Vip) -> None:
    assert effective(installation, "haproxy") <= {"NET_BIND_SERVICE"}
    with pytest.raises(KubectlError, match="No such file"):
        inside(installation, "haproxy", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")


@pytest.mark.parametrize("folder", ["election", "state", "keeper"])
def test_from_the_haproxy_container_nothing_reaches_keepalived(
    installation: Installation, vip: Vip, folder: str
) -> None:
    with pytest.raises(KubectlError):
        inside(installation, "haproxy", "ls", f"/run/havip/{folder}")


def test_each_folder_is_writable_in_one_container_only(installation: Installation, vip: Vip) -> None:
    spec = node_pod(installation)["spec"]
    writers: dict[str, set[str]] = {}
    for container in [*spec["containers"], *spec["initContainers"]]:
        for mount in container.get("volumeMounts", ()):
            if mount["mountPath"].startswith("/run/havip/") and not mount.get("readOnly"):
                writers.setdefault(mount["mountPath"], set()).add(container["name"])
    assert writers["/run/havip/election"] <= {"agent", "prepare"}
    assert writers["/run/havip/haproxy-config"] <= {"agent", "prepare"}
    assert writers["/run/havip/state"] == {"keeper"}
    assert writers["/run/havip/keeper"] == {"keeper"}
    assert writers["/run/havip/haproxy"] == {"haproxy"}


def test_no_container_is_privileged_and_every_root_is_read_only(installation: Installation, vip: Vip) -> None:
    spec = node_pod(installation)["spec"]
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
    for container in [*spec["containers"], *spec["initContainers"]]:
        context = container["securityContext"]
        assert not context.get("privileged"), container["name"]
        assert context["readOnlyRootFilesystem"] is True, container["name"]
        assert context["capabilities"]["drop"] == ["ALL"], container["name"]


def test_an_agents_token_writes_its_own_node_only(installation: Installation, vip: Vip) -> None:
    token = inside(installation, "agent", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").strip()
    assert installation.status_patch_with(token, "edge.n1", {"error": "forged"})[0] == 200
    code, answer = installation.status_patch_with(token, "edge.n2", {"error": "forged"})
    assert code in (403, 422), answer
    assert "node" in answer, answer
    for forbidden in (("get", "secrets"), ("get", "pods"), ("delete", "havipnode", "edge.n1"), ("get", "havips")):
        with pytest.raises(CommandFailed, match="forbidden"):
            installation.kubectl_with(token, *forbidden, f"--namespace={NAMESPACE}")

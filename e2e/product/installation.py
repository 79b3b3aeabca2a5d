"""The operator on a cluster as a user installs and uses it: Helm and kubectl, nothing behind their backs.

Nothing here may reach into a node or write a status: what a scenario cannot do with Helm and kubectl, it asks the
cluster's own methods (power, cables, control plane) for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

import yaml

from e2e.cluster.cluster import CHECKOUT, Cluster
from e2e.cluster.commands import run
from e2e.cluster.control_plane import binary
from e2e.setup.images import product_images
from havip.controller.resources import HAVIPS, NODE_OBJECTS, PODS

MANIFESTS = Path(__file__).parent / "manifests"
CHART = CHECKOUT / "charts" / "havip-operator"
NAMESPACE = "havip-system"
RELEASE = "havip"
USER_NAMESPACE = "shop"
EDGE = "havip.dev/edge"
APPLICATION = "havip.dev/application"
_ASK = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=2).read().decode())"

_PATCH = """
import ssl, sys, urllib.error, urllib.request as u
url, authority, body = sys.argv[1:]
asked = u.Request(url, body.encode(), method="PATCH")
asked.add_header("Authorization", "Bearer " + sys.stdin.read())
asked.add_header("Content-Type", "application/merge-patch+json")
try:
    answer = u.urlopen(asked, context=ssl.create_default_context(cafile=authority), timeout=10)
except urllib.error.HTTPError as refusal:
    answer = refusal
print(answer.status, answer.read().decode())
"""


@dataclass(frozen=True, slots=True)
class Vip:
    """A HAVip in the user's namespace, as the scenarios declare it. Its front ends are those of the manifest."""

    name: str
    address: str = ""
    preferred: tuple[str, ...] = ()
    failback: str = "Never"
    candidates: int = 3
    addresses: tuple[str, ...] = ()
    frontends: tuple[tuple[str, int, str], ...] = (("greeting", 90, "greeting"),)
    """(name, port, pool)."""
    class_name: str = ""
    """Empty: the default class."""

    def manifest(self) -> dict[str, Any]:
        return {
            "apiVersion": "havip.dev/v1alpha1",
            "kind": "HAVip",
            "metadata": {"name": self.name, "namespace": USER_NAMESPACE},
            "spec": {
                **({"className": self.class_name} if self.class_name else {}),
                "addresses": list(self.addresses or (self.address,)),
                "nodes": {"candidates": self.candidates, "preferred": list(self.preferred)},
                "failback": self.failback,
                "frontends": [
                    {"name": name, "port": port, "protocol": "TCP", "poolRef": {"name": pool}}
                    for name, port, pool in self.frontends
                ],
            },
        }


class Installation:
    """One release on one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.images = product_images(cluster.cache)

    # ---- the release

    def values(self) -> list[str]:
        """`--set` arguments that name the images."""
        pairs = [
            pair
            for name, image in self.images.items()
            for pair in (f"image.{name}.repository={image.repository}", f"image.{name}.tag={image.tag}")
        ]
        return [word for pair in ("image.pullPolicy=Never", *pairs) for word in ("--set-string", pair)]

    def install(self, *extra: str) -> None:
        """`helm install`, back when the operator is ready."""
        self.cluster.helm(
            "install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--create-namespace", "--wait",
            "--timeout=180s", *self.values(), *extra,
        )  # fmt: skip

    def install_with_application(self, *extra: str, seconds: float = 90) -> None:
        """The release, an application on n2 and n3, the class and the pools; no HAVip yet. Waits for every agent."""
        self.install(*extra)
        self.label_nodes(self.cluster.nodes)
        self.deploy_application(nodes=["n2", "n3"])
        self.apply(self.manifest("class"), self.manifest("pools"))
        self.wait_agents(seconds=seconds)

    def upgrade(self, *extra: str) -> None:
        self.cluster.helm(
            "upgrade", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--wait", "--timeout=180s",
            *self.values(), *extra,
        )  # fmt: skip

    def uninstall(self, *extra: str) -> None:
        self.cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait", "--timeout=240s", *extra)

    # ---- what users apply

    def apply(self, *documents: str | dict[str, Any]) -> str:
        """`kubectl apply` of YAML texts or objects."""
        text = "\n---\n".join(one if isinstance(one, str) else yaml.safe_dump(one) for one in documents)
        return self.cluster.kubectl("apply", "-f", "-", stdin=text)

    def manifest(self, name: str) -> str:
        """The text of a manifest of this folder."""
        return (MANIFESTS / f"{name}.yaml").read_text(encoding="utf-8")

    def label_nodes(self, names: Iterable[str], label: str = EDGE) -> None:
        for name in names:
            self.cluster.kubectl("label", "node", name, f"{label}=true", "--overwrite")

    def prefer(self, name: str, node: str) -> None:
        """Order a planned switch."""
        patch = json.dumps({"spec": {"nodes": {"preferred": [node]}}})
        self.cluster.kubectl("patch", "havip", name, f"--namespace={USER_NAMESPACE}", "--type=merge", "-p", patch)

    def unlabel_node(self, name: str) -> None:
        self.cluster.kubectl("label", "node", name, f"{EDGE}-")

    def deploy_application(self, *, nodes: Iterable[str]) -> None:
        """Two pods and a Service, on these nodes; back when both are ready."""
        self.label_nodes(nodes, APPLICATION)
        text = Template(self.manifest("application")).substitute(image=self.images["node"].reference)
        self.apply(text)
        script = (Path(__file__).parent / "app.py").read_text(encoding="utf-8")
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "app", "namespace": USER_NAMESPACE},
                "data": {"app.py": script},
            }
        )
        self.cluster.kubectl("rollout", "status", "deployment/web", f"--namespace={USER_NAMESPACE}", "--timeout=90s")

    # ---- what users see

    def havip(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.read(HAVIPS.path(USER_NAMESPACE, name))
        return found

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """A condition of a HAVip; empty while there is none."""
        return _condition(self.havip(name), kind)

    def active_node(self, name: str) -> str:
        """`status.activeNode`; empty while there is none."""
        return _active_node(self.havip(name))

    def is_ready(self, name: str) -> bool:
        return _is_ready(self.havip(name))

    def wait_ready(self, *names: str, seconds: float = 60) -> None:
        for name in names:
            self.cluster.until(partial(self.is_ready, name), f"HAVip {name} is Ready", seconds)

    def wait_agents(self, *, seconds: float = 90) -> None:
        """Back when the agent of every node, of every class, has found its interface and said so."""

        def reported() -> bool:
            found = self.cluster.read(NODE_OBJECTS.path())["items"]
            classes = {one["spec"]["className"] for one in found}
            said = sum("interface" in one.get("status", {}) for one in found)
            return said == len(self.cluster.nodes) * max(1, len(classes))

        self.cluster.until(reported, "every node pod has reported", seconds)

    def node_pods(self) -> list[dict[str, Any]]:
        """The node pods as they are now."""
        selected = f"{PODS.path(NAMESPACE)}?labelSelector=app.kubernetes.io%2Fname%3Dhavip-node"
        found: list[dict[str, Any]] = self.cluster.read(selected)["items"]
        return found

    def wait_rolled(self, is_new: Callable[[dict[str, Any]], bool], *, seconds: float = 240) -> None:
        """Back when every node has a new pod that is ready.

        `kubectl rollout status` would not do: right after `helm upgrade` the DaemonSet is still the old one, and done.
        """

        def rolled() -> bool:
            pods = self.node_pods()
            return len(pods) == len(self.cluster.nodes) and all(is_new(pod) and _pod_is_ready(pod) for pod in pods)

        self.cluster.until(rolled, "every node has a new pod that is ready", seconds)

    def wait_active(self, name: str, *nodes: str, seconds: float = 60) -> str:
        """Back when one of these nodes (default: any) is the active one in status; returns it."""

        def holds() -> bool:
            active = self.active_node(name)
            return active in nodes if nodes else bool(active)

        self.cluster.until(holds, f"HAVip {name} is active on {' or '.join(nodes) or 'a node'}", seconds)
        return self.active_node(name)

    def wait_settled(self, name: str, *, seconds: float = 30) -> str:
        """Back when the VIP is Ready on its first choice: the elections of the start are over. Returns the node."""

        def best() -> bool:
            found = self.havip(name)
            preferred = found["spec"]["nodes"].get("preferred") or [_active_node(found)]
            return _is_ready(found) and _active_node(found) == preferred[0]

        self.cluster.until(best, f"HAVip {name} is Ready on its first choice", seconds)
        return self.active_node(name)

    def apply_settled(self, vip: Vip) -> Vip:
        """Apply a new HAVip and wait until it is Ready on its first choice.

        A machine so busy that the first choice begins after the settle time leaves the VIP where it is, as it should:
        then it is made anew.
        """
        for more in (True, True, False):
            self.apply(vip.manifest())
            try:
                self.wait_settled(vip.name)
                break
            except TimeoutError:
                if not more:
                    raise
                print(f"HAVip {vip.name} began on {self.active_node(vip.name) or 'no node'}: made anew")
                self.delete(vip.name)
        return vip

    def on_node(self, node: str, *argv: str) -> str:
        """Standard output of a command in the network of a node."""
        return run([*self.cluster.inside(node), *argv])

    def kubectl_with(self, token: str, *argv: str) -> str:
        """`kubectl argv` as whoever this token belongs to. Raises `CommandFailed` with the API server's complaint."""
        config = self.cluster.disk / "token.kubeconfig"
        config.write_text(json.dumps(_kubeconfig(self.cluster.control.url, self.cluster.control.folder, token)))
        config.chmod(0o600)
        return run([*self.cluster.inside("control-plane"), str(binary("kubectl")), f"--kubeconfig={config}", *argv])

    def status_patch_with(self, token: str, node_object: str, status: dict[str, Any]) -> tuple[int, str]:
        """(HTTP status, answer) of a dry run that patches a HAVipNode's status, as an agent does: no read before it."""
        control = self.cluster.control
        path = f"/apis/havip.dev/v1alpha1/namespaces/{NAMESPACE}/havipnodes/{node_object}/status?dryRun=All"
        words = [
            sys.executable,
            "-c",
            _PATCH,
            control.url + path,
            f"{control.folder}/ca.crt",
            json.dumps({"status": status}),
        ]
        code, _, answer = run([*self.cluster.inside("control-plane"), *words], stdin=token).partition(" ")
        return int(code), answer

    def holders(self, address: str) -> set[str]:
        """The nodes whose kernel has the address: asked of the kernels, not of the product."""
        found = set()
        for name, node in self.cluster.nodes.items():
            if not node.powered:
                continue
            listed = self.on_node(name, "ip", "-json", "address", "show")
            addresses = {
                info["local"] for link in json.loads(listed) for info in link.get("addr_info", ()) if "local" in info
            }
            if address in addresses:
                found.add(name)
        return found

    def ask(self, address: str, port: int = 80) -> str:
        """What a new connection from the client machine is answered; empty when it is not."""
        where = f"[{address}]" if ":" in address else address
        url = f"http://{where}:{port}/"
        return self.cluster.client(sys.executable, "-c", _ASK, url).stdout.strip()

    def delete(self, name: str, *, wait: bool = True) -> None:
        self.cluster.kubectl(
            "delete", "havip", name, f"--namespace={USER_NAMESPACE}", f"--wait={str(wait).lower()}", "--timeout=90s"
        )


def _condition(havip: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((one for one in havip.get("status", {}).get("conditions", ()) if one["type"] == kind), {})


def _active_node(havip: dict[str, Any]) -> str:
    return str(havip.get("status", {}).get("activeNode", ""))


def _is_ready(havip: dict[str, Any]) -> bool:
    """By a status that has seen the newest spec."""
    seen = havip.get("status", {}).get("observedGeneration") == havip["metadata"]["generation"]
    return seen and _condition(havip, "Ready").get("status") == "True"


def _pod_is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _kubeconfig(url: str, folder: Path, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url, "certificate-authority": f"{folder}/ca.crt"}}],
        "users": [{"name": "it", "user": {"token": token}}],
    }

"""One node: containerd, kubelet and kube-proxy in a network namespace of their own.

A node is told from its neighbours by its namespace, its cgroup and its two folders: `state` lives as long as the power
is on (sockets, mounts), `disk` survives a power-off, as on a machine. Nothing of a node may live outside these four.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import prepared
from e2e.cluster.commands import run, until
from e2e.cluster.control_plane import binary
from e2e.cluster.groups import Group
from e2e.cluster.mounts import unmount_below
from e2e.cluster.network import CONTROL_PLANE, PODS_NETWORK, Place
from e2e.cluster.pause import PAUSE_IMAGE
from e2e.cluster.records import Record

CNI_PLUGINS = Path("/usr/lib/cni")  # Debian's containernetworking-plugins

CONTAINERD = """\
version = 2
root = "{disk}/containerd"
state = "{state}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{state}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
netns_mounts_under_state_dir = true
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{disk}/cni"
"""  # noqa: E501 -- one list in one line is what version 2 of the format wants

KUBE_PROXY = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {kubeconfig}}}
mode: nftables
clusterCIDR: {pods}
hostnameOverride: {name}
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"""

# Nobody answers there: nothing here resolves names, and without an address every pod gets a warning.
NO_DNS = "10.96.0.10"

# A lease of 8 s is renewed every 2 s: with the control plane's grace period a dead node is NotReady after about 16 s,
# not 50. The defaults only make the tests wait. The API is open to whoever reaches the node: only this run does.
KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
containerRuntimeEndpoint: unix://{state}/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
syncFrequency: 1s
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 8
imageGCHighThresholdPercent: 100
evictionHard: {{}}
podLogsDir: {disk}/pod-logs
localStorageCapacityIsolation: false
resolvConf: ""
clusterDNS: ["{dns}"]
"""


@dataclass
class Node:
    """One node of a recorded cluster. `spawn(name, argv)` starts a daemon in the node's network and group.

    What its daemons use to reach the API server lies in the control plane's folder: see `kubeconfig_of`.
    """

    record: Record
    place: Place
    spawn: Callable[[str, list[str]], None]
    powered: bool = False

    @property
    def group(self) -> Group:
        return self.record.group.child(self.name)

    @property
    def disk(self) -> Path:
        return self.record.folder(self.name)

    @property
    def state(self) -> Path:
        return self.record.state / self.name

    @property
    def name(self) -> str:
        return self.place.name

    def install(self, root: Path) -> None:
        """Gives a new node its disk, with the images of a prepared containerd root."""
        self.disk.mkdir(parents=True, exist_ok=True)
        prepared.give(root, self.disk / "containerd")

    def boot(self) -> None:
        """Starts the three daemons; they find by themselves what was on the disk."""
        for folder in (self.disk / "cni", self.disk / "kubelet", self.state):
            folder.mkdir(parents=True, exist_ok=True)
        for group in (self.group, self.group.child("daemons")):
            group.make()
        self._write_settings()
        self.spawn("containerd", ["containerd", "--config", f"{self.disk}/containerd.toml"])
        until(lambda: prepared.answers(self._socket), f"containerd on {self.name} answers", 30)
        self.spawn("kube-proxy", [str(binary("kube-proxy")), f"--config={self.disk}/kube-proxy.yaml", "--v=1"])
        self.spawn("kubelet", [
            str(binary("kubelet")), "--v=2", f"--hostname-override={self.name}", f"--node-ip={self.place.address}",
            f"--config={self.disk}/kubelet.yaml",
            f"--kubeconfig={kubeconfig_of(self.record, f'system:node:{self.name}')}",
            f"--root-dir={self.disk}/kubelet", f"--cert-dir={self.disk}/pki",
        ])  # fmt: skip
        self.powered = True

    def halt(self) -> None:
        """Everything that runs ends at once, and what a machine has in memory is gone: mounts, sockets."""
        self.group.kill()
        unmount_below(self.state, self.disk)
        for address in self.state.glob("containerd/io.containerd.runtime.v2.task/*/*/address"):
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.disk / "ipam", ignore_errors=True)
        self.powered = False

    def load_images(self, archives: Sequence[Path]) -> None:
        """Docker archives, as buildah writes them."""
        for archive in archives:
            run([*prepared.ctr(self._socket), "images", "import", str(archive)])

    def tag_image(self, reference: str, new: str) -> None:
        """A second name for an image that the node has."""
        run([*prepared.ctr(self._socket), "images", "tag", reference, new])

    @property
    def _socket(self) -> Path:
        return self.state / "containerd.sock"

    def _write_settings(self) -> None:
        places = {
            "disk": self.disk, "state": self.state, "cgroup": self.group.path, "name": self.name, "pause": PAUSE_IMAGE,
            "plugins": CNI_PLUGINS, "pods": f"{PODS_NETWORK}.0.0/16", "dns": NO_DNS,
            "kubeconfig": kubeconfig_of(self.record, "system:kube-proxy"),
        }  # fmt: skip
        for file, template in {
            "containerd.toml": CONTAINERD,
            "kubelet.yaml": KUBELET,
            "kube-proxy.yaml": KUBE_PROXY,
        }.items():
            (self.disk / file).write_text(template.format(**places))
        (self.disk / "cni" / "10-pods.conflist").write_text(json.dumps(self._pod_network()))

    def _pod_network(self) -> dict[str, object]:
        return {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    # Routed, not bridged: on a bridge, what a pod answers to a neighbour of its node passes by
                    # kube-proxy's rules unless a kernel module is loaded.
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": self.place.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": f"{self.disk}/ipam",
                    },
                },
            ],
        }


def kubeconfig_of(record: Record, user: str) -> Path:
    """Where the control plane keeps what it issued to a user: a node that comes back asks nobody for a new one."""
    return record.folder(CONTROL_PLANE) / f"{user.replace(':', '-')}.kubeconfig"

"""A real Kubernetes on this machine: etcd, API server, controllers, and nodes that can lose their power.

    with Cluster(nodes=3, images=[archive, ...]) as cluster:
        cluster.kubectl("get", "nodes")
        cluster.power_off("n1")

Nodes are n1, n2, ... at 10.88.0.11, .12, ...; `client` (10.88.0.100) is a machine beside them on the same wire.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from e2e.cluster import control_plane
from e2e.cluster.commands import run, until
from e2e.cluster.control_plane import COLLECTING_SELDOM, ControlPlane, Ports, binary
from e2e.cluster.daemon import Daemon
from e2e.cluster.network import CLIENT, CONTROL_PLANE, FIXED_HOSTS, Place, node_place
from e2e.cluster.node import Node
from e2e.cluster.prepared import prepared_root
from e2e.cluster.records import Ownership, erase_left_behind, erase_orphaned_disks, free_prefix, record_for_this_process
from e2e.lab.namespaces import Namespace

CHECKOUT = Path(__file__).resolve().parents[2]
CONTROLLERS = ("kube-controller-manager", "kube-scheduler")
PROGRAMS = ("containerd", "runc", "ctr", "nsenter", "setpriv", "ip", "nft", "sysctl")
LOGS_KEPT = 10  # clusters whose logs are kept
# Two missed renewals of the nodes' 8 s lease.
GRACE_SECONDS = 16


class MissingProgram(RuntimeError):
    """Something a cluster needs is not on this machine; the message names it and what brings it."""


class Cluster:
    """A context manager. It may be left by an exception at any time, Ctrl-C included, and leaves nothing behind.

    `images`: docker archives that every node has before its kubelet starts. `cache`: the folder that holds `bin`.
    """

    def __init__(self, *, nodes: int = 3, images: Sequence[Path] = (), cache: Path | None = None) -> None:
        self.cache = cache or Path(os.environ.get("HAVIP_CACHE") or CHECKOUT / ".cache")
        self.prefix = free_prefix()
        self.disk = self.cache / "clusters" / self.prefix
        self.record = record_for_this_process(self.prefix, self.disk)
        self.network = self.record.network
        self.images = list(images)
        self.places = [node_place(number) for number in range(1, nodes + 1)]
        self.nodes: dict[str, Node] = {}
        self.control: ControlPlane  # from the start on
        self._daemons: dict[str, Daemon] = {}
        self._kept = False

    # ---- its life

    def __enter__(self) -> Self:
        self._require_programs()
        erase_left_behind()
        erase_orphaned_disks(self.disk.parent)
        self._former_handler = signal.signal(signal.SIGTERM, _interrupt)
        try:
            self._start()
        except BaseException:
            self._end(failed=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(failed=kind is not None and kind is not KeyboardInterrupt)

    def keep(self) -> None:
        """Leaves the cluster running when this process ends; `python -m e2e.cluster down` ends it."""
        self._kept = True
        self.record.ownership = Ownership.PERSON
        self.record.save()

    def _start(self) -> None:
        self.record.save()
        self.disk.mkdir(parents=True)
        self.record.group.make()
        for name in FIXED_HOSTS:
            self.record.group.child(name).make()
        self.network.build()
        for place in (*(Place(name, host) for name, host in FIXED_HOSTS.items()), *self.places):
            self.network.connect(place, nodes=self.places)
        self.control = ControlPlane(
            control_plane.Network(
                address=Place(CONTROL_PLANE, FIXED_HOSTS[CONTROL_PLANE]).address,
                listen="0.0.0.0",
                within=self.record.entering(CONTROL_PLANE),
                namespace=Namespace(self.network.namespace(CONTROL_PLANE)),
                ports=Ports(),
            ),
            folder=self._folder(CONTROL_PLANE),
            controllers=True,
            api_server_flags=["--enable-admission-plugins=NodeRestriction"],
        )
        self.control.start()
        self.record.kubeconfig = str(self.control.kubeconfig())
        self.record.save()
        self._start_controllers()
        self._start_nodes()

    def _start_controllers(self) -> None:
        folder = self.control.folder
        common = [f"--kubeconfig={self.control.kubeconfig()}", "--leader-elect=false", "--v=1", "--secure-port=0"]
        flags = {
            "kube-controller-manager": [
                f"--service-account-private-key-file={folder}/service-account.key",
                f"--root-ca-file={folder}/ca.crt",
                "--controllers=*,-node-ipam-controller",
                "--node-monitor-period=1s",
                f"--node-monitor-grace-period={GRACE_SECONDS}s",
            ],
            "kube-scheduler": [],
        }
        for name in CONTROLLERS:
            self._spawn(CONTROL_PLANE, name, [str(binary(name)), *common, *flags[name]])

    def _start_nodes(self) -> None:
        root = prepared_root(self.cache, self.images)
        self.control.kubeconfig("system:kube-proxy")
        for place in self.places:
            self.control.kubeconfig(f"system:node:{place.name}", groups=["system:nodes"])
            node = Node(self.record, place, partial(self._spawn, place.name))
            self.nodes[place.name] = node
            node.install(root)
            node.boot()
        self.until(lambda: self.ready_nodes() == set(self.nodes), "every node is Ready", 120)

    def _end(self, *, failed: bool) -> None:
        signal.signal(signal.SIGTERM, self._former_handler)
        if failed:
            print(f"cluster {self.prefix} failed; its logs: {self.save_logs()}", file=sys.stderr)
        if self._kept:
            return
        self.record.erase()
        self._bury(*self._daemons)
        if hasattr(self, "control"):
            self.control.stop()

    # ---- what tests do with it

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Standard output of `kubectl args`; fails with what it said."""
        return self.control.kubectl(*args, input=stdin)

    def get(self, *args: str) -> Any:
        """`kubectl get args -o json`, parsed."""
        return self.control.get(*args)

    def read(self, path: str) -> Any:
        """What the API server has at a path, parsed; for what is asked again and again."""
        return self.control.read(path)

    def helm(self, *args: str) -> str:
        """Standard output of `helm args`; fails with what it said."""
        environment = [f"HELM_{kind}_HOME={self.disk}/helm/{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")]
        kubeconfig = f"--kubeconfig={self.control.kubeconfig()}"
        return run([*self.network.inside(CONTROL_PLANE), "env", *environment, str(binary("helm")), kubeconfig, *args])

    def ready_nodes(self) -> set[str]:
        """Names of the nodes that Kubernetes says are Ready."""
        return {
            node["metadata"]["name"]
            for node in self.read("/api/v1/nodes")["items"]
            for condition in node["status"].get("conditions", ())
            if condition["type"] == "Ready" and condition["status"] == "True"
        }

    def load_images(self, archives: Sequence[Path]) -> None:
        """Gives every node that has power these images too."""
        self.images += archives
        for node in self.nodes.values():
            if node.powered:
                node.load_images(archives)

    def tag_image(self, reference: str, new: str) -> None:
        """Gives an image a second name on every node that has power: another image, for whoever rolls it out."""
        for node in self.nodes.values():
            if node.powered:
                node.tag_image(reference, new)

    def power_off(self, name: str) -> None:
        """The wire is dead at once, then everything on the node; what it had in memory is gone."""
        self.network.cut(name)
        self.nodes[name].halt()
        self._bury(*(title for title in self._daemons if title.endswith(f" on {name}")))
        self.network.disconnect(name)

    def power_on(self, name: str) -> None:
        """The node boots with the disk it had; returns when Kubernetes says that it is Ready."""
        node = self.nodes[name]
        self.network.connect(node.place, nodes=self.places)
        node.boot()
        self.until(lambda: name in self.ready_nodes(), f"{name} is Ready again", 90)

    def cut(self, name: str) -> None:
        """Pulls the network cable of a node; it goes on running."""
        self.network.cut(name)

    def mend(self, name: str) -> None:
        self.network.mend(name)

    def stop_api_server(self) -> None:
        self.control.stop_api_server()

    def start_api_server(self) -> None:
        """Returns when it is ready."""
        self.control.start_api_server()

    def stop_etcd(self) -> None:
        self.control.stop_etcd()

    def start_etcd(self) -> None:
        """With the data it had."""
        self.control.start_etcd()

    def client(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on the client machine to its end, whatever its code."""
        return subprocess.run([*self.inside(CLIENT), *argv], capture_output=True, text=True, check=False)

    def inside(self, name: str) -> list[str]:
        """The beginning of a command that runs in the network of a node, of `client` or of `control-plane`.

        It belongs to the cluster: what still runs when the cluster ends is ended with it.
        """
        return self.record.inside(name)

    def until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Waits until it holds; questions that fail count as no. `what` completes "... was not so after 60 s"."""
        until(holds, what, seconds, meanwhile=self._check_daemons)

    # ---- its means

    def save_logs(self) -> Path:
        """Copies every daemon's and pod's log to a folder that outlives the cluster."""
        target = self.cache / "logs" / self.prefix
        for old in sorted(target.parent.glob("hvc*"), key=lambda path: path.stat().st_mtime)[: 1 - LOGS_KEPT]:
            shutil.rmtree(old)
        shutil.rmtree(target, ignore_errors=True)
        for log in self.disk.rglob("*.log"):
            copy = target / log.relative_to(self.disk)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, copy)
        return target

    def _require_programs(self) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if os.geteuid() != 0:
            raise MissingProgram("a cluster needs root: it makes network namespaces and mounts")
        if missing:
            raise MissingProgram(f"not on this machine: {', '.join(missing)}; `make test` installs everything")
        for name in ("etcd", "kube-apiserver", "kubelet", "kube-proxy", "kubectl", *CONTROLLERS):
            binary(name)

    def _folder(self, name: str) -> Path:
        folder = self.disk / name
        folder.mkdir(exist_ok=True)
        return folder

    def _spawn(self, where: str, name: str, argv: list[str]) -> None:
        self._daemons[f"{name} on {where}"] = Daemon(
            f"{name} on {where}",
            argv,
            log=self._folder(where) / f"{name}.log",
            within=self.record.entering(where),
            environment=COLLECTING_SELDOM,
        )

    def _bury(self, *titles: str) -> None:
        """Takes note of the end of daemons that were killed by their group."""
        for title in titles:
            self._daemons.pop(title).kill()

    def _check_daemons(self) -> None:
        """A daemon that died explains a wait that will not end."""
        for daemon in self._daemons.values():
            daemon.check()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt

"""The wires of one cluster: a namespace with a bridge, and one namespace each for control plane, client and nodes.

Everything lives in namespaces of this run, so two runs use the same addresses side by side, and nothing that a test
sends can leave the machine. The machine's own network namespace is never touched.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.commands import run

NODES_NETWORK = "10.88.0"  # /24; the nodes' own addresses, and the virtual ones from .192
NODES_NETWORK_6 = "fd88::"  # /64
PODS_NETWORK = "10.90"  # /16; node i has .i.0/24
SERVICES_NETWORK = "10.96.0"  # /24

CONTROL_PLANE = "control-plane"
CLIENT = "client"
FABRIC = "fabric"
FIXED_HOSTS = {CONTROL_PLANE: 2, CLIENT: 100}


@dataclass(frozen=True)
class Place:
    """A network namespace of the cluster with one interface, eth0."""

    name: str
    host: int  # last number of its address

    @property
    def address(self) -> str:
        return f"{NODES_NETWORK}.{self.host}"

    @property
    def address6(self) -> str:
        return f"{NODES_NETWORK_6}{self.host:x}"

    @property
    def mac(self) -> str:
        """Fixed, as that of a network card: a node that comes back is the same neighbour."""
        return f"02:88:00:00:00:{self.host:02x}"

    @property
    def pods(self) -> str:
        """The network of a node's pods."""
        return f"{PODS_NETWORK}.{self.host - 10}.0/24"


def node_place(number: int) -> Place:
    """n1 is 10.88.0.11, n2 is 10.88.0.12 and so on."""
    return Place(f"n{number}", 10 + number)


@dataclass(frozen=True)
class Network:
    """The namespaces of the run with this prefix."""

    prefix: str

    def namespace(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def inside(self, name: str) -> list[str]:
        """The beginning of a command that runs in the namespace of that name.

        Not `ip netns exec`: it mounts a fresh /sys, and /sys/fs/cgroup is gone.
        """
        return ["nsenter", f"--net=/run/netns/{self.namespace(name)}"]

    def build(self) -> None:
        """The fabric alone: what joins it comes by `connect`."""
        _ip("netns", "add", self.namespace(FABRIC))
        self._batch(FABRIC, ["link set lo up", "link add br0 type bridge", "link set br0 up"])

    def connect(self, place: Place, *, nodes: Iterable[Place]) -> None:
        """A namespace on the bridge, with routes to the pods of `nodes` as a cloud's route table would have them."""
        port = wire(place.name)
        _ip("netns", "add", self.namespace(place.name))
        self._batch(FABRIC, [
            f"link add {port} type veth peer name eth0 address {place.mac} netns {self.namespace(place.name)}",
            f"link set {port} master br0 up",
        ])  # fmt: skip
        self._batch(place.name, [
            "link set lo up",
            f"addr add {place.address}/24 dev eth0",
            f"addr add {place.address6}/64 dev eth0 nodad",
            "link set eth0 up",
            # Nobody is there; but service addresses need a route before kube-proxy rewrites them.
            f"route add default via {NODES_NETWORK}.1",
            *(f"route add {node.pods} via {node.address}" for node in nodes if node != place),
        ])  # fmt: skip
        run([*self.inside(place.name), "sysctl", "-qw", "net.ipv4.ip_forward=1"])

    def cut(self, name: str) -> None:
        """Takes the wire away, as pulling the plug does: the namespace sees its carrier go."""
        _ip("-n", self.namespace(FABRIC), "link", "set", wire(name), "down")

    def mend(self, name: str) -> None:
        _ip("-n", self.namespace(FABRIC), "link", "set", wire(name), "up")

    def disconnect(self, name: str) -> None:
        """Removes the namespace with all its kernel state: addresses, routes, rules, connections."""
        # The kernel empties a deleted namespace later; the wire's name must be free at once.
        _ip("-n", self.namespace(FABRIC), "link", "del", wire(name))
        _ip("netns", "del", self.namespace(name))

    def remove(self) -> None:
        """Every namespace of this run that exists."""
        for path in Path("/run/netns").glob(f"{self.prefix}-*"):
            _ip("netns", "del", path.name)

    def _batch(self, name: str, commands: Sequence[str]) -> None:
        run(["ip", "-n", self.namespace(name), "-batch", "-"], stdin="\n".join(commands))


def wire(name: str) -> str:
    """A place's port on the bridge."""
    return f"v-{name}"


def _ip(*args: str) -> None:
    run(["ip", *args])

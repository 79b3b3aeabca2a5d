"""The lab: nodes, a client, real servers and an observer on one bridge, all of it in namespaces of its own.

Use as a context manager. Whatever way it is left, nothing of it stays on the machine; what a killed run left is ended
by the next one. Traffic never leaves the namespaces.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import FrameType, TracebackType

from e2e.lab.compiled import Missing, compiled
from e2e.lab.declare import DEFAULT_TIMING, NAMESPACE, Member, Vip, node_specs, ranking
from e2e.lab.follow import NotInTime
from e2e.lab.history import Kind, Stream
from e2e.lab.measuring import Observer, Prober
from e2e.lab.namespaces import Namespace, Port, attach, make_fabric, make_namespace, run
from e2e.lab.pod import Flavour, Pod, chosen_flavour
from e2e.lab.record import RunRecord, clean_up_after_killed_runs
from havip.model.address import Address
from havip.model.election import Timing
from havip.model.keys import Key
from havip.model.pool import HealthCheck, Pool, RealServer
from havip.model.priority import BONUS, bases_for
from havip.model.states import Algorithm, Engine, Failback

DEFAULT_CLASS = "lab"
ECHO_PORT = 7000
"""Where every node says which node it is."""
SERVER_PORT = 8080
"""Where every real server says which one it is (numbers from `FIRST_SERVER`)."""
FIRST_SERVER = 201
EVERY_MILLISECOND: Mapping[Kind, float] = dict.fromkeys(Kind, 1.0)
"""Spacing of probes for figures: nearly a whole CPU for one client, its haproxy and its servers."""
SCENARIO_SPACING: Mapping[Kind, float] = {Kind.ICMP: 1.0, Kind.UDP: 1.0, Kind.TCP: 2.0, Kind.PROXIED: 5.0}
"""Enough to see every fault, and it leaves the CPU to the nodes."""
_FIRST_NODE, _CLIENT, _OBSERVER, _FIRST_BACKEND = 11, 100, 101, 51
_runs = itertools.count()


class Node:
    """One node. `number` (1, 2, ...) is what prober and observer call it: the last octet of its MAC."""

    def __init__(self, lab: Lab, number: int) -> None:
        self._lab = lab
        self.number = number
        self.name = f"n{number}"
        self.network = make_namespace(f"{lab.prefix}-{self.name}", lab.record)
        host = _FIRST_NODE + number - 1
        self.port: Port = attach(lab.fabric, self.network, bridge_side=self.name, host=host, mac_tail=number)
        for key in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):  # as on every Kubernetes node
            self.network.run("sysctl", "-qw", f"net.{key}=1")
        self.pods: dict[str, Pod] = {}
        self.powered = True

    @property
    def member(self) -> Member:
        four, six = (address.partition("/")[0] for address in self.port.addresses)
        return Member(self.name, four, six)

    def pod(self, class_name: str = DEFAULT_CLASS) -> Pod:
        """The node's pod of a class, made at first use (not started)."""
        if class_name not in self.pods:
            self.pods[class_name] = Pod(
                class_name=class_name,
                node_name=self.name,
                network=self.network,
                record=self._lab.record,
                folder=self._lab.folder / f"{self.name}-{class_name}",
                flavour=self._lab.flavour,
            )
        return self.pods[class_name]

    def addresses(self) -> list[Address]:
        """What the kernel has on eth0, link-local ones left out."""
        words = self.network.ip("-o", "address", "show", "dev", "eth0", "scope", "global").split()
        following = [after for word, after in itertools.pairwise(words) if word in ("inet", "inet6")]
        return [ip_address(text.partition("/")[0]) for text in following]

    def link_down(self) -> None:
        """The cable is pulled; every process lives on."""
        self._lab.observer.unplugged(self.number)
        self.port.plug(into=False)

    def link_up(self) -> None:
        self.port.plug(into=True)
        self._lab.observer.plugged(self.number)

    def power_off(self) -> None:
        """Cable out, every process gone, and no goodbye."""
        self.link_down()
        for pod in self.pods.values():
            pod.kill_all()
        self.powered = False

    def power_on(self, *, start: bool = True) -> None:
        """Boot: an empty kernel with the node's own addresses, cable in, pods started."""
        self.clean_kernel()
        self.link_up()
        self.powered = True
        if start:
            for pod in self.pods.values():
                pod.start()

    def clean_kernel(self) -> None:
        """Only the node's own addresses and no firewall: what a reboot leaves."""
        self.network.ip("address", "flush", "dev", "eth0", "scope", "global")
        for address in self.port.addresses:
            words = ["nodad"] if ":" in address else []
            self.network.ip("address", "replace", address, "dev", "eth0", *words)
        self.network.nft("flush ruleset")


class Lab:
    """`nodes` nodes named n1, n2, ..., one client, one observer, `servers` real servers."""

    def __init__(self, nodes: int = 3, *, servers: int = 2, flavour: Flavour | None = None) -> None:
        """`flavour` None: the chosen one."""
        self.flavour = flavour or chosen_flavour()
        self._node_count, self._server_count = nodes, servers
        self.prefix = f"hv{os.getpid() % 100000}{chr(97 + next(_runs) % 26)}"

    def __enter__(self) -> Lab:
        _check_machine()
        clean_up_after_killed_runs()
        self._undo = ExitStack()
        with ExitStack() as undo:
            self.record = RunRecord(self.prefix)
            undo.callback(self.record.close)
            _end_in_order_on_sigterm()
            self._build(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._undo.close()

    def _build(self, undo: ExitStack) -> None:
        self.folder = _memory_folder() / self.prefix
        self.record.folder(self.folder)
        self.folder.mkdir()
        self.fabric = make_fabric(f"{self.prefix}-fabric", self.record)
        self.client = make_namespace(f"{self.prefix}-client", self.record)
        attach(self.fabric, self.client, bridge_side="client", host=_CLIENT, mac_tail=_CLIENT)
        watcher = make_namespace(f"{self.prefix}-watch", self.record)
        attach(self.fabric, watcher, bridge_side="watch", host=_OBSERVER, mac_tail=_OBSERVER)
        self.nodes = tuple(Node(self, number) for number in range(1, self._node_count + 1))
        self.members = self.nodes
        self._asked_for: dict[str, list[str]] = {}
        self._responders: list[subprocess.Popen[bytes]] = []
        undo.callback(self._end_responders)
        for node in self.nodes:
            self._respond(node.network, node.number, ECHO_PORT)
        for index in range(self._server_count):
            server = make_namespace(f"{self.prefix}-s{index + 1}", self.record)
            host = _FIRST_BACKEND + index
            attach(self.fabric, server, bridge_side=f"s{index + 1}", host=host, mac_tail=host)
            self._respond(server, FIRST_SERVER + index, SERVER_PORT)
        self.observer = Observer(
            [(node.number, node.network) for node in self.nodes],
            self.fabric,
            network=watcher,
            record=self.record,
            file=self.folder / "observer.records",
        )
        undo.callback(self.observer.close)
        undo.callback(self._kill_pods)

    def _respond(self, network: Namespace, number: int, port: int) -> None:
        words = ["ip", "netns", "exec", network.name, str(compiled("responder")), str(number), str(port)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.record.process(process.pid)
        self._responders.append(process)
        assert process.stdout is not None
        process.stdout.readline()

    def _end_responders(self) -> None:
        for process in self._responders:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait(5)

    def _kill_pods(self) -> None:
        for node in self.nodes:
            for pod in node.pods.values():
                pod.kill_all()

    # -- what is declared -----------------------------------------------------------------------------------------

    def node(self, which: int | str) -> Node:
        """By number or name."""
        return next(node for node in self.nodes if which in (node.number, node.name))

    def declare(
        self,
        *vips: Vip,
        class_name: str = DEFAULT_CLASS,
        timing: Timing = DEFAULT_TIMING,
        members: Sequence[Node] = (),
        pools: Sequence[Pool] = (),
    ) -> None:
        """Exactly these HAVips exist now in that class; every member node is told, nobody is waited for."""
        nodes = members or self.nodes
        spacing_ms = 10.0 * max(1, len(vips) // 5)
        wanted = [address for vip in vips for address in vip.addresses]
        for address in [*self._asked_for.get(class_name, ()), *wanted]:
            self.observer.watch(address, spacing_ms=spacing_ms if address in wanted else 0)
        self._asked_for[class_name] = wanted
        specs = node_specs(class_name, [node.member for node in nodes], vips, timing)
        self.members = tuple(nodes)
        for node in nodes:
            pod = node.pod(class_name)
            for pool in pools or (self.pool(),):
                pod.write_pool(pool)
            pod.write_spec(specs[node.name])

    def switch(self, before: Vip, *preferred: str) -> Vip:
        """Change the preference as the planner does: first the priorities, and when all have them the order to switch.

        In one step, whoever is told last may lose to a third node that was told in time. Returns the changed VIP.
        """
        after = replace(before, preferred=preferred)
        self.declare(replace(after, published=before.preferred))
        self.wait_applied()
        self.declare(after)
        return after

    def pool(self, name: str = "web", *, servers: Sequence[tuple[str, int]] = ()) -> Pool:
        """The real servers as a pool, checked by connecting every 200 ms."""
        found = [RealServer(ip_address(address), port) for address, port in servers] or [
            RealServer(ip_address(f"10.77.0.{_FIRST_BACKEND + index}"), SERVER_PORT)
            for index in range(self._server_count)
        ]
        check = HealthCheck(interval_ms=200, timeout_ms=200, rise=1, fall=2, http_path=None)
        return Pool(Key(NAMESPACE, name), Engine.HAPROXY, Algorithm.ROUND_ROBIN, check, tuple(found))

    def start(self, class_name: str = DEFAULT_CLASS) -> None:
        """Start the class's pods on every node that was told something, all at the same time."""
        pods = [node.pod(class_name) for node in self.nodes if class_name in node.pods]
        with ThreadPoolExecutor(len(pods)) as together:
            for started in [together.submit(pod.start) for pod in pods]:
                started.result()

    def wait_applied(self, *, class_name: str = DEFAULT_CLASS, seconds: float = 20.0) -> None:
        """Wait until every running pod of the class has its newest spec in force."""
        for node in self.members:
            if node.powered and class_name in node.pods:
                node.pod(class_name).wait_applied(seconds=seconds)

    def active(self, vip: Vip, *, seconds: float = 15.0) -> Node:
        """Wait until exactly one reachable node holds every address of the VIP, and return it."""
        return self.node(self.observer.wait_one_holder_of_all(vip.addresses, seconds=seconds))

    def settled(self, vip: Vip, *, on: Node | None = None, seconds: float = 20.0) -> Node:
        """Wait until one node (that one) is active and, where anybody listens, advertises what it ends up with."""
        ranked = ranking(vip, [node.member for node in self.members])
        bases = {member.name: base for member, base in zip(ranked, bases_for(len(ranked)), strict=True)}
        deadline = time.monotonic() + seconds
        while True:
            node = self.active(vip, seconds=seconds)
            if not any(other.powered for other in self.members if other is not node):
                return node  # nobody to hear adverts: none can be seen on the wire
            if on is None or node is on:
                wanted = bases[node.name] + (BONUS if vip.failback is Failback.NEVER else 0)
                with contextlib.suppress(NotInTime):
                    self.observer.wait_priority(node.number, vip.virtual_router_id, wanted, seconds=2)
                    return node
            elif time.monotonic() < deadline:
                with contextlib.suppress(NotInTime):
                    self.observer.wait_one_holder(vip.address, but=node.number, seconds=2)
            if time.monotonic() > deadline:
                raise NotInTime(
                    f"{vip.key} did not settle within {seconds} s: it is on {node.name}, which advertises "
                    f"{self.observer.priority(node.number, vip.virtual_router_id)}"
                )

    def standbys(self, vip: Vip) -> list[Node]:
        active = self.active(vip)
        return [node for node in self.nodes if node is not active and node.powered]

    # -- measuring ------------------------------------------------------------------------------------------------

    def client_of(
        self,
        *vips: Vip,
        spacing_ms: Mapping[Kind, float] = SCENARIO_SPACING,
        kinds: Sequence[Kind] = (),
        source: Namespace | None = None,
    ) -> Prober:
        """A client that asks these VIPs in every way (through haproxy where there is a front end)."""
        streams = [
            Stream(kind, address, port, spacing_ms[kind])
            for vip in vips
            for address in vip.addresses
            for kind, port in (
                (Kind.ICMP, 0),
                (Kind.UDP, ECHO_PORT),
                (Kind.TCP, ECHO_PORT),
                (Kind.PROXIED, vip.port or 0),
            )
            if (not kinds or kind in kinds) and (kind is not Kind.PROXIED or vip.port)
        ]
        file = self.folder / f"client-{next(_runs)}.records"
        return Prober(streams, network=source or self.client, record=self.record, file=file)

    def logs(self) -> str:
        return "\n".join(pod.logs() for node in self.nodes for pod in node.pods.values())


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise Missing("the lab makes network namespaces, which takes root")
    run("ip", "-V")
    run("nft", "--version")


def _memory_folder() -> Path:
    """A folder in memory: what a pod's emptyDir of medium Memory is."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else Path(tempfile.gettempdir())


def _end_in_order_on_sigterm() -> None:
    """SIGTERM unwinds like Ctrl-C, so that the clean-up runs."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, interrupt)

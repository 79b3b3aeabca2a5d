"""The fabrics themselves: what the real SDK told an emulated cloud decides which packets pass, and nothing else does.

No election runs here: an address is put on a node by hand, so that a packet that passes has one reason only.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address

import pytest

from e2e.clouds.regions import HuaweiRegion, Region, Site
from e2e.lab.fabrics import PROBER, Fabric, Gate, Seat
from e2e.lab.follow import wait_until
from e2e.lab.in_a_cloud import carry, laid
from e2e.lab.namespaces import Namespace, attach, inside, make_fabric, make_namespace
from e2e.lab.record import RunRecord
from havip.keeper.announce import Announcer
from havip.model.cloud import WantedVip
from havip.model.keys import Key

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
NAMES = ("n1", "n2", "n3")
VIP, OTHER = "10.77.0.200", "10.77.0.201"
PORT, PROBE_PORT = 7000, 59999
GATEWAY = "10.77.0.1"


def a_vip(address: str = VIP, *candidates: str) -> WantedVip:
    probe_port = PROBE_PORT if address == VIP else PROBE_PORT - 1
    key = Key("shop", f"vip-{address.rpartition('.')[2]}")
    return WantedVip(key, (ip_address(address),), candidates or NAMES, (("TCP", PORT),), probe_port)


@dataclass
class Bench:
    """Three nodes and a client in a cloud."""

    region: Region
    fabric: Fabric
    nodes: Mapping[str, Namespace]
    client: Namespace

    def tell(self, *vips: WantedVip) -> None:
        """The real provider brings the cloud to this."""
        carry(self.region, *vips)
        self.fabric.look()

    def hold(self, node: str, address: str = VIP) -> None:
        self.nodes[node].ip("address", "replace", f"{address}/32", "dev", "eth0")
        self.announce(node, address)

    def let_go(self, node: str, address: str = VIP) -> None:
        self.nodes[node].ip("address", "del", f"{address}/32", "dev", "eth0")

    def announce(self, node: str, address: str = VIP) -> None:
        inside(self.nodes[node], lambda: Announcer("eth0").announce([ip_address(address)]))

    def ask(self, address: str = VIP, *, source: Namespace | None = None) -> str:
        """The node that answers a new connection from the client (or a node); "" = nobody."""
        return inside(source or self.client, partial(_ask, address))

    def wait_answered_by(self, node: str, address: str = VIP) -> None:
        wait_until(f"{node} answers", lambda: self.ask(address) == node)


def _ask(address: str) -> str:
    try:
        with socket.create_connection((address, PORT), timeout=0.3) as asking:
            return asking.recv(16).decode()
    except OSError:
        return ""


@contextmanager
def _saying(network: Namespace, port: int, word: str) -> Iterator[None]:
    """Tells whoever connects there that word."""

    def listen() -> socket.socket:
        made = socket.create_server(("", port), backlog=64)
        made.settimeout(0.1)
        return made

    def loop() -> None:
        while not stop.is_set():
            with suppress(OSError):  # nobody came in time, or whoever came is gone again
                caller, _ = listening.accept()
                with caller:
                    caller.sendall(word.encode())

    stop = threading.Event()
    thread = threading.Thread(target=loop)
    with inside(network, listen) as listening:
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def a_bench(provider: str) -> Iterator[Bench]:
    prefix = f"hvf{os.getpid() % 100000}{provider[0].lower()}"
    record = RunRecord(prefix)
    with ExitStack() as undo:
        undo.callback(record.close)
        bridge = make_fabric(f"{prefix}-fabric", record)
        places = {name: 11 + index for index, name in enumerate(NAMES)} | {"client": 100}
        spaces: dict[str, Namespace] = {}
        for name, host in places.items():
            spaces[name] = make_namespace(f"{prefix}-{name}", record)
            attach(bridge, spaces[name], bridge_side=name, host=host, mac_tail=host)
            spaces[name].run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            spaces[name].ip("route", "add", "default", "via", GATEWAY)
        nodes = {name: spaces[name] for name in NAMES}
        for name, network in nodes.items():
            undo.enter_context(_saying(network, PORT, name))
        seats = [Seat(name, name, f"10.77.0.{places[name]}") for name in NAMES]
        gate = Gate(bridge, seats, gateway=f"{GATEWAY}/24", addresses=(PROBER,))
        site = Site({seat.node: seat.address for seat in seats}, "10.77.0.0/24")
        region, fabric = undo.enter_context(laid(gate, provider, site))
        yield Bench(region, fabric, nodes, spaces["client"])


@pytest.fixture(scope="module", params=["Huawei", "Tencent"])
def learning(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(request.param) as bench:
        yield bench


@pytest.fixture(scope="module")
def azure() -> Iterator[Bench]:
    with a_bench("Azure") as bench:
        yield bench


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in ("learning", "azure"):
        if name in request.fixturenames:
            bench: Bench = request.getfixturevalue(name)
            bench.tell()
            for network in bench.nodes.values():
                for address in (VIP, OTHER):
                    if address in network.ip("-o", "address", "show"):
                        network.ip("address", "del", f"{address}/32", "dev", "eth0")


# Every cloud that learns by gratuitous ARP


def test_an_address_the_cloud_was_not_told_reaches_nobody(learning: Bench) -> None:
    learning.hold("n1")
    assert learning.ask() == ""
    assert learning.ask(source=learning.nodes["n2"]) == ""


def test_a_vip_goes_to_the_candidate_that_announces_it(learning: Bench) -> None:
    learning.tell(a_vip())
    assert learning.ask() == ""
    learning.hold("n1")
    learning.wait_answered_by("n1")
    learning.let_go("n1")
    assert learning.ask() == "", "the cloud has not heard of another one"
    learning.hold("n2")
    learning.wait_answered_by("n2")
    assert learning.ask(source=learning.nodes["n3"]) == "n2"


def test_a_node_that_is_no_candidate_announces_in_vain(learning: Bench) -> None:
    learning.tell(a_vip(VIP, "n1", "n2"))
    learning.hold("n1")
    learning.wait_answered_by("n1")
    before = learning.fabric.gate.dropped()["spoofed"]
    learning.hold("n3")
    assert learning.ask() == "n1"
    assert learning.fabric.gate.dropped()["spoofed"] > before
    learning.let_go("n1")
    assert learning.ask() == ""


def test_a_vip_that_was_given_back_passes_no_more(learning: Bench) -> None:
    learning.tell(a_vip())
    learning.hold("n1")
    learning.wait_answered_by("n1")
    learning.tell()
    assert learning.ask() == ""


def test_nodes_reach_each_other_and_multicast_reaches_nobody(learning: Bench) -> None:
    nodes, gate = learning.nodes, learning.fabric.gate
    assert inside(nodes["n1"], partial(_ask, "10.77.0.12")) == "n2"
    before = gate.dropped()["multicast"]
    inside(nodes["n1"], _say_to_everybody)
    assert gate.dropped()["multicast"] == before + 1


def _say_to_everybody() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("224.0.0.18", 9))


def test_protocol_112_passes_unless_the_cloud_drops_it(learning: Bench) -> None:
    nodes, gate = learning.nodes, learning.fabric.gate
    heard = inside(nodes["n2"], _vrrp_socket)
    with heard:
        inside(nodes["n1"], partial(_advertise, "10.77.0.12"))
        assert heard.recv(64)
        gate.drop_vrrp(True)
        try:
            inside(nodes["n1"], partial(_advertise, "10.77.0.12"))
            with pytest.raises(TimeoutError):
                heard.recv(64)
            assert gate.dropped()["vrrp"] == 1
        finally:
            gate.drop_vrrp(False)


def _vrrp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    made.settimeout(0.5)
    return made


def _advertise(to: str) -> None:
    with _vrrp_socket() as sender:
        sender.sendto(b"\x31\x00\x00\x00\x00\x00\x00\x00", (to, 0))


def test_the_bridge_is_a_bridge_again_afterwards(learning: Bench) -> None:
    learning.tell()
    fabric = learning.fabric
    fabric.gate.take_away()
    try:
        learning.hold("n3")
        assert learning.ask() == "n3", "on plain layer 2 whoever has an address answers"
    finally:
        fabric.gate.close_for_all()


# Azure


def answers_probes(bench: Bench, node: str) -> AbstractContextManager[None]:
    """The node is up to the balancer, within."""
    return _saying(bench.nodes[node], PROBE_PORT, "")


@pytest.fixture
def quick(azure: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Probes ten times a second instead of every five seconds, which is Azure's least."""
    rules = azure.region.cloud.rules  # type: ignore[union-attr]  # an Azure region
    faster = lambda: tuple(replace(one, probe_interval=0.1) for one in rules())  # noqa: E731 - one use
    monkeypatch.setattr(azure.region.cloud, "rules", faster)
    return azure


def serving(bench: Bench) -> set[str]:
    return bench.fabric.serving(VIP)


def test_new_flows_go_to_the_node_that_answers_its_probe(quick: Bench) -> None:
    quick.tell(a_vip())
    for node in NAMES:
        quick.hold(node)
    assert quick.ask() == "", "nobody answers its probe"
    with answers_probes(quick, "n3"):
        with answers_probes(quick, "n2"):
            wait_until("both are up", lambda: serving(quick) == {"n2", "n3"})
            wait_until("both are given flows", lambda: {quick.ask() for _ in range(20)} == {"n2", "n3"})
        wait_until("n2 is down", lambda: serving(quick) == {"n3"})
        wait_until("n3 is given all flows", lambda: {quick.ask() for _ in range(20)} == {"n3"})


def test_who_holds_the_address_is_nothing_to_the_balancer(quick: Bench) -> None:
    quick.tell(a_vip())
    with answers_probes(quick, "n1"):
        wait_until("n1 is up", lambda: serving(quick) == {"n1"})
        quick.hold("n2")
        assert quick.ask() == "", "n1 is given the flow, and does not have the address"


def test_an_established_flow_stays_with_its_node_while_new_ones_go_elsewhere(quick: Bench) -> None:
    quick.tell(replace(a_vip(), ports=(("TCP", PORT), ("TCP", PORT + 1))))
    for node in ("n1", "n2"):
        quick.hold(node)
    with ExitStack() as undo:
        lasting = undo.enter_context(inside(quick.nodes["n1"], lambda: socket.create_server(("", PORT + 1))))
        with answers_probes(quick, "n1"):
            quick.wait_answered_by("n1")
            flow = inside(quick.client, lambda: socket.create_connection((VIP, PORT + 1), timeout=2))
            undo.enter_context(flow)
            caller, _ = lasting.accept()
            undo.enter_context(caller)
        undo.enter_context(answers_probes(quick, "n2"))
        wait_until("n2 is up alone", lambda: serving(quick) == {"n2"})
        quick.wait_answered_by("n2")
        flow.sendall(b"still there")
        caller.settimeout(2)
        assert caller.recv(32) == b"still there"


def test_with_every_node_down_new_flows_are_dropped(quick: Bench) -> None:
    quick.tell(a_vip())
    quick.hold("n1")
    with answers_probes(quick, "n1"):
        quick.wait_answered_by("n1")
    wait_until("n1 is down", lambda: serving(quick) == set())
    wait_until("nobody is given flows", lambda: quick.ask() == "")


def test_a_probe_comes_from_azures_own_address(quick: Bench) -> None:
    listening = inside(quick.nodes["n1"], lambda: socket.create_server(("", PROBE_PORT)))
    with listening:
        quick.tell(a_vip())
        listening.settimeout(5)
        caller, (source, _) = listening.accept()
        caller.close()
    assert source == PROBER


def test_a_node_outside_the_pool_gets_nothing(quick: Bench) -> None:
    quick.tell(a_vip(VIP, "n1", "n2"))
    quick.hold("n3")
    with answers_probes(quick, "n3"), answers_probes(quick, "n1"):
        wait_until("n1 is up", lambda: serving(quick) == {"n1"})
        assert quick.ask() == ""


# Huawei


@pytest.mark.parametrize("learning", ["Huawei"], indirect=True)
def test_while_its_source_destination_check_is_on_only_the_holder_reaches_the_vip(learning: Bench) -> None:
    region = learning.region
    assert isinstance(region, HuaweiRegion)
    learning.tell(a_vip())
    learning.hold("n1")
    learning.wait_answered_by("n1")
    before = {nic.id: region.cloud.store.port(nic.id)["allowed_address_pairs"] for nic in region.cloud.store.nics()}
    try:
        with region.cloud.lock:
            for nic in before:  # somebody switches it on again
                region.cloud.store.ports[nic]["allowed_address_pairs"] = []
        learning.fabric.look()
        assert learning.ask(source=learning.nodes["n1"]) == "n1", "on the node itself no cloud is in between"
        assert {learning.ask(source=learning.nodes[name]) for name in ("n2", "n3")} | {learning.ask()} == {""}
        learning.tell(a_vip())
        learning.announce("n1")
        everywhere = [learning.client, *learning.nodes.values()]
        wait_until("all reach n1", lambda: {learning.ask(source=one) for one in everywhere} == {"n1"})
    finally:
        learning.tell()

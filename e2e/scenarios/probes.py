"""A load balancer as Azure's is seen from a node: it asks nodes from an address of its own, and picks one per flow.

It stands in the lab's client. A flow reaches the node it was given to by a mark (the VIP stays its destination, as
with a floating IP), so that no ARP decides anything.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Self

from e2e.lab import Lab, Node, NotInTime, now
from e2e.lab.follow import wait_until
from e2e.lab.namespaces import inside
from havip.model.address import Network, parse_network
from havip.model.election import Instance, Probe

PROBER = "168.63.129.16"
SOURCES = (parse_network(f"{PROBER}/32"),)
SERVICE_PORT = 7100
"""Where every node echoes lines on connections that stay open."""
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_FIRST_TABLE = 100


class Repeating:
    """Loops on threads of their own, from entering to leaving. Each ends by itself once `_stop` is set."""

    def __init__(self, *loops: Callable[[], None]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=loop) for loop in loops]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Answer(Enum):
    """What a probe gets."""

    UP = "up"
    RESET = "reset"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Asked:
    """One probe. `at`, in nanoseconds of the lab's clock, is when it was sent."""

    at: int
    node: int
    answer: Answer
    took_ms: float


def ask(lab: Lab, node: Node, port: int, *, source: str = PROBER, target: str = "", seconds: float = 1.0) -> Asked:
    """One probe to the node's own address, or to `target`."""
    return inside(lab.client, lambda: _ask(node, port, source=source, target=target, seconds=seconds))


def _ask(node: Node, port: int, *, source: str, target: str = "", seconds: float = 1.0) -> Asked:
    address = target or (node.member.address6 if ":" in source else node.member.address4)
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET) as one:
        one.settimeout(seconds)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        one.bind((source, 0))
        at = now()
        try:
            one.connect((address, port))
            answer = Answer.UP
        except ConnectionRefusedError:
            answer = Answer.RESET
        except TimeoutError:
            answer = Answer.SILENCE
        return Asked(at, node.number, answer, (now() - at) / 1e6)


class Asking(Repeating):
    """Asks nodes over and over, each on a thread of its own. Use as a context manager."""

    def __init__(self, lab: Lab, nodes: Sequence[Node], port: int, *, spacing_ms: float = 5.0) -> None:
        super().__init__(*(partial(inside, lab.client, partial(self._ask_on, node)) for node in nodes))
        self._port, self._spacing = port, spacing_ms / 1000
        self._asked: list[Asked] = []

    def _ask_on(self, node: Node) -> None:
        while not self._stop.wait(self._spacing):
            self._asked.append(_ask(node, self._port, source=PROBER))

    def of(self, node: Node) -> list[Asked]:
        return sorted((one for one in tuple(self._asked) if one.node == node.number), key=lambda one: one.at)

    def wait_asked(self, node: Node, count: int, *, after: int) -> None:
        """Until that node was asked so often after that moment."""
        wait_until(
            f"{node.name} was asked {count} times", lambda: sum(one.at > after for one in self.of(node)) >= count
        )

    def changes(self, node: Node) -> list[Asked]:
        """The first probe, and each whose answer is another than the one before it."""
        found = self.of(node)
        return found[:1] + [after for before, after in itertools.pairwise(found) if before.answer is not after.answer]


def probed(probe: Probe) -> Callable[[str, Instance], Instance]:
    """For `declare(edit=...)`: every instance is probed so."""
    return lambda _node, instance: replace(instance, probe=probe)


def prepare(lab: Lab) -> None:
    """The balancer's address and its way to every node; and every node's way back."""
    lab.client.ip("address", "add", f"{PROBER}/32", "dev", "lo")
    for node in lab.nodes:
        node.network.ip("route", "add", f"{PROBER}/32", "via", client_address(lab))
        table = str(_FIRST_TABLE + node.number)
        lab.client.ip("rule", "add", "fwmark", str(node.number), "lookup", table)
        lab.client.ip("route", "add", "default", "via", node.member.address4, "dev", "eth0", "table", table)


def client_address(lab: Lab) -> str:
    """The client's own, which is none of the probe's sources."""
    words = lab.client.ip("-4", "-o", "address", "show", "dev", "eth0").split()
    return words[words.index("inet") + 1].partition("/")[0]


def connect(lab: Lab, node: Node, vip: str, port: int = SERVICE_PORT, *, seconds: float = 1.0) -> socket.socket:
    """A flow that the balancer gives to that node."""

    def work() -> socket.socket:
        one = socket.socket()
        one.settimeout(seconds)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, node.number)
        one.connect((vip, port))
        return one

    return inside(lab.client, work)


@contextmanager
def no_way_between_nodes(lab: Lab) -> Iterator[None]:
    """What a node forwards to a VIP is dropped by the fabric: on plain layer 2 it would reach the active node."""
    rules = [
        f"add rule bridge cloud forwarded ether saddr {node.port.mac} ip daddr 10.77.0.120-10.77.0.221 drop"
        for node in lab.nodes
    ]
    chain = "add chain bridge cloud forwarded { type filter hook forward priority 0; }"
    lab.fabric.nft("\n".join(["add table bridge cloud", chain, *rules]))
    try:
        yield
    finally:
        lab.fabric.nft("delete table bridge cloud")


@contextmanager
def services(lab: Lab) -> Iterator[None]:
    """On every node, something that answers each line with the node's name, for as long as the client likes."""
    listeners: list[socket.socket] = []
    for node in lab.nodes:
        listener = inside(node.network, _listener)
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, node.name), daemon=True).start()
    try:
        yield
    finally:
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _listener() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("0.0.0.0", SERVICE_PORT))
    made.listen(128)
    return made


def _serve(listener: socket.socket, name: str) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection, name), daemon=True).start()


def _echo(connection: socket.socket, name: str) -> None:
    try:
        with connection:
            while connection.recv(100):
                connection.sendall(name.encode() + b"\n")
    except OSError:
        return


class Flow(Repeating):
    """One open connection through a node that says a line every 20 ms and wants its answer."""

    def __init__(self, lab: Lab, node: Node, vip: str) -> None:
        super().__init__(self._talk)
        self._socket = connect(lab, node, vip)
        self.answered_at = now()
        self.answers: set[str] = set()
        self.broken = ""

    def _talk(self) -> None:
        try:
            while not self._stop.wait(0.02):
                self._socket.sendall(b"?\n")
                self.answers.add(self._socket.recv(100).decode().split("\n")[0])
                self.answered_at = now()
        except OSError as error:
            self.broken = str(error)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._socket.close()


class Balancer(Repeating):
    """Asks every node at an interval, believes `threshold` answers of one kind, gives new flows to nodes that are up.

    `lost`: new connections that did not come about, with the node they were given to.
    """

    def __init__(self, lab: Lab, vip: str, probe: Probe) -> None:
        loops: list[Callable[[], None]] = [*(partial(self._ask_on, node) for node in lab.nodes), self._connect_on]
        super().__init__(*(partial(inside, lab.client, loop) for loop in loops))
        self._vip, self._probe = vip, probe
        self.up: set[int] = set()
        self.lost: list[tuple[int, int, str]] = []
        self.given: dict[int, int] = {}

    def _ask_on(self, node: Node) -> None:
        against = 0
        while not self._stop.wait(self._probe.interval_ms / 1000):
            well = _ask(node, self._probe.port, source=PROBER, seconds=0.1).answer is Answer.UP
            against = 0 if well is (node.number in self.up) else against + 1
            if against >= self._probe.threshold:
                (self.up.add if well else self.up.discard)(node.number)
                against = 0

    def _connect_on(self) -> None:
        turn = itertools.count()
        while not self._stop.wait(0.002):
            choice = sorted(self.up)
            if not choice:
                continue
            number = choice[next(turn) % len(choice)]
            self.given[number] = self.given.get(number, 0) + 1
            with socket.socket() as one:
                one.settimeout(0.5)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, number)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                at = now()
                try:
                    one.connect((self._vip, SERVICE_PORT))
                except OSError as error:
                    self.lost.append((at, number, str(error)))

    def wait_up(self, *numbers: int, seconds: float = 10.0) -> None:
        """Until the balancer believes exactly these to be up: from then on, new flows go there."""
        try:
            wait_until(f"the balancer believes {numbers} up", lambda: self.up == set(numbers), seconds=seconds)
        except NotInTime as late:
            raise NotInTime(f"{late}; it believes {self.up} up") from None

    def wait_given(self, node: Node, count: int) -> None:
        """Until so many more new flows were given to that node."""
        wanted = self.given.get(node.number, 0) + count
        wait_until(f"{count} flows given to {node.name}", lambda: self.given.get(node.number, 0) >= wanted)


def half_open(lab: Lab, node: Node, port: int, count: int, *, network: Network) -> None:
    """SYNs from hosts of that network that are not there, so that no handshake ends."""
    with inside(lab.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as raw:
        target = socket.inet_aton(node.member.address4)
        for index in range(count):
            source = (network.network_address + 1 + index % (network.num_addresses - 2)).packed
            raw.sendto(_syn(source, target, 10_000 + index, port), (node.member.address4, 0))


def _syn(source: bytes, target: bytes, sport: int, dport: int) -> bytes:
    segment = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, 0x02, 64_240, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment))
    total = sum(struct.unpack(f"!{(len(pseudo) + len(segment)) // 2}H", pseudo + segment))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    segment = segment[:16] + struct.pack("!H", ~total & 0xFFFF) + segment[18:]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, socket.IPPROTO_TCP, 0, source, target)
    return header + segment

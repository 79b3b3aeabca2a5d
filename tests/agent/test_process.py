"""The agent as it is started in a pod: orders in a folder, a keeper on its socket, a real haproxy; from outside."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.agent import orders
from tests.agent.haproxy import real

from havip.agent.haproxy import ports
from havip.model.election import read_election
from havip.model.keys import Key
from havip.model.node import NodeStatus
from havip.model.paths import Folders
from havip.model.report import InstanceReport, KeeperReport
from havip.model.states import State


class Keeper:
    """Says its report to everyone who connects, and again when it changes."""

    def __init__(self, folders: Folders) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(folders.state_socket))
        self._server.listen()
        self._report = b""
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def says(self, report: KeeperReport) -> None:
        self._report = json.dumps(report.to_json()).encode() + b"\n"
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.sendall(self._report)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        for one in (self._server, *self._connections):
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            connection.sendall(self._report)


class Node:
    """One node pod without keepalived: its agent is a process, its keeper is us."""

    def __init__(self, root: Path, folders: Folders) -> None:
        self.folders = folders
        self.source = root / "source"
        self.source.mkdir()
        self.keeper = Keeper(folders)
        self.keeper.says(orders.keeper_report(applied=0))
        self._log = root / "agent.log"
        self._environment = {
            **os.environ,
            "HAVIP_RUN": str(folders.root),
            "HAVIP_CLASS": "edge",
            "HAVIP_NODE": "n1",
            "HAVIP_SOURCE": str(self.source),
        }
        self.agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "havip.agent"], env=self._environment, stderr=log, stdout=log
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        code = self.agent.wait(20)
        self.agent = None
        return code

    def is_told(self, *instances: orders.Body, pools: tuple[orders.Body, ...] = (), generation: int) -> None:
        body = orders.spec(*instances, interface={"name": self.interface()})
        orders.write_source(self.source, body, *pools, generation=generation)

    @staticmethod
    def interface() -> str:
        names = [name for _, name in socket.if_nameindex() if name != "lo"]
        if not names:
            pytest.fail("this machine has no network interface besides lo", pytrace=False)
        return names[0]

    def status(self) -> NodeStatus | None:
        try:
            return NodeStatus.from_json(json.loads((self.source / "status.json").read_text()))
        except FileNotFoundError:
            return None

    def until(self, condition: Callable[[NodeStatus], bool]) -> NodeStatus:
        end = time.monotonic() + 30
        while True:
            status = self.status()
            if status is not None and condition(status):
                return status
            assert time.monotonic() < end, f"{status}\n{self._log.read_text()}"
            time.sleep(0.02)

    def log(self) -> list[orders.Body]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def memory(self) -> int:
        """Resident KiB of the agent."""
        assert self.agent is not None
        for line in Path(f"/proc/{self.agent.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def cpu(self) -> float:
        """Seconds of CPU the agent has used."""
        assert self.agent is not None
        fields = Path(f"/proc/{self.agent.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def node(root: Path, folders: Folders) -> Iterator[Node]:
    it = Node(root, folders)
    yield it
    if it.agent is not None:
        it.stop(signal.SIGKILL)
    it.keeper.close()


def active(havip: str = "shop/web", vrid: int = 7) -> InstanceReport:
    return InstanceReport(Key.parse(havip), vrid, State.ACTIVE, "2026-01-01T00:00:00.000Z", "Elected")


def test_orders_become_an_election_document_also_without_any_haproxy(node: Node) -> None:
    node.is_told(orders.instance(), pools=(orders.pool(),), generation=3)
    node.start()
    node.until(lambda status: "haproxy" in status.error)
    election, left_out = read_election(json.loads(Path(node.folders.election_document).read_text()))
    assert (election.generation, election.interface, left_out) == (3, node.interface(), ())
    assert [instance.tracked for instance in election.instances] == [True]


def test_what_the_keeper_says_is_in_the_status_at_once(node: Node) -> None:
    node.is_told(orders.instance(frontends=[]), generation=1)
    node.start()
    node.until(lambda status: status.vips == ())
    node.keeper.says(orders.keeper_report(active(), applied=1))
    status = node.until(lambda status: status.vips == (active(),))
    assert status.applied_generation == 1
    assert status.interface is not None
    assert status.interface.name == node.interface()


def test_a_signal_ends_it_cleanly_and_leaves_status_and_document_alone(node: Node) -> None:
    node.is_told(orders.instance(frontends=[]), generation=1)
    node.start()
    node.keeper.says(orders.keeper_report(active(), applied=1))
    before = node.until(lambda status: status.applied_generation == 1)
    document = Path(node.folders.election_document).stat()
    assert node.stop() == 0
    assert node.status() == before
    assert Path(node.folders.election_document).stat().st_mtime_ns == document.st_mtime_ns
    assert {line["level"] for line in node.log()} <= {"info", "warning"}


def test_started_again_it_leaves_document_and_status_as_they_are(node: Node) -> None:
    node.is_told(orders.instance(frontends=[]), generation=1)
    node.keeper.says(orders.keeper_report(active(), applied=1))
    node.start()
    node.until(lambda status: status.applied_generation == 1)
    node.stop()
    document = Path(node.folders.election_document)
    before = document.stat().st_mtime_ns
    node.start()
    node.keeper.says(orders.keeper_report(active(), applied=1, error="something to wait for"))
    node.until(lambda status: "something to wait for" in status.error)
    assert document.stat().st_mtime_ns == before


def test_a_spec_that_is_refused_leaves_the_document_and_names_the_field(node: Node) -> None:
    node.is_told(orders.instance(frontends=[]), generation=1)
    node.keeper.says(orders.keeper_report(active(), applied=1))
    node.start()
    node.until(lambda status: status.applied_generation == 1)
    document = Path(node.folders.election_document).read_bytes()
    orders.write_source(node.source, {**orders.spec(), "timing": "soon"}, generation=2)
    node.until(lambda status: status.error.startswith("spec.timing: must be an object"))
    assert Path(node.folders.election_document).read_bytes() == document


@pytest.mark.binaries
def test_fifty_havips_fit_into_the_memory_and_the_time_of_a_node(node: Node) -> None:
    """The whole node pod may have 60 MiB for agent and keeper and 3 % of a core."""
    instances, pools, reports = [], [], []
    for number in range(50):
        name, address = f"shop/web{number}", f"10.88.1.{number + 1}"
        front_end = orders.frontend("http", 20_000 + number, f"shop/p{number}")
        instances.append(orders.instance(name, vrid=number + 1, addresses=[address], frontends=[front_end]))
        pools.append(orders.pool(f"shop/p{number}", servers=[f"10.88.2.{last}:80" for last in (1, 2, 3)]))
        reports.append(active(name, number + 1))
    node.is_told(*instances, pools=tuple(pools), generation=1)
    node.keeper.says(orders.keeper_report(*reports, applied=1))
    with real.Haproxy(node.folders):
        node.start()
        status = node.until(lambda status: len(status.pools) == 50 and status.applied_generation == 1)
        assert (status.error, status.left_out) == ("", ())
        written = (node.source / "status.json").stat().st_mtime_ns
        before, start = node.cpu(), time.monotonic()
        time.sleep(10)  # the length of the measurement, not a wait
        used = (node.cpu() - before) / (time.monotonic() - start)
        print(f"agent with 50 HAVips: {node.memory() / 1024:.1f} MiB, {used:.2%} of a core")  # noqa: T201  # a figure of the run
        assert node.memory() < 40 * 1024
        assert used < 0.03
        assert (node.source / "status.json").stat().st_mtime_ns == written, "nothing changed, so nothing is said"


@pytest.mark.binaries
def test_a_front_end_is_bound_on_an_address_that_this_node_does_not_hold(node: Node) -> None:
    port = real.free_port()
    node.is_told(orders.instance(frontends=[orders.frontend("http", port)]), pools=(orders.pool(),), generation=1)
    node.keeper.says(orders.keeper_report(applied=1))
    with real.Haproxy(node.folders):
        node.start()
        status = node.until(lambda status: status.applied_generation == 1 and bool(status.pools))
        assert (status.error, status.left_out) == ("", ())
        assert [(pool.healthy, pool.total) for pool in status.pools] == [(1, 1)]
        assert (ipaddress.ip_address("10.88.0.200"), port) in ports.listening().sockets

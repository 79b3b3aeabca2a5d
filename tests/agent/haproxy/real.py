"""A real haproxy in a temporary folder, servers that say their name, and orders for both. Loopback only.

The servers are on 127.0.0.1, which the typed path refuses; so these orders are built as values, not read as documents.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import pytest
from tests.agent import orders

from havip.agent.desired import Desired, PoolOrder
from havip.agent.haproxy.files import prepare
from havip.model.address import Address
from havip.model.keys import Key
from havip.model.paths import Folders
from havip.model.pool import HealthCheck, Pool, RealServer
from havip.model.states import Algorithm, Engine

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # a user's own may be without the sbin ones
LOOPBACK: Address = ipaddress.ip_address("127.0.0.1")
WEB = Key("shop", "web")
FAST = HealthCheck(interval_ms=100, timeout_ms=100, rise=1, fall=1, http_path=None)


def binary() -> str:
    """haproxy of this machine, or the one that HAPROXY names, such as the image's 3.0."""
    found = os.environ.get("HAPROXY") or shutil.which("haproxy", path=_PATH)
    if found is None:
        pytest.fail("haproxy is missing: apt-get install haproxy", pytrace=False)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def listening_on(port: int) -> socket.socket:
    """Somebody else on that port of 127.0.0.1, as soon as the last worker of a haproxy that ended has let go of it."""
    end = time.monotonic() + 30
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < end, f"port {port} does not become free"
            time.sleep(0.05)


def eventually(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


class Haproxy:
    """The process, started as its container starts it."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path(folders.root) / "haproxy.log"

    def __enter__(self) -> Haproxy:
        prepare(self.folders)
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        master, file = self.folders.haproxy_master_socket, self.folders.haproxy_config_file
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), "-W", "-S", f"{master},mode,660", "-f", str(file)], stdout=log, stderr=log
            )
        eventually(lambda: can_connect(str(self.folders.haproxy_health_socket)))

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def log(self) -> str:
        return self._log.read_text()


def can_connect(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(path) == 0


class Server:
    """Answers every connection with its name, then echoes."""

    def __init__(self, name: str, *, family: socket.AddressFamily = socket.AF_INET) -> None:
        self._name = name
        self._socket = socket.create_server(("127.0.0.1" if family == socket.AF_INET else "::1", 0), family=family)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(self._name.encode() + b"\n")
            while data := connection.recv(4096):
                connection.sendall(data)


@dataclass(frozen=True)
class Orders:
    """Front ends by name and port on a loopback address, all to one pool; change with `replace`."""

    ports: dict[str, int]
    servers: tuple[RealServer, ...] = ()
    algorithm: Algorithm = Algorithm.ROUND_ROBIN
    check: HealthCheck | None = None
    digest: str = "one"
    generation: int = 1
    address: Address = LOOPBACK

    def desired(self) -> Desired:
        front_ends = [orders.frontend(name, port) for name, port in self.ports.items()]
        base = orders.desired(orders.spec(orders.instance(frontends=front_ends)), generation=self.generation)
        (item,) = base.spec.assignments
        instance = replace(item.instance, addresses=(self.address,))
        pool = Pool(WEB, Engine.HAPROXY, self.algorithm, self.check, self.servers)
        return replace(
            base,
            spec=replace(base.spec, assignments=(replace(item, instance=instance),)),
            pools={WEB: PoolOrder(pool, self.digest)},
        )


def to(*servers: Server, weight: int = 1) -> tuple[RealServer, ...]:
    return tuple(RealServer(LOOPBACK, server.port, weight) for server in servers)


@contextlib.contextmanager
def connected(port: int) -> Iterator[tuple[socket.socket, str]]:
    """A connection through haproxy and the name of the server that took it (empty: haproxy closed it)."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        try:
            name = one.recv(100).decode().strip()
        except ConnectionResetError:
            name = ""
        yield one, name


def answers(port: int) -> str:
    with connected(port) as (_, name):
        return name


def echoes(one: socket.socket) -> bool:
    one.sendall(b"still there?")
    return one.recv(100) == b"still there?"

"""Network namespaces and the bridge between them: the fabric of plain layer 2.

Only namespaces made here are touched; nothing of the host's own network is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from e2e.lab.compiled import Missing
from e2e.lab.record import RunRecord

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(RuntimeError):
    """The lab itself did not work: never a finding about the product."""


def run(*words: str, text: str | None = None) -> str:
    """Run a program to its end and return what it said. Raises `LabError` with what it complained about."""
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        raise Missing(f"the lab needs the program {words[0]}, which is not installed") from None
    if done.returncode:
        raise LabError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace with `lo` and, once attached, `eth0`."""

    name: str

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.name

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.name, *words)

    def run(self, *words: str, text: str | None = None) -> str:
        return run("ip", "netns", "exec", self.name, *words, text=text)

    def nft(self, rules: str) -> None:
        self.run("nft", "-f", "-", text=rules)


def inside(network: Namespace, work: Callable[[], T]) -> T:
    """Does that in the namespace, on a thread of its own. Sockets made there stay there."""
    done: list[T] = []
    failed: list[BaseException] = []

    def there() -> None:
        try:
            _enter(network)
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _enter(network: Namespace) -> None:
    descriptor = os.open(network.path, os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            raise LabError(f"cannot enter {network.name}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def make_namespace(name: str, record: RunRecord) -> Namespace:
    record.namespace(name)
    run("ip", "netns", "add", name)
    made = Namespace(name)
    made.ip("link", "set", "lo", "up")
    return made


@dataclass(frozen=True, slots=True)
class Port:
    """One cable: `eth0` in a namespace, a bridge port named `bridge_side` in the fabric."""

    fabric: Namespace
    bridge_side: str
    mac: str
    addresses: tuple[str, ...]

    def plug(self, *, into: bool) -> None:
        """Cable in or out. Out, the other end sees its carrier go, as with a switch port that is shut."""
        self.fabric.ip("link", "set", self.bridge_side, "up" if into else "down")


def make_fabric(name: str, record: RunRecord) -> Namespace:
    fabric = make_namespace(name, record)
    fabric.ip(*["link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"])
    fabric.ip("link", "set", "br0", "up")
    return fabric


def attach(fabric: Namespace, member: Namespace, *, bridge_side: str, host: int, mac_tail: int) -> Port:
    """Connect a namespace as 10.77.0.<host> and fd77::<host>, with a MAC that ends in `mac_tail`."""
    mac = f"02:77:00:00:00:{mac_tail:02x}"
    addresses = (f"10.77.0.{host}/24", f"fd77::{host}/64")
    fabric.ip(*f"link add {bridge_side} type veth peer name eth0 address {mac} netns {member.name}".split())
    fabric.ip("link", "set", bridge_side, "master", "br0", "up")
    member.ip("link", "set", "eth0", "up")
    member.ip("address", "add", addresses[0], "dev", "eth0")
    member.ip("address", "add", addresses[1], "dev", "eth0", "nodad")
    return Port(fabric, bridge_side, mac, addresses)

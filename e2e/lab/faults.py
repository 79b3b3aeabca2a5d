"""What others do to a node or to the fabric: dropped protocols, forged adverts, a keepalived that is not ours.

Every fault is a context manager: it is over when the scenario leaves it, however it leaves.
"""

from __future__ import annotations

import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from e2e.lab.compiled import checkout
from e2e.lab.container import Container
from e2e.lab.lab import Lab, Node
from e2e.lab.namespaces import LabError, Namespace

VRRP = 112


@contextmanager
def adverts_dropped(lab: Lab, *pairs: tuple[Node, Node]) -> Iterator[None]:
    """The fabric drops protocol 112 between these nodes, both ways; everything else passes."""
    rules = [
        f"add rule bridge lab drops ether saddr {one.port.mac} ether daddr {other.port.mac} {match} drop"
        for pair in pairs
        for one, other in (pair, pair[::-1])
        for match in (f"ip protocol {VRRP}", f"ip6 nexthdr {VRRP}")
    ]
    lab.fabric.nft(
        "\n".join(
            ["add table bridge lab", "add chain bridge lab drops { type filter hook forward priority 0; }", *rules]
        )
    )
    try:
        yield
    finally:
        lab.fabric.nft("delete table bridge lab")


def all_pairs(nodes: Sequence[Node]) -> list[tuple[Node, Node]]:
    return [(one, other) for index, one in enumerate(nodes) for other in nodes[index + 1 :]]


@contextmanager
def adverts_forged(lab: Lab, *, vip: str, virtual_router_id: int, priority: int = 255) -> Iterator[None]:
    """Somebody on the segment who is no peer sends two VRRPv3 adverts a second to every node."""
    words = [sys.executable, "-m", "e2e.lab.faults", vip, str(virtual_router_id), str(priority)]
    words += [node.member.address4 for node in lab.nodes]
    forger = Container(
        words,
        network=lab.client,
        record=lab.record,
        log=lab.folder / "forger.log",
        environment={"PYTHONPATH": f"{checkout()}:{checkout() / 'operator'}"},
    )
    try:
        yield
        if not forger.running:
            raise LabError(f"nobody forged anything: {forger.said()}")
    finally:
        forger.kill()


def vrrp_v3_advert(*, source: str, target: str, virtual_router_id: int, priority: int, vip: str) -> bytes:
    """An IPv4 VRRPv3 advertisement without its IP header (RFC 9568, 5.2), advert interval 10 centiseconds."""
    address = IPv4Address(vip).packed
    pseudo = IPv4Address(source).packed + IPv4Address(target).packed
    body = struct.pack("!BBBBHH", 0x31, virtual_router_id, priority, 1, 10, 0) + address
    total = sum(struct.unpack(f"!{(len(body) + 12) // 2}H", pseudo + struct.pack("!BBH", 0, VRRP, len(body)) + body))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return body[:6] + struct.pack("!H", ~total & 0xFFFF) + body[8:]


def _forge(vip: str, virtual_router_id: int, priority: int, targets: Sequence[str]) -> None:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, VRRP)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
    while True:
        for target in targets:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.connect((target, 1))
                source = asking.getsockname()[0]
            advert = vrrp_v3_advert(
                source=source, target=target, virtual_router_id=virtual_router_id, priority=priority, vip=vip
            )
            raw.sendto(advert, (target, 0))
        time.sleep(0.5)


def plain_configuration(
    *,
    name: str,
    virtual_router_id: int,
    priority: int,
    source: str,
    peers: Sequence[str],
    vip: str,
    advert_seconds: float = 1.0,
) -> str:
    """keepalived.conf as an administrator writes it by hand: keepalived's defaults wherever it has one."""
    listed = "\n".join(f"        {peer}" for peer in peers)
    return f"""global_defs {{
    router_id {name}
    vrrp_version 3
}}
vrrp_instance {name} {{
    state BACKUP
    interface eth0
    virtual_router_id {virtual_router_id}
    priority {priority}
    advert_int {advert_seconds}
    unicast_src_ip {source}
    unicast_peer {{
{listed}
    }}
    virtual_ipaddress {{
        {vip}/32
    }}
}}
"""


class PlainKeepalived:
    """A keepalived on a node that is not the product's: another system's, or the comparison of a bench."""

    def __init__(self, lab: Lab, node: Node, *, name: str, configuration: str) -> None:
        self._lab, self._network, self._name = lab, node.network, name
        self._folder = lab.folder / f"{node.name}-{name}"
        self._folder.mkdir(exist_ok=True)
        (self._folder / "keepalived.conf").write_text(configuration, encoding="utf-8")
        self.container = self._start()

    def _start(self) -> Container:
        own = {"-f": "keepalived.conf", "-p": "main.pid", "-r": "vrrp.pid", "-c": "checkers.pid", "-b": "bfd.pid"}
        words = ["keepalived", "--dont-fork", "--log-console", "--vrrp"]
        for option, file in own.items():
            words += [option, str(self._folder / file)]
        return Container(
            words,
            network=self._network,
            record=self._lab.record,
            log=self._folder / "log",
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def kill(self) -> None:
        self.container.kill()

    def restart(self) -> None:
        for pid_file in self._folder.glob("*.pid"):
            pid_file.unlink()
        self.container = self._start()


def refusing_keepalived(folder: Path) -> tuple[Path, Path]:
    """A keepalived whose `-t` refuses every file while a switch file exists. Returns program and switch."""
    program, switch = folder / "keepalived-that-refuses", folder / "refuse"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ -e {switch} ]; then for word; do case "$word" in -t|--config-test*)\n'
        '    echo "(Line 1) this binary knows no such keyword" >&2; exit 1;; esac; done; fi\n'
        'exec keepalived "$@"\n',
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program, switch


def flush_addresses(node: Node) -> None:
    """What `networkctl` or a careless script does: every address of eth0 goes, then the node's own come back."""
    _flush(node.network)
    for address in node.port.addresses:
        words = ["nodad"] if ":" in address else []
        node.network.ip("address", "replace", address, "dev", "eth0", *words)


def _flush(network: Namespace) -> None:
    network.ip("address", "flush", "dev", "eth0", "scope", "global")


if __name__ == "__main__":
    _forge(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])

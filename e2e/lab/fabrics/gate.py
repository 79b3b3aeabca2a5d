"""What a cloud's network lets through, laid over the bridge that nodes and client share.

On a bridge an address is where somebody says that it is; in a cloud it is where the cloud was told that it is. So
here nobody is believed: every port may use its own addresses, a VIP is asked for and answered by the fabric alone, and
goes to the node that the cloud names, or nowhere. What a cloud is told is read elsewhere; this is the packets' side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.lab.namespaces import Namespace, inside, run
from havip.keeper.nftables.library import Nftables

VRRP = "ip protocol vrrp counter name vrrp drop"
_MAC = "02:fa:b0:00:00:fe"
_FIRST_MARK = 101
_FLOW_SECONDS = 240
"""How long a balancer remembers an idle flow: Azure's default."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A node on the fabric: its port on the bridge, its own address, and networks that the routes lead to it."""

    node: str
    port: str
    address: str
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """What the cloud lets pass of one VIP.

    `leave`, `enter`: nodes that may send from it and be sent what is for it. `holder`: the node that all of it goes
    to; None = nobody, or as `Sight.fronts` says. `learns`: nodes that become the holder by announcing it: the kernel
    sees to that, since a program that hears of it is too late for the next packet.
    """

    leave: frozenset[str] = frozenset()
    enter: frozenset[str] = frozenset()
    holder: str | None = None
    learns: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Front:
    """What a balancer spreads: new flows to an address and a port. `protocol`: tcp or udp."""

    address: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Sight:
    """All that passes at a moment. `fronts`: the nodes that get new flows; none = they are dropped."""

    passages: Mapping[str, Passage]
    fronts: Mapping[Front, tuple[str, ...]]


class Gate:
    """The rules in the fabric's namespace. `gateway`: its own address with prefix, which every node's default route
    names; further `addresses` are its own too."""

    def __init__(
        self,
        network: Namespace,
        seats: Sequence[Seat],
        *,
        gateway: str,
        addresses: Sequence[str] = (),
        bridge: str = "br0",
    ) -> None:
        self.network = network
        self.seats = tuple(seats)
        self._gateway = gateway
        self._addresses = tuple(addresses)
        self._bridge = bridge
        self._marks = {seat.node: _FIRST_MARK + index for index, seat in enumerate(self.seats)}
        self._vips: set[str] = set()
        self._nftables: Nftables

    def close_for_all(self) -> None:
        """Lay the rules; from now on nothing passes but what nodes own."""
        settings = [
            "net.ipv4.ip_forward=1",
            *(f"net.ipv4.conf.{one}.send_redirects=0" for one in ("all", self._bridge)),
            *(f"net.ipv4.conf.{one}.rp_filter=0" for one in ("all", self._bridge)),
            f"net.ipv4.neigh.{self._bridge}.proxy_delay=0",
        ]  # fmt: skip
        self.network.run("sysctl", "-qw", *settings)
        # Else it is the lowest of its ports', and changes with a node that comes or goes.
        lines = [f"link set {self._bridge} address {_MAC}", f"address add {self._gateway} dev {self._bridge}"]
        lines += [f"address add {one}/32 dev {self._bridge}" for one in self._addresses]
        # The kernel answers for an address that it would route to another device than the one that asked.
        lines += ["link add vips type bridge", "link set vips up"]
        for seat in self.seats:
            mark = self._marks[seat.node]
            lines += [f"rule add fwmark {mark} lookup {mark}"]
            lines += [f"route add default via {seat.address} dev {self._bridge} table {mark}"]
            lines += [f"route add {one} via {seat.address} dev {self._bridge}" for one in seat.networks]
        self._ip(lines)
        # A program takes 10 ms to start; in that time a planned switch would lose what no cloud loses.
        self._nftables = inside(self.network, Nftables)
        self.network.nft(self._table_of_ports())
        self.network.nft(self._table_of_deliveries())

    def take_away(self) -> None:
        """Leave the bridge as it was."""
        self.show(Sight({}, {}))
        self._nftables.close()
        self.network.nft("delete table bridge gate\ndelete table ip deliver\n")
        lines = [f"address del {self._gateway} dev {self._bridge}"]
        lines += [f"address del {one}/32 dev {self._bridge}" for one in self._addresses]
        lines += ["link del vips"]
        for mark in self._marks.values():
            lines += [f"rule del fwmark {mark} lookup {mark}"]
        self._ip(lines)  # the routes went with the gateway's address

    def _table_of_ports(self) -> str:
        own = [(seat.port, one) for seat in self.seats for one in (seat.address, *seat.networks)]
        marks = self._marks.values()
        holds = "\n".join(f"set holds_{one} {{ type ipv4_addr; size 1024; flags dynamic; }}" for one in marks)
        heard = "\n".join(
            f"""
              chain heard_{mark} {{
                {" ".join(f"delete @holds_{other} {{ arp saddr ip }};" for other in marks if other != mark)}
                add @holds_{mark} {{ arp saddr ip }}
              }}
            """
            for mark in marks
        )
        learn = "\n".join(
            f'iifname "{seat.port}" iifname . arp saddr ip @learns jump heard_{self._marks[seat.node]}'
            for seat in self.seats
        )
        deliver = "\n".join(f"ip daddr @holds_{one} meta mark set {one}" for one in marks)
        ports = ", ".join(f'"{seat.port}"' for seat in self.seats)
        addresses = ", ".join(f'"{seat.port}" : {seat.address}' for seat in self.seats)
        return f"""
            table bridge gate {{
              counter spoofed {{ }}
              counter misdirected {{ }}
              counter multicast {{ }}
              counter vrrp {{ }}
              set nodes {{ type ifname; elements = {{ {ports} }}; }}
              set own {{ type ifname . ipv4_addr; flags interval; elements = {{ {_pairs(own)} }}; }}
              set leave {{ type ifname . ipv4_addr; }}
              set enter {{ type ifname . ipv4_addr; }}
              set vips {{ type ipv4_addr; }}
              set learns {{ type ifname . ipv4_addr; }}
              {holds}
              {heard}
              chain learn {{
                {learn}
              }}
              chain deliver {{
                {deliver}
              }}
              map address_of {{ type ifname : ipv4_addr; elements = {{ {addresses} }}; }}
              chain switch {{ }}
              chain ingress {{
                type filter hook prerouting priority -300; policy accept;
                ip daddr @vips jump deliver
                iifname != @nodes accept
                arp saddr ip @vips arp daddr ip @vips jump learn
                arp operation reply iifname . arp saddr ip != @own counter name spoofed drop
                iifname . arp saddr ip != @own arp daddr ip @vips counter name spoofed drop
                ether type arp arp saddr ip set iifname map @address_of
                ip daddr 224.0.0.0/4 counter name multicast drop
                meta l4proto != ipv6-icmp ip6 daddr ff00::/8 counter name multicast drop
                iifname . ip saddr != @own iifname . ip saddr != @leave counter name spoofed drop
                jump switch
              }}
              chain passing {{
                type filter hook forward priority 0; policy accept;
                oifname @nodes oifname . ip daddr != @own oifname . ip daddr != @enter counter name misdirected drop
              }}
              chain sending {{
                type filter hook output priority 0; policy accept;
                oifname @nodes oifname . ip daddr != @own oifname . ip daddr != @enter counter name misdirected drop
              }}
            }}
        """

    def _table_of_deliveries(self) -> str:
        key = "ip saddr . tcp sport . ip daddr . tcp dport"
        flows = "".join(
            f"""
              set flows_{mark} {{
                type ipv4_addr . inet_service . ipv4_addr . inet_service
                flags dynamic,timeout
                timeout {_FLOW_SECONDS}s
              }}
              chain to_{mark} {{
                meta mark set {mark}
                accept
              }}
            """
            for mark in self._marks.values()
        )
        # A port that a client uses anew begins a new flow, whichever node had the one before.
        begins = "".join(
            f"""
              chain begin_{mark} {{
                {" ".join(f"delete @flows_{other} {{ {key} }};" for other in self._marks.values() if other != mark)}
                update @flows_{mark} {{ {key} }}
                goto to_{mark}
              }}
              chain spread_{mark} {{
                tcp flags & (syn | ack) == syn goto begin_{mark}
                goto to_{mark}
              }}
            """
            for mark in self._marks.values()
        )
        known = "\n".join(f"{key} @flows_{mark} goto to_{mark}" for mark in self._marks.values())
        return f"""
            table ip deliver {{
              map fronts {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
              {flows}
              {begins}
              chain established {{
                {known}
              }}
              chain arriving {{
                type filter hook prerouting priority -150; policy accept;
                tcp flags & (syn | ack) != syn jump established
                ip daddr . meta l4proto . th dport vmap @fronts
              }}
            }}
        """

    # -- what passes --------------------------------------------------------------------------------------------------

    def show(self, sight: Sight) -> None:
        """Exactly this passes from now on, all at once."""
        vips = set(sight.passages)
        new, gone = vips - self._vips, self._vips - vips
        self._ip([f"route replace {one}/32 dev vips" for one in new])
        ports = {seat.node: seat.port for seat in self.seats}
        leave = [(ports[node], vip) for vip, one in sight.passages.items() for node in one.leave]
        enter = [(ports[node], vip) for vip, one in sight.passages.items() for node in one.enter]
        lines = ["flush set bridge gate leave", "flush set bridge gate enter", "flush set bridge gate vips"]
        lines += _adding("bridge gate leave", _pairs(leave))
        lines += _adding("bridge gate enter", _pairs(enter))
        lines += _adding("bridge gate vips", ", ".join(vips))
        learns = [(ports[node], vip) for vip, one in sight.passages.items() for node in one.learns]
        lines += ["flush set bridge gate learns", *_adding("bridge gate learns", _pairs(learns))]
        for node, mark in self._marks.items():
            held = [vip for vip, one in sight.passages.items() if one.holder == node]
            lines += [f"flush set bridge gate holds_{mark}", *_adding(f"bridge gate holds_{mark}", ", ".join(held))]
        self._nftables.run("\n".join([*lines, *self._deliveries(sight)]))
        # Last: whoever is answered may send at once.
        self._ip([f"neighbour add proxy {one} dev {self._bridge}" for one in new])
        self._ip([f"neighbour del proxy {one} dev {self._bridge}" for one in gone])
        self._ip([f"route del {one}/32 dev vips" for one in gone])
        self._vips = vips

    def _deliveries(self, sight: Sight) -> Iterable[str]:
        yield "flush map ip deliver fronts"
        chains: dict[tuple[str, ...], str] = {nodes: self._chain(nodes) for nodes in sight.fronts.values()}
        for nodes, chain in chains.items():
            yield f"add chain ip deliver {chain}"
            yield f"flush chain ip deliver {chain}"
            yield f"add rule ip deliver {chain} {self._spread(nodes)}"
        fronts = [
            f"{one.address} . {one.protocol} . {one.port} : goto {chains[to]}" for one, to in sight.fronts.items()
        ]
        yield from _adding("ip deliver fronts", ", ".join(fronts))

    def _chain(self, nodes: Sequence[str]) -> str:
        return "_".join(["up", *(str(self._marks[node]) for node in nodes)])

    def _spread(self, nodes: Sequence[str]) -> str:
        """By addresses and ports, so that all of a handshake goes one way."""
        if not nodes:
            return "drop"
        if len(nodes) == 1:
            return f"goto spread_{self._marks[nodes[0]]}"
        ways = ", ".join(f"{index} : goto spread_{self._marks[node]}" for index, node in enumerate(nodes))
        return f"jhash ip saddr . th sport mod {len(nodes)} vmap {{ {ways} }}"

    def drop_vrrp(self, dropped: bool) -> None:
        """Whether protocol 112 passes between nodes: no cloud says that it does."""
        text = "flush chain bridge gate switch\n"
        self.network.nft(text + (f"add rule bridge gate switch {VRRP}\n" if dropped else ""))

    def dropped(self) -> dict[str, int]:
        """Packets by reason: spoofed, misdirected, multicast, vrrp."""
        listed: dict[str, Any] = json.loads(
            self.network.run("nft", "--json", "list", "counters", "table", "bridge", "gate")
        )
        found = (one["counter"] for one in listed["nftables"] if "counter" in one)
        return {one["name"]: one["packets"] for one in found}

    def _ip(self, lines: Sequence[str]) -> None:
        if lines:
            run("ip", "-n", self.network.name, "-batch", "-", text="\n".join(lines))


def _pairs(found: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f'"{port}" . {address}' for port, address in found)


def _adding(where: str, elements: str) -> list[str]:
    return [f"add element {where} {{ {elements} }}"] if elements else []

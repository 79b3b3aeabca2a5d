"""The fabric's rules as text: pure, so that they can be read and tried without a namespace.

Table `bridge gate` says who may send what, where it comes in and where it goes out; `ip deliver` which node gets what a
balancer spreads. Nodes have marks: a packet with one is routed to that node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_FLOW_SECONDS = 240
"""How long a balancer remembers an idle flow: Azure's default."""
_KEY = "ip saddr . tcp sport . ip daddr . tcp dport"
VRRP_PASSES = "flush chain bridge gate switch\n"
VRRP_IS_DROPPED = f"{VRRP_PASSES}add rule bridge gate switch ip protocol vrrp counter name vrrp drop\n"
REMOVED = "delete table bridge gate\ndelete table ip deliver\n"


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


def table_of_ports(seats: Sequence[Seat], marks: Mapping[str, int]) -> str:
    """Who may send and be sent what. Empty of VIPs: nothing but what nodes own passes."""
    own = [(seat.port, one) for seat in seats for one in (seat.address, *seat.networks)]
    holds = "\n".join(f"set holds_{one} {{ type ipv4_addr; size 1024; flags dynamic; }}" for one in marks.values())
    heard = "\n".join(
        f"""
          chain heard_{mark} {{
            {" ".join(f"delete @holds_{other} {{ arp saddr ip }};" for other in marks.values() if other != mark)}
            add @holds_{mark} {{ arp saddr ip }}
          }}
        """
        for mark in marks.values()
    )
    learn = "\n".join(
        f'iifname "{seat.port}" iifname . arp saddr ip @learns jump heard_{marks[seat.node]}' for seat in seats
    )
    deliver = "\n".join(f"ip daddr @holds_{one} meta mark set {one}" for one in marks.values())
    ports = ", ".join(f'"{seat.port}"' for seat in seats)
    addresses = ", ".join(f'"{seat.port}" : {seat.address}' for seat in seats)
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


def table_of_deliveries(marks: Mapping[str, int]) -> str:
    """Whom a balancer gives a flow to, and which flows it has given already."""
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
        for mark in marks.values()
    )
    # A port that a client uses anew begins a new flow, whichever node had the one before.
    begins = "".join(
        f"""
          chain begin_{mark} {{
            {" ".join(f"delete @flows_{other} {{ {_KEY} }};" for other in marks.values() if other != mark)}
            update @flows_{mark} {{ {_KEY} }}
            goto to_{mark}
          }}
          chain spread_{mark} {{
            tcp flags & (syn | ack) == syn goto begin_{mark}
            goto to_{mark}
          }}
        """
        for mark in marks.values()
    )
    known = "\n".join(f"{_KEY} @flows_{mark} goto to_{mark}" for mark in marks.values())
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


def shown(sight: Sight, seats: Sequence[Seat], marks: Mapping[str, int]) -> str:
    """One transaction after which exactly this passes."""
    return "\n".join([*_passages(sight, {seat.node: seat.port for seat in seats}, marks), *_fronts(sight, marks)])


def _passages(sight: Sight, ports: Mapping[str, str], marks: Mapping[str, int]) -> Iterable[str]:
    vips = sight.passages.items()
    yield from _exactly("vips", ", ".join(sight.passages))
    yield from _exactly("leave", _pairs((ports[node], vip) for vip, one in vips for node in one.leave))
    yield from _exactly("enter", _pairs((ports[node], vip) for vip, one in vips for node in one.enter))
    yield from _exactly("learns", _pairs((ports[node], vip) for vip, one in vips for node in one.learns))
    for node, mark in marks.items():
        yield from _exactly(f"holds_{mark}", ", ".join(vip for vip, one in vips if one.holder == node))


def _exactly(name: str, elements: str) -> Iterable[str]:
    yield f"flush set bridge gate {name}"
    if elements:
        yield f"add element bridge gate {name} {{ {elements} }}"


def _fronts(sight: Sight, marks: Mapping[str, int]) -> Iterable[str]:
    yield "flush map ip deliver fronts"
    chains = {nodes: "_".join(["up", *(str(marks[node]) for node in nodes)]) for nodes in sight.fronts.values()}
    for nodes, chain in chains.items():
        yield f"add chain ip deliver {chain}"
        yield f"flush chain ip deliver {chain}"
        yield f"add rule ip deliver {chain} {_spread([marks[node] for node in nodes])}"
    fronts = [f"{one.address} . {one.protocol} . {one.port} : goto {chains[to]}" for one, to in sight.fronts.items()]
    if fronts:
        yield f"add element ip deliver fronts {{ {', '.join(fronts)} }}"


def _spread(marks: Sequence[int]) -> str:
    """By addresses and ports, so that all of a handshake goes one way."""
    if not marks:
        return "drop"
    if len(marks) == 1:
        return f"goto spread_{marks[0]}"
    ways = ", ".join(f"{index} : goto spread_{mark}" for index, mark in enumerate(marks))
    return f"jhash ip saddr . th sport mod {len(marks)} vmap {{ {ways} }}"


def _pairs(found: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f'"{port}" . {address}' for port, address in found)

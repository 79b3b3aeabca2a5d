"""The text of the keeper's table. Pure.

Only adverts of *our* VRIDs are looked at: a table that dropped protocol 112 from strangers made another
class's standby MASTER at once (measured), and the control plane may run its own keepalived on the node.
Two forged adverts a second take an unprotected pair down; from a stranger they end here.

Two forms are deliberate, because other versions of nft on the node list our table too: `meta l4proto 112 @th,8,8`
aborts nftables 1.0.6, and a verdict map or a set declared by `type`, made by our 1.1.3, makes 1.0.6 crash (`typeof`
does not). Comparing one VRID after the other costs 2 microseconds for 50 of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from havip.keeper.nftables.table import text
from havip.model.address import Address
from havip.model.election import Instance

REMEMBERED_SECONDS = 3600
"""How long the kernel remembers when a peer was last heard; its resolution is one tick of the kernel (4 ms)."""

_FAMILY = {4: ("ip", "ip protocol"), 6: ("ip6", "ip6 nexthdr")}


@dataclass(frozen=True, slots=True)
class Watched:
    """One VRID of ours: the family of its adverts and who may send them, `(node, address)`."""

    virtual_router_id: int
    version: int
    peers: tuple[tuple[str, Address], ...]

    @classmethod
    def of(cls, instance: Instance) -> Watched:
        peers = tuple((peer.node, peer.address) for peer in instance.peers)
        return cls(instance.virtual_router_id, instance.elected.version, peers)


def table_name(class_name: str) -> str:
    """A class name is a DNS label: it has no '_', so that two classes never share a table."""
    return "havip_" + class_name.replace("-", "_")


def table(name: str, watched: Iterable[Watched], *, owned: bool) -> str:
    """Replaces the whole table in one transaction. `owned`: the kernel removes it when this process ends."""
    entries = sorted(watched, key=lambda entry: entry.virtual_router_id)
    lines: list[str] = []
    for entry in entries:
        lines.extend(_objects(entry))
    lines.extend(_hook("input", "from", entries))
    lines.extend(_hook("output", "sent", entries))
    return text(name, lines, owned=owned)


def heard_set(virtual_router_id: int) -> str:
    """The set that remembers when each peer was last heard."""
    return f"heard_{virtual_router_id}"


def sent_counter(virtual_router_id: int) -> str:
    return f"sent_{virtual_router_id}"


def heard_counter(virtual_router_id: int, peer: int) -> str:
    """`peer` is its place among the instance's peers."""
    return f"from_{virtual_router_id}_{peer}"


def _objects(entry: Watched) -> list[str]:
    vrid = entry.virtual_router_id
    family, _match = _FAMILY[entry.version]
    lines = [f"  counter sent_{vrid} {{ packets 0 bytes 0; }}"]
    lines += [f"  counter from_{vrid}_{index} {{ packets 0 bytes 0; }}" for index in range(len(entry.peers))]
    flags = f"flags dynamic,timeout; timeout {REMEMBERED_SECONDS}s"
    lines.append(f"  set {heard_set(vrid)} {{ typeof {family} saddr; {flags}; size 8; }}")
    lines.append(f"  chain from_{vrid} {{")
    for index, (_node, address) in enumerate(entry.peers):
        lines.append(
            f"    {family} saddr {address} counter name from_{vrid}_{index}"
            f" update @{heard_set(vrid)} {{ {family} saddr }} accept"
        )
    lines += ["    drop", "  }", f"  chain sent_{vrid} {{", f"    counter name sent_{vrid}", "  }"]
    return lines


def _hook(hook: str, prefix: str, entries: list[Watched]) -> list[str]:
    lines = [f"  chain {hook} {{", f"    type filter hook {hook} priority filter - 10; policy accept;"]
    for version, (_family, match) in _FAMILY.items():
        lines += [
            f"    {match} 112 @th,8,8 {entry.virtual_router_id} goto {prefix}_{entry.virtual_router_id}"
            for entry in entries
            if entry.version == version
        ]
    lines.append("  }")
    return lines

"""The text of the table that couples a probe's answer to the address. Pure.

A probe to the node's own address is sent on to the VIP: where the address is, the keeper's listener answers; where it
is not, the packet is routed, and refused before it leaves. Without that refusal a standby answered *up* through the
active node wherever something masquerades forwarded traffic (measured). In the input hook the listener is closed to
everybody else who reaches the VIP.

The same forms as in `rules` and no others: no set, no map. The range of ports comes first, so that a packet that is
no probe costs one comparison, however many VIPs there are. A table of its own: that of the adverts is replaced with
every document, this one at every planned switch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from havip.keeper.nftables import table
from havip.model.address import Address, Network

PROBED = "probed"
"""The counter of probes that were sent on to a VIP."""

_FAMILY = {4: "ip", 6: "ip6"}


@dataclass(frozen=True, slots=True)
class Probed:
    """One VIP that is probed. `answering` False = its port is refused here, whether or not the address is here.

    `own`: the node's addresses that probes may come to, of the VIP's family.
    """

    address: Address
    port: int
    sources: tuple[Network, ...]
    own: tuple[Address, ...]
    answering: bool = True


def table_name(class_name: str) -> str:
    """A class may be called probe-x: behind `havip_` no name would be free of every other class's."""
    return "havipprobe_" + class_name.replace("-", "_")


def batch(name: str, probed: Sequence[Probed], *, owned: bool) -> str:
    """Replaces the whole table in one transaction. `probed` must not be empty."""
    entries = sorted(probed, key=lambda entry: entry.port)
    ports = _ports(entries)
    lines = [f"  counter {PROBED} {{ packets 0 bytes 0; }}", *_sent_on(entries)]
    lines += _chain("refused", _matches(entries, "ct status dnat reject with tcp reset"))
    # A stranger comes to the VIP itself; what comes to the node's address from elsewhere finds nobody listening.
    lines += _chain("strangers", ["ct status dnat return", *_matches(entries, "reject with tcp reset")])
    lines += _hook("prerouting", "nat", "dstnat", f"tcp dport {ports} jump sources")
    lines += _hook("forward", "filter", "filter", f"tcp dport {ports} jump refused")
    lines += _hook("input", "filter", "filter", f"tcp dport {ports} jump strangers")
    return table.text(name, lines, owned=owned)


def _ports(entries: Sequence[Probed]) -> str:
    low, high = entries[0].port, entries[-1].port
    return str(low) if low == high else f"{low}-{high}"


def _sent_on(entries: Iterable[Probed]) -> list[str]:
    """One chain of ports for those that are asked from the same networks to the same addresses: mostly one in all."""
    asked: dict[tuple[tuple[Network, ...], tuple[Address, ...]], list[Probed]] = {}
    for entry in entries:
        if entry.answering and entry.own:
            asked.setdefault((entry.sources, entry.own), []).append(entry)
    lines: list[str] = []
    jumps: list[str] = []
    for index, ((sources, own), those) in enumerate(asked.items()):
        family = _FAMILY[those[0].address.version]
        sends = [f"tcp dport {one.port} counter name {PROBED} dnat {family} to {one.address}" for one in those]
        lines += _chain(f"ports_{index}", sends)
        jumps += [
            f"{family} saddr {_network(source)} {family} daddr {address} jump ports_{index}"
            for source in sources
            for address in own
        ]
    return [*lines, *_chain("sources", jumps)]


def _network(network: Network) -> str:
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if whole else str(network)


def _matches(entries: Iterable[Probed], then: str) -> list[str]:
    return [f"{_FAMILY[one.address.version]} daddr {one.address} tcp dport {one.port} {then}" for one in entries]


def _chain(name: str, rules: Iterable[str]) -> list[str]:
    return [f"  chain {name} {{", *(f"    {rule}" for rule in rules), "  }"]


def _hook(hook: str, kind: str, priority: str, rule: str) -> list[str]:
    return _chain(hook, [f"type {kind} hook {hook} priority {priority} - 10; policy accept;", rule])

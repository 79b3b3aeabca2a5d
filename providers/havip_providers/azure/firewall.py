"""What network security groups let in, as far as a probe and VRRP are concerned. Pure.

A rule can name TCP, UDP, ICMP, ESP, AH or Any; nothing names protocol 112 (VRRP), so only rules for Any decide about
it. Rules that name application security groups cannot be judged from here and are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from havip.model.address import Address
from havip_providers.azure.mapping import properties

PROBE_SOURCE = ip_address("168.63.129.16")
VRRP = "112"
_ANY = ("*", "any", "0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Packet:
    """What is asked about. `port` None = the protocol has none. `tags`: service tags that the source is in."""

    protocol: str
    source: Address
    target: Address
    port: int | None
    tags: frozenset[str]


def probe_packet(target: Address, port: int) -> Packet:
    return Packet("tcp", PROBE_SOURCE, target, port, frozenset({"azureloadbalancer"}))


def vrrp_packet(source: Address, target: Address) -> Packet:
    return Packet(VRRP, source, target, None, frozenset({"virtualnetwork"}))


def denied_by(group: Mapping[str, Any], packet: Packet) -> str:
    """Name of the inbound rule that drops it; "" = it passes. Without a rule that fits, Azure's own last ones let
    the virtual network and the load balancer in."""
    inside = properties(group)
    rules = [*(inside.get("securityRules") or []), *(inside.get("defaultSecurityRules") or [])]
    for rule in sorted(rules, key=lambda one: int(properties(one).get("priority", 0))):
        text = properties(rule)
        if text.get("direction") == "Inbound" and _fits(text, packet):
            return str(rule.get("name", "")) if text.get("access") == "Deny" else ""
    return ""


def _fits(rule: Mapping[str, Any], packet: Packet) -> bool:
    if rule.get("sourceApplicationSecurityGroups") or rule.get("destinationApplicationSecurityGroups"):
        return False
    return (
        str(rule.get("protocol", "*")).lower() in ("*", "any", packet.protocol)
        and any(_is_in(packet.source, one, packet.tags) for one in _values(rule, "sourceAddressPrefix"))
        and any(_is_in(packet.target, one, ("virtualnetwork",)) for one in _values(rule, "destinationAddressPrefix"))
        and _port_fits(packet.port, _values(rule, "destinationPortRange"))
    )


def _values(rule: Mapping[str, Any], name: str) -> Iterator[str]:
    """A property that may be there once or as a list (`...Prefix` and `...Prefixes`)."""
    one = rule.get(name)
    if one:
        yield str(one)
    many = rule.get(f"{name}es" if name.endswith("x") else f"{name}s")
    yield from map(str, many or ())


def _is_in(address: Address, prefix: str, tags: Iterable[str]) -> bool:
    text = prefix.lower()
    if text in _ANY or text in tags:
        return True
    try:
        return address in ip_network(text, strict=False)
    except ValueError:  # another service tag
        return False


def _port_fits(port: int | None, ranges: Iterable[str]) -> bool:
    for one in ranges:
        first, _, last = one.partition("-")
        if one == "*":
            return True
        if port is not None and first.isdigit() and int(first) <= port <= int(last or first):
            return True
    return False

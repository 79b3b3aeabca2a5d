"""Which interface carries the VIPs of this node, and which of its addresses are the node's own.

Pure: the kernel's view comes in as values. A VIP must never be reported as the node's own address: the operator
would refuse it as such, and peers would send their adverts to it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from havip.agent.addresses import Held
from havip.model.address import Address
from havip.model.node import InterfaceReport, InterfaceSource, NodeSpec

OWN_ADDRESSES = 64  # of HAVipNode.status.interface.addresses


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The kernel's view at one moment."""

    interfaces: frozenset[str]
    held: Sequence[Held]
    default_route: str | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The interface found, or `error` saying why none is. `clashes`: VIPs that are the node's own addresses."""

    report: InterfaceReport | None = None
    clashes: frozenset[Address] = frozenset()
    error: str = ""


def resolve(spec: NodeSpec, around: Surroundings, *, last: str = "") -> Resolved:
    """`last`: the interface found before. It stays while a route or address is missing for a moment, as during a DHCP
    renewal: giving it up would take the VIPs off a node that can hold them."""
    vips = frozenset(address for item in spec.assignments for address in item.instance.addresses)
    name, error = _choose(spec, around, vips)
    if name is None and spec.interface.source is not InterfaceSource.NAME and last in around.interfaces:
        name = last
    if name is None:
        return Resolved(error=error)
    own = tuple(str(item) for item in around.held if item.interface == name and is_own(item, vips))
    clashes = frozenset(item.address for item in around.held if item.address in vips and is_own(item, vips))
    return Resolved(InterfaceReport(name, own[:OWN_ADDRESSES]), clashes)


def is_own(held: Held, vips: frozenset[Address]) -> bool:
    """Whether `held` belongs to the node: lasting, global, and not put there by a keeper or keepalived.

    keepalived adds VIPs in full length; an address with a subnet that equals a VIP is the node's own.
    """
    if not held.stable or held.keepers:
        return False
    return not (held.address in vips and held.prefix == held.address.max_prefixlen)


def _choose(spec: NodeSpec, around: Surroundings, vips: frozenset[Address]) -> tuple[str | None, str]:
    match spec.interface.source:
        case InterfaceSource.NAME:
            if spec.interface.name in around.interfaces:
                return spec.interface.name, ""
            there = ", ".join(sorted(around.interfaces - {"lo"})) or "none"
            return None, f"interface {spec.interface.name} does not exist on this node; there are: {there}"
        case InterfaceSource.DEFAULT_ROUTE:
            return around.default_route, "this node has no default route to find the interface by"
        case InterfaceSource.ADDRESS_SUBNET:
            if not vips:
                # Nothing to look for yet. The operator needs some addresses to begin with; the first VIP corrects it.
                return around.default_route, "no VIP and no default route to find the interface by"
            return _by_subnet(around, vips)


def _by_subnet(around: Surroundings, vips: frozenset[Address]) -> tuple[str | None, str]:
    for held in around.held:
        network = ipaddress.ip_network((held.address, held.prefix), strict=False)
        if held.interface != "lo" and is_own(held, vips) and any(vip in network for vip in vips):
            return held.interface, ""
    first = min(vips, key=lambda address: (address.version, int(address)))
    return None, f"no interface of this node has an address in the subnet of {first}"

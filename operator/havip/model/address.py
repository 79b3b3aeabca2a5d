"""Addresses as the product takes them: strict to read, one spelling to compare, never a name to resolve.

`keepalived -t` accepts a VIP that is 0.0.0.0, multicast or the node's own (and then deletes that one), so
the refusal has to happen here.
"""

from __future__ import annotations

import ipaddress
import re

from havip.model.refusal import Refused, shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Answered by clouds and hypervisors themselves; a VIP there would never be reached, or would cut the node off.
PLATFORM = frozenset(map(ipaddress.ip_address, ("169.254.169.254", "168.63.129.16", "fd00:ec2::254")))
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


def parse_address(text: object) -> Address:
    """An IPv4 or IPv6 address without prefix, zone, octal, hexadecimal or surrounding space.

    Raises `Refused` naming what would be accepted.
    """
    if not isinstance(text, str) or not text.isascii():
        raise Refused("", f"must be one IPv4 or IPv6 address, not {shown(text)}")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Refused("", f"must be one IPv4 or IPv6 address, not {shown(text)}") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise Refused("", f"must be an address without a zone, not {shown(text)}")
        if address.ipv4_mapped is not None:
            raise Refused("", f"must be written as the IPv4 address {address.ipv4_mapped}, not {shown(text)}")
    return address


def parse_virtual_address(text: object) -> Address:
    """An address that may be a VIP: unicast, and not one that belongs to the host or the platform."""
    address = parse_address(text)
    for wrong, what in (
        (address.is_unspecified, "the unspecified address"),
        (address.is_loopback, "a loopback address"),
        (address.is_multicast, "a multicast address"),
        (str(address) == "255.255.255.255", "the broadcast address"),
        (address.is_link_local, "a link-local address"),
        (address in PLATFORM, "an address of the platform"),
        (isinstance(address, ipaddress.IPv4Address) and address.is_reserved, "a reserved address"),
        (isinstance(address, ipaddress.IPv4Address) and int(address) >> 24 == 0, "in 0.0.0.0/8"),
    ):
        if wrong:
            raise Refused("", f"must be a unicast address that a node can hold; {address} is {what}")
    return address


def parse_network(text: object) -> Network:
    """A network in CIDR form without host bits."""
    if not isinstance(text, str) or not text.isascii() or "/" not in text:
        raise Refused("", f"must be a network such as 10.0.0.0/24, not {shown(text)}")
    try:
        return ipaddress.ip_network(text, strict=True)
    except ValueError:
        raise Refused("", f"must be a network such as 10.0.0.0/24, not {shown(text)}") from None


def parse_interface_name(text: object) -> str:
    """A network interface's name: 1 to 15 characters of letters, digits, `_`, `.` and `-`; never `lo`."""
    if not isinstance(text, str) or not _INTERFACE.fullmatch(text) or text == "lo":
        raise Refused(
            "", f"must be an interface name of at most 15 letters, digits, '_', '.' or '-', not {shown(text)}"
        )
    return text

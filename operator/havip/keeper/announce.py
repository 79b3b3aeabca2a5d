"""Gratuitous ARP and unsolicited neighbour advertisements: "the address is here now", said again and again.

keepalived says it at the take-over and a second later. When two nodes had both entered MASTER, the loser's
came last and the client got no answer for up to 3.7 s (measured); a switch may also lose or limit them. So the
node that is active repeats them 0.1, 0.5, 1 and 2 s after the take-over.
"""

from __future__ import annotations

import fcntl
import logging
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from havip.model.address import Address

REPEATS = (0.1, 0.5, 1.0, 2.0)
"""Seconds after a take-over."""

_SIOCGIFHWADDR = 0x8927
_ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0806, 0x86DD
_ARP_REQUEST = 1
_ICMPV6, _NEIGHBOUR_ADVERTISEMENT = 58, 136
_OVERRIDE = 0x20000000
_ALL_NODES = IPv6Address("ff02::1")

_log = logging.getLogger(__name__)


def gratuitous_arp(hardware: bytes, address: IPv4Address) -> bytes:
    """An ARP request for the address by the address itself (RFC 5227, 3), as an Ethernet frame."""
    head = b"\xff" * 6 + hardware + struct.pack("!H", _ETHERTYPE_ARP)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, _ARP_REQUEST)
    return head + body + hardware + address.packed + b"\0" * 6 + address.packed


def unsolicited_advertisement(hardware: bytes, address: IPv6Address) -> bytes:
    """A neighbour advertisement with the override flag to all nodes (RFC 4861, 7.2.6), as an Ethernet frame."""
    target = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _OVERRIDE) + address.packed
    target += struct.pack("!BB", 2, 1) + hardware
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!IxxxB", len(target), _ICMPV6)
    checksum = internet_checksum(pseudo + target)
    body = target[:2] + struct.pack("!H", checksum) + target[4:]
    head = b"\x33\x33\x00\x00\x00\x01" + hardware + struct.pack("!H", _ETHERTYPE_IPV6)
    return head + struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, 255) + address.packed + _ALL_NODES.packed + body


def internet_checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Announcer:
    """Sends them on one interface."""

    def __init__(self, interface: str) -> None:
        self.interface = interface

    def announce(self, addresses: Iterable[Address]) -> None:
        """Once for each address. Trouble is logged, never raised: the election does not depend on it."""
        try:
            # Protocol 0: this socket only sends, the kernel must not queue every frame of the node for it.
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
                hardware = fcntl.ioctl(sender, _SIOCGIFHWADDR, struct.pack("16s24x", self.interface.encode()))[18:24]
                for address in addresses:
                    sender.sendto(_frame(hardware, address), (self.interface, 0))
        except OSError as error:
            _log.warning("cannot announce on %s: %s", self.interface, error.strerror)


def _frame(hardware: bytes, address: Address) -> bytes:
    if isinstance(address, IPv4Address):
        return gratuitous_arp(hardware, address)
    return unsolicited_advertisement(hardware, address)

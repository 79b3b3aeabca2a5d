"""Which ports of the node somebody else listens on, from /proc/net. Reads only.

Trying to bind would need haproxy's capability; and haproxy starts with all of its front ends or with none, so one
taken port must be found before it takes the others down with it.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from havip.model.address import Address

_LISTEN = "0A"
_ANY_FOUR, _ANY_SIX = ipaddress.IPv4Address(0), ipaddress.IPv6Address(0)


@dataclass(frozen=True, slots=True)
class Listening:
    """TCP sockets that listen: pairs of address and port."""

    sockets: frozenset[tuple[Address, int]] = field(default_factory=frozenset)

    def in_the_way(self, address: Address, port: int) -> Address | None:
        """The address somebody listens on so that `address`:`port` cannot be bound; None when it is free.

        A listener on `::` takes IPv4 along unless it asked not to, which /proc/net does not tell; it counts as taking.
        """
        wild: tuple[Address, ...] = (_ANY_SIX,)
        if address.version == 4:
            wild = (_ANY_FOUR, _ANY_SIX, ipaddress.IPv6Address(f"::ffff:{address}"))
        for candidate in (address, *wild):
            if (candidate, port) in self.sockets:
                return candidate
        return None


def listening() -> Listening:
    """Of this network namespace."""
    found: set[tuple[Address, int]] = set()
    for name in ("tcp", "tcp6"):
        try:
            with Path("/proc/net", name).open("r", encoding="ascii") as lines:
                found.update(parse(lines))
        except FileNotFoundError:
            continue  # a kernel without IPv6
    return Listening(frozenset(found))


def parse(lines: Iterable[str]) -> set[tuple[Address, int]]:
    """Of the lines of /proc/net/tcp or tcp6."""
    out: set[tuple[Address, int]] = set()
    for line in lines:
        cells = line.split(None, 4)
        if len(cells) > 3 and cells[3] == _LISTEN:
            address, _, port = cells[1].partition(":")
            out.add((_address(address), int(port, 16)))
    return out


def _address(text: str) -> Address:
    """The kernel prints an address as 32-bit words in the host's byte order."""
    words = [int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(words))

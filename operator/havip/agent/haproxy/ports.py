"""Which ports of the node somebody else listens on, from /proc/net. Reads only.

Trying to bind would need haproxy's capability; and haproxy starts with all of its front ends or with none, so one
taken port must be found before it takes the others down with it.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from havip.agent.haproxy.context import FrontendSection
from havip.model.address import Address
from havip.model.refusal import LeftOut

LISTENING_SECONDS = 3.0
"""How old the list of listening sockets may be: on a node with many connections it is not cheap to read."""
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


class Gate:
    """Keeps front ends away from ports that somebody else has. `clock` in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._listening = Listening()
        self._read: float | None = None

    def look_again(self) -> None:
        """The next question is answered from what the node listens on then."""
        self._read = None

    def taken(self, fresh: Iterable[FrontendSection]) -> dict[FrontendSection, LeftOut]:
        """Those of `fresh`, front ends that our haproxy does not hold yet, whose port is not free."""
        fresh = list(fresh)
        if not fresh:
            return {}
        now = self._clock()
        if self._read is None or now - self._read >= LISTENING_SECONDS:
            self._listening, self._read = listening(), now
        out = {}
        for front in fresh:
            other = self._listening.in_the_way(front.address, front.port)
            if other is not None:
                where = f"[{other}]" if other.version == 6 else str(other)
                message = f"port {front.port} is taken on this node: another process listens on {where}:{front.port}"
                out[front] = front.left_out("PortTaken", message)
        return out

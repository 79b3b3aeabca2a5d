"""The node's addresses and default route as the kernel has them. Reads only; needs no capability.

AF_NETLINK for addresses, because only there a lifetime is told: it is what marks an address the keeper holds.
/proc/net for routes: the default route stands first in it, so a node with a full routing table costs nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from havip.model.address import Address

_NLM_F_REQUEST_DUMP = 0x301
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_IFA_F_TEMPORARY, _IFA_F_DADFAILED, _IFA_F_TENTATIVE = 0x01, 0x08, 0x40
_SCOPE_LINK = 253
_RTF_UP, _RTF_REJECT = 0x1, 0x200
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
KEEPERS_LIFETIME = 10
"""Seconds. The keeper gives its addresses 2; nothing else gives a full-length address so little."""


@dataclass(frozen=True, slots=True)
class Held:
    """One address in the kernel. `lifetime` in seconds, None = for ever."""

    interface: str
    address: Address
    prefix: int
    lifetime: int | None
    stable: bool

    @property
    def keepers(self) -> bool:
        """Whether this looks like a VIP of some keeper: full length and about to end."""
        whole = self.prefix == self.address.max_prefixlen
        return whole and self.lifetime is not None and self.lifetime <= KEEPERS_LIFETIME

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


def addresses() -> tuple[Held, ...]:
    """Every address of this network namespace, in the kernel's order (primary before secondary)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
        link.settimeout(2)
        link.bind((0, 0))
        body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        link.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0) + body)
        names = dict(socket.if_nameindex())
        return tuple(_dump(link, names))


def _dump(link: socket.socket, names: dict[int, str]) -> Iterator[Held]:
    while True:
        data = link.recv(1 << 18)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, offset)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                code = struct.unpack_from("=i", data, offset + _HEADER.size)[0]
                raise OSError(-code, "the kernel refused to list addresses")
            if kind == _RTM_NEWADDR:
                held = _held(data[offset + _HEADER.size : offset + length], names)
                if held is not None:
                    yield held
            offset += (length + 3) & ~3


def _held(message: bytes, names: dict[int, str]) -> Held | None:
    family, prefix, flags, scope, index = _IFADDRMSG.unpack_from(message)
    found = dict(_attributes(message[_IFADDRMSG.size :]))
    # On a point-to-point link IFA_ADDRESS is the other end; IFA_LOCAL is ours wherever it is given.
    raw = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS))
    if raw is None or index not in names:
        return None
    if _IFA_FLAGS in found:
        flags = struct.unpack("=I", found[_IFA_FLAGS])[0]
    valid = struct.unpack_from("=II", found[_IFA_CACHEINFO])[1] if _IFA_CACHEINFO in found else 0xFFFFFFFF
    passing = _IFA_F_DADFAILED | _IFA_F_TENTATIVE
    if family == socket.AF_INET6:
        passing |= _IFA_F_TEMPORARY
    return Held(
        interface=names[index],
        address=ipaddress.ip_address(raw),
        prefix=prefix,
        lifetime=None if valid == 0xFFFFFFFF else valid,
        stable=scope < _SCOPE_LINK and not flags & passing,
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def default_route_interface() -> str | None:
    """The interface of the default route with the lowest metric: the IPv4 one, else the IPv6 one."""
    with Path("/proc/net/route").open("r", encoding="ascii") as lines:
        found = default_ipv4(lines)
    if found is not None:
        return found
    try:
        with Path("/proc/net/ipv6_route").open("r", encoding="ascii") as lines:
            return default_ipv6(lines)
    except FileNotFoundError:
        return None  # a kernel without IPv6


def default_ipv4(lines: Iterator[str]) -> str | None:
    """Of the lines of /proc/net/route."""
    best: tuple[int, str] | None = None
    next(lines, "")
    for line in lines:
        name, destination, _, flags, _, _, metric, mask, *_ = line.split()
        if destination != "00000000":
            break
        usable = int(flags, 16) & _RTF_UP and not int(flags, 16) & _RTF_REJECT
        if mask == "00000000" and usable and (best is None or int(metric) < best[0]):
            best = (int(metric), name)
    return None if best is None else best[1]


def default_ipv6(lines: Iterator[str]) -> str | None:
    """Of the lines of /proc/net/ipv6_route."""
    best: tuple[int, str] | None = None
    for line in lines:
        destination, length, _, _, _, metric, _, _, flags, name = line.split()
        usable = int(flags, 16) & _RTF_UP and not int(flags, 16) & _RTF_REJECT
        default = length == "00" and set(destination) == {"0"}
        if default and usable and name != "lo" and (best is None or int(metric, 16) < best[0]):
            best = (int(metric, 16), name)
    return None if best is None else best[1]

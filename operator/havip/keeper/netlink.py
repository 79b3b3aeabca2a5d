"""The kernel's addresses, links and neighbour queues over AF_NETLINK. The only file that speaks rtnetlink.

Synchronous requests take some 20 microseconds each; events are read without blocking. It knows nothing of
VRRP and decides nothing. Layouts: rtnetlink(7), linux/if_addr.h, linux/neighbour.h.

Incident: a request that renews an address *creates* it when it is gone (the kernel ignores a missing
NLM_F_CREATE, in both families). A renewal that crosses keepalived's own removal would leave a second holder,
so `AddressEvent.finite` tells such an address apart: keepalived never adds one with a finite lifetime.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from havip.model.address import Address

FOREVER = 0xFFFFFFFF
"""A lifetime without end, in the kernel's spelling."""

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR, _RTM_SETNEIGHTBL = 16, 18, 20, 21, 22, 67
_RTM_NEWNETCONF, _RTM_GETNETCONF = 80, 82
_REQUEST, _ACK, _DUMP, _REPLACE, _CREATE = 0x1, 0x4, 0x300, 0x100, 0x400
_GROUP_LINK, _GROUP_IPV4, _GROUP_IPV6 = 0x1, 0x10, 0x100
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_IFA_F_PERMANENT = 0x80
_NDTA_NAME, _NDTA_PARMS = 1, 6
_NDTPA_IFINDEX, _NDTPA_QUEUE_LENBYTES = 1, 16
_NETCONF_IFINDEX, _NETCONF_FORWARDING = 1, 2
_ALL_INTERFACES = -1
_IFF_LOWER_UP = 0x10000
_IFA_F_NODAD = 0x2
_SCOPE_HOST = 254

_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")


class NetlinkError(OSError):
    """The kernel refused a request."""


@dataclass(frozen=True, slots=True)
class KernelAddress:
    """An address as the kernel has it. `valid` in seconds or `FOREVER`; `flags` as in linux/if_addr.h."""

    address: Address
    prefix: int
    interface: int
    flags: int
    scope: int
    valid: int

    @property
    def finite(self) -> bool:
        return self.valid != FOREVER

    @classmethod
    def copy(cls, address: Address, interface: int) -> KernelAddress:
        """The address once more, for another interface. The node does not take it as its own source: an IPv4 one by
        its scope, an IPv6 one when it is added with a preferred lifetime of 0."""
        flags, scope = (0, _SCOPE_HOST) if address.version == 4 else (_IFA_F_NODAD, 0)
        return cls(address, address.max_prefixlen, interface, flags, scope, FOREVER)


@dataclass(frozen=True, slots=True)
class AddressEvent:
    """`there` False = the kernel has dropped it. Also sent when only a lifetime changed."""

    there: bool
    known: KernelAddress


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """`up` = the interface has a carrier."""

    interface: int
    up: bool


Event = AddressEvent | LinkEvent


def _attribute(kind: int, payload: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + b"\0" * (-size % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[offset + _ATTRIBUTE.size : offset + size]
        offset += (size + 3) & ~3
    return found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, offset)
        if size < _HEADER.size:
            break
        yield kind, data[offset + _HEADER.size : offset + size]
        offset += (size + 3) & ~3


def _read_address(body: bytes) -> KernelAddress:
    _family, prefix, flags, scope, interface = _ADDRESS.unpack_from(body)
    found = _attributes(body[_ADDRESS.size :])
    raw = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))
    wide = found.get(_IFA_FLAGS)
    cache = found.get(_IFA_CACHEINFO)
    return KernelAddress(
        address=ip_address(raw),
        prefix=prefix,
        interface=interface,
        flags=struct.unpack("=I", wide)[0] if wide else flags,
        scope=scope,
        valid=struct.unpack_from("=II", cache)[1] if cache else FOREVER,
    )


def _address_request(kind: int, known: KernelAddress, *, flags: int, lifetime: tuple[int, int] | None) -> bytes:
    family = socket.AF_INET if known.address.version == 4 else socket.AF_INET6
    kept = known.flags & ~_IFA_F_PERMANENT
    body = _ADDRESS.pack(family, known.prefix, kept & 0xFF, known.scope, known.interface)
    body += _attribute(_IFA_LOCAL, known.address.packed) + _attribute(_IFA_ADDRESS, known.address.packed)
    if lifetime is not None:
        body += _attribute(_IFA_FLAGS, struct.pack("=I", kept))
        preferred, valid = lifetime
        body += _attribute(_IFA_CACHEINFO, struct.pack("=IIII", preferred, valid, 0, 0))
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _ACK | flags, 0, 0) + body


def _requests() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    made.bind((0, 0))
    made.settimeout(1.0)
    return made


class Netlink:
    """One socket for requests, with an answer awaited for each of them."""

    def __init__(self) -> None:
        self._socket = _requests()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 17)
        except TimeoutError:
            # The answer may still come; on a new socket it cannot be taken for that to the next request.
            self._socket.close()
            self._socket = _requests()
            raise NetlinkError(errno.ETIMEDOUT, "the kernel does not answer") from None

    def link_up(self, interface: int) -> bool:
        """Whether the interface has a carrier."""
        body = _LINK.pack(socket.AF_UNSPEC, 0, interface, 0, 0)
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _REQUEST, 0, 0) + body)
        return any(
            event.up
            for event in _read_events(self._receive())
            if isinstance(event, LinkEvent) and event.interface == interface
        )

    def addresses(self) -> list[KernelAddress]:
        """Every address of this network namespace, both families."""
        body = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETADDR, _REQUEST | _DUMP, 0, 0) + body)
        found: list[KernelAddress] = []
        while True:
            for kind, payload in _messages(self._receive()):
                if kind == _NLMSG_DONE:
                    return found
                if kind == _RTM_NEWADDR:
                    found.append(_read_address(payload))

    def renew(self, lifetimes: Iterable[tuple[KernelAddress, int, int]]) -> None:
        """Sets `(address, preferred, valid)` in seconds, all in one message to the kernel. Raises `NetlinkError`."""
        requests = [
            _address_request(_RTM_NEWADDR, known, flags=_REPLACE, lifetime=(preferred, valid))
            for known, preferred, valid in lifetimes
        ]
        # The kernel's answers must fit its receive buffer: at most some hundred bytes each.
        for first in range(0, len(requests), 64):
            self._answered(requests[first : first + 64], ignore=())

    def add(self, lifetimes: Iterable[tuple[KernelAddress, int, int]]) -> None:
        """As `renew`, and meant to make those that are not there. Raises `NetlinkError`."""
        requests = [
            _address_request(_RTM_NEWADDR, known, flags=_CREATE | _REPLACE, lifetime=(preferred, valid))
            for known, preferred, valid in lifetimes
        ]
        self._answered(requests, ignore=())

    def remove(self, addresses: Iterable[KernelAddress]) -> None:
        """Removes what is there; an address that has gone by itself is no error."""
        requests = [_address_request(_RTM_DELADDR, known, flags=0, lifetime=None) for known in addresses]
        for first in range(0, len(requests), 64):
            self._answered(requests[first : first + 64], ignore=(errno.EADDRNOTAVAIL, errno.ENODEV))

    def forwards(self, interface: int, version: int) -> bool:
        """Whether packets of the family that come in there and are for others are passed on (`ip netconf`)."""
        # IPv4 asks the interface, IPv6 the switch of all interfaces (the interface's own one is for advertisements).
        family, index = (socket.AF_INET, interface) if version == 4 else (socket.AF_INET6, _ALL_INTERFACES)
        body = struct.pack("=Bxxx", family) + _attribute(_NETCONF_IFINDEX, struct.pack("=i", index))
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETNETCONF, _REQUEST, 0, 0) + body)
        for kind, payload in _messages(self._receive()):
            if kind == _NLMSG_ERROR:
                code = -struct.unpack_from("=i", payload)[0]
                raise NetlinkError(code, os.strerror(code))
            if kind == _RTM_NEWNETCONF:
                return _attributes(payload[4:])[_NETCONF_FORWARDING] != bytes(4)
        raise NetlinkError(errno.ENODATA, "the kernel does not say whether it forwards")

    def shorten_neighbour_queue(self, interface: int, queue_bytes: int) -> None:
        """What waits for one neighbour that does not answer, for ARP and ND (`ip ntable change ... queue`)."""
        parameters = _attribute(_NDTPA_IFINDEX, struct.pack("=I", interface))
        parameters += _attribute(_NDTPA_QUEUE_LENBYTES, struct.pack("=I", queue_bytes))
        for family, table in ((socket.AF_INET, b"arp_cache\0"), (socket.AF_INET6, b"ndisc_cache\0")):
            body = struct.pack("=Bxxx", family) + _attribute(_NDTA_NAME, table)
            body += _attribute(_NDTA_PARMS, parameters)
            message = _HEADER.pack(_HEADER.size + len(body), _RTM_SETNEIGHTBL, _REQUEST | _ACK | _REPLACE, 0, 0)
            # ENOENT: IPv6 is off on this node, then it has no such table for the interface.
            self._answered([message + body], ignore=(errno.ENOENT,))

    def _answered(self, requests: list[bytes], *, ignore: tuple[int, ...]) -> None:
        if not requests:
            return
        self._socket.send(b"".join(requests))
        waiting = len(requests)
        failed = 0
        while waiting:
            for kind, payload in _messages(self._receive()):
                if kind != _NLMSG_ERROR:
                    continue
                waiting -= 1
                code = -struct.unpack_from("=i", payload)[0]
                if code and code not in ignore:
                    failed = code
        if failed:
            raise NetlinkError(failed, os.strerror(failed))


class Events:
    """Address and link changes as they happen. `read` never blocks."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((0, _GROUP_LINK | _GROUP_IPV4 | _GROUP_IPV6))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Event] | None:
        """What happened since the last call; None = events were lost, dump instead."""
        events: list[Event] = []
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return events
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise
            events.extend(_read_events(data))


def _read_events(data: bytes) -> Iterator[Event]:
    for kind, payload in _messages(data):
        if kind in (_RTM_NEWADDR, _RTM_DELADDR):
            yield AddressEvent(kind == _RTM_NEWADDR, _read_address(payload))
        elif kind == _RTM_NEWLINK:
            _family, _kind, index, flags, _change = _LINK.unpack_from(payload)
            yield LinkEvent(index, bool(flags & _IFF_LOWER_UP))

"""Hears who announces which address: every ARP packet as it comes in, before any rule can drop it."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address

from e2e.lab.namespaces import Namespace, inside

_ETH_P_ALL = 0x0003
"""A socket for ARP alone would be asked after the bridge has taken the frame."""
_SO_ATTACH_FILTER = 26
_ONLY_ARP = (
    (0x28, 0, 0, 12),  # the frame's type
    (0x15, 0, 1, 0x0806),
    (0x06, 0, 0, 256),
    (0x06, 0, 0, 0),
)
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_HEADER = 14
_LOOK_SECONDS = 0.2


class Announcements:
    """A thread that calls `heard(node, address)` for each gratuitous ARP of a node. `ports`: node by port name."""

    def __init__(self, network: Namespace, ports: Mapping[str, str], heard: Callable[[str, str], None]) -> None:
        self._ports = ports
        self._heard = heard
        self._stop = threading.Event()
        self._socket = inside(network, _listening)
        self._thread = threading.Thread(target=self._listen, name="announcements")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                frame, (port, *_) = self._socket.recvfrom(256)
            except TimeoutError:
                continue
            node = self._ports.get(port)
            address = _announced(frame)
            if node is not None and address is not None:
                self._heard(node, address)


def _listening() -> socket.socket:
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _ONLY_ARP))
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_ONLY_ARP), ctypes.addressof(program)))
    made.settimeout(_LOOK_SECONDS)
    return made


def _announced(frame: bytes) -> str | None:
    """The address that a frame says is here; None where it asks for another's, or nothing."""
    if len(frame) < _HEADER + _ARP.size or frame[12:_HEADER] != b"\x08\x06":
        return None  # the second: it came before the filter did
    *_, sender, _, target = _ARP.unpack_from(frame, _HEADER)
    return str(IPv4Address(sender)) if sender == target and any(sender) else None

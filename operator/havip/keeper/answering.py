"""The listeners that probes are sent on to: a connection is taken and closed at once, in order. Nothing is read.

They belong to the process that dies last: a listener that ended would let the load balancer think the node down. They
listen on the VIP before it is here (IP_FREEBIND), so that the answer comes with the address. Closing leaves nothing of
ours behind: Azure's FIN may come as late as the next probe, and the kernel alone waits for it. A reset instead would
count as "down".
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterable

from havip.model.address import Address

BACKLOG = 1024
"""Handshakes and connections that wait; beyond it the kernel answers with SYN cookies."""
AT_ONCE = 64
"""Connections taken before the loop turns to other work: a flood must not delay the election."""
PAUSE_SECONDS = 0.2
"""How long a listener rests when the kernel has no descriptor or memory left."""

_IP_FREEBIND, _IPV6_FREEBIND = 15, 78

_log = logging.getLogger(__name__)

Place = tuple[Address, int]


class Listener:
    """One address and port. Raises `OSError` when the port cannot be had."""

    def __init__(self, place: Place) -> None:
        address, port = place
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.version == 4:
                made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            else:
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((str(address), port))
            made.listen(BACKLOG)
        except OSError:
            made.close()
            raise
        self._socket = made
        self._resting: asyncio.TimerHandle | None = None
        asyncio.get_running_loop().add_reader(made.fileno(), self._take)

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._rest()
                return
            connection.close()

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        self._resting = loop.call_later(PAUSE_SECONDS, loop.add_reader, self._socket.fileno(), self._take)

    def close(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()


class Listeners:
    """One for each VIP that is probed. `refused`: where there could be none, and why."""

    def __init__(self) -> None:
        self._open: dict[Place, Listener] = {}
        self.refused: dict[Place, str] = {}

    def keep(self, places: Iterable[Place]) -> None:
        """Exactly these are listened on; one that could not be had is tried again."""
        wanted = set(places)
        for place in self._open.keys() - wanted:
            self._open.pop(place).close()
        before, self.refused = self.refused, {}
        for place in sorted(wanted - self._open.keys(), key=str):
            try:
                self._open[place] = Listener(place)
            except OSError as error:
                self.refused[place] = error.strerror or str(error)
                if place not in before:
                    _log.error("nobody can listen on %s port %s: %s", *place, self.refused[place])

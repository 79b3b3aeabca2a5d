"""Azure's load balancer as packets see it: it probes nodes from 168.63.129.16; new flows go to those that answer.

A probe fails when it is refused, or not answered within one interval (Azure: load balancer custom probe overview).
Established TCP flows stay where they are; that is the gate's doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from e2e.lab.namespaces import Namespace, inside

PROBER = "168.63.129.16"
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Target:
    """A probe of one node. `interval`: seconds between two; `threshold`: how many answers of a kind in a row count."""

    address: str
    port: int
    interval: float
    threshold: int


class Balancer:
    """Probes on a thread of its own. `changed` is called on it, whenever somebody went up or down."""

    def __init__(self, network: Namespace, changed: Callable[[], None]) -> None:
        self._network = network
        self._changed = changed
        self._up: set[Target] = set()
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="balancer")

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        inside(self._network, self._loop.run_forever)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()
        self._loop.close()

    def _end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._loop.call_soon(self._loop.stop)

    def up(self, target: Target) -> bool:
        return target in self._up

    def probe(self, targets: Iterable[Target]) -> None:
        """Exactly these from now on. A new one is down until it has answered."""
        self._loop.call_soon_threadsafe(self._aim, frozenset(targets))

    def _aim(self, targets: frozenset[Target]) -> None:
        for gone in self._tasks.keys() - targets:
            self._tasks.pop(gone).cancel()
            self._up.discard(gone)
        for new in targets - self._tasks.keys():
            self._tasks[new] = self._loop.create_task(self._ask_forever(new))

    async def _ask_forever(self, target: Target) -> None:
        against = 0
        while True:
            began = self._loop.time()
            well = await _answers(target)
            against = 0 if well is (target in self._up) else against + 1
            if against >= target.threshold:
                (self._up.add if well else self._up.discard)(target)
                against = 0
                self._changed()
            await asyncio.sleep(began + target.interval - self._loop.time())


async def _answers(target: Target) -> bool:
    with socket.socket() as asking:
        asking.setblocking(False)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        asking.bind((PROBER, 0))
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(target.interval):
                await asyncio.get_running_loop().sock_connect(asking, (target.address, target.port))
                return True
    return False

"""Asks the local haproxy whether it works, on its unix health socket. Its own loop; no shell script, no VIP.

A connect to the VIP from a standby would reach the active node, so the VIP says nothing about *this* haproxy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

INTERVAL_SECONDS = 0.25
HURRY_SECONDS = 0.05
"""After an answer that contradicts what is believed, the next question comes soon."""
TIMEOUT_SECONDS = 1.0
RISE = 2
FALL = 2

_REQUEST = b"GET / HTTP/1.0\r\nHost: track\r\n\r\n"


class Judgement:
    """Rise and fall: one answer out of line changes nothing. Pure."""

    def __init__(self, *, healthy: bool = True) -> None:
        self.healthy = healthy
        self._against = 0

    def hear(self, well: bool) -> bool:
        """One answer; True = the judgement has changed."""
        if well == self.healthy:
            self._against = 0
            return False
        self._against += 1
        if self._against < (RISE if well else FALL):
            return False
        self.healthy = well
        self._against = 0
        return True

    @property
    def doubtful(self) -> bool:
        return self._against > 0


class Track:
    """`healthy` is True while nobody asks for it. `changed` is called when an answer flips it."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path
        self._changed = changed
        self._judgement = Judgement()
        self._task: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        return self._judgement.healthy

    def wanted(self, needed: bool, *, serving: bool = False) -> bool:
        """Asks from now on, or stops asking; returns what to go by until there are answers.

        Unknown counts as ill: a haproxy that never came up must not hold a VIP against one that works. But a VIP that
        this node is `serving` stays here when it gets its first front end.
        """
        if needed and self._task is None:
            self._judgement = Judgement(healthy=serving)
            self._task = asyncio.create_task(self._ask_forever())
        elif not needed and self._task is not None:
            self._task.cancel()
            self._task = None
            self._judgement = Judgement()
        return self.healthy

    async def _ask_forever(self) -> None:
        while True:
            if self._judgement.hear(await answers(self._path)):
                self._changed()
            await asyncio.sleep(HURRY_SECONDS if self._judgement.doubtful else INTERVAL_SECONDS)


async def answers(path: Path) -> bool:
    """Whether `GET /` on the unix socket is answered with 200 in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(_REQUEST)
            line = await reader.readline()
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return line.split(b" ")[1:2] == [b"200"]

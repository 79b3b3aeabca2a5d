"""haproxy's master socket: reload, and whether the new worker came up.

haproxy 3.0 answers `reload` when the new worker runs or failed; 2.6 closes at once and counts failures in `show proc`.
Neither is believed: success is that the worker on the runtime socket says it runs the new structure.
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import PurePosixPath

from havip.agent.haproxy import runtime
from havip.agent.haproxy.check import first_alert
from havip.agent.haproxy.sockets import SocketAway, ask

RELOAD_SECONDS = 15
BUSY_SECONDS = 5
_LOOK_SECONDS = 0.01
_BLAMED = re.compile(r"for frontend (\S+): (?:protocol \S+: )?cannot bind")
_MASTER = re.compile(r"^\d+\s+master\s+\d+\s+\[failed: (\d+)\]", re.MULTILINE)


class ReloadFailed(Exception):
    """The old worker goes on. The message is haproxy's where it gave one; `frontends` are those it blamed by name."""

    def __init__(self, message: str, frontends: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.frontends = frontends


async def reload(master: PurePosixPath, socket: PurePosixPath, *, digest: str, before: int) -> runtime.Running:
    """Makes haproxy read its file again, and waits until another worker than `before` (a pid) runs `digest`.

    Raises `ReloadFailed`, `SocketAway`.
    """
    answer = await _ask_reload(master)
    if "Success=0" in answer:
        raise ReloadFailed(first_alert(answer) or "haproxy refused the new configuration", blamed(answer))
    try:
        async with asyncio.timeout(RELOAD_SECONDS):
            return await _loaded(master, socket, digest=digest, before=before)
    except TimeoutError:
        raise ReloadFailed(f"haproxy does not run the new configuration after {RELOAD_SECONDS} s") from None


async def _ask_reload(master: PurePosixPath) -> str:
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return await ask(master, "reload", seconds=RELOAD_SECONDS)
        except SocketAway as away:
            # 2.6 re-executes itself under our feet: a connection that was reset may have been understood.
            if isinstance(away.__cause__, ConnectionResetError | BrokenPipeError):
                return ""
            # Nobody listens while the master is busy with a reload before this one.
            if not isinstance(away.__cause__, ConnectionRefusedError) or time.monotonic() > end:
                raise
        await asyncio.sleep(_LOOK_SECONDS)


async def _loaded(master: PurePosixPath, socket: PurePosixPath, *, digest: str, before: int) -> runtime.Running:
    while True:
        try:
            running = await runtime.observe(socket)
            if running.digest == digest and running.pid != before:
                return running
            if failures(await ask(master, "show proc")) > 0:
                raise ReloadFailed("haproxy could not start the new configuration; the old one goes on")
        except SocketAway:
            pass  # between two masters or two workers
        await asyncio.sleep(_LOOK_SECONDS)


def blamed(answer: str) -> frozenset[str]:
    """The front ends that could not be bound, of what haproxy 3.0 says to a reload that failed."""
    return frozenset(_BLAMED.findall(answer))


def failures(processes: str) -> int:
    """Reloads in a row that failed, of an answer to `show proc`; 0 where the version does not tell."""
    match = _MASTER.search(processes)
    return int(match[1]) if match else 0

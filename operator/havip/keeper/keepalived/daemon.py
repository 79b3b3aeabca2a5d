"""keepalived's process: start, reload, dump, stop, and noticing its death at once.

It runs with --dont-respawn: respawned by its own parent, a killed VRRP child was back in 36 ms unseen, with
the address still there and the bonus still on. Its end with exit code 0 is a death like any other: that is how
it ends when its VRRP child was killed, and when it believes that another one runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from havip.keeper.children import Child, Children, handles_signal, process_state
from havip.keeper.keepalived import dump
from havip.keeper.keepalived.render import Paths

_log = logging.getLogger(__name__)
_POLL = 0.002
_FAREWELL = 0.1
_HEALTHY_STATES = frozenset("RS")


class Daemon:
    """At most one keepalived. `died` is called once for every end that was not asked for."""

    def __init__(
        self,
        program: str,
        paths: Paths,
        *,
        children: Children,
        environment: Mapping[str, str],
        died: Callable[[], None],
    ) -> None:
        self._program = program
        self._paths = paths
        self._children = children
        self._environment = environment
        self._died = died
        self._child: Child | None = None
        self._vrrp: int = 0
        self._vrrp_watch: int = -1
        self._stopping = False
        self._dumping = asyncio.Lock()

    @property
    def running(self) -> bool:
        return self._child is not None

    @property
    def frozen(self) -> bool:
        """A process of it is stopped, in an uninterruptible wait or a zombie: alive is not enough."""
        pids = [self._child.pid] if self._child is not None else []
        if self._vrrp:
            pids.append(self._vrrp)
        return any(process_state(pid) not in _HEALTHY_STATES for pid in pids)

    def start(self) -> None:
        """Starts it on the file that is there. Stale pid files would make it end with exit code 0."""
        for path in (self._paths.pid, self._paths.vrrp_pid):
            Path(path).unlink(missing_ok=True)
        command = [self._program, "--dont-fork", "--log-console", "--no-syslog", "--dont-respawn"]
        # In this order: --all keeps the VRRP process with no instance, what follows takes the other two away again.
        command += ["--all", "--vrrp", "--no_bfd"]
        command += ["--use-file", str(self._paths.config)]
        command += ["--pid", str(self._paths.pid), "--vrrp_pid", str(self._paths.vrrp_pid)]
        self._stopping = False
        self._kill_vrrp()
        self._unwatch()
        child = self._children.spawn(command, environment=self._environment)
        self._child = child
        child.ended.add_done_callback(lambda ended: self._ended(child, ended.result()))

    def _ended(self, child: Child, code: int) -> None:
        if child is not self._child:
            return
        self._child = None
        if self._stopping:
            self._unwatch()
            return
        _log.warning("keepalived ended with %s", code)
        # Its VRRP process is told by the kernel and says farewell to the peers, if it is well.
        asyncio.get_running_loop().call_later(_FAREWELL, self._kill_vrrp)
        self._died()

    def _vrrp_ended(self) -> None:
        """The VRRP process is gone; its parent will follow, but the address must not wait for it."""
        self._unwatch()
        child = self._child
        if child is None or self._stopping:
            return
        self._child = None
        _log.warning("keepalived's VRRP process ended")
        child.send(signal.SIGKILL)
        self._died()

    def _watch(self) -> None:
        """Finds the VRRP process by its pid file and waits for its end."""
        if self._vrrp or self._child is None:
            return
        try:
            pid = int(Path(self._paths.vrrp_pid).read_text("ascii"))
            self._vrrp_watch = os.pidfd_open(pid)
        except (OSError, ValueError):
            return
        self._vrrp = pid
        asyncio.get_running_loop().add_reader(self._vrrp_watch, self._vrrp_ended)

    def _unwatch(self) -> None:
        if self._vrrp_watch >= 0:
            asyncio.get_running_loop().remove_reader(self._vrrp_watch)
            os.close(self._vrrp_watch)
            self._vrrp_watch = -1
        self._vrrp = 0

    def kill(self) -> None:
        """Ends every process of it without its say. Addresses stay: the caller removes them."""
        self._kill_vrrp()
        if self._child is not None:
            self._child.send(signal.SIGKILL)

    def _kill_vrrp(self) -> None:
        if self._vrrp_watch >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._vrrp_watch, signal.SIGKILL)

    def reload(self) -> bool:
        """Asks it to read its file again; False = it cannot be asked (yet)."""
        self._watch()
        if self._child is None or not self._ready(signal.SIGHUP):
            return False
        self._child.send(signal.SIGHUP)
        return True

    def _ready(self, number: int) -> bool:
        return (
            self._child is not None
            and self._vrrp != 0
            and handles_signal(self._child.pid, number)
            and handles_signal(self._vrrp, number)
        )

    async def dump(self, seconds: float = 1.0) -> dict[str, dump.Running] | None:
        """What it runs; None = it did not say so in time."""
        async with self._dumping:
            loop = asyncio.get_running_loop()
            deadline = loop.time() + seconds
            path = Path(self._paths.temporary) / dump.FILE
            path.unlink(missing_ok=True)
            while loop.time() < deadline:
                self._watch()
                if self._ready(dump.SIGNAL):
                    break
                await asyncio.sleep(_POLL)
            if self._child is None or not self._ready(dump.SIGNAL):
                return None
            os.kill(self._child.pid, dump.SIGNAL)
            while loop.time() < deadline:
                await asyncio.sleep(_POLL)
                with contextlib.suppress(OSError):
                    found = dump.parse(path.read_text("utf-8"))
                    if found is not None:
                        return found
            return None

    async def stop(self, seconds: float = 3.0) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        child = self._child
        self._stopping = True
        if child is None:
            return
        child.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(child.ended), seconds)
        except TimeoutError:
            _log.warning("keepalived does not stop: killed")
            self.kill()
            await child.ended
        self._unwatch()

"""Starting and reaping processes as PID 1. The only file that forks.

Incidents: a killed keepalived that nobody reaped stayed a zombie, its pid file named it, and the next
keepalived said "daemon is already running" and exited 0: the VIP stayed on a node without VRRP. So every child
is reaped here, also those that were reparented to us.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclass(eq=False, slots=True)
class Child:
    """A process of ours. `ended` gets its exit code, negative = the signal that killed it."""

    pid: int
    ended: asyncio.Future[int]
    process: subprocess.Popen[bytes]

    def send(self, number: signal.Signals) -> None:
        if not self.ended.done():
            os.kill(self.pid, number)


class Children:
    """All processes below this one. One of it per process: it waits for *any* child."""

    def __init__(self) -> None:
        self._running: dict[int, Child] = {}

    def start(self) -> None:
        """Reaps from now on. Orphans of our children become ours also where we are not PID 1 (the lab)."""
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def spawn(self, command: Sequence[str], *, environment: Mapping[str, str], output: int | None = None) -> Child:
        """Starts a program that the kernel kills when we die. `output`: a file descriptor for both its streams."""
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # one thread only, and it does one system call
        )
        child = Child(process.pid, asyncio.get_running_loop().create_future(), process)
        self._running[child.pid] = child
        self._reap()  # it may have ended before it was known
        return child

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._running.pop(pid, None)
            if child is None:
                continue
            child.process.returncode = os.waitstatus_to_exitcode(status)
            if not child.ended.done():
                child.ended.set_result(child.process.returncode)


def process_state(pid: int) -> str:
    """The letter of /proc/<pid>/stat: R, S, D, T, t, Z; empty = there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # read several times a second
            return chr(file.read().rpartition(b") ")[2][0])
    except (OSError, IndexError):
        return ""


def handles_signal(pid: int, number: int) -> bool:
    """Whether the process catches or blocks the signal; it would kill one that is still starting."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123  # as above
            status = file.read()
    except OSError:
        return False
    masks = 0
    for line in status.splitlines():
        if line.startswith((b"SigCgt:", b"SigBlk:")):
            masks |= int(line.split()[1], 16)
    return bool(masks >> (number - 1) & 1)

"""Processes as a container runtime would start them, each PID 1 of its own pid namespace (`container.c`)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.compiled import compiled
from e2e.lab.namespaces import LabError, Namespace
from e2e.lab.record import RunRecord


def children(pid: int) -> list[int]:
    """Child processes, oldest first; empty when the process is gone."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return sorted(found)


def command_of(pid: int) -> str:
    """The process's name (proc_pid_comm(5)); empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid: int) -> list[int]:
    """Everything below a process, parents before their children."""
    below: list[int] = []
    for child in children(pid):
        below += [child, *descendants(child)]
    return below


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, with the children it has waited for; 0 when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = stat.rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident set size, shared pages counted in full (proc_pid_status(5), VmRSS); 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def await_gone(pids: Sequence[int], *, seconds: float = 5.0) -> None:
    """Wait until none of these processes exists (zombies count as gone). Waits on pidfds, not on a clock."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            rest = max(0.0, deadline - time.monotonic())
            if not select.select([handle], [], [], rest)[0]:
                raise LabError(f"process {pid} ({command_of(pid)}) did not end within {seconds} s")
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class Root:
    """The root file system a program sees: the host's own (`path` None) or an image's, with folders bound in."""

    path: Path | None = None
    binds: tuple[tuple[Path, str], ...] = ()


HOST_ROOT = Root()


class Container:
    """One running program and everything below it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        network: Namespace,
        record: RunRecord,
        log: Path,
        environment: Mapping[str, str],
        root: Root = HOST_ROOT,
    ) -> None:
        words = [str(compiled("container")), "-n", str(network.path)]
        if root.path is not None:
            words += ["-r", str(root.path)]
        for source, target in root.binds:
            words += ["-b", f"{source}:{target}"]
        self.log = log
        with log.open("ab") as output:
            self._outer = subprocess.Popen(
                [*words, "--", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C reaches the lab alone, which then ends them in order
            )
        record.process(self._outer.pid)
        self._main = 0

    @property
    def main(self) -> int:
        """The program's pid as the host sees it. Raises `LabError` when it has ended."""
        deadline = time.monotonic() + 5
        while not self._main:
            below = children(self._outer.pid)
            if below:
                self._main = below[0]
            elif self._outer.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"a program ended at once; it said: {self.said()}")
            else:
                time.sleep(0.001)  # between fork and exec there is nothing to wait on
        return self._main

    @property
    def running(self) -> bool:
        return self._outer.poll() is None

    def said(self) -> str:
        """The end of what it and its predecessors in the same log have said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def all(self) -> list[int]:
        """The program and its descendants."""
        return [self.main, *descendants(self.main)] if self.running else []

    def named(self, name: str) -> list[int]:
        """Descendants (and the program) with this name, parents first."""
        return [pid for pid in self.all() if command_of(pid) == name]

    def signal(self, number: signal.Signals) -> None:
        """To the program itself; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError, LabError):
            os.kill(self.main, number)

    def kill(self) -> None:
        """SIGKILL to the program; the kernel takes everything below with it. Waits until it is gone."""
        if self.running:
            self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, *, seconds: float = 20.0) -> int:
        """Wait for the end and return the exit code (128 + signal when killed by one)."""
        try:
            code = self._outer.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"a program did not end within {seconds} s; it said: {self.said()}") from None
        if self._outer.stdin is not None:
            self._outer.stdin.close()
        return code

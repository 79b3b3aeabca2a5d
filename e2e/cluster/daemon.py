"""One long-running program of a test: its log in a file, its end by its own process id, and never an orphan.

The kernel kills it with the thread that started it (`setpriv --pdeathsig`), so that an aborted test run leaves nothing
behind. Nothing here looks a process up by name: other runs have the same programs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_TAIL = 2000  # bytes of a log that are shown when its program did not do its work


class Died(RuntimeError):
    """A program that ended by itself, with the end of its log."""


class Daemon:
    """`command` started with its output in `log`. `within`: a command prefix, such as nsenter's."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        within: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *within, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if environment is None else {**os.environ, **environment},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raises `Died` when the program is gone."""
        if not self.alive:
            raise Died(f"{self.name} ended with {self._process.returncode}; {self.log} ends with:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_bytes()[-_TAIL:].decode(errors="replace")

    def wait(self, seconds: float = 10.0) -> int:
        """Its exit status, once it has ended by itself. Raises `subprocess.TimeoutExpired`."""
        return self._process.wait(seconds)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self, *, patience: float = 10.0) -> None:
        """SIGTERM, and SIGKILL after `patience` seconds; returns when the program is gone."""
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

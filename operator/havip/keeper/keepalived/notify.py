"""keepalived's notify FIFO: hints that come within a fraction of a millisecond, and may be missing.

Lines are lost when the pipe is full, and two writers during a reload may tear one; nothing is taken for true
because it was read here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_LINE = re.compile(r'INSTANCE "([A-Za-z0-9_]{1,64})" ([A-Z_]+) (\d{1,3})')


class Vrrp(Enum):
    """keepalived's state of one instance; the values are those of its JSON dump."""

    INIT = 0
    BACKUP = 1
    MASTER = 2
    FAULT = 3


_STATES = {"MASTER": Vrrp.MASTER, "BACKUP": Vrrp.BACKUP, "FAULT": Vrrp.FAULT, "STOP": Vrrp.FAULT}


@dataclass(frozen=True, slots=True)
class Notification:
    """`state` None = something else happened to the instance (a priority, an advert of a lower priority)."""

    name: str
    state: Vrrp | None
    priority: int


def parse(line: str) -> Notification | None:
    """One line of the FIFO; None = not understood."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    return Notification(match[1], _STATES.get(match[2]), int(match[3]))


class NotifyFifo:
    """The reading end. It is opened for writing too, so that it never ends when keepalived does."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> Iterator[Notification]:
        """Everything that was written since the last call."""
        data = self._rest
        while True:
            try:
                chunk = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                break
            data += chunk
            if len(chunk) < 1 << 16:
                break
        *lines, self._rest = data.split(b"\n")
        for line in lines:
            notification = parse(line.decode("ascii", "replace"))
            if notification is not None:
                yield notification

    def close(self) -> None:
        os.close(self._descriptor)

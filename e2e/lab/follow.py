"""Waiting for a file to change by inotify, so that no scenario sleeps."""

from __future__ import annotations

import ctypes
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from e2e.lab.namespaces import LabError

T = TypeVar("T")
_LIBC = ctypes.CDLL(None, use_errno=True)
_MODIFY, _CLOSE_WRITE, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x8, 0x80, 0x100, 0x200


class NotInTime(AssertionError):
    """Something a scenario waits for did not happen. Carries what was seen instead."""


class Watch:
    """Events of folders or files."""

    def __init__(self, *paths: Path) -> None:
        self._fd: int = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = _MODIFY | _CLOSE_WRITE | _MOVED_TO | _CREATE | _DELETE
        for path in paths:
            if self._fd < 0 or _LIBC.inotify_add_watch(self._fd, os.fsencode(path), mask) < 0:
                raise LabError(f"inotify on {path}: {os.strerror(ctypes.get_errno())}")

    def wait(self, seconds: float) -> None:
        """Return at the next event, or after that time."""
        if select.select([self._fd], [], [], max(0.0, seconds))[0]:
            os.read(self._fd, 65536)

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(what: str, look: Callable[[], T | None], *, watch: Path, seconds: float) -> T:
    """Call `look` at each event of `watch` until it returns something that is not None. Raises `NotInTime`."""
    deadline = time.monotonic() + seconds
    with Watch(watch) as events:
        while True:
            found = look()
            if found is not None:
                return found
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise NotInTime(f"not within {seconds} s: {what}")
            events.wait(min(rest, 0.5))  # 0.5: what is looked at may depend on more than this file


def wait_until(what: str, reached: Callable[[], bool], *, seconds: float = 10.0, pause: float = 0.005) -> None:
    """For what nothing announces: asks every `pause` seconds. Raises `NotInTime`."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds} s: {what}")
        time.sleep(pause)

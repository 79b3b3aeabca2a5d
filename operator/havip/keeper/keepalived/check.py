"""`keepalived -t`: the second gate before a file replaces another one. The first is the model's validator.

A SIGHUP with a file that does not parse kills keepalived, so nothing reaches its place unchecked. keepalived's own
`reload_check_config` cannot help: its checking process wants setgroups, which our capabilities do not give; 2.3.3 then
went on with the file it already had and said "Reload complete".
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from havip.keeper.children import Children

SECONDS = 10.0


class Rejected(Exception):
    """keepalived does not take the file; the message is what it says."""


async def check(program: str, config: Path, *, children: Children, environment: Mapping[str, str]) -> None:
    """Raises `Rejected`."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            child = children.spawn(
                [program, "-t", "-P", "-l", "-f", str(config)], environment=environment, output=writing
            )
        except OSError as error:
            raise Rejected(f"{program} cannot be started: {error.strerror}") from None
        finally:
            os.close(writing)
        try:
            code = await asyncio.wait_for(asyncio.shield(child.ended), SECONDS)
        except TimeoutError:
            child.send(signal.SIGKILL)
            raise Rejected(f"{program} -t did not end within {SECONDS:.0f} s") from None
        said = _available(reading)
    finally:
        os.close(reading)
    if code:
        raise Rejected(reason(said) or f"{program} -t ended with {code}")


def _available(reading: int) -> str:
    os.set_blocking(reading, False)
    try:
        return os.read(reading, 1 << 16).decode("utf-8", "replace")
    except BlockingIOError:
        return ""


def reason(said: str) -> str:
    """The first line that says what is wrong, without keepalived's time stamp and our folder."""
    for line in said.splitlines():
        text = line.partition(": ")[2] if line[:4] in _DAYS else line
        if text.strip():
            return text.strip()[:300]
    return ""


_DAYS = frozenset(("Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "))

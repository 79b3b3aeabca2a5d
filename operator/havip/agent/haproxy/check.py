"""The binary's own opinion of a file, before haproxy is asked to run it. It binds nothing: a taken port passes here."""

from __future__ import annotations

import asyncio
import re
from pathlib import PurePosixPath

CHECK_SECONDS = 20
_ALERT = re.compile(r"^\[ALERT\]\s*(?:\(\d+\)|\d+/\d+ \(\d+\))?\s*:\s*(.*)$")


class CannotCheck(Exception):
    """The binary could not be run; says nothing about the file."""


async def refusal(binary: str, file: PurePosixPath) -> str:
    """Why `haproxy -c` refuses `file`; empty when it takes it. Raises `CannotCheck`."""
    try:
        process = await asyncio.create_subprocess_exec(
            binary, "-c", "-f", str(file),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise CannotCheck(f"{binary} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise CannotCheck(f"{binary} -c gave no answer within {CHECK_SECONDS} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return ""
    return first_alert(output.decode("utf-8", errors="replace")) or f"exit code {process.returncode}"


def first_alert(output: str) -> str:
    """The first alert that says what is wrong, of what haproxy wrote at a start or check."""
    for line in output.splitlines():
        match = _ALERT.match(line.strip())
        if match:
            return match[1].strip()[:300]
    return ""

"""One question to one of haproxy's command sockets, and its whole answer."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath

ANSWER_SECONDS = 5
ANSWER_LIMIT = 64 << 20


class SocketAway(Exception):
    """haproxy does not answer on this socket; the message says which and why."""


async def ask(socket: PurePosixPath, commands: str, *, seconds: float = ANSWER_SECONDS) -> str:
    """Sends one line of commands joined by `;` and reads to the end. Raises `SocketAway`."""
    try:
        async with asyncio.timeout(seconds):
            return await _ask(socket, commands)
    except TimeoutError:
        raise SocketAway(f"haproxy gave no answer on {socket.name} within {seconds:g} s") from None
    except (OSError, asyncio.IncompleteReadError) as error:
        raise SocketAway(f"haproxy does not answer on {socket.name}: {error}") from error


async def _ask(socket: PurePosixPath, commands: str) -> str:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(commands.encode("ascii") + b"\n")
        # The master's socket stays open after its answer until it sees the end of what we say.
        writer.write_eof()
        return (await _all(reader)).decode("utf-8", errors="replace")
    finally:
        writer.close()


async def _all(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await reader.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > ANSWER_LIMIT:
            raise OSError(f"an answer of more than {ANSWER_LIMIT} bytes")
    return b"".join(parts)

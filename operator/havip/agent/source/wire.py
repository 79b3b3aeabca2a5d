"""HTTP/1.1 as far as list, watch and patch need it, on asyncio streams: one request per connection.

Why not a library: agent and keeper together may have 60 MiB. Measured, the imports alone: aiohttp 34.7 MB, this 20.0.
No redirects, no compression, no proxies, no cookies: an API server reached by its address has none of them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

CONNECT_SECONDS = 10
LINE_LIMIT = 16 << 20  # octets of one watch event; the API server's own limit for an object is 1.5 MiB
BODY_LIMIT = 256 << 20
_HEADERS = 100
T = TypeVar("T")


class WireError(Exception):
    """The other side is not there, went away, or does not speak HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`tls` None = plain text, for a fake server or a proxy on the same host."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Response:
    """Status and headers have come; the body is read by `body` or `lines`, once."""

    def __init__(self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader, silence: float) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader
        self._silence = silence

    async def body(self) -> bytes:
        """The whole body. Raises `WireError`."""
        parts: list[bytes] = []
        size = 0
        async for part in self._parts():
            size += len(part)
            if size > BODY_LIMIT:
                raise WireError(f"an answer of more than {BODY_LIMIT} bytes")
            parts.append(part)
        return b"".join(parts)

    async def lines(self) -> AsyncIterator[bytes]:
        """The body line by line as it comes. Raises `WireError`, also when nothing comes for too long."""
        rest = b""
        async for part in self._parts():
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                if line.strip():
                    yield line
            if len(rest) > LINE_LIMIT:
                raise WireError(f"a line of more than {LINE_LIMIT} bytes")
        if rest.strip():
            yield rest

    async def _parts(self) -> AsyncIterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := await self._chunk_size():
                yield await self._exactly(size)
                await self._exactly(2)
        elif "content-length" in self.headers:
            left = _length(self.headers["content-length"])
            while left:
                part = await self._exactly(min(left, 1 << 18))
                left -= len(part)
                yield part
        else:
            while part := await _within(self._silence, self._reader.read(1 << 16)):
                yield part

    async def _chunk_size(self) -> int:
        line = await _within(self._silence, self._reader.readline())
        try:
            size = int(line.split(b";", 1)[0], 16)
        except ValueError:
            raise WireError("the connection ended inside an answer") from None
        if size > BODY_LIMIT:
            raise WireError(f"a chunk of {size} bytes")
        return size

    async def _exactly(self, size: int) -> bytes:
        return await _within(self._silence, self._reader.readexactly(size))


@asynccontextmanager
async def request(
    endpoint: Endpoint,
    method: str,
    *,
    target: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    silence: float,
) -> AsyncIterator[Response]:
    """One request on a connection of its own. `silence`: seconds without a byte after which the other side is gone.

    Raises `WireError`.
    """
    reader, writer = await _connect(endpoint)
    try:
        writer.write(_head(endpoint, method, target=target, headers=headers, length=len(body)) + body)
        await _within(silence, writer.drain())
        status, found = await _response_head(reader, silence)
        yield Response(status, found, reader, silence)
    finally:
        # No closing handshake: a server that is gone would make us wait for it.
        writer.transport.abort()


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    opening = asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls)
    reader, writer = await _within(CONNECT_SECONDS, opening)
    raw = writer.get_extra_info("socket")
    # A watch is silent for minutes; a server that lost power must be noticed before that.
    for option, value in (
        (socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3), (socket.TCP_NODELAY, 1)
    ):  # fmt: skip
        raw.setsockopt(socket.IPPROTO_TCP, option, value)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return reader, writer


def _head(endpoint: Endpoint, method: str, *, target: str, headers: Mapping[str, str], length: int) -> bytes:
    fields = {"Host": endpoint.authority, "Connection": "close", "Content-Length": str(length), **headers}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise WireError("a line break in a request's head")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _response_head(reader: asyncio.StreamReader, silence: float) -> tuple[int, dict[str, str]]:
    start = await _within(silence, reader.readline())
    parts = start.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise WireError("no HTTP/1.1 answer")
    headers: dict[str, str] = {}
    for _ in range(_HEADERS):
        line = (await _within(silence, reader.readline())).decode("latin-1").rstrip("\r\n")
        if not line:
            return int(parts[1]), headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise WireError(f"more than {_HEADERS} header lines")


def _length(text: str) -> int:
    if not text.isdecimal() or int(text) > BODY_LIMIT:
        raise WireError("a body length that is not one")
    return int(text)


async def _within(seconds: float, awaitable: Awaitable[T]) -> T:
    """`awaitable` bounded in time, and its errors as ours."""
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except TimeoutError:
        raise WireError(f"nothing came within {seconds:g} s") from None
    except asyncio.IncompleteReadError:
        raise WireError("the connection ended inside an answer") from None
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a line beyond the limit
        raise WireError(str(error) or type(error).__name__) from error

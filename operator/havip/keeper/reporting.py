"""Tells the agent what is true: the whole report as one JSON line, in a file and to every reader of a socket.

Nothing is said while nothing changes. The agent may be gone; then the line waits in the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

from havip.model.report import KeeperReport

BACKLOG = 1 << 20
"""Bytes that a reader may lag behind before it is cut off; it gets the whole truth when it connects again."""


class Reporter:
    """The state file and the state socket."""

    def __init__(self, file: Path, socket: Path) -> None:
        self._file = file
        self._socket = socket
        self._line = b""
        self._server: asyncio.Server | None = None
        self.readers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, str(self._socket))
        self._socket.chmod(0o660)

    def publish(self, report: KeeperReport) -> bool:
        """Says it if it is new; True = it was."""
        line = json.dumps(report.to_json(), separators=(",", ":")).encode("ascii") + b"\n"
        if line == self._line:
            return False
        self._line = line
        self._write(line)
        for writer in tuple(self.readers):
            self._send(writer)
        return True

    def _write(self, line: bytes) -> None:
        temporary = self._file.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o640)
            file.write(line)
        temporary.replace(self._file)

    def _send(self, writer: asyncio.StreamWriter) -> None:
        if writer.transport.get_write_buffer_size() > BACKLOG:
            self.readers.discard(writer)
            writer.transport.abort()
            return
        writer.write(self._line)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.readers.add(writer)
        try:
            if self._line:
                self._send(writer)
            while await reader.read(1 << 12):
                pass  # a reader has nothing to say; its end is what is waited for
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.readers.discard(writer)
            writer.close()

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self.readers):
            with contextlib.suppress(OSError):
                writer.close()
        self._socket.unlink(missing_ok=True)

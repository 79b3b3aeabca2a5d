"""Listens to the keeper: its state socket, and its state file as long as the socket does not answer.

The keeper's word is the only source for who is active here. When it falls silent for longer than its addresses live,
the VIPs of this node are Unknown; nothing is guessed in its place.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from havip.model.paths import Folders
from havip.model.refusal import Refused
from havip.model.report import KeeperReport
from havip.model.states import State

SILENCE_SECONDS = 2.5
"""The kernel drops an address 2 s after the keeper renewed it last."""
FIRST_WORD_SECONDS = 20.0
"""The keeper's container starts after the agent's: until it has spoken once, silence is no news for a while."""
RETRY_SECONDS = 0.25
_LINE_LIMIT = 4 << 20
_log = logging.getLogger(__name__)

Publish = Callable[[KeeperReport], None]


def understand(text: str | bytes) -> KeeperReport:
    """One line of the stream, or the state file. Raises `Refused`."""
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused("", "must be JSON") from None
    return KeeperReport.from_json(body)


def silent(last: KeeperReport | None, now: datetime) -> KeeperReport:
    """What is known of the VIPs when the keeper says nothing any more. `now` in UTC."""
    since = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    instances = () if last is None else last.instances
    return KeeperReport(
        applied_generation=0 if last is None else last.applied_generation,
        error="the keeper does not answer on its state socket",
        keepalived_version="" if last is None else last.keepalived_version,
        keepalived_running=False,
        track_healthy=False,
        instances=tuple(
            replace(item, state=State.UNKNOWN, since=since, reason="KeeperAway", heard=(), outage_ms=None)
            for item in instances
        ),
        left_out=() if last is None else last.left_out,
    )


class KeeperLine:
    """The connection to the keeper, kept up for ever."""

    def __init__(self, folders: Folders, publish: Publish) -> None:
        self._socket = str(folders.state_socket)
        self._file = Path(folders.state_file)
        self._publish = publish
        self._last: KeeperReport | None = None
        self._text: bytes = b""

    async def run(self) -> None:
        heard = time.monotonic()
        said = False
        while True:
            if await self._listen():
                heard, said = time.monotonic(), False
            elif not said and time.monotonic() - heard > (SILENCE_SECONDS if self._last else FIRST_WORD_SECONDS):
                _log.warning("the keeper does not answer: the VIPs of this node are unknown")
                self._publish(silent(self._last, datetime.now(UTC)))
                self._text, said = b"", True  # the same report is news again after this
            elif not said:
                self._read_file()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> bool:
        """Reads reports until the connection ends; whether there was any."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket, limit=_LINE_LIMIT)
        except OSError as error:
            _log.debug("state socket: %s", error)
            return False
        heard = False
        try:
            while line := await reader.readline():
                heard = self._take(line) or heard
        except (OSError, ValueError) as error:  # ValueError: a line beyond the limit
            _log.warning("state socket: %s", error)
        finally:
            writer.close()
        return heard

    def _read_file(self) -> None:
        try:
            self._take(self._file.read_bytes())
        except OSError:
            return  # neither socket nor file: the keeper has not started yet

    def _take(self, text: bytes) -> bool:
        if text.strip() == self._text:
            return True
        try:
            report = understand(text)
        except Refused as refused:
            _log.warning("the keeper's report is not understood: %s", refused)
            return False
        self._text = text.strip()
        self._last = report
        self._publish(report)
        return True

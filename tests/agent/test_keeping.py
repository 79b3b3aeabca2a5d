"""Listening to the keeper: stream, state file, silence and return."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.agent import orders

from havip.agent import keeping
from havip.agent.keeping import KeeperLine, silent, understand
from havip.model.keys import Key
from havip.model.paths import Folders
from havip.model.refusal import Refused
from havip.model.report import InstanceReport, KeeperReport
from havip.model.states import State

ACTIVE = InstanceReport(Key("shop", "web"), 7, State.ACTIVE, "2026-01-01T00:00:00.000Z", "Elected", (), 310)


def line(report: KeeperReport) -> bytes:
    return json.dumps(report.to_json()).encode() + b"\n"


class Listening:
    """A keeper's line into a queue, and a keeper that says what it is told to."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.heard: asyncio.Queue[KeeperReport] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def keeper_starts(self, report: KeeperReport) -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.append(writer)
            writer.write(line(report))

        self._server = await asyncio.start_unix_server(serve, str(self.folders.state_socket))

    def keeper_says(self, raw: bytes) -> None:
        for writer in self._writers:
            writer.write(raw)

    def keeper_ends(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        Path(self.folders.state_socket).unlink(missing_ok=True)

    async def next(self) -> KeeperReport:
        return await asyncio.wait_for(self.heard.get(), 20)


@contextlib.asynccontextmanager
async def listening(folders: Folders) -> AsyncIterator[Listening]:
    it = Listening(folders)
    task = asyncio.create_task(KeeperLine(folders, it.heard.put_nowait).run())
    try:
        yield it
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_reports_come_as_they_are_said(folders: Folders) -> None:
    async def story() -> None:
        async with listening(folders) as it:
            await it.keeper_starts(orders.keeper_report(applied=1))
            assert (await it.next()).applied_generation == 1
            it.keeper_says(line(orders.keeper_report(ACTIVE, applied=2)))
            assert (await it.next()).instances == (ACTIVE,)
            it.keeper_ends()

    asyncio.run(story())


def test_a_report_that_is_not_understood_does_not_end_the_listening(folders: Folders) -> None:
    async def story() -> None:
        async with listening(folders) as it:
            await it.keeper_starts(orders.keeper_report(applied=1))
            await it.next()
            it.keeper_says(b'{"version": 99}\nnonsense\n' + line(orders.keeper_report(applied=2)))
            assert (await it.next()).applied_generation == 2
            it.keeper_ends()

    asyncio.run(story())


def test_the_state_file_is_read_as_long_as_the_socket_does_not_answer(folders: Folders) -> None:
    Path(folders.state_file).write_bytes(line(orders.keeper_report(ACTIVE, applied=3)))

    async def story() -> None:
        async with listening(folders) as it:
            assert (await it.next()).applied_generation == 3

    asyncio.run(story())


def test_a_keeper_that_falls_silent_makes_its_vips_unknown_and_is_believed_when_it_returns(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SILENCE_SECONDS", 0.1)

    async def story() -> None:
        async with listening(folders) as it:
            report = orders.keeper_report(ACTIVE, applied=2)
            await it.keeper_starts(report)
            await it.next()
            it.keeper_ends()
            lost = await it.next()
            assert [(item.state, item.reason) for item in lost.instances] == [(State.UNKNOWN, "KeeperAway")]
            assert "does not answer" in lost.error
            await it.keeper_starts(report)
            assert await it.next() == report, "the very same words are news after a silence"
            it.keeper_ends()

    asyncio.run(story())


def test_a_keeper_that_has_not_started_yet_is_no_news_for_a_while(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "SILENCE_SECONDS", 0.0)
    monkeypatch.setattr(keeping, "FIRST_WORD_SECONDS", 3600.0)
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 0.01)

    async def story() -> None:
        async with listening(folders) as it:
            await asyncio.sleep(0.2)
            await it.keeper_starts(orders.keeper_report(applied=1))
            assert (await it.next()).applied_generation == 1
            it.keeper_ends()

    asyncio.run(story())
    assert "does not answer" not in caplog.text


def test_silence_before_the_first_word_is_told_too() -> None:
    report = silent(None, datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    assert (report.instances, report.applied_generation, report.keepalived_running) == ((), 0, False)
    told = silent(orders.keeper_report(ACTIVE), datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    assert told.instances[0].since == "2026-01-02T03:04:05.678Z"


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(Refused):
        understand(b"{")

"""State file and state socket: the whole truth, at once, and nothing while nothing changes."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from havip.keeper import reporting
from havip.keeper.reporting import Reporter
from havip.model.report import KeeperReport

REPORT = KeeperReport(1, "", "2.3.3", True, True)


def reporter(folder: Path) -> Reporter:
    return Reporter(folder / "state.json", folder / "state.sock")


def test_a_reader_gets_the_truth_at_once_and_every_change(tmp_path: Path) -> None:
    async def run() -> list[int]:
        made = reporter(tmp_path)
        await made.start()
        made.publish(REPORT)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "state.sock"))
        lines = [await asyncio.wait_for(reader.readline(), 10)]
        made.publish(REPORT)
        made.publish(replace(REPORT, applied_generation=2))
        lines.append(await asyncio.wait_for(reader.readline(), 10))
        writer.close()
        await made.close()
        return [KeeperReport.from_json(json.loads(line)).applied_generation for line in lines]

    assert asyncio.run(run()) == [1, 2]


def test_the_same_report_is_not_said_twice(tmp_path: Path) -> None:
    made = reporter(tmp_path)
    assert made.publish(REPORT)
    before = (tmp_path / "state.json").stat()
    assert not made.publish(REPORT)
    after = (tmp_path / "state.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_file_is_replaced_and_readable_by_its_group_only(tmp_path: Path) -> None:
    made = reporter(tmp_path)
    made.publish(REPORT)
    first = (tmp_path / "state.json").stat()
    made.publish(replace(REPORT, error="x"))
    second = (tmp_path / "state.json").stat()
    assert first.st_ino != second.st_ino
    assert stat.S_IMODE(second.st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_the_socket_is_for_the_group_and_goes_with_the_keeper(tmp_path: Path) -> None:
    async def run() -> int:
        made = reporter(tmp_path)
        await made.start()
        mode = stat.S_IMODE((tmp_path / "state.sock").stat().st_mode)
        await made.close()
        return mode

    assert asyncio.run(run()) == 0o660
    assert not (tmp_path / "state.sock").exists()


def test_a_reader_that_does_not_read_is_cut_off_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "BACKLOG", 10_000)

    async def run() -> None:
        made = reporter(tmp_path)
        await made.start()
        _reader, writer = await asyncio.open_unix_connection(str(tmp_path / "state.sock"), limit=1)
        other, other_writer = await asyncio.open_unix_connection(str(tmp_path / "state.sock"))
        await asyncio.sleep(0)
        received = b""
        while len(made.readers) < 2:  # noqa: ASYNC110  # asyncio tells nobody of an accepted connection
            await asyncio.sleep(0)
        for generation in range(400):
            made.publish(replace(REPORT, applied_generation=generation, error="e" * 1000))
            received = await asyncio.wait_for(other.readline(), 10)
        assert json.loads(received)["appliedGeneration"] == 399
        assert len(made.readers) == 1
        writer.close()
        other_writer.close()
        await made.close()

    asyncio.run(run())

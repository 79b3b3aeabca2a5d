"""The local haproxy as a track: one odd answer changes nothing, silence does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from havip.keeper.track import FALL, RISE, Judgement, Track, answers


def test_one_answer_out_of_line_changes_nothing() -> None:
    judgement = Judgement()
    assert not judgement.hear(False)
    assert judgement.doubtful
    assert not judgement.hear(True)
    assert judgement.healthy
    assert not judgement.doubtful


def test_it_falls_and_rises_after_as_many_answers_as_are_set() -> None:
    judgement = Judgement()
    assert [judgement.hear(False) for _ in range(FALL)] == [False] * (FALL - 1) + [True]
    assert not judgement.healthy
    assert [judgement.hear(True) for _ in range(RISE)] == [False] * (RISE - 1) + [True]
    assert judgement.healthy


async def serve(path: Path, reply: bytes) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(reply)
        writer.close()

    return await asyncio.start_unix_server(answer, str(path))


@pytest.mark.parametrize(
    ("reply", "well"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", False),
        (b"", False),
        (b"200", False),
        (b"x" * 200_000, False),
    ],
)
def test_only_a_200_is_an_answer(tmp_path: Path, reply: bytes, well: bool) -> None:
    async def run() -> bool:
        server = await serve(tmp_path / "health.sock", reply)
        try:
            return await answers(tmp_path / "health.sock")
        finally:
            server.close()

    assert asyncio.run(run()) is well


def test_a_socket_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    assert not asyncio.run(answers(tmp_path / "health.sock"))


def healthy(track: Track) -> bool:
    """Asked anew each time; a property looks constant to a type checker."""
    return track.healthy


def test_nobody_is_asked_before_it_is_wanted(tmp_path: Path) -> None:
    async def run() -> None:
        changed = asyncio.Event()
        track = Track(tmp_path / "health.sock", changed.set)
        assert healthy(track)
        track.wanted(True)
        assert not healthy(track), "a haproxy that never came up holds no VIP"
        server = await serve(tmp_path / "health.sock", b"HTTP/1.0 200 OK\r\n\r\n")
        await asyncio.wait_for(changed.wait(), 10)
        assert healthy(track)
        changed.clear()
        server.close()
        (tmp_path / "health.sock").unlink(missing_ok=True)
        await asyncio.wait_for(changed.wait(), 10)
        assert not healthy(track)
        track.wanted(False)
        assert healthy(track)

    asyncio.run(run())


def test_a_vip_that_is_served_stays_until_haproxy_is_known_to_be_ill(tmp_path: Path) -> None:
    async def run() -> None:
        changed = asyncio.Event()
        track = Track(tmp_path / "health.sock", changed.set)
        assert track.wanted(True, serving=True)
        await asyncio.wait_for(changed.wait(), 10)
        assert not healthy(track)

    asyncio.run(run())

"""The listeners of probes: there before the address, gone on demand, and not to be held up by anybody."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from havip.keeper import answering
from havip.keeper.answering import Listeners

HERE = ip_address("127.0.0.1")
NOT_HERE = ip_address("192.0.2.77")


def free_port() -> int:
    with socket.socket() as one:
        one.bind((str(HERE), 0))
        port: int = one.getsockname()[1]
        return port


async def asked(port: int) -> bytes:
    """Connects as a probe does, says nothing, and reads to the end. Raises `OSError` when it is refused."""
    async with asyncio.timeout(2):
        reader, writer = await asyncio.open_connection(str(HERE), port)
        said = await reader.read()
        writer.close()
        return said


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_probe_is_taken_and_closed_in_order() -> None:
    async def work() -> None:
        listeners, port = Listeners(), free_port()
        listeners.keep([(HERE, port)])
        assert await asked(port) == b""  # an end, not a reset: that would count as down
        listeners.keep([])
        with pytest.raises(ConnectionRefusedError):
            await asked(port)

    run(work())


def test_an_address_that_is_not_here_yet_can_be_listened_on() -> None:
    async def work() -> None:
        listeners = Listeners()
        listeners.keep([(NOT_HERE, free_port()), (ip_address("2001:db8::77"), free_port())])
        assert listeners.refused == {}
        listeners.keep([])

    run(work())


def test_a_port_that_somebody_has_is_named_and_had_once_it_is_free() -> None:
    async def work() -> None:
        listeners, port = Listeners(), free_port()
        with socket.socket() as other:
            other.bind((str(HERE), port))
            other.listen()
            listeners.keep([(HERE, port)])
            assert "in use" in listeners.refused[(HERE, port)]
        listeners.keep([(HERE, port)])
        assert listeners.refused == {}
        assert await asked(port) == b""
        listeners.keep([])

    run(work())


def test_clients_that_never_close_hold_nothing_of_ours_and_nobody_up() -> None:
    """Azure's FIN may come as late as the next probe; a thousand others never send one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))

    async def work() -> None:
        listeners, port = Listeners(), free_port()
        listeners.keep([(HERE, port)])
        idle: list[socket.socket] = []
        try:
            for _ in range(1000):
                one = socket.socket()
                one.setblocking(False)
                await asyncio.get_running_loop().sock_connect(one, (str(HERE), port))
                idle.append(one)
            before = descriptors()
            assert await asked(port) == b""
            assert descriptors() - before <= 1
            assert before - len(idle) < 100
        finally:
            for one in idle:
                one.close()
            listeners.keep([])

    run(work())


def test_without_descriptors_a_listener_rests_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "PAUSE_SECONDS", 0.01)

    async def work() -> None:
        listeners, port = Listeners(), free_port()
        listeners.keep([(HERE, port)])
        client = socket.socket()
        client.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            await asyncio.get_running_loop().sock_connect(client, (str(HERE), port))
            await asyncio.sleep(0.05)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        async with asyncio.timeout(2):
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        client.close()
        listeners.keep([])

    run(work())

"""The listeners of probes: there before the address, gone on demand, and not to be held up by anybody."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.keeper.made import free_port

from havip.keeper import answering
from havip.keeper.answering import Listener, Listeners

HERE = ip_address("127.0.0.1")
NOT_HERE = ip_address("192.0.2.77")


async def asked(port: int) -> bytes:
    """Connects as a probe does, says nothing, and reads to the end. Raises `OSError` when it is refused."""
    async with asyncio.timeout(2):
        reader, writer = await asyncio.open_connection(str(HERE), port)
        said = await reader.read()
        writer.close()
        return said


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def at_most(files: int) -> Iterator[None]:
    """So many descriptors may this process have meanwhile, as far as it may raise that itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_probe_is_taken_and_closed_in_order() -> None:
    async def work() -> None:
        listeners, port = Listeners(), free_port()
        listeners.keep([(HERE, port)])
        assert await asked(port) == b""  # an end, not a reset: that would count as down
        listeners.keep([])
        with pytest.raises(ConnectionRefusedError):
            await asked(port)

    asyncio.run(work())


def test_an_address_that_is_not_here_yet_can_be_listened_on() -> None:
    async def work() -> None:
        listeners = Listeners()
        listeners.keep([(NOT_HERE, free_port()), (ip_address("2001:db8::77"), free_port())])
        assert listeners.refused == {}
        listeners.keep([])

    asyncio.run(work())


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

    asyncio.run(work())


def test_clients_that_never_close_hold_nothing_of_ours_and_nobody_up() -> None:
    """Azure's FIN may come as late as the next probe; a thousand others never send one."""

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

    with at_most(4096):
        asyncio.run(work())


def test_without_descriptors_a_listener_rests_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "PAUSE_SECONDS", 0.01)
    rested = asyncio.Event()
    rest = Listener._rest

    def resting(listener: Listener) -> None:
        rest(listener)
        rested.set()

    monkeypatch.setattr(Listener, "_rest", resting)

    async def work() -> None:
        listeners, port = Listeners(), free_port()
        listeners.keep([(HERE, port)])
        client = socket.socket()
        client.setblocking(False)
        async with asyncio.timeout(2):
            with at_most(1):
                await asyncio.get_running_loop().sock_connect(client, (str(HERE), port))
                await rested.wait()
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        client.close()
        listeners.keep([])

    asyncio.run(work())

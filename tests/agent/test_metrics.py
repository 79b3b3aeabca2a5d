"""The agent's figures, and the little server that shows them."""

from __future__ import annotations

import asyncio
import contextlib

from prometheus_client.parser import text_string_to_metric_families
from tests.agent.haproxy.real import free_port

from havip.agent import metrics
from havip.agent.metrics import Figures, text
from havip.model.keys import Key
from havip.model.node import NodeStatus, PoolReport
from havip.model.refusal import LeftOut
from havip.model.report import InstanceReport
from havip.model.states import State

STATUS = NodeStatus(
    applied_generation=3,
    error="haproxy does not answer",
    vips=(InstanceReport(Key("shop", "web"), 7, State.ACTIVE, "2026-01-01T00:00:00.000Z", "Elected"),),
    pools=(PoolReport(Key("shop", "web"), "", 1, 3),),
    left_out=(LeftOut("shop/web", "PortTaken", "", ""),),
)


def samples(figures: Figures) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text(figures))
        for sample in family.samples
    }


def test_prometheus_understands_every_figure() -> None:
    found = samples(Figures(STATUS, generation=4, status_writes=5, reloads=6))
    assert found["havip_node_generation",] == 4
    assert found["havip_node_applied_generation",] == 3
    assert found["havip_node_vip_state", "shop/web", "Active"] == 1
    assert found["havip_node_vip_state", "shop/web", "Standby"] == 0
    assert found["havip_node_pool_servers", "shop/web", "healthy"] == 1
    assert found["havip_node_pool_servers", "shop/web", "other"] == 2
    assert found["havip_node_left_out",] == 1
    assert found["havip_node_error",] == 1
    assert found["havip_node_status_writes_total",] == 5
    assert found["havip_node_haproxy_reloads_total",] == 6


def test_before_the_first_status_there_are_figures_too() -> None:
    assert samples(Figures(None, 0, 0, 0))["havip_node_applied_generation",] == 0


def answers(*requests: bytes) -> list[bytes]:
    async def story() -> list[bytes]:
        port = free_port()
        task = asyncio.create_task(metrics.serve(("127.0.0.1", port), lambda: Figures(STATUS, 1, 1, 1)))
        out = []
        try:
            for request in requests:
                reader, writer = await _connect(port)
                writer.write(request)
                writer.write_eof()
                async with asyncio.timeout(20):
                    out.append(await reader.read())
                writer.close()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return out

    return asyncio.run(story())


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(20):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


def test_it_answers_to_what_it_knows_and_to_nothing_else() -> None:
    shown, healthy, other, nonsense = answers(
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /etc/passwd HTTP/1.1\r\n\r\n",
        b"nonsense",
    )
    assert b"havip_node_generation 1" in shown
    assert healthy.endswith(b"\r\n\r\nok\n")
    assert other.startswith(b"HTTP/1.1 404 ")
    assert nonsense == b""

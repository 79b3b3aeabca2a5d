"""Figures of one agent in Prometheus text form, and `/healthz`: only where an address was asked for.

By default nothing listens: node pods share the node's network, and two classes would want one port. Text by hand,
because the client library would cost the agent 3 MB for eight lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from havip.model.node import NodeStatus
from havip.model.states import State

REQUEST_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted besides what the status says. `status` None before the first one."""

    status: NodeStatus | None
    generation: int
    status_writes: int
    reloads: int


def text(figures: Figures) -> str:
    """The exposition format, version 0.0.4."""
    status = figures.status or NodeStatus()
    lines: list[str] = []
    for name, kind, meaning, samples in (
        ("generation", "gauge", "Generation of the orders in force.", [("", figures.generation)]),
        ("applied_generation", "gauge", "Generation confirmed as carried out.", [("", status.applied_generation)]),
        ("vip_state", "gauge", "1 for the state that this node has for a VIP.", _states(status)),
        ("pool_servers", "gauge", "Real servers of a pool, seen from this node.", _servers(status)),
        ("left_out", "gauge", "Orders that are not carried out.", [("", len(status.left_out))]),
        ("error", "gauge", "1 while the orders are not in force as a whole.", [("", int(bool(status.error)))]),
        ("status_writes_total", "counter", "Statuses written.", [("", figures.status_writes)]),
        ("haproxy_reloads_total", "counter", "Reloads of haproxy.", [("", figures.reloads)]),
    ):
        lines += [f"# HELP havip_node_{name} {meaning}", f"# TYPE havip_node_{name} {kind}"]
        lines += [f"havip_node_{name}{labels} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _states(status: NodeStatus) -> list[tuple[str, int]]:
    return [
        (_labels(havip=str(vip.havip), state=state), int(vip.state is state)) for vip in status.vips for state in State
    ]


def _servers(status: NodeStatus) -> list[tuple[str, int]]:
    return [
        (_labels(pool=str(pool.pool), health=health), count)
        for pool in status.pools
        for health, count in (("healthy", pool.healthy), ("other", pool.total - pool.healthy))
    ]


def _labels(**labels: str) -> str:
    """Names of Kubernetes objects and our own words only: nothing in them needs escaping."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


async def serve(address: tuple[str, int], figures: Callable[[], Figures]) -> None:
    """Answers on `address` until cancelled. Raises `OSError` when it cannot be bound."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
                writer.write(_response(request[1] if len(request) > 1 else b"", figures))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a scanner; it gets nothing
        finally:
            writer.close()

    server = await asyncio.start_server(answer, *address)
    async with server:
        await server.serve_forever()


def _response(path: bytes, figures: Callable[[], Figures]) -> bytes:
    match path:
        case b"/metrics":
            status, kind, body = "200 OK", "text/plain; version=0.0.4", text(figures())
        case b"/healthz":
            status, kind, body = "200 OK", "text/plain", "ok\n"
        case _:
            status, kind, body = "404 Not Found", "text/plain", "there are /metrics and /healthz\n"
    head = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body.encode())}", "Connection: close")
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()

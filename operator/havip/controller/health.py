"""`/healthz`, `/readyz` and `/metrics` over HTTP. Answers only; nothing here may change anything.

healthz: a pass that does not end for `STUCK` seconds is a process that a restart helps. readyz: a standby is ready
as it is (it must count as available, or a roll-out never ends); a leader is, once it has seen the whole cluster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

STUCK = 300.0
"""Seconds. The API server being away is no reason: a request gives up after 10 s, a pass then ends."""

Probe = Callable[[], str]
"""Empty = well; else the reason, in words."""


async def _answer(probe: Probe) -> web.Response:
    problem = probe()
    return web.Response(text=(problem or "ok") + "\n", status=503 if problem else 200)


@asynccontextmanager
async def serving(port: int, *, healthy: Probe, ready: Probe, metrics: Callable[[], bytes]) -> AsyncIterator[None]:
    """Serves on every address of this pod."""
    app = web.Application()

    async def healthz(_: web.Request) -> web.Response:
        return await _answer(healthy)

    async def readyz(_: web.Request) -> web.Response:
        return await _answer(ready)

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, port=port)
        await site.start()
        yield
    finally:
        await runner.cleanup()

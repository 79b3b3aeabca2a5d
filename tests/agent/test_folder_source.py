"""Orders from a folder, status into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.agent import orders

from havip.agent.source.base import Observed, SourceAway
from havip.agent.source.folder import FolderSource
from havip.model.node import NodeStatus


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[asyncio.Queue[Observed]]:
    seen: asyncio.Queue[Observed] = asyncio.Queue()
    task = asyncio.create_task(FolderSource(folder).run(seen.put_nowait))
    try:
        yield seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(seen: asyncio.Queue[Observed], generation: int, pools: set[str]) -> Observed:
    async with asyncio.timeout(20):
        while True:
            observed = await seen.get()
            if observed.node and observed.node.generation == generation and set(observed.pools) == pools:
                return observed


def test_changes_of_orders_and_pools_are_seen(tmp_path: Path) -> None:
    async def story() -> None:
        orders.write_source(tmp_path, orders.spec(orders.instance()), orders.pool(), generation=1)
        async with running(tmp_path) as seen:
            first = await until(seen, 1, {"shop.web"})
            assert json.loads(first.pools["shop.web"]) == orders.pool()
            orders.write_source(tmp_path, orders.spec(), orders.pool("shop/b"), generation=2)
            await until(seen, 2, {"shop.b"})

    asyncio.run(story())


def test_a_node_that_is_deleted_or_broken_keeps_its_last_orders(tmp_path: Path) -> None:
    async def story() -> None:
        orders.write_source(tmp_path, orders.spec(orders.instance()), generation=1)
        async with running(tmp_path) as seen:
            await until(seen, 1, set())
            (tmp_path / "node.json").write_text('{"generation": true, "spec": {}}')
            await until(seen, 1, set())
            (tmp_path / "node.json").unlink()
            await until(seen, 1, set())

    asyncio.run(story())


def test_an_empty_folder_has_no_orders_yet(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as seen:
            assert (await asyncio.wait_for(seen.get(), 20)).node is None
            orders.write_source(tmp_path, orders.spec(), generation=1)
            await until(seen, 1, set())

    asyncio.run(story())


def test_the_status_is_written_beside_the_orders(tmp_path: Path) -> None:
    status = NodeStatus(applied_generation=4)
    asyncio.run(FolderSource(tmp_path).write_status(status))
    assert NodeStatus.from_json(json.loads((tmp_path / "status.json").read_text())) == status


def test_a_folder_that_is_gone_is_a_source_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(SourceAway):
        asyncio.run(FolderSource(tmp_path / "gone").write_status(NodeStatus()))

"""Orders from an API server: list, watch, what goes wrong with both, and the status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.agent import orders
from tests.agent.fake_api import CONFIG_MAPS, NODES, FakeApi, fake_api

from havip.agent.source import api as api_source
from havip.agent.source import wire
from havip.agent.source.api import ApiSource
from havip.agent.source.base import Observed, SourceAway
from havip.model.node import NodeStatus

SPEC, POOL = orders.spec(orders.instance()), orders.pool()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_source, "BACK_OFF_SECONDS", (0.02, 0.05))


class Following:
    """A source at work against a fake server, and what it told."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.source = ApiSource(api.access(), namespace="havip-system", class_name="edge", node="n1")
        self.told: list[Observed] = []
        self._new = asyncio.Event()

    def take(self, observed: Observed) -> None:
        self.told.append(observed)
        self._new.set()

    async def until(self, condition: Callable[[Observed], bool]) -> Observed:
        async with asyncio.timeout(20):
            while not self.told or not condition(self.told[-1]):
                await self._new.wait()
                self._new.clear()
        return self.told[-1]

    async def generation(self, number: int) -> Observed:
        return await self.until(lambda observed: observed.node is not None and observed.node.generation == number)


@contextlib.asynccontextmanager
async def following(api: FakeApi) -> AsyncIterator[Following]:
    it = Following(api)
    task = asyncio.create_task(it.source.run(it.take))
    try:
        yield it
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def tell(folder: Path, story: Callable[[FakeApi], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with fake_api(folder) as api:
            await story(api)

    asyncio.run(all_of_it())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the fake server counts, it wakes nobody
            await asyncio.sleep(0.005)


def test_the_node_and_its_pools_are_listed_and_then_watched(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC, generation=1)
        await api.pool(POOL)
        async with following(api) as it:
            first = await it.generation(1)
            assert first.node is not None
            assert first.node.spec == SPEC
            assert json.loads(first.pools["shop.web"]) == POOL
            await api.node(SPEC, generation=2)
            await it.generation(2)
            await api.pool(orders.pool(servers=["10.9.9.9:80"]))
            await it.until(lambda seen: "10.9.9.9" in seen.pools["shop.web"])
            await api.delete(CONFIG_MAPS, "shop.web")
            await it.until(lambda seen: not seen.pools)
        assert api.count("GET", NODES) == api.count("GET", CONFIG_MAPS) == 1

    tell(tmp_path, story)


def test_only_its_own_node_and_only_pools_are_asked_for(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        async with following(api) as it:
            await it.generation(1)
            await until(lambda: api.count("GET", NODES, watch=True) == api.count("GET", CONFIG_MAPS, watch=True) == 1)
        for _, path, query in api.requests:
            if path == NODES:
                assert query["fieldSelector"] == "metadata.name=edge.n1"
            else:
                assert query["labelSelector"] == "havip.dev/pool=true"
            if "watch" in query:
                assert query["allowWatchBookmarks"] == "true"
                assert 240 <= int(query["timeoutSeconds"]) <= 300

    tell(tmp_path, story)


def test_nothing_is_told_before_both_lists_have_come(tmp_path: Path) -> None:
    """Otherwise every restart of the agent would empty the pools for a moment."""

    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        await api.pool(POOL)
        async with following(api) as it:
            await it.generation(1)
            assert all(seen.node is not None and seen.pools for seen in it.told)

    tell(tmp_path, story)


def test_a_list_in_pages_is_one_list(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        api.page = 2
        await api.node(SPEC)
        for number in range(5):
            await api.pool(orders.pool(f"shop/p{number}"))
        async with following(api) as it:
            assert len((await it.generation(1)).pools) == 5

    tell(tmp_path, story)


def test_a_watch_that_ends_goes_on_from_its_last_bookmark_without_a_list(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        async with following(api) as it:
            await it.generation(1)
            await until(lambda: api.count("GET", NODES, watch=True) == 1)
            await api.bookmark(NODES)
            bookmark = str(api.version)
            told = len(it.told)
            await until(lambda: it.source._node.version == bookmark)
            await api.end_watches()
            await until(lambda: api.count("GET", NODES, watch=True) == 2)
            assert len(it.told) == told, "a bookmark is no news"
            assert [query.get("resourceVersion") for _, path, query in api.requests if path == NODES][-1] == bookmark
            await api.node(SPEC, generation=2)
            await it.generation(2)
            assert api.count("GET", NODES) == 1

    tell(tmp_path, story)


def test_after_a_410_everything_is_listed_again_and_what_was_deleted_meanwhile_is_gone(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        await api.pool(POOL)
        await api.pool(orders.pool("shop/other"))
        async with following(api) as it:
            await it.until(lambda seen: len(seen.pools) == 2)
            await until(lambda: api.count("GET", CONFIG_MAPS, watch=True) == 1)
            api.down = True
            await api.end_watches()
            await until(lambda: api.count("GET", CONFIG_MAPS, watch=True) > 2)
            del api.objects[CONFIG_MAPS]["shop.other"]
            api.version += 1
            api.forget()
            api.down = False
            await it.until(lambda seen: list(seen.pools) == ["shop.web"])

    tell(tmp_path, story)


def test_a_server_that_is_away_keeps_the_last_orders_and_is_followed_when_it_returns(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        await api.pool(POOL)
        async with following(api) as it:
            await it.generation(1)
            told = len(it.told)
            api.down = True
            await api.end_watches()
            asked = len(api.requests)
            await until(lambda: len(api.requests) > asked + 4)
            assert len(it.told) == told
            api.down = False
            await api.node(SPEC, generation=2)
            assert (await it.generation(2)).pools

    tell(tmp_path, story)


def test_a_node_that_is_deleted_keeps_its_last_orders(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        async with following(api) as it:
            await it.generation(1)
            told = len(it.told)
            await until(lambda: api.count("GET", NODES, watch=True) == 1)
            await api.delete(NODES, "edge.n1")
            await it.until(lambda _: len(it.told) > told)
            node = it.told[-1].node
            assert node is not None
            assert node.spec == SPEC
            await api.node(SPEC, generation=7)
            await it.generation(7)

    tell(tmp_path, story)


def test_a_token_that_was_renewed_is_used_after_a_refusal(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        async with following(api) as it:
            await it.generation(1)
            api.token = "secret-two"  # noqa: S105  # of a server that lives for one test
            await api.end_watches()
            asked = len(api.requests)
            await until(lambda: len(api.requests) > asked + 2)
            api.token_file.write_text(api.token)
            await api.node(SPEC, generation=2)
            await it.generation(2)

    tell(tmp_path, story)


def test_no_token_is_ever_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story(api: FakeApi) -> None:
        async with following(api):
            api.token = "another"  # noqa: S105  # so that the one in the file is refused
            await until(lambda: len(api.requests) > 4)

    tell(tmp_path, story)
    assert "401" in caplog.text
    assert "secret-one" not in caplog.text


def test_the_status_is_applied_to_the_object_it_is_about(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        await api.node(SPEC)
        async with following(api) as it:
            await it.generation(1)
            status = NodeStatus(applied_generation=1, versions={"agent": "0.1.0"})
            await it.source.write_status(status)
            assert api.applied == [
                {
                    "apiVersion": "havip.dev/v1alpha1",
                    "kind": "HAVipNode",
                    "metadata": {"name": "edge.n1"},
                    "status": status.to_json(),
                }
            ]
            await it.until(lambda seen: seen.node is not None and seen.node.status == status.to_json())

    tell(tmp_path, story)


def test_a_status_that_is_not_taken_says_why(tmp_path: Path) -> None:
    async def story(api: FakeApi) -> None:
        source = ApiSource(api.access(), namespace="havip-system", class_name="edge", node="n1")
        with pytest.raises(SourceAway, match=r'404: havipnodes.havip.dev "edge.n1" not found'):
            await source.write_status(NodeStatus())
        api.down = True
        with pytest.raises(SourceAway):
            await source.write_status(NodeStatus())

    tell(tmp_path, story)


@contextlib.asynccontextmanager
async def answering(text: bytes) -> AsyncIterator[wire.Endpoint]:
    """A server that says `text` to everything and closes, unless there is silence in it."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        if b"silence" not in text:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield wire.Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], None)
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def body_of(text: bytes) -> bytes:
    async def ask() -> bytes:
        async with (
            answering(text) as endpoint,
            wire.request(endpoint, "GET", target="/", headers={}, silence=0.5) as response,
        ):
            return await response.body()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ],
    ids=["length", "chunked", "to the end"],
)
def test_a_body_is_read_however_it_is_framed(text: bytes) -> None:
    assert body_of(text) == b"hello"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsilence",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nsilence: " + b"x" * 200_000,
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_an_error_of_ours(text: bytes) -> None:
    with pytest.raises(wire.WireError):
        body_of(text)


def test_a_line_break_cannot_get_into_a_request() -> None:
    async def ask() -> None:
        async with (
            answering(b"HTTP/1.1 200 OK\r\n\r\n") as endpoint,
            wire.request(endpoint, "GET", target="/x\r\nEvil: 1", headers={}, silence=5),
        ):
            pass

    with pytest.raises(wire.WireError, match="line break"):
        asyncio.run(ask())

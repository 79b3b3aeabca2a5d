"""An API server of one process: HAVipNodes and ConfigMaps with list, watch, bookmarks, 410 and status apply.

It keeps a history of events like the real one and forgets it on demand, ends watches when told, and refuses tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from havip.agent.settings import ApiAccess

Body = dict[str, Any]
NODES = "/apis/havip.dev/v1alpha1/namespaces/havip-system/havipnodes"
CONFIG_MAPS = "/api/v1/namespaces/havip-system/configmaps"


@dataclass
class FakeApi:
    """`requests`: method, path and query of all that was asked; `applied`: bodies of status writes."""

    token_file: Path
    token: str = "secret-one"  # noqa: S105  # of a server that lives for one test
    objects: dict[str, dict[str, Body]] = field(default_factory=lambda: {NODES: {}, CONFIG_MAPS: {}})
    events: list[tuple[int, str, str, Body]] = field(default_factory=list)
    forgotten: int = 0
    version: int = 100
    page: int = 500
    down: bool = False
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    applied: list[Body] = field(default_factory=list)
    port: int = 0
    _woken: asyncio.Condition = field(default_factory=asyncio.Condition)
    _watches: set[asyncio.Task[Any]] = field(default_factory=set)

    def access(self) -> ApiAccess:
        return ApiAccess("127.0.0.1", self.port, tls=False, ca=None, token_file=self.token_file)

    # --- what the world does ---

    async def put(self, path: str, name: str, body: Body) -> None:
        known = name in self.objects[path]
        self.version += 1
        metadata = {"name": name, "resourceVersion": str(self.version), **body.get("metadata", {})}
        item = {**body, "metadata": metadata}
        self.objects[path][name] = item
        await self._tell("MODIFIED" if known else "ADDED", path, item)

    async def node(self, spec: Body, *, generation: int = 1, status: Body | None = None) -> None:
        body: Body = {"metadata": {"generation": generation}, "spec": spec}
        await self.put(NODES, "edge.n1", body | ({"status": status} if status else {}))

    async def pool(self, body: Body) -> None:
        name = body["pool"].replace("/", ".")
        labels = {"labels": {"havip.dev/pool": "true"}}
        await self.put(CONFIG_MAPS, name, {"metadata": labels, "data": {"pool.json": json.dumps(body)}})

    async def delete(self, path: str, name: str) -> None:
        self.version += 1
        item = self.objects[path].pop(name)
        await self._tell(
            "DELETED", path, {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
        )

    async def bookmark(self, path: str) -> None:
        self.version += 1
        await self._tell("BOOKMARK", path, {"metadata": {"resourceVersion": str(self.version)}})

    def forget(self) -> None:
        """Compaction: whoever resumes from before now gets a 410."""
        self.forgotten = self.version

    async def end_watches(self) -> None:
        for task in list(self._watches):
            task.cancel()

    async def _tell(self, kind: str, path: str, item: Body) -> None:
        self.events.append((self.version, kind, path, item))
        async with self._woken:
            self._woken.notify_all()

    def count(self, method: str, path: str, *, watch: bool = False) -> int:
        return sum(
            1 for how, where, query in self.requests if (how, where) == (method, path) and ("watch" in query) is watch
        )

    # --- what the server does ---

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        if self.down:
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _list_or_watch(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request)
        items = [self.objects[request.path][name] for name in sorted(self.objects[request.path])]
        wanted = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        items = [item for item in items if not wanted or item["metadata"]["name"] == wanted]
        start = int(request.query.get("continue", "0"))
        end = start + min(self.page, int(request.query.get("limit", "500")))
        metadata = {"resourceVersion": str(self.version)} | ({"continue": str(end)} if end < len(items) else {})
        return web.json_response({"items": items[start:end], "metadata": metadata})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        version = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        if version < self.forgotten:
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}
            await response.write(json.dumps(gone).encode() + b"\n")
            return response
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionResetError):
            while True:
                for number, kind, path, item in self.events:
                    if number > version and path == request.path:
                        # In two pieces: a reader must not take a chunk for a line.
                        text = json.dumps({"type": kind, "object": item}).encode() + b"\n"
                        await response.write(text[:7])
                        await response.write(text[7:])
                        version = number
                async with self._woken:
                    await self._woken.wait()
        self._watches.discard(task)
        return response

    async def _apply(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self.objects[NODES]:
            return _status(404, f'havipnodes.havip.dev "{name}" not found')
        assert request.headers["Content-Type"] == "application/apply-patch+yaml"
        assert dict(request.query) == {"fieldManager": "havip-agent", "force": "true"}
        body = json.loads(await request.text())
        self.applied.append(body)
        item = self.objects[NODES][name]
        await self.put(
            NODES,
            name,
            {
                **item,
                "status": body["status"],
                "metadata": {key: value for key, value in item["metadata"].items() if key != "resourceVersion"},
            },
        )
        return web.json_response(self.objects[NODES][name])


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


@contextlib.asynccontextmanager
async def fake_api(folder: Path) -> AsyncIterator[FakeApi]:
    token_file = folder / "token"
    api = FakeApi(token_file)
    token_file.write_text(api.token + "\n")
    app = web.Application(middlewares=[api._guard])
    app.router.add_get(NODES, api._list_or_watch)
    app.router.add_get(CONFIG_MAPS, api._list_or_watch)
    app.router.add_patch(NODES + "/{name}/status", api._apply)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.port = runner.addresses[0][1]
    try:
        yield api
    finally:
        await api.end_watches()
        await runner.cleanup()

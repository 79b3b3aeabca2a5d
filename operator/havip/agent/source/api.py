"""Orders from the API server: list and watch of this node's HAVipNode and of the pools' ConfigMaps.

Steady state is two open watches and no request. While the API server is away, or after the HAVipNode was deleted,
the last orders stay in force: losing the control plane must never take a VIP down. The token is never logged.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from havip.agent.retrying import pause, spread
from havip.agent.settings import ApiAccess
from havip.agent.source import wire
from havip.agent.source.base import NodeObject, Observed, SourceAway
from havip.model.keys import API_VERSION, GROUP, VERSION, node_object_name
from havip.model.node import NodeStatus
from havip.model.pool import POOL_FILE

FIELD_MANAGER = "havip-agent"
PAGE = 500
WATCH_SECONDS = (240, 300)
"""How long one watch is asked for; spread, so that the nodes of a cluster do not all come back at once."""
SILENCE_SECONDS = 150
"""Bookmarks come about once a minute; a watch that is silent for longer is dead, whatever TCP thinks."""
ANSWER_SECONDS = 15
TOKEN_SECONDS = 60
STEADY_SECONDS = 10
"""A watch that lived for longer was a good one: what ends it is not the next of a series of failures."""
BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_log = logging.getLogger(__name__)
Json = Any  # of the API server: each use checks what it needs


class Refusal(Exception):
    """The API server answered, and said no. `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(slots=True)
class Collection:
    """What is listed and watched, and where its watch stands. `version` empty = it has to be listed.

    `keep` takes out of an object what is needed of it; the rest, such as managedFields, is most of its size.
    """

    path: str
    selector: dict[str, str]
    keep: Callable[[Json], Any]
    items: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    listed: bool = False


class ApiSource:
    def __init__(self, access: ApiAccess, *, namespace: str, class_name: str, node: str) -> None:
        self._access = access
        self._name = node_object_name(class_name, node)
        self._nodes_path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/havipnodes"
        self._node = Collection(self._nodes_path, {"fieldSelector": f"metadata.name={self._name}"}, _node)
        self._pools = Collection(
            f"/api/v1/namespaces/{namespace}/configmaps", {"labelSelector": f"{GROUP}/pool=true"}, _pool_text
        )
        self._last_node: NodeObject | None = None
        self._token: tuple[float, str] | None = None
        self._tls: tuple[float, ssl.SSLContext] | None = None

    async def run(self, publish: Callable[[Observed], None]) -> None:
        async with asyncio.TaskGroup() as group:
            for collection in (self._node, self._pools):
                group.create_task(self._follow(collection, publish), name=f"watch {collection.path}")

    async def write_status(self, status: NodeStatus) -> None:
        body = {
            "apiVersion": API_VERSION,
            "kind": "HAVipNode",
            "metadata": {"name": self._name},
            "status": status.to_json(),
        }
        query = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        target = f"{self._nodes_path}/{quote(self._name)}/status?{query}"
        try:
            await self._ask("PATCH", target, body=json.dumps(body).encode(), content="application/apply-patch+yaml")
        except (wire.WireError, Refusal) as error:
            raise SourceAway(str(error)) from error

    # --- list and watch ---

    async def _follow(self, collection: Collection, publish: Callable[[Observed], None]) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            try:
                if not collection.version:
                    await self._list(collection)
                    self._publish(publish)
                await self._watch(collection, publish)
                problem = ""
            except (wire.WireError, Refusal) as error:
                problem = str(error)
                if isinstance(error, Refusal):
                    collection.version = ""
            # A watch that the server ends in order goes on from where it was, but never in a tight circle.
            brief = time.monotonic() - started < STEADY_SECONDS
            if problem and not (failures and brief):
                _log.warning("%s: %s", collection.path, problem)
            failures = failures + 1 if brief else 1 if problem else 0
            if failures:
                await asyncio.sleep(pause(BACK_OFF_SECONDS, failures))

    async def _list(self, collection: Collection) -> None:
        items: dict[str, Json] = {}
        query = {**collection.selector, "limit": str(PAGE)}
        while True:
            body = await self._ask("GET", f"{collection.path}?{urlencode(query)}")
            try:
                for item in body["items"] or ():
                    items[item["metadata"]["name"]] = collection.keep(item)
                version, more = body["metadata"]["resourceVersion"], body["metadata"].get("continue")
            except (KeyError, TypeError, AttributeError) as error:
                raise wire.WireError(f"an answer that is not a list of objects: {error!r}") from error
            if not more:
                break
            query["continue"] = more
        collection.items, collection.version, collection.listed = items, str(version), True

    async def _watch(self, collection: Collection, publish: Callable[[Observed], None]) -> None:
        query = {
            **collection.selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": collection.version,
            "timeoutSeconds": str(round(spread(*WATCH_SECONDS))),
        }
        target = f"{collection.path}?{urlencode(query)}"
        headers = self._headers("")
        async with wire.request(
            self._endpoint(), "GET", target=target, headers=headers, silence=SILENCE_SECONDS
        ) as response:
            if response.status != 200:
                raise self._refusal(response.status, await response.body())
            async for line in response.lines():
                if self._event(collection, _json(line)):
                    self._publish(publish)

    def _event(self, collection: Collection, event: Json) -> bool:
        """Takes one watch event in; whether it is something to tell. Raises `Refusal` for an ERROR."""
        try:
            kind, item = event["type"], event["object"]
            if kind == "ERROR":
                raise Refusal(int(item.get("code", 500)), str(item.get("message", "watch ended"))[:256])
            name, version = item["metadata"].get("name", ""), item["metadata"]["resourceVersion"]
        except (KeyError, TypeError, AttributeError) as error:
            raise wire.WireError(f"a watch event that is none: {error!r}") from error
        collection.version = str(version)
        if kind in ("ADDED", "MODIFIED"):
            collection.items[name] = collection.keep(item)
        elif kind == "DELETED":
            collection.items.pop(name, None)
        return str(kind) != "BOOKMARK"

    def _publish(self, publish: Callable[[Observed], None]) -> None:
        """Tells only once both lists have come: orders without their pools would empty every backend."""
        if not (self._node.listed and self._pools.listed):
            return
        self._last_node = self._node.items.get(self._name, self._last_node)
        texts = {name: text for name, text in self._pools.items.items() if text is not None}
        publish(Observed(self._last_node, texts))

    # --- one request ---

    async def _ask(self, method: str, target: str, *, body: bytes = b"", content: str = "") -> Json:
        headers = self._headers(content)
        async with wire.request(
            self._endpoint(), method, target=target, headers=headers, body=body, silence=ANSWER_SECONDS
        ) as response:
            text = await response.body()
            if not 200 <= response.status < 300:
                raise self._refusal(response.status, text)
        return _json(text)

    def _refusal(self, code: int, text: bytes) -> Refusal:
        if code == 401:
            self._token = None
        try:
            message = str(_json(text)["message"])
        except (wire.WireError, KeyError, TypeError):
            message = "no reason given"  # some proxy's page is of no use in a log
        return Refusal(code, message[:256])

    def _headers(self, content: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
        if content:
            headers["Content-Type"] = content
        token = self._current_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _current_token(self) -> str:
        """The kubelet renews the file before the token ends, so it is read again every minute."""
        if self._access.token_file is None:
            return ""
        now = time.monotonic()
        if self._token is None or now - self._token[0] > TOKEN_SECONDS:
            try:
                self._token = (now, self._access.token_file.read_text("ascii").strip())
            except (OSError, UnicodeDecodeError) as error:
                raise wire.WireError(f"{self._access.token_file} cannot be read: {type(error).__name__}") from None
        return self._token[1]

    def _endpoint(self) -> wire.Endpoint:
        return wire.Endpoint(self._access.host, self._access.port, self._context() if self._access.tls else None)

    def _context(self) -> ssl.SSLContext:
        """A new one whenever the CA's file changed."""
        try:
            stamp = 0.0 if self._access.ca is None else self._access.ca.stat().st_mtime
            if self._tls is None or self._tls[0] != stamp:
                self._tls = (stamp, ssl.create_default_context(cafile=self._access.ca))
        except OSError as error:  # ssl.SSLError is one too
            raise wire.WireError(f"{self._access.ca} is not a usable CA: {error}") from error
        return self._tls[1]


def _json(text: bytes) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        raise wire.WireError("an answer that is not JSON") from None


def _node(item: Json) -> NodeObject:
    generation = item["metadata"].get("generation")
    return NodeObject(
        generation=generation if isinstance(generation, int) else 0,
        spec=item.get("spec"),
        status=item.get("status"),
    )


def _pool_text(item: Json) -> str | None:
    text = (item.get("data") or {}).get(POOL_FILE)
    return text if isinstance(text, str) else None
